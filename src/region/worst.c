/* SPDX-License-Identifier: MIT */
#include "region/by_address.h"

/*
 * Worst fit: the largest, so that what is left is large too.
 */

REGION_INLINE region_found worst_find(region_range *range, uint32_t need, bool outside)
{
    const uint32_t largest = region_strips_largest(&range->index.strips);
    if (largest < need) {
        return (region_found){REGION_NONE, 0};
    }
    return region_strips_first(range, largest, outside);
}

REGION_INLINE uint64_t worst_rank(region_range *range, uint32_t need, bool outside)
{
    (void)outside;
    const uint32_t largest = region_strips_largest(&range->index.strips);
    return largest < need ? UINT64_MAX : UINT32_MAX - largest;
}

REGION_BY_ADDRESS(worst, false);
