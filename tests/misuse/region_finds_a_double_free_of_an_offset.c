/* SPDX-License-Identifier: MIT */
/* Expect: tarn: double free \(region, block 0xfc0\) */
#include "tarn/region.h"

int main(void)
{
    tarn_region region;
    tarn_region_init(&region, (tarn_memory){NULL, 4096},
                     &(tarn_region_options){.books = TARN_BOOKS_OUTSIDE});
    tarn_region_alloc_offset(&region, 32, 0);
    const size_t block = tarn_region_alloc_offset(&region, 32, 0);
    tarn_region_alloc_offset(&region, 32, 0);
    tarn_region_free_offset(&region, block);
    tarn_region_free_offset(&region, block);
    return 0;
}
