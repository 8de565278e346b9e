/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a block of this region \(region, block 0xfe0\) */
#include "tarn/region.h"

int main(void)
{
    tarn_region region;
    tarn_region_init(&region, (tarn_memory){NULL, 4096},
                     &(tarn_region_options){.books = TARN_BOOKS_OUTSIDE});
    tarn_region_alloc_offset(&region, 64, 0);
    tarn_region_room_offset(&region, 4096 - 32);
    return 0;
}
