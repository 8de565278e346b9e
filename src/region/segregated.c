/* SPDX-License-Identifier: MIT */
#include "region/segregated.h"
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

enum { STEPS_LOG2_MIN = 3, STEPS_LOG2_MAX = 5, GRANULES_LOG2_MIN = 12 };

/* A small range has few steps, so that the index stays a small part of it. */
uint32_t region_steps_log2(uint32_t granules)
{
    const unsigned log2 = base_log2_floor(granules);
    if (log2 < GRANULES_LOG2_MIN) {
        return STEPS_LOG2_MIN;
    }
    const unsigned steps_log2 = STEPS_LOG2_MIN + (log2 - GRANULES_LOG2_MIN) / 2;
    return steps_log2 < STEPS_LOG2_MAX ? steps_log2 : STEPS_LOG2_MAX;
}

/* The list of a size; row 0 has the sizes below twice the steps. */
REGION_INLINE uint32_t list_in(uint32_t size, uint32_t steps_log2)
{
    const unsigned row = base_log2_floor(size | 1U << steps_log2) - steps_log2;
    return (row << steps_log2) + (size >> row);
}

REGION_INLINE uint32_t list_of(const region_range *range, uint32_t size)
{
    return list_in(size, range->index.lists.steps_log2);
}

/* The smallest size of a list. */
REGION_INLINE uint32_t least_of(const region_range *range, uint32_t list)
{
    const uint32_t steps_log2 = range->index.lists.steps_log2;
    if (list >> steps_log2 == 0) {
        return list;
    }
    const unsigned row = (list >> steps_log2) - 1;
    return ((1U << steps_log2) + (list & ((1U << steps_log2) - 1))) << row;
}

static uint32_t anchors(const tarn_region_options *options, uint32_t granules)
{
    (void)options;
    return list_in(granules, region_steps_log2(granules)) + 1;
}

static size_t index_size(const tarn_region_options *options, uint32_t granules)
{
    return region_lists_size(anchors(options, granules));
}

REGION_INLINE void segregated_open(region_range *range, bool outside)
{
    const uint32_t steps_log2 = region_steps_log2(range->granules);
    range->index.lists.steps_log2 = steps_log2;
    region_lists_open(range, list_in(range->granules, steps_log2) + 1, outside);
}

REGION_INLINE region_found segregated_find(region_range *range, uint32_t need, bool outside)
{
    uint32_t list = list_of(range, need);
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
    region_list_insert(range, list_of(range, node->size), node, ref, true, outside);
}

REGION_INLINE void segregated_remove(region_range *range, region_node *node, uint32_t ref,
                                     uint32_t size, bool outside)
{
    region_list_remove(range, list_of(range, size), node, ref, true, outside);
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
    return head > least_of(range, list) ? head : least_of(range, list);
}

REGION_INLINE uint64_t segregated_rank(region_range *range, uint32_t need, bool outside)
{
    const region_found found = segregated_find(range, need, outside);
    return found.ref == REGION_NONE ? UINT64_MAX : list_of(range, found.size);
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
