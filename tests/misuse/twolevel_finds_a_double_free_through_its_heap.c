/* SPDX-License-Identifier: MIT */
/* Expect: tarn: double free \(twolevel, block 0x[0-9a-f]+\) */
#include "tarn/twolevel.h"

int main(void)
{
    tarn_twolevel twolevel;
    tarn_twolevel_init(&twolevel, NULL);
    char *block = tarn_heap_alloc(&twolevel.heap, 24, 0);
    tarn_heap_free(&twolevel.heap, block, 24);
    tarn_heap_free(&twolevel.heap, block, 24);
    return 0;
}
