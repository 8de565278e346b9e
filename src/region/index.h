/* SPDX-License-Identifier: MIT */
#ifndef TARN_REGION_INDEX_H
#define TARN_REGION_INDEX_H

#include "base/check.h"
#include "region/range.h"

/*
 * What a policy for dynamic partitions tells inside.h and outside.h, which do the rest. Each policy
 * has one constant of this for each way of keeping the books; everything is inlined, so no pointer is
 * ever followed at run time.
 */

/* A free partition that was found: its ref and its size in granules; REGION_NONE and 0 if none. */
typedef struct region_found {
    uint32_t ref;
    uint32_t size;
} region_found;

typedef struct region_index {
    bool keeps_rover; /* next fit */
    void (*open)(region_range *range);
    /* The policy's choice among partitions of at least `need`; it stays in the index. */
    region_found (*find)(region_range *range, uint32_t need);
    void (*insert)(region_range *range, region_node *node, uint32_t ref);
    void (*remove)(region_range *range, region_node *node, uint32_t ref, uint32_t size);
    /* A partition that stays where it is goes from one size to another; sets node->size. */
    void (*change)(region_range *range, region_node *node, uint32_t ref, uint32_t old,
                   uint32_t new);
    /* The largest need that is certain to be found; 0: none. */
    uint32_t (*largest)(region_range *range);
    uint64_t (*rank)(region_range *range, uint32_t need);
    /* For check: is the node where it should be, and are there just so many? */
    bool (*has)(region_range *range, const region_node *node, uint32_t ref);
    bool (*balances)(region_range *range, uint32_t count);
} region_index;

#endif
