/* SPDX-License-Identifier: MIT */
#ifndef TARN_REGION_STRIPS_H
#define TARN_REGION_STRIPS_H

#include "base/freestanding.h"
#include "region/index.h"
#include "region/range.h"

/* The header of the intrinsics includes some of libc. */
#if !TARN_FREESTANDING && defined(__SSE2__)
#include <emmintrin.h>
#define REGION_SSE2 1
#else
#define REGION_SSE2 0
#endif

/*
 * The address index: which is the first free partition of at least some size?
 *
 *     levels[2]   [ 90 ]                                 the largest size in each group of entries,
 *     levels[1]   [ 40 | 90 | 7 | ...  ]                 up to a single group
 *     levels[0]   [ 12 | 40 | 0 | 3 | ...  | 90 | ... ]  the largest size in each strip
 *     roots       [  .    .   -   .  ...      .   ... ]
 *                    |    |                               the free partitions that begin in a strip,
 *                  node  node                             a digital search tree over the bits of
 *                  /  \     \                             their start
 *
 * A root says whether it is the only one in its strip, as most are; then its size is in levels[0], and
 * neither a search nor a change has to look at the partition itself.
 *
 * A strip is a fixed piece of the range. So the upper part of the index is an array that is never
 * rebalanced, and the lower part a tree of a bounded height, most often of one or two nodes. In each
 * tree, left is before right, and a node may be anywhere on the way of its key (tree.h says why
 * that is enough); `max` is the largest size in its subtree.
 *
 * Invariant: levels[0][i] is the max of root i, or 0; levels[i + 1][j] is the largest of its group.
 */

enum { REGION_STRIP_MASK = (1 << REGION_STRIP_SHIFT) - 1 };

/* In roots: there is no other node in the strip. REGION_NONE has this bit too. */
#define REGION_ONLY (UINT32_C(1) << 31)

/* The root as a ref, or REGION_NONE. */
REGION_INLINE uint32_t region_strip_root(const region_strips *strips, uint32_t strip)
{
    const uint32_t root = strips->roots[strip];
    return root == REGION_NONE ? REGION_NONE : root & ~REGION_ONLY;
}

/* The bits of a start that decide within a strip, from the highest bit down. */
REGION_INLINE uint32_t region_strip_key(uint32_t start)
{
    return start << (32 - REGION_STRIP_SHIFT);
}

#if REGION_SSE2
/* A bit for each of a group's entries that is at least `size`. Entries are below 2^31, so a signed
 * comparison does. */
REGION_INLINE uint32_t region_group_bits(const uint32_t *entries, uint32_t size)
{
    const __m128i *four = (const __m128i *)(const void *)entries;
    const __m128i less = _mm_set1_epi32((int)size - 1);
    const __m128i low = _mm_packs_epi32(_mm_cmpgt_epi32(_mm_loadu_si128(four), less),
                                        _mm_cmpgt_epi32(_mm_loadu_si128(four + 1), less));
    const __m128i high = _mm_packs_epi32(_mm_cmpgt_epi32(_mm_loadu_si128(four + 2), less),
                                         _mm_cmpgt_epi32(_mm_loadu_si128(four + 3), less));
    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high));
}
#else
REGION_INLINE uint32_t region_group_bits(const uint32_t *entries, uint32_t size)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < REGION_FAN; i++) {
        bits |= (uint32_t)(entries[i] >= size) << i;
    }
    return bits;
}
#endif

/* The first of a group of entries that is at least `size`, or REGION_FAN. */
REGION_INLINE uint32_t region_group_find(const uint32_t *entries, uint32_t size)
{
    return base_ctz(region_group_bits(entries, size) | UINT32_C(1) << REGION_FAN);
}

#if defined(__SSE2__) || defined(__ARM_NEON)
/* Four lanes. */
typedef int32_t region_lanes __attribute__((vector_size(16), aligned(4), may_alias));

