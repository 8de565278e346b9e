/* SPDX-License-Identifier: MIT */
#ifndef TARN_REGION_TREE_H
#define TARN_REGION_TREE_H

#include "region/range.h"

/*
 * Free partitions in the order of (size, start), for sizes that have no list of their own: a digital
 * search tree for each power of two.
 *
 *     tree of 4096..8191            key = the size's bits below the leading one, then the start
 *            5000@7
 *      0 ... /   \ 1 ...            left: the first bit of the key is 0; right: it is 1;
 *      4097@90   6000@3             and so on, one bit for each level
 *
 * A node may be anywhere on the way that its key goes, so nothing is ever rotated: a new node is
 * put where the way ends, and one that leaves is replaced by any leaf below it.
 *
 * Invariant: every node is on the way of its key. So no way is longer than the bits of a size and a
 * start together.
 * Source: Knuth, volume 3, section 6.3, algorithm D.
 */

/* The bits that decide, from the highest bit down. */
REGION_INLINE uint64_t region_tree_key(const region_range *range, uint32_t size, uint32_t start)
{
    const unsigned size_bits = base_log2_floor(size);
    const unsigned start_bits = base_log2_floor(range->granules) + 1;
    const uint64_t bits = (uint64_t)(size - (1U << size_bits)) << start_bits | start;
    return bits << (64 - size_bits - start_bits);
}

REGION_INLINE void region_tree_insert(region_range *range, region_node *node, uint32_t ref,
                                      bool outside)
{
    region_lists *lists = &range->index.lists;
    const unsigned tree = base_log2_floor(node->size);
    uint64_t key = region_tree_key(range, node->size, node->start);
    uint32_t *slot = &lists->trees[tree];
    while (*slot != REGION_NONE) {
        region_node *above = region_child(range, *slot, outside);
        slot = key >> 63 != 0 ? &above->b : &above->a;
        key <<= 1;
    }
    *slot = ref;
    node->a = REGION_NONE;
    node->b = REGION_NONE;
    lists->tree_map |= 1U << tree;
}

REGION_INLINE void region_tree_remove(region_range *range, region_node *node, uint32_t ref,
                                      bool outside)
{
    region_lists *lists = &range->index.lists;
    const unsigned tree = base_log2_floor(node->size);
    uint64_t key = region_tree_key(range, node->size, node->start);
    uint32_t *slot = &lists->trees[tree];
    while (*slot != ref) {
        if (*slot == REGION_NONE) {
            region_links_overwritten(range, node->start);
        }
        region_node *above = region_child(range, *slot, outside);
        slot = key >> 63 != 0 ? &above->b : &above->a;
        key <<= 1;
    }
    uint32_t *last = slot;
    for (;;) {
        region_node *below = region_child(range, *last, outside);
        if (below->a != REGION_NONE) {
            last = &below->a;
        } else if (below->b != REGION_NONE) {
            last = &below->b;
        } else {
            break;
        }
    }
    const uint32_t leaf = *last;
    *last = REGION_NONE;
    if (leaf != ref) {
        region_node *heir = region_node_at(range, leaf, outside);
        heir->a = node->a;
        heir->b = node->b;
        *slot = leaf;
    }
    if (lists->trees[tree] == REGION_NONE) {
        lists->tree_map &= ~(1U << tree);
    }
}

/* The lesser of two nodes; either may be NULL. */
REGION_INLINE region_node *region_tree_lesser(region_node *one, region_node *other)
{
    if (one == NULL) {
        return other;
    }
    if (other->size != one->size) {
        return other->size < one->size ? other : one;
    }
    return other->start < one->start ? other : one;
}

/* The least node below and with `ref`, or `least` if that is less. */
REGION_INLINE region_node *region_tree_least(const region_range *range, uint32_t ref,
                                             region_node *least, bool outside)
{
    while (ref != REGION_NONE) {
        region_node *node = region_child(range, ref, outside);
        least = region_tree_lesser(least, node);
        ref = node->a != REGION_NONE ? node->a : node->b;
    }
    return least;
}

/* The node of the smallest size that is at least `size`, the lowest among equals, or NULL. */
REGION_INLINE region_node *region_tree_at_least(const region_range *range, uint32_t size,
                                                bool outside)
{
    const region_lists *lists = &range->index.lists;
    const unsigned tree = base_log2_floor(size);
    uint64_t key = region_tree_key(range, size, 0);
    region_node *least = NULL;
    /* What is right of the way is larger than what the way leads to, and the less so the deeper. */
    uint32_t right = REGION_NONE;
    uint32_t ref = lists->trees[tree];
    while (ref != REGION_NONE) {
        region_node *node = region_child(range, ref, outside);
        if (node->size >= size) {
            least = region_tree_lesser(least, node);
        }
        if (key >> 63 != 0) {
            ref = node->b;
        } else {
            right = node->b != REGION_NONE ? node->b : right;
            ref = node->a;
        }
        key <<= 1;
    }
    least = region_tree_least(range, right, least, outside);
    if (least != NULL || tree == 31) {
        return least;
    }
    const uint32_t larger = lists->tree_map >> (tree + 1);
    if (larger == 0) {
        return NULL;
    }
    return region_tree_least(range, lists->trees[tree + 1 + base_ctz(larger)], NULL, outside);
}

/* The largest size in the trees; 0: they are empty. */
REGION_INLINE uint32_t region_tree_largest(const region_range *range, bool outside)
{
    const region_lists *lists = &range->index.lists;
    if (lists->tree_map == 0) {
        return 0;
    }
    uint32_t largest = 0;
    uint32_t ref = lists->trees[base_log2_floor(lists->tree_map)];
    while (ref != REGION_NONE) {
        const region_node *node = region_child(range, ref, outside);
        largest = node->size > largest ? node->size : largest;
        ref = node->b != REGION_NONE ? node->b : node->a;
    }
    return largest;
}

/* For check: is the node on the way of its key? */
REGION_INLINE bool region_tree_has(const region_range *range, const region_node *node, uint32_t ref,
                                   bool outside)
{
    uint64_t key = region_tree_key(range, node->size, node->start);
    uint32_t at = range->index.lists.trees[base_log2_floor(node->size)];
    /* No way is longer than its key has bits. */
    for (unsigned length = 0; at != ref; length++) {
        if (length > 64 || !region_is_free_ref(range, at, outside)) {
            return false;
        }
        const region_node *above = region_node_at(range, at, outside);
        at = key >> 63 != 0 ? above->b : above->a;
        key <<= 1;
    }
    return true;
}

/* For check: the nodes in all trees, or REGION_NONE if a link is broken or there are more than
 * `most`. */
REGION_INLINE uint32_t region_trees_count(const region_range *range, uint32_t most, bool outside)
{
    /* What is still to be looked at: one beside each level of the way, and no way is longer than its
     * key has bits. */
    uint32_t waiting[66];
    uint32_t count = 0;
    for (unsigned tree = 0; tree < 32; tree++) {
        const uint32_t root = range->index.lists.trees[tree];
        if ((range->index.lists.tree_map >> tree & 1) != (root != REGION_NONE)) {
            return REGION_NONE;
        }
        uint32_t length = 0;
        waiting[length++] = root;
        while (length > 0) {
            const uint32_t ref = waiting[--length];
            if (ref == REGION_NONE) {
                continue;
            }
            if (!region_is_free_ref(range, ref, outside) || count == most || length > 63) {
                return REGION_NONE;
            }
            count++;
            const region_node *node = region_child(range, ref, outside);
            waiting[length++] = node->b;
            waiting[length++] = node->a;
        }
    }
    return count;
}

#endif
