/* SPDX-License-Identifier: MIT */
#include "region/lists.h"
#include "region/policy.h"

/*
 * Segregated fit in two levels: lists for groups of sizes, each power of two cut into equal steps.
 *
 *     sizes   1  2  3 ... 31 | 32 33 ... 63 | 64-65 66-67 ... | 128-131 ... | ...
 *     list    1  2  3 ... 31 | 32 33 ... 63 | 64    65   ...  | 96      ... | ...
 *
 * Everything is a constant number of steps: no list is ever walked.
 */

enum { STEPS_LOG2 = 5, STEPS = 1 << STEPS_LOG2 };

/* The list of a size. */
REGION_INLINE uint32_t list_of(uint32_t size)
{
    if (size < STEPS) {
        return size;
    }
    const unsigned row = base_log2_floor(size) - STEPS_LOG2;
    return (row << STEPS_LOG2) + (size >> row);
}

/* The smallest size of a list. */
REGION_INLINE uint32_t least_of(uint32_t list)
{
    if (list < STEPS) {
        return list;
    }
    const unsigned row = (list >> STEPS_LOG2) - 1;
    return (STEPS + (list & (STEPS - 1))) << row;
}

static uint32_t anchors(const tarn_region_options *options, uint32_t granules)
{
    (void)options;
    return list_of(granules) + 1;
}

static size_t index_size(const tarn_region_options *options, uint32_t granules)
{
    return region_lists_size(anchors(options, granules));
}

REGION_INLINE void segregated_open(region_range *range, bool outside)
{
    region_lists_open(range, list_of(range->granules) + 1, outside);
}

REGION_INLINE region_found segregated_find(region_range *range, uint32_t need, bool outside)
{
    const uint32_t own = list_of(need);
    /* The head of the own list is the tightest that is to be had without a walk. An empty list's
     * head is its anchor, which is not read. */
    if (!region_list_is_empty(range, own)) {
        const uint32_t ref = region_list_head(range, own, outside);
        const uint32_t size = region_node_at(range, ref, outside)->size;
        if (size >= need) {
            return (region_found){ref, size};
        }
    }
    const uint32_t list = region_list_at_least(range, own + 1);
    if (list == REGION_NONE) {
        return (region_found){REGION_NONE, 0};
    }
    const uint32_t ref = region_list_head(range, list, outside);
    return (region_found){ref, region_node_at(range, ref, outside)->size};
}

REGION_INLINE void segregated_insert(region_range *range, region_node *node, uint32_t ref,
                                     bool outside)
{
    region_list_insert(range, list_of(node->size), node, ref, outside);
}

REGION_INLINE void segregated_remove(region_range *range, region_node *node, uint32_t ref,
                                     bool outside)
{
    (void)ref;
    region_list_remove(range, node, outside);
}

REGION_INLINE uint32_t segregated_largest(region_range *range, bool outside)
{
    const uint32_t list = region_list_last(range);
    if (list == REGION_NONE) {
        return 0;
    }
    /* Which of the last list is the largest only a walk would tell; the head is the one that a
     * request for more than the least of the list would get. */
    const uint32_t head =
        region_node_at(range, region_list_head(range, list, outside), outside)->size;
    return head > least_of(list) ? head : least_of(list);
}

REGION_INLINE uint64_t segregated_rank(region_range *range, uint32_t need, bool outside)
{
    const region_found found = segregated_find(range, need, outside);
    return found.ref == REGION_NONE ? UINT64_MAX : list_of(found.size);
}

REGION_INLINE bool segregated_has(region_range *range, const region_node *node, uint32_t ref,
                                  bool outside)
{
    return region_list_has(range, node, ref, outside);
}

REGION_INLINE bool segregated_balances(region_range *range, uint32_t count, bool outside)
{
    return region_lists_count(range, count, outside) == count;
}

REGION_INDEX_OF(inside, false, segregated, .resize = NULL);
REGION_INDEX_OF(outside, true, segregated, .resize = NULL);
REGION_POLICY(segregated, segregated, index_size, anchors);
