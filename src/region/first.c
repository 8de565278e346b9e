/* SPDX-License-Identifier: MIT */
#include "region/by_address.h"

/*
 * First fit: the first that is large enough.
 */

REGION_INLINE region_found first_find(region_range *range, uint32_t need, bool outside)
{
    return region_strips_first(range, need, outside);
}

/* The ranges are asked in the order of addresses, and the first of equal ranks is taken. */
REGION_INLINE uint64_t first_rank(region_range *range, uint32_t need, bool outside)
{
    (void)outside;
    return region_strips_largest(&range->index.strips) >= need ? 0 : UINT64_MAX;
}

REGION_BY_ADDRESS(first, false);
