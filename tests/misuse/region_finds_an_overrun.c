/* SPDX-License-Identifier: MIT */
/* Expect: tarn: the bytes behind the block were overwritten \(region, block 0x[0-9a-f]+\) */
#include "tarn/region.h"

#include <string.h>

static _Alignas(64) unsigned char memory[4096];

int main(void)
{
    tarn_region region;
    tarn_region_init(&region, (tarn_memory){memory, sizeof memory}, NULL);
    tarn_region_alloc(&region, 24, 0);
    char *block = tarn_region_alloc(&region, 24, 0);
    tarn_region_alloc(&region, 24, 0);
    memset(block, 'x', 32);
    tarn_region_free(&region, block);
    return 0;
}
