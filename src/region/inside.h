/* SPDX-License-Identifier: MIT */
#ifndef TARN_REGION_INSIDE_H
#define TARN_REGION_INSIDE_H

#include "region/index.h"
#include "region/range.h"

/*
 * Dynamic partitions with their books inside.
 *
 *     nodes
 *     [tag| block   ][tag|links ... free ...   size][tag| block ][tag|links .. free .. size][tag
 *      used           free                           used         free                       end
 *
 * Every partition begins with a tag: its size, its state, whether the partition before it is free,
 * and a code that only this range writes for this place and size. A free partition also has the
 * links of the index behind its tag and its size in its last bytes, where the partition after it
 * finds the beginning. The end is a tag that is in use forever.
 *
 * Invariant: tags lead from ref 0 to the end; of two neighbours at most one is free; the free ones
 * are in the index, and exactly those behind them say so.
 */

typedef uint32_t __attribute__((may_alias)) region_word;

REGION_INLINE region_node *inside_node(const region_range *range, uint32_t ref)
{
    return region_node_at(range, ref, false);
}

/* What proves that a tag is one of this range: depends on the place, the size and the salt. */
REGION_INLINE uint16_t inside_code(const region_range *range, uint32_t ref, uint32_t size)
{
    /* An odd constant without a pattern in its bits; high bits depend on all below. */
    return (uint16_t)(((ref + size * 3) * 0x9E3779B1U + range->salt) >> 16);
}

REGION_INLINE bool inside_is_tag(const region_range *range, const region_node *node, uint32_t ref)
{
    return node->code == inside_code(range, ref, node->size);
}

/* The four bytes behind the size, as one store. */
REGION_INLINE uint32_t inside_mark_word(const region_range *range, uint32_t ref, uint32_t size,
                                        uint8_t state, bool before_free)
{
    const uint32_t code = inside_code(range, ref, size);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return code << 16 | (uint32_t)state << 8 | before_free;
#else
    return code | (uint32_t)state << 16 | (uint32_t)before_free << 24;
#endif
}

REGION_INLINE void inside_mark(const region_range *range, region_node *node, uint32_t ref,
                               uint32_t size, uint8_t state, bool before_free)
{
    node->size = size;
    *(region_word *)(void *)&node->code = inside_mark_word(range, ref, size, state, before_free);
}

/* Where a partition that ends at `ref` has its size if it is free. */
REGION_INLINE region_word *inside_size_before(const region_range *range, uint32_t ref)
{
    return (region_word *)(void *)inside_node(range, ref) - 1;
}

REGION_INLINE void inside_remove(region_range *range, region_node *node, uint32_t ref,
                                 uint32_t size, const region_index *index)
{
    index->remove(range, node, ref, size);
}

/* Writes the books of a free partition but for its links. What is behind it must be told if it did
 * not know. */
REGION_INLINE region_node *inside_mark_free(const region_range *range, uint32_t ref, uint32_t size)
{
    region_node *node = inside_node(range, ref);
    inside_mark(range, node, ref, size, REGION_FREE, false);
    node->start = ref;
    *inside_size_before(range, ref + size) = size;
    return node;
}

/* Makes a free partition and enters it in the index. */
REGION_INLINE void inside_insert(region_range *range, uint32_t ref, uint32_t size,
                                 const region_index *index)
{
    index->insert(range, inside_mark_free(range, ref, size), ref);
}

/* Granules for a request, or 0 if it is more than the range has. */
REGION_INLINE uint32_t inside_need(const region_range *range, size_t size)
{
    if (base_unlikely(size > range->largest)) {
        return 0;
    }
    const uint32_t need =
        (uint32_t)((size + REGION_TAG + REGION_GRANULE - 1) >> REGION_GRANULE_SHIFT);
    return need < REGION_INSIDE_MIN ? REGION_INSIDE_MIN : need;
}

/* How far into a free partition a block must begin so that it is aligned and what is left before it
 * is nothing or a partition. */
