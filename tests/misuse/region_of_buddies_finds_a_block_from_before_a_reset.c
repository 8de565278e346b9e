/* SPDX-License-Identifier: MIT */
/* Expect: tarn: double free \(region, block 0x[0-9a-f]+\) */
#include "tarn/region.h"

static _Alignas(64) unsigned char memory[4096];

int main(void)
{
    tarn_region region;
    tarn_region_init(&region, (tarn_memory){memory, sizeof memory},
                     &(tarn_region_options){.policy = TARN_BUDDY});
    char *block = tarn_region_alloc(&region, 100, 0);
    tarn_region_reset(&region);
    tarn_region_free(&region, block);
    return 0;
}
