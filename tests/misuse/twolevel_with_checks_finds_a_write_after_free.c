/* SPDX-License-Identifier: MIT */
/* Expect: tarn: a freed block was written to \(twolevel, block 0x[0-9a-f]+\) */
#include "tarn/twolevel.h"

int main(void)
{
    tarn_twolevel twolevel;
    tarn_twolevel_init(&twolevel, &(tarn_twolevel_options){.checks = true});
    char *block = tarn_twolevel_alloc(&twolevel, 24);
    tarn_twolevel_free(&twolevel, block, 24);
    block[20] = 1;
    tarn_twolevel_alloc(&twolevel, 24);
    return 0;
}