REGION_INLINE uint32_t inside_skip(const region_range *range, uint32_t ref, size_t alignment)
{
    const uintptr_t block = region_address(range, ref) + REGION_TAG;
    const size_t least = (size_t)REGION_INSIDE_MIN << REGION_GRANULE_SHIFT;
    size_t skip = (0 - block) & (alignment - 1);
    if (skip != 0 && skip < least) {
        skip += base_align_up(least - skip, alignment);
    }
    skip >>= REGION_GRANULE_SHIFT;
    return skip > range->granules ? range->granules : (uint32_t)skip;
}

/* Takes a partition in an index apart: `skip` granules that stay free, a block, the rest. */
REGION_INLINE uint32_t inside_carve(region_range *range, region_found found, uint32_t skip,
                                    uint32_t need, const region_index *index)
{
    const uint32_t ref = found.ref + skip;
    uint32_t rest = found.size - skip - need;
    inside_remove(range, inside_node(range, found.ref), found.ref, found.size, index);
    if (rest < REGION_INSIDE_MIN) {
        need += rest;
        rest = 0;
    }
    region_node *node = inside_node(range, ref);
    inside_mark(range, node, ref, need, REGION_USED, skip != 0);
    if (skip != 0) {
        inside_insert(range, found.ref, skip, index);
    }
    if (rest != 0) {
        inside_insert(range, ref + need, rest, index);
    } else {
        inside_node(range, ref + need)->before_free = false;
    }
    region_give(range, need);
    return ref;
}

REGION_INLINE uint32_t inside_alloc_aligned(region_range *range, uint32_t need, size_t alignment,
                                            const region_index *index)
{
    region_found found = index->find(range, need);
    if (found.ref == REGION_NONE) {
        return REGION_NONE;
    }
    uint32_t skip = inside_skip(range, found.ref, alignment);
    if ((uint64_t)skip + need > found.size) {
        /* Large enough wherever it begins. */
        const size_t padded = need + (alignment >> REGION_GRANULE_SHIFT) + REGION_INSIDE_MIN - 1;
        if (padded > range->granules) {
            return REGION_NONE;
        }
        found = index->find(range, (uint32_t)padded);
        if (found.ref == REGION_NONE) {
            return REGION_NONE;
        }
        skip = inside_skip(range, found.ref, alignment);
    }
    const uint32_t ref = inside_carve(range, found, skip, need, index);
    if (index->keeps_rover) {
        range->region->rover = region_address(range, ref);
    }
    return ref;
}

/* A block at any granule. */
REGION_INLINE uint32_t inside_alloc_plain(region_range *range, uint32_t need,
                                          const region_index *index)
{
    const region_found found = index->find(range, need);
    if (found.ref == REGION_NONE) {
        return REGION_NONE;
    }
    if (index->keeps_rover) {
        range->region->rover = region_address(range, found.ref);
    }
    const uint32_t rest = found.size - need;
    region_node *node = inside_node(range, found.ref);
    const uint32_t after_ref = found.ref + found.size;
    inside_node(range, after_ref)->before_free = false;
    if (rest < REGION_INSIDE_MIN) {
        inside_remove(range, node, found.ref, found.size, index);
        node->state = REGION_USED;
        region_give(range, found.size);
        return found.ref;
    }
    const uint32_t ref = found.ref + rest;
    index->change(range, node, found.ref, found.size, rest);
    inside_mark(range, node, found.ref, rest, REGION_FREE, false);
    *inside_size_before(range, ref) = rest;
    inside_mark(range, inside_node(range, ref), ref, need, REGION_USED, true);
    region_give(range, need);
    return ref;
}

REGION_INLINE uint32_t inside_alloc(region_range *range, size_t size, size_t alignment,
                                    const region_index *index)
{
    const uint32_t need = inside_need(range, size);
    if (need == 0) {
        return REGION_NONE;
    }
    if (alignment > REGION_GRANULE) {
        return inside_alloc_aligned(range, need, alignment, index);
    }
    return inside_alloc_plain(range, need, index);
}