REGION_INLINE region_lanes region_lanes_max(region_lanes one, region_lanes other)
{
    const region_lanes is_more = one > other;
    return (one & is_more) | (other & ~is_more);
}

REGION_INLINE uint32_t region_group_max(const uint32_t *entries)
{
    const region_lanes *four = (const region_lanes *)(const void *)entries;
    const region_lanes max =
        region_lanes_max(region_lanes_max(four[0], four[1]), region_lanes_max(four[2], four[3]));
    const int32_t low = max[0] > max[1] ? max[0] : max[1];
    const int32_t high = max[2] > max[3] ? max[2] : max[3];
    return (uint32_t)(low > high ? low : high);
}
#else
REGION_INLINE uint32_t region_group_max(const uint32_t *entries)
{
    uint32_t max = 0;
    for (unsigned i = 0; i < REGION_FAN; i++) {
        max = entries[i] > max ? entries[i] : max;
    }
    return max;
}
#endif

/* Tells the levels that the largest size in a strip is now `max`. */
REGION_INLINE void region_strips_tell(region_strips *strips, uint32_t strip, uint32_t max)
{
    uint32_t entry = strip;
    for (uint32_t level = 0; level < strips->level_count; level++) {
        uint32_t *place = &strips->levels[level][entry];
        const uint32_t before = *place;
        if (before == max) {
            return;
        }
        *place = max;
        entry /= REGION_FAN;
        if (level + 1 == strips->level_count) {
            return;
        }
        const uint32_t above = strips->levels[level + 1][entry];
        if (max < above) {
            if (before < above) {
                return;
            }
            max = region_group_max(&strips->levels[level][(size_t)entry * REGION_FAN]);
        }
    }
}

REGION_INLINE uint32_t region_strip_max(const region_range *range, uint32_t ref, bool outside)
{
    return ref == REGION_NONE ? 0 : region_child(range, ref, outside)->max;
}

/* Sets the max of a node from what is below it, and returns it. */
REGION_INLINE uint32_t region_strip_pull(const region_range *range, region_node *node, bool outside)
{
    uint32_t max = node->size;
    const uint32_t left = region_strip_max(range, node->a, outside);
    const uint32_t right = region_strip_max(range, node->b, outside);
    max = left > max ? left : max;
    max = right > max ? right : max;
    node->max = max;
    return max;
}

REGION_INLINE void region_strips_insert(region_range *range, region_node *node, uint32_t ref,
                                        bool outside)
{
    region_strips *strips = &range->index.strips;
    const uint32_t size = node->size;
    const uint32_t strip = node->start >> REGION_STRIP_SHIFT;
    uint32_t *slot = &strips->roots[strip];
    node->a = REGION_NONE;
    node->b = REGION_NONE;
    node->max = size;
    if (*slot == REGION_NONE) {
        *slot = ref | REGION_ONLY;
        region_strips_tell(strips, strip, size);
        return;
    }
    *slot &= ~REGION_ONLY;
    uint32_t key = region_strip_key(node->start);
    do {
        region_node *above = region_child(range, *slot, outside);
        above->max = size > above->max ? size : above->max;
        slot = key >> 31 != 0 ? &above->b : &above->a;
        key <<= 1;
    } while (*slot != REGION_NONE);
    *slot = ref;
    if (size > strips->levels[0][strip]) {
        region_strips_tell(strips, strip, size);
    }
}

/* The way from a root to a node and on to a leaf. */
typedef struct region_way {
    region_node *nodes[REGION_STRIP_SHIFT + 2];
    uint32_t length;
} region_way;

/* Walks from the root to `ref`, which is in the tree; returns the slot that leads to it. The way has
 * the nodes above it. */
