/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a block of this region \(region, block 0xf+\) */
#include "tarn/region.h"

int main(void)
{
    tarn_region region;
    tarn_region_init(&region, (tarn_memory){NULL, 4096},
                     &(tarn_region_options){.books = TARN_BOOKS_OUTSIDE});
    const size_t none = tarn_region_alloc_offset(&region, 8192, 0);
    tarn_region_free_offset(&region, none);
    return 0;
}