REGION_INLINE void *inside_take(tarn_region *region, size_t size, size_t alignment,
                                const region_index *index)
{
    region_range *range = region->ranges;
    if (base_likely(region_is_small_alignment(alignment) && size <= range->largest)) {
        /* A size of 0 needs what 1 needs. */
        const uint32_t ref = inside_alloc_plain(range, inside_need(range, size), index);
        if (base_likely(ref != REGION_NONE)) {
            return (unsigned char *)inside_node(range, ref) + REGION_TAG;
        }
    }
    return region_alloc_slow(region, size, alignment);
}

/* The node of a live block, or no return. */
REGION_INLINE region_node *inside_live(const region_range *range, uint32_t ref)
{
    region_node *node = inside_node(range, ref);
    if (base_unlikely(!inside_is_tag(range, node, ref) || node->state != REGION_USED ||
                      node->size > range->granules - ref)) {
        region_not_a_block(range, ref,
                           inside_is_tag(range, node, ref) && node->state == REGION_FREE);
    }
    return node;
}

/* The node behind a live block; it must be a tag. */
REGION_INLINE region_node *inside_after(const region_range *range, uint32_t ref,
                                        const region_node *node)
{
    const uint32_t after_ref = ref + node->size;
    region_node *after = inside_node(range, after_ref);
    if (base_unlikely(!inside_is_tag(range, after, after_ref))) {
        region_overwritten(range, ref);
    }
    return after;
}

REGION_INLINE void inside_free(region_range *range, uint32_t ref, const region_index *index)
{
    region_node *node = inside_live(range, ref);
    const uint32_t old = node->size;
    uint32_t size = old;
    region_take(range, size);
    /* For whoever frees it again after it was merged. */
    node->state = REGION_FREE;

    const uint32_t after_ref = ref + size;
    region_node *after = inside_after(range, ref, node);
    if (after->state == REGION_FREE) {
        size += after->size;
        inside_remove(range, after, after_ref, after->size, index);
    }
    inside_node(range, ref + size)->before_free = true;
    if (node->before_free) {
        const uint32_t before_size = *inside_size_before(range, ref);
        const uint32_t before_ref = ref - before_size;
        region_node *before = inside_node(range, before_ref);
        if (base_unlikely(before_size > ref || before->size != before_size ||
                          !inside_is_tag(range, before, before_ref) ||
                          before->state != REGION_FREE)) {
            region_before_overwritten(range, ref);
        }
        size += before_size;
        index->change(range, before, before_ref, before_size, size);
        inside_mark(range, before, before_ref, size, REGION_FREE, false);
        *inside_size_before(range, before_ref + size) = size;
        return;
    }
    inside_insert(range, ref, size, index);
}

REGION_INLINE void inside_give(tarn_region *region, void *block, const region_index *index)
{
    region_range *range = region->ranges;
    const uintptr_t distance = (uintptr_t)block - REGION_TAG - (uintptr_t)range->nodes;
    if (base_likely(distance <= range->largest && distance % REGION_GRANULE == 0)) {
        inside_free(range, (uint32_t)(distance >> REGION_GRANULE_SHIFT), index);
    } else {
        region_free_slow(region, block);
    }
}

REGION_INLINE bool inside_resize(region_range *range, uint32_t ref, size_t bytes,
                                 const region_index *index)
{
    region_node *node = inside_live(range, ref);
    const uint32_t old = node->size;
    const uint32_t need = inside_need(range, bytes);
    if (need == 0) {
        return false;
    }
    region_node *after = inside_after(range, ref, node);
    const uint32_t after_size = after->state == REGION_FREE ? after->size : 0;
    const uint32_t whole = old + after_size;
    if (need > whole) {
        return false;
    }
    uint32_t rest = whole - need;
    if (need == old || (after_size == 0 && rest < REGION_INSIDE_MIN)) {
        return true;
    }
    if (after_size != 0) {
        inside_remove(range, after, ref + old, after_size, index);
    }
    uint32_t new = need;
    if (rest < REGION_INSIDE_MIN) {
        new += rest;
        rest = 0;
    }
    node->size = new;
    node->code = inside_code(range, ref, new);
    if (rest != 0) {
        inside_insert(range, ref + new, rest, index);
    }
    inside_node(range, ref + whole)->before_free = rest != 0;
    region_change(range, old, new);
    return true;
}

