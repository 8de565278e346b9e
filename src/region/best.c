/* SPDX-License-Identifier: MIT */
#include "region/lists.h"
#include "region/policy.h"
#include "region/tree.h"

/*
 * Best fit: the smallest that fits. A list for each size up to a limit that grows with the range,
 * trees for what is larger.
 */

enum { LISTS_MIN = 16, LISTS_MAX = 512, GRANULES_PER_LIST = 1024 };

/* Sizes below this have a list each. */
static uint32_t list_count(uint32_t granules)
{
    const uint32_t count = 1U << base_log2_floor(granules / GRANULES_PER_LIST | 1);
    return count < LISTS_MIN ? LISTS_MIN : count > LISTS_MAX ? LISTS_MAX : count;
}

static size_t index_size(const tarn_region_options *options, uint32_t granules)
{
    (void)options;
    return region_lists_size(list_count(granules));
}

static uint32_t anchors(const tarn_region_options *options, uint32_t granules)
{
    (void)options;
    return list_count(granules) * REGION_ANCHOR_REFS;
}

REGION_INLINE void best_open(region_range *range, bool outside)
{
    region_lists_open(range, list_count(range->granules), outside);
}

REGION_INLINE region_found best_find(region_range *range, uint32_t need, bool outside)
{
    const region_lists *lists = &range->index.lists;
    if (base_likely(need < lists->count)) {
        const uint32_t list = region_list_at_least(range, need);
        if (base_likely(list != REGION_NONE)) {
            return (region_found){region_list_head(range, list, outside), list};
        }
    }
    if (lists->tree_map == 0) {
        return (region_found){REGION_NONE, 0};
    }
    const region_node *node =
        region_tree_at_least(range, need > lists->count ? need : lists->count, outside);
    if (node == NULL) {
        return (region_found){REGION_NONE, 0};
    }
    return (region_found){region_ref_of(range, node, outside), node->size};
}

REGION_INLINE void best_insert(region_range *range, region_node *node, uint32_t ref, bool outside)
{
    if (base_likely(node->size < range->index.lists.count)) {
        region_list_insert(range, node->size, node, ref, false, outside);
    } else {
        region_tree_insert(range, node, ref, outside);
    }
}

REGION_INLINE void best_remove(region_range *range, region_node *node, uint32_t ref, uint32_t size,
                               bool outside)
{
    if (base_likely(size < range->index.lists.count)) {
        region_list_remove(range, size, node, ref, false, outside);
    } else {
        region_tree_remove(range, node, ref, outside);
    }
}

REGION_INLINE void best_change(region_range *range, region_node *node, uint32_t ref, uint32_t old,
                               uint32_t new, bool outside)
{
    best_remove(range, node, ref, old, outside);
    node->size = new;
    best_insert(range, node, ref, outside);
}

REGION_INLINE uint32_t best_largest(region_range *range, bool outside)
{
    const uint32_t size = region_tree_largest(range, outside);
    if (size != 0) {
        return size;
    }
    const uint32_t list = region_list_last(range);
    return list == REGION_NONE ? 0 : list;
}

REGION_INLINE uint64_t best_rank(region_range *range, uint32_t need, bool outside)
{
    const region_found found = best_find(range, need, outside);
    return found.ref == REGION_NONE ? UINT64_MAX : found.size;
}

REGION_INLINE bool best_has(region_range *range, const region_node *node, uint32_t ref,
                            bool outside)
{
    return node->size < range->index.lists.count ? region_list_has(range, node, ref, outside)
                                                 : region_tree_has(range, node, ref, outside);
}

REGION_INLINE bool best_balances(region_range *range, uint32_t count, bool outside)
{
    const uint32_t in_lists = region_lists_count(range, count, outside);
    return in_lists != REGION_NONE &&
           region_trees_count(range, count - in_lists, outside) == count - in_lists;
}

REGION_INDEX(best, false);
REGION_POLICY(best, best, index_size, anchors);
