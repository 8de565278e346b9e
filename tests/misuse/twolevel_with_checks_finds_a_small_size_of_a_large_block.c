/* SPDX-License-Identifier: MIT */
/* Expect: tarn: wrong size given back with the block \(twolevel, block 0x[0-9a-f]+\) */
#include "tarn/twolevel.h"

int main(void)
{
    tarn_twolevel twolevel;
    tarn_twolevel_init(&twolevel, &(tarn_twolevel_options){.checks = true});
    char *block = tarn_twolevel_alloc(&twolevel, 1000);
    tarn_twolevel_free(&twolevel, block, 100);
    return 0;
}
