/* SPDX-License-Identifier: MIT */
#include "region/by_address.h"

/*
 * Next fit: the first that is large enough from where the last search ended, the *rover*, and from
 * the start when there is none behind it.
 */

REGION_INLINE region_found next_find(region_range *range, uint32_t need, bool outside)
{
    const uintptr_t from = (range->region->rover - range->base) >> range->shift;
    if (from < range->granules) {
        const region_found found = region_strips_first_from(range, (uint32_t)from, need, outside);
        if (found.ref != REGION_NONE) {
            return found;
        }
    }
    return region_strips_first(range, need, outside);
}

/* How far behind the rover: what is before it wraps to a distance above all others. */
REGION_INLINE uint64_t next_rank(region_range *range, uint32_t need, bool outside)
{
    const region_found found = next_find(range, need, outside);
    if (found.ref == REGION_NONE) {
        return UINT64_MAX;
    }
    const region_node *node = region_node_at(range, found.ref, outside);
    return (uintptr_t)(region_address(range, node->start) - range->region->rover);
}

REGION_BY_ADDRESS(next, true);
