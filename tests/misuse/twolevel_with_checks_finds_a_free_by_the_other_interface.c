/* SPDX-License-Identifier: MIT */
/* Expect: tarn: given back by another interface than it was taken by \(twolevel, block 0x[0-9a-f]+\) */
#include "tarn/twolevel.h"

int main(void)
{
    tarn_twolevel twolevel;
    tarn_twolevel_init(&twolevel, &(tarn_twolevel_options){.checks = true});
    char *block = tarn_heap_alloc(&twolevel.heap, 24, 0);
    tarn_twolevel_free(&twolevel, block, 24);
    return 0;
}
