/* SPDX-License-Identifier: MIT */
#ifndef TARN_REGION_LISTS_H
#define TARN_REGION_LISTS_H

#include "region/range.h"

/*
 * Lists of free partitions by size, each a ring through an anchor, and a bit for each list that is
 * not empty.
 *
 *     anchors                         nodes
 *     [ ... | list 2 | list 1 | - ] [ ref 0 | ref 1 | ...
 *       ref   -3       -2       -1
 *
 * Anchors lie right before the nodes and have negative refs, so that linking has no special case:
 * a list that becomes empty is seen by its node having had the anchor on both sides.
 *
 * Invariant: bit i is set exactly when list i has a node; a node is in the list of its size.
 *
 * A node goes to the head if it begins before the head, else to the end. That costs one comparison
 * and comes close to an order by address, which keeps partitions at the low end in use and lets
 * those at the high end grow together.
 */

enum { REGION_LIST_WORDS_MAX = 64 }; /* one summary word has a bit for each */

REGION_INLINE uint32_t region_anchor_ref(uint32_t list)
{
    return 0 - (list + 1) * REGION_ANCHOR_REFS;
}

/* The key of the order: with the books inside it is the ref, and the head need not be looked at. */
REGION_INLINE uint32_t region_list_key(const region_node *node, uint32_t ref, bool outside)
{
    return outside ? node->start : ref;
}

/* With `sized`, an anchor keeps the size of its head, so that a search need not look at the head. */
REGION_INLINE void region_list_insert(region_range *range, uint32_t list, region_node *node,
                                      uint32_t ref, bool sized, bool outside)
{
    region_lists *lists = &range->index.lists;
    unsigned char *const nodes = range->nodes;
    const uint32_t anchor = region_anchor_ref(list);
    region_node *ring = region_node_in(nodes, anchor, outside);
    const uint32_t head = ring->a;
    const uint32_t tail = ring->b;
    /* The anchor's own key is above all others, so an empty list takes this way too. */
    const uint32_t head_key = outside ? region_node_in(nodes, head, outside)->start : head;
    const bool first = region_list_key(node, ref, outside) < head_key;
    const uint32_t left = first ? anchor : tail;
    const uint32_t right = first ? head : anchor;
    node->a = right;
    node->b = left;
    if (sized) {
        ring->size = first ? node->size : ring->size;
    }
    region_node_in(nodes, left, outside)->a = ref;
    region_node_in(nodes, right, outside)->b = ref;
    lists->words[list / 64] |= UINT64_C(1) << (list % 64);
    lists->summary |= UINT64_C(1) << (list / 64);
}

/* With `sized` as in region_list_insert(). */
REGION_INLINE void region_list_remove(region_range *range, uint32_t list, const region_node *node,
                                      uint32_t ref, bool sized, bool outside)
{
    region_lists *lists = &range->index.lists;
    unsigned char *const nodes = range->nodes;
    const uint32_t right = node->a;
    const uint32_t left = node->b;
    region_node *before = region_node_in(nodes, left, outside);
    region_node *after = region_node_in(nodes, right, outside);
    if (!outside) {
        /* The links are among the users' bytes. Those of the anchors are right below 2^32, so that
         * one comparison tells that a link leads into the books at all. */
        const uint32_t count = lists->count * REGION_ANCHOR_REFS;
        const uint32_t most = range->granules + count;
        if (base_unlikely(left + count >= most || right + count >= most || before->a != ref ||
                          after->b != ref)) {
            region_links_overwritten(range, ref);
        }
    }
    before->a = right;
    after->b = left;
    if (sized) {
        /* Whether it was the head is as good as random, so no branch. */
        before->size = (int32_t)left < 0 ? after->size : before->size;
    }
    if (left == right && (int32_t)left < 0) {
        uint64_t *word = &lists->words[list / 64];
        *word &= ~(UINT64_C(1) << (list % 64));
        if (*word == 0) {
            lists->summary &= ~(UINT64_C(1) << (list / 64));
        }
    }
}

