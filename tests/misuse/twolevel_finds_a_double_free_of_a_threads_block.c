/* SPDX-License-Identifier: MIT */
/* Expect: tarn: double free \(twolevel, block 0x[0-9a-f]+\) */
#include "tarn/twolevel.h"

int main(void)
{
    char *block = tarn_twolevel_alloc(tarn_twolevel_of_thread(), 24);
    tarn_twolevel_free(tarn_twolevel_of_thread(), block, 24);
    tarn_twolevel_free(tarn_twolevel_of_thread(), block, 24);
    return 0;
}
