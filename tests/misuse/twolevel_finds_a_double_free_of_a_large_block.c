/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a block of this heap, or freed already \(twolevel, block 0x[0-9a-f]+\) */
#include "tarn/twolevel.h"

int main(void)
{
    tarn_twolevel twolevel;
    tarn_twolevel_init(&twolevel, NULL);
    char *block = tarn_twolevel_alloc(&twolevel, 1000);
    tarn_twolevel_free(&twolevel, block, 1000);
    tarn_twolevel_free(&twolevel, block, 1000);
    return 0;
}
