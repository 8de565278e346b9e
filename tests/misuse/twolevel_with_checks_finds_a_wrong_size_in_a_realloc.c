/* SPDX-License-Identifier: MIT */
/* Expect: tarn: wrong size given back with the block \(twolevel, block 0x[0-9a-f]+\) */
#include "tarn/twolevel.h"

int main(void)
{
    tarn_twolevel twolevel;
    tarn_twolevel_init(&twolevel, &(tarn_twolevel_options){.checks = true});
    char *block = tarn_twolevel_alloc(&twolevel, 24);
    tarn_twolevel_realloc(&twolevel, block, 20, 22);
    return 0;
}