REGION_INLINE uint32_t *region_strip_walk(region_range *range, uint32_t start, uint32_t ref,
                                          region_way *way, bool outside)
{
    uint32_t key = region_strip_key(start);
    uint32_t *slot = &range->index.strips.roots[start >> REGION_STRIP_SHIFT];
    way->length = 0;
    while (*slot != ref) {
        if (*slot == REGION_NONE || way->length > REGION_STRIP_SHIFT) {
            region_links_overwritten(range, start);
        }
        region_node *above = region_child(range, *slot, outside);
        way->nodes[way->length++] = above;
        slot = key >> 31 != 0 ? &above->b : &above->a;
        key <<= 1;
    }
    return slot;
}

/* Sets every max on the way, from its end up, and tells the levels. */
REGION_INLINE void region_strip_settle(region_range *range, uint32_t strip, const region_way *way,
                                       bool outside)
{
    uint32_t *root = &range->index.strips.roots[strip];
    uint32_t max = 0;
    if (*root != REGION_NONE) {
        const region_node *node = region_node_at(range, *root, outside);
        max = node->max;
        if ((node->a & node->b) == REGION_NONE) {
            *root |= REGION_ONLY;
        }
    }
    for (uint32_t i = way->length; i > 0; i--) {
        max = region_strip_pull(range, way->nodes[i - 1], outside);
    }
    region_strips_tell(&range->index.strips, strip, max);
}

REGION_INLINE void region_strips_remove(region_range *range, region_node *node, uint32_t ref,
                                        bool outside)
{
    const uint32_t strip = node->start >> REGION_STRIP_SHIFT;
    uint32_t *root = &range->index.strips.roots[strip];
    if (*root == (ref | REGION_ONLY)) {
        *root = REGION_NONE;
        region_strips_tell(&range->index.strips, strip, 0);
        return;
    }
    region_way way;
    uint32_t *slot = region_strip_walk(range, node->start, ref, &way, outside);
    if ((node->a & node->b) == REGION_NONE) {
        *slot = REGION_NONE;
    } else {
        const uint32_t place = way.length++;
        uint32_t *last = slot;
        region_node *below = node;
        for (;;) {
            uint32_t *next = below->a != REGION_NONE ? &below->a : &below->b;
            if (*next == REGION_NONE) {
                break;
            }
            if (below != node) {
                if (way.length > REGION_STRIP_SHIFT) {
                    region_links_overwritten(range, below->start);
                }
                way.nodes[way.length++] = below;
            }
            last = next;
            below = region_child(range, *last, outside);
        }
        const uint32_t leaf = *last;
        *last = REGION_NONE;
        below->a = node->a;
        below->b = node->b;
        *slot = leaf;
        way.nodes[place] = below;
    }
    region_strip_settle(range, strip, &way, outside);
}

/* A node that stays where it is has another size. */
REGION_INLINE void region_strips_resize(region_range *range, region_node *node, uint32_t ref,
                                        uint32_t size, bool outside)
{
    const uint32_t strip = node->start >> REGION_STRIP_SHIFT;
    if (range->index.strips.roots[strip] == (ref | REGION_ONLY)) {
        node->size = size;
        node->max = size;
        region_strips_tell(&range->index.strips, strip, size);
        return;
    }
    region_way way;
    (void)region_strip_walk(range, node->start, ref, &way, outside);
    node->size = size;
    way.nodes[way.length++] = node;
    region_strip_settle(range, strip, &way, outside);
}

/* The first node below and with `ref` of at least `size`, or `first` if that begins before it. */
REGION_INLINE region_node *region_strip_first(const region_range *range, uint32_t ref,
                                              uint32_t size, region_node *first, bool outside)
{
    while (ref != REGION_NONE) {
        region_node *node = region_child(range, ref, outside);
        if (node->max < size) {
            break;
        }
        if (node->size >= size && (first == NULL || node->start < first->start)) {
            first = node;
        }
        ref = region_strip_max(range, node->a, outside) >= size ? node->a : node->b;
    }
    return first;
}