REGION_INLINE size_t inside_room_of(uint32_t size)
{
    return ((size_t)size << REGION_GRANULE_SHIFT) - REGION_TAG;
}

REGION_INLINE size_t inside_room(region_range *range, uint32_t ref)
{
    const region_node *node = inside_node(range, ref);
    if (!inside_is_tag(range, node, ref) || node->state != REGION_USED) {
        return 0;
    }
    return inside_room_of(node->size);
}

REGION_INLINE size_t inside_largest(region_range *range, const region_index *index)
{
    const uint32_t size = index->largest(range);
    return size == 0 ? 0 : inside_room_of(size);
}

REGION_INLINE uint64_t inside_rank(region_range *range, size_t size, const region_index *index)
{
    const uint32_t need = inside_need(range, size);
    return need == 0 ? UINT64_MAX : index->rank(range, need);
}

REGION_INLINE void inside_open(region_range *range, const region_index *index)
{
    index->open(range);
    region_node *end = inside_node(range, range->granules);
    inside_mark(range, end, range->granules, 0, REGION_USED, true);
    inside_insert(range, 0, range->granules, index);
}

REGION_INLINE bool inside_check(region_range *range, const region_index *index, char *fault,
                                size_t fault_size)
{
    uint32_t blocks = 0;
    uint32_t free_count = 0;
    bool before_free = false;
    uint32_t ref = 0;
    while (ref < range->granules) {
        region_node *node = inside_node(range, ref);
        if (!inside_is_tag(range, node, ref) || node->size == 0 ||
            node->size > range->granules - ref ||
            (node->state != REGION_USED && node->state != REGION_FREE)) {
            return region_fault(range, ref, "a tag was overwritten", fault, fault_size);
        }
        if ((node->before_free != 0) != before_free) {
            return region_fault(range, ref,
                                "a tag does not know whether the partition before is free", fault,
                                fault_size);
        }
        if (node->state == REGION_FREE) {
            if (before_free) {
                return region_fault(range, ref, "two free neighbours", fault, fault_size);
            }
            if (node->start != ref || *inside_size_before(range, ref + node->size) != node->size) {
                return region_fault(range, ref, "a free partition was overwritten", fault,
                                    fault_size);
            }
            if (!index->has(range, node, ref)) {
                return region_fault(range, ref, "a free partition is not in the index", fault,
                                    fault_size);
            }
            free_count++;
        } else {
            blocks++;
        }
        before_free = node->state == REGION_FREE;
        ref += node->size;
    }
    const region_node *end = inside_node(range, ref);
    if (!inside_is_tag(range, end, ref) || end->state != REGION_USED ||
        (end->before_free != 0) != before_free) {
        return region_fault(range, ref, "the tag at the end was overwritten", fault, fault_size);
    }
    if (blocks != range->blocks) {
        return region_fault(range, 0, "the count of blocks does not balance", fault, fault_size);
    }
    if (!index->balances(range, free_count)) {
        return region_fault(range, 0, "the index does not balance", fault, fault_size);
    }
    return true;
}

REGION_INLINE bool inside_visit(region_range *range, tarn_partition_visitor *visitor, void *context)
{
    for (uint32_t ref = 0; ref < range->granules;) {
        const region_node *node = inside_node(range, ref);
        const uint32_t size = node->size;
        if (!inside_is_tag(range, node, ref) || size == 0) {
            region_overwritten(range, ref);
        }
        if (!region_show(range, ref, inside_room_of(size), node->state == REGION_FREE, visitor,
                         context)) {
            return false;
        }
        ref += size;
    }
    return true;
}

#endif