/* The size of the head, where anchors keep it. */
REGION_INLINE uint32_t region_list_head_size(const region_range *range, uint32_t list, bool outside)
{
    return region_node_at(range, region_anchor_ref(list), outside)->size;
}

REGION_INLINE uint32_t region_list_head(const region_range *range, uint32_t list, bool outside)
{
    return region_node_at(range, region_anchor_ref(list), outside)->a;
}

REGION_INLINE bool region_list_is_empty(const region_range *range, uint32_t list)
{
    return (range->index.lists.words[list / 64] >> (list % 64) & 1) == 0;
}

/* The first list from `list` on that is not empty, or REGION_NONE. `list` is at most their count. */
REGION_INLINE uint32_t region_list_at_least(const region_range *range, uint32_t list)
{
    const region_lists *lists = &range->index.lists;
    const uint32_t word = list / 64;
    const uint64_t bits = lists->words[word] >> (list % 64);
    if (bits != 0) {
        return list + base_ctz(bits);
    }
    /* In two steps: a shift by 64 is none. */
    const uint64_t words = lists->summary >> word >> 1;
    if (words == 0) {
        return REGION_NONE;
    }
    const uint32_t next = word + 1 + base_ctz(words);
    return next * 64 + base_ctz(lists->words[next]);
}

/* The last list that is not empty, or REGION_NONE. */
REGION_INLINE uint32_t region_list_last(const region_range *range)
{
    const region_lists *lists = &range->index.lists;
    if (lists->summary == 0) {
        return REGION_NONE;
    }
    const uint32_t word = base_log2_floor(lists->summary);
    return word * 64 + base_log2_floor(lists->words[word]);
}

/* For check: is the node in a ring? */
REGION_INLINE bool region_list_has(const region_range *range, const region_node *node, uint32_t ref,
                                   bool outside)
{
    const uint32_t around[] = {node->a, node->b};
    for (unsigned i = 0; i < 2; i++) {
        const bool is_anchor = ~around[i] < range->index.lists.count * REGION_ANCHOR_REFS;
        if (!is_anchor && !region_is_free_ref(range, around[i], outside)) {
            return false;
        }
    }
    return region_node_at(range, node->a, outside)->b == ref &&
           region_node_at(range, node->b, outside)->a == ref;
}

/* For check: the nodes in all lists, or REGION_NONE if a list is broken or there are more than
 * `most`. */
REGION_INLINE uint32_t region_lists_count(const region_range *range, uint32_t most, bool outside)
{
    uint32_t count = 0;
    for (uint32_t list = 0; list < range->index.lists.count; list++) {
        const uint32_t anchor = region_anchor_ref(list);
        uint32_t ref = region_list_head(range, list, outside);
        if (region_list_is_empty(range, list) != (ref == anchor)) {
            return REGION_NONE;
        }
        while (ref != anchor) {
            if (!region_is_free_ref(range, ref, outside) || count == most) {
                return REGION_NONE;
            }
            count++;
            ref = region_node_at(range, ref, outside)->a;
        }
    }
    return count;
}

/* Bytes of index for so many lists, besides the anchors. */
static inline size_t region_lists_size(uint32_t count)
{
    return base_align_up((count / 64 + 1) * sizeof(uint64_t), 16);
}

REGION_INLINE void region_lists_open(region_range *range, uint32_t count, bool outside)
{
    region_lists *lists = &range->index.lists;
    lists->words = (uint64_t *)(void *)range->index_memory;
    lists->summary = 0;
    lists->count = count;
    lists->tree_map = 0;
    for (uint32_t word = 0; word <= count / 64; word++) {
        lists->words[word] = 0;
    }
    for (uint32_t list = 0; list < count; list++) {
        const uint32_t ref = region_anchor_ref(list);
        region_node *anchor = region_node_at(range, ref, outside);
        anchor->a = ref;
        anchor->b = ref;
        if (outside) {
            anchor->start = UINT32_MAX;
        }
    }
    for (unsigned tree = 0; tree < 32; tree++) {
        lists->trees[tree] = REGION_NONE;
    }
}

#endif