/* The first in the strip of `from` that begins at `from` or later, or NULL. */
REGION_INLINE region_node *region_strip_first_from(const region_range *range, uint32_t from,
                                                   uint32_t size, bool outside)
{
    region_node *first = NULL;
    uint32_t right = REGION_NONE;
    uint32_t key = region_strip_key(from);
    uint32_t ref = region_strip_root(&range->index.strips, from >> REGION_STRIP_SHIFT);
    while (ref != REGION_NONE) {
        region_node *node = region_child(range, ref, outside);
        if (node->max < size) {
            break;
        }
        if (node->size >= size && node->start >= from &&
            (first == NULL || node->start < first->start)) {
            first = node;
        }
        if (key >> 31 != 0) {
            ref = node->b;
        } else {
            right = region_strip_max(range, node->b, outside) >= size ? node->b : right;
            ref = node->a;
        }
        key <<= 1;
    }
    return region_strip_first(range, right, size, first, outside);
}

/* The first strip from `strip` on that has a size of at least `size`, or REGION_NONE. */
REGION_INLINE uint32_t region_strips_find(const region_strips *strips, uint32_t strip,
                                          uint32_t size)
{
    uint32_t entry = strip;
    uint32_t level = 0;
    /* Up, until the rest of a group has one that fits. A group that begins here is one entry of the
     * level above. */
    for (;;) {
        const bool is_top = level + 1 == strips->level_count;
        if (is_top && entry >= REGION_FAN) {
            return REGION_NONE;
        }
        if (is_top || entry % REGION_FAN != 0) {
            const uint32_t group = entry / REGION_FAN * REGION_FAN;
            const uint32_t bits = region_group_bits(&strips->levels[level][group], size) &
                                  UINT32_MAX << (entry - group);
            if (bits != 0) {
                entry = group + base_ctz(bits);
                break;
            }
            if (is_top) {
                return REGION_NONE;
            }
            entry = group + REGION_FAN;
        }
        entry /= REGION_FAN;
        level++;
    }
    for (; level > 0; level--) {
        entry *= REGION_FAN;
        entry += region_group_find(&strips->levels[level - 1][entry], size);
    }
    return entry;
}

/* The largest size of all; 0: there is none. */
REGION_INLINE uint32_t region_strips_largest(const region_strips *strips)
{
    return region_group_max(strips->levels[strips->level_count - 1]);
}

REGION_INLINE region_found region_strips_found(const region_range *range, const region_node *node,
                                               bool outside)
{
    if (node == NULL) {
        return (region_found){REGION_NONE, 0};
    }
    return (region_found){region_ref_of(range, node, outside), node->size};
}

/* The first in a strip that has one of at least `size`. */
REGION_INLINE region_found region_strips_first_in(const region_range *range, uint32_t strip,
                                                  uint32_t size, bool outside)
{
    const region_strips *strips = &range->index.strips;
    const uint32_t root = strips->roots[strip];
    if ((root & REGION_ONLY) != 0) {
        return (region_found){root & ~REGION_ONLY, strips->levels[0][strip]};
    }
    return region_strips_found(range, region_strip_first(range, root, size, NULL, outside),
                               outside);
}

/* The first partition of at least `size`. */
REGION_INLINE region_found region_strips_first(const region_range *range, uint32_t size,
                                               bool outside)
{
    const region_strips *strips = &range->index.strips;
    uint32_t entry = 0;
    for (uint32_t level = strips->level_count; level > 0; level--) {
        entry *= REGION_FAN;
        const uint32_t found = region_group_find(&strips->levels[level - 1][entry], size);
        if (found == REGION_FAN) {
            return (region_found){REGION_NONE, 0};
        }
        entry += found;
    }
    return region_strips_first_in(range, entry, size, outside);
}

