/* SPDX-License-Identifier: MIT */
#ifndef TARN_REGION_BY_ADDRESS_H
#define TARN_REGION_BY_ADDRESS_H

#include "region/policy.h"
#include "region/strips.h"

/*
 * What first, next and worst fit have in common: all but the search and the rank of a range.
 */

static uint32_t by_address_anchors(const tarn_region_options *options, uint32_t granules)
{
    (void)options;
    (void)granules;
    return 0;
}

REGION_INLINE void by_address_open(region_range *range, bool outside)
{
    (void)outside;
    region_strips_open(range);
}

REGION_INLINE uint32_t by_address_largest(region_range *range, bool outside)
{
    (void)outside;
    return region_strips_largest(&range->index.strips);
}

/* REGION_BY_ADDRESS(NAME, KEEPS_ROVER) makes the policy NAME of NAME_find and NAME_rank. */
#define REGION_BY_ADDRESS(name, rover)                                                             \
    REGION_INLINE void name##_open(region_range *range, bool outside)                              \
    {                                                                                              \
        by_address_open(range, outside);                                                           \
    }                                                                                              \
    REGION_INLINE void name##_insert(region_range *range, region_node *node, uint32_t ref,         \
                                     bool outside)                                                 \
    {                                                                                              \
        region_strips_insert(range, node, ref, outside);                                           \
    }                                                                                              \
    REGION_INLINE void name##_remove(region_range *range, region_node *node, uint32_t ref,         \
                                     uint32_t size, bool outside)                                  \
    {                                                                                              \
        (void)size;                                                                                \
        region_strips_remove(range, node, ref, outside);                                           \
    }                                                                                              \
    REGION_INLINE void name##_change(region_range *range, region_node *node, uint32_t ref,         \
                                     uint32_t old, uint32_t new, bool outside)                     \
    {                                                                                              \
        (void)old;                                                                                 \
        region_strips_resize(range, node, ref, new, outside);                                      \
    }                                                                                              \
    REGION_INLINE uint32_t name##_largest(region_range *range, bool outside)                       \
    {                                                                                              \
        return by_address_largest(range, outside);                                                 \
    }                                                                                              \
    REGION_INLINE bool name##_has(region_range *range, const region_node *node, uint32_t ref,      \
                                  bool outside)                                                    \
    {                                                                                              \
        return region_strips_has(range, node, ref, outside);                                       \
    }                                                                                              \
    REGION_INLINE bool name##_balances(region_range *range, uint32_t count, bool outside)          \
    {                                                                                              \
        return region_strips_balance(range, count, outside);                                       \
    }                                                                                              \
    REGION_INDEX(name, rover);                                                                     \
    REGION_POLICY(name, name, region_strips_size, by_address_anchors)

#endif
