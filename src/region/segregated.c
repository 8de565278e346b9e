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

/* The list of a size; row 0 has the sizes below twice the steps. */
REGION_INLINE uint32_t list_of(uint32_t size)
{
    const unsigned row = base_log2_floor(size | STEPS) - STEPS_LOG2;
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
    uint32_t list = list_of(need);
    /* The head of the own list is the tightest that is to be had without a walk; an empty list's
     * head has any size. */
    const bool is_own =
        !region_list_is_empty(range, list) && region_list_head_size(range, list, outside) >= need;
    if (!is_own) {
        list = region_list_at_least(range, list + 1);
        if (list == REGION_NONE) {
            return (region_found){REGION_NONE, 0};
        }
    }
    return (region_found){region_list_head(range, list, outside),
                          region_list_head_size(range, list, outside)};
}

REGION_INLINE void segregated_insert(region_range *range, region_node *node, uint32_t ref,
                                     bool outside)
{
    region_list_insert(range, list_of(node->size), node, ref, true, outside);
}

REGION_INLINE void segregated_remove(region_range *range, region_node *node, uint32_t ref,
                                     uint32_t size, bool outside)
{
    (void)ref;
    region_list_remove(range, list_of(size), node, true, outside);
}

REGION_INLINE void segregated_change(region_range *range, region_node *node, uint32_t ref,
                                     uint32_t old, uint32_t new, bool outside)
{
    segregated_remove(range, node, ref, old, outside);
    node->size = new;
    segregated_insert(range, node, ref, outside);
}

REGION_INLINE uint32_t segregated_largest(region_range *range, bool outside)
{
    const uint32_t list = region_list_last(range);
    if (list == REGION_NONE) {
        return 0;
    }
    /* Which of the last list is the largest only a walk would tell; the head is the one that a
     * request for more than the least of the list would get. */
    const uint32_t head = region_list_head_size(range, list, outside);
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

REGION_INDEX(segregated, false);
REGION_POLICY(segregated, segregated, index_size, anchors);