/* The first partition of at least `size` that begins at `from` or later. */
REGION_INLINE region_found region_strips_first_from(const region_range *range, uint32_t from,
                                                    uint32_t size, bool outside)
{
    const region_strips *strips = &range->index.strips;
    const uint32_t own = from >> REGION_STRIP_SHIFT;
    if (strips->levels[0][own] >= size) {
        const region_node *node = region_strip_first_from(range, from, size, outside);
        if (node != NULL) {
            return region_strips_found(range, node, outside);
        }
    }
    if (own + 1 >= strips->count) {
        return (region_found){REGION_NONE, 0};
    }
    const uint32_t strip = region_strips_find(strips, own + 1, size);
    if (strip == REGION_NONE) {
        return (region_found){REGION_NONE, 0};
    }
    return region_strips_first_in(range, strip, size, outside);
}

/* Entries of a level for so many below it: whole groups. */
static inline uint32_t region_level_entries(uint32_t count)
{
    return (count + REGION_FAN - 1) / REGION_FAN * REGION_FAN;
}

/* Bytes of index for a range of so many granules. */
size_t region_strips_size(const tarn_region_options *options, uint32_t granules);

/* An index without partitions. */
void region_strips_open(region_range *range);

/* For check: is the node on the way of its start? */
REGION_INLINE bool region_strips_has(const region_range *range, const region_node *node,
                                     uint32_t ref, bool outside)
{
    uint32_t key = region_strip_key(node->start);
    uint32_t at = region_strip_root(&range->index.strips, node->start >> REGION_STRIP_SHIFT);
    for (uint32_t length = 0; at != ref; length++) {
        if (length > REGION_STRIP_SHIFT || !region_is_free_ref(range, at, outside)) {
            return false;
        }
        const region_node *above = region_node_at(range, at, outside);
        at = key >> 31 != 0 ? above->b : above->a;
        key <<= 1;
    }
    return true;
}

/* For check: true if there are just so many nodes, and every largest size is right. */
REGION_INLINE bool region_strips_balance(const region_range *range, uint32_t count, bool outside)
{
    const region_strips *strips = &range->index.strips;
    /* One beside each level of the way. */
    uint32_t waiting[REGION_STRIP_SHIFT + 4];
    for (uint32_t strip = 0; strip < strips->count; strip++) {
        uint32_t length = 0;
        const uint32_t root = region_strip_root(strips, strip);
        if (root != REGION_NONE && !region_is_free_ref(range, root, outside)) {
            return false;
        }
        if (strips->levels[0][strip] != region_strip_max(range, root, outside)) {
            return false;
        }
        if (root != REGION_NONE) {
            const region_node *node = region_node_at(range, root, outside);
            const bool is_only = (node->a & node->b) == REGION_NONE;
            if (is_only != ((strips->roots[strip] & REGION_ONLY) != 0)) {
                return false;
            }
        }
        waiting[length++] = root;
        while (length > 0) {
            const uint32_t ref = waiting[--length];
            if (ref == REGION_NONE) {
                continue;
            }
            if (!region_is_free_ref(range, ref, outside) || count == 0 ||
                length > REGION_STRIP_SHIFT + 1) {
                return false;
            }
            count--;
            region_node *node = region_node_at(range, ref, outside);
            if ((node->a != REGION_NONE && !region_is_free_ref(range, node->a, outside)) ||
                (node->b != REGION_NONE && !region_is_free_ref(range, node->b, outside))) {
                return false;
            }
            const uint32_t max = node->max;
            if (region_strip_pull(range, node, outside) != max) {
                node->max = max;
                return false;
            }
            waiting[length++] = node->b;
            waiting[length++] = node->a;
        }
    }
    uint32_t entries = strips->count;
    for (uint32_t level = 0; level + 1 < strips->level_count; level++) {
        entries = (entries + REGION_FAN - 1) / REGION_FAN;
        for (uint32_t entry = 0; entry < entries; entry++) {
            if (strips->levels[level + 1][entry] !=
                region_group_max(&strips->levels[level][(size_t)entry * REGION_FAN])) {
                return false;
            }
        }
    }
    return count == 0;
}

#endif
