/* SPDX-License-Identifier: MIT */
/* Expect: tarn: the links of a free block were overwritten \(region, block 0x[0-9a-f]+\) */
#include "tarn/region.h"

#include <string.h>

static _Alignas(64) unsigned char memory[4096];

int main(void)
{
    tarn_region region;
    tarn_region_init(&region, (tarn_memory){memory, sizeof memory},
                     &(tarn_region_options){.policy = TARN_FIRST_FIT});
    char *block = tarn_region_alloc(&region, 24, 0);
    char *next = tarn_region_alloc(&region, 24, 0);
    char *other = tarn_region_alloc(&region, 24, 0);
    tarn_region_alloc(&region, 24, 0);
    tarn_region_free(&region, block);
    tarn_region_free(&region, other);
    memset(block, 'x', 8);
    memset(other, 'x', 8);
    tarn_region_free(&region, next);
    return 0;
}
