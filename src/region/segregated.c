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

enum { FINE_LOG2 = 5, COARSE_LOG2 = 3, COARSE_GRANULES = 1 << 14 };

/* A small range has few steps, so that the index stays a small part of it. */
uint32_t region_steps_log2(uint32_t granules)
{
    return granules < COARSE_GRANULES ? COARSE_LOG2 : FINE_LOG2;
}

/* The list of a size; row 0 has the sizes below twice the steps. */
REGION_INLINE uint32_t list_of(uint32_t size, unsigned steps_log2)
{
    const unsigned row = base_log2_floor(size | 1U << steps_log2) - steps_log2;
    return (row << steps_log2) + (size >> row);
}

/* The smallest size of a list. */
REGION_INLINE uint32_t least_of(uint32_t list, unsigned steps_log2)
{
    if (list >> steps_log2 == 0) {
        return list;
    }
    const unsigned row = (list >> steps_log2) - 1;
    return ((1U << steps_log2) + (list & ((1U << steps_log2) - 1))) << row;
}

REGION_INLINE region_found find(region_range *range, uint32_t need, unsigned steps_log2,
                                bool outside)
{
    uint32_t list = list_of(need, steps_log2);
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

REGION_INLINE void insert(region_range *range, region_node *node, uint32_t ref, unsigned steps_log2,
                          bool outside)
{
    region_list_insert(range, list_of(node->size, steps_log2), node, ref, true, outside);
}

REGION_INLINE void change(region_range *range, region_node *node, uint32_t ref, uint32_t old,
                          uint32_t new, unsigned steps_log2, bool outside)
{
    region_list_remove(range, list_of(old, steps_log2), node, ref, true, outside);
    node->size = new;
    region_list_insert(range, list_of(new, steps_log2), node, ref, true, outside);
}

REGION_INLINE uint32_t largest(region_range *range, unsigned steps_log2, bool outside)
{
    const uint32_t list = region_list_last(range);
    if (list == REGION_NONE) {
        return 0;
    }
    /* Which of the last list is the largest only a walk would tell; the head is the one that a
     * request for more than the least of the list would get. */
    const uint32_t head = region_list_head_size(range, list, outside);
    const uint32_t least = least_of(list, steps_log2);
    return head > least ? head : least;
}

REGION_INLINE uint64_t rank(region_range *range, uint32_t need, unsigned steps_log2, bool outside)
{
    const region_found found = find(range, need, steps_log2, outside);
    return found.ref == REGION_NONE ? UINT64_MAX : list_of(found.size, steps_log2);
}

/* SEGREGATED(NAME, STEPS_LOG2) makes the policy NAME, with steps that the compiler knows. */
#define SEGREGATED(name, steps_log2)                                                               \
    static uint32_t name##_anchors(const tarn_region_options *options, uint32_t granules)          \
    {                                                                                              \
        (void)options;                                                                             \
        return (list_of(granules, steps_log2) + 1) * REGION_ANCHOR_REFS;                           \
    }                                                                                              \
    static size_t name##_index_size(const tarn_region_options *options, uint32_t granules)         \
    {                                                                                              \
        (void)options;                                                                             \
        return region_lists_size(list_of(granules, steps_log2) + 1);                               \
    }                                                                                              \
    REGION_INLINE void name##_open(region_range *range, bool outside)                              \
    {                                                                                              \
        region_lists_open(range, list_of(range->granules, steps_log2) + 1, outside);               \
    }                                                                                              \
    REGION_INLINE region_found name##_find(region_range *range, uint32_t need, bool outside)       \
    {                                                                                              \
        return find(range, need, steps_log2, outside);                                             \
    }                                                                                              \
    REGION_INLINE void name##_insert(region_range *range, region_node *node, uint32_t ref,         \
                                     bool outside)                                                 \
    {                                                                                              \
        insert(range, node, ref, steps_log2, outside);                                             \
    }                                                                                              \
    REGION_INLINE void name##_remove(region_range *range, region_node *node, uint32_t ref,         \
                                     uint32_t size, bool outside)                                  \
    {                                                                                              \
        region_list_remove(range, list_of(size, steps_log2), node, ref, true, outside);            \
    }                                                                                              \
    REGION_INLINE void name##_change(region_range *range, region_node *node, uint32_t ref,         \
                                     uint32_t old, uint32_t new, bool outside)                     \
    {                                                                                              \
        change(range, node, ref, old, new, steps_log2, outside);                                   \
    }                                                                                              \
    REGION_INLINE uint32_t name##_largest(region_range *range, bool outside)                       \
    {                                                                                              \
        return largest(range, steps_log2, outside);                                                \
    }                                                                                              \
    REGION_INLINE uint64_t name##_rank(region_range *range, uint32_t need, bool outside)           \
    {                                                                                              \
        return rank(range, need, steps_log2, outside);                                             \
    }                                                                                              \
    REGION_INLINE bool name##_has(region_range *range, const region_node *node, uint32_t ref,      \
                                  bool outside)                                                    \
    {                                                                                              \
        return region_list_has(range, node, ref, outside);                                         \
    }                                                                                              \
    REGION_INLINE bool name##_balances(region_range *range, uint32_t count, bool outside)          \
    {                                                                                              \
        return region_lists_count(range, count, outside) == count;                                 \
    }                                                                                              \
    REGION_INDEX(name, false);                                                                     \
    REGION_POLICY(name, name, name##_index_size, name##_anchors)

SEGREGATED(segregated, FINE_LOG2);
SEGREGATED(coarse, COARSE_LOG2);
