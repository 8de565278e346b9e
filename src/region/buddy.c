/* SPDX-License-Identifier: MIT */
#include "base/bits.h"
#include "base/bytes.h"
#include "base/check.h"
#include "region/range.h"

/*
 * Buddy: blocks of a power of two, which are halved to fit and merge with their other half.
 *
 *     order 2   [ split         ][ free          ]    free bits 01
 *     order 1   [ split ][ used ]                     free bits 0000
 *     order 0   [u][free]                             free bits 01000000
 *                ^ granule 0
 *
 * A block of order k has 2^k granules and begins at a multiple of that many, so it is known by its
 * order and its number there. For each order there is a bit for each block that is free, and above
 * these bits are levels of summary, each with a bit for each word below that is not 0. They lead to
 * the first free block of an order.
 *
 *     top       [ a few words at most, looked at one after the other ]
 *     level 1   [ a bit for each word of level 0 ][ ... ]
 *     level 0   [ 64 free bits ][ 64 free bits ][ ... ]
 *
 * All orders have the same number of levels, and those on the way are written whether they change or
 * not: which words become 0 is random, and a branch that is predicted wrongly costs more.
 *
 * What is used is told by a tally, 16 bits for every 8 granules:
 *
 *     00 | 2 bits order 2 | 4 bits order 1 | 8 bits order 0     small blocks, a bit for each
 *     10 | order                                                a larger block begins here
 *     11 | place | order     the same, but the block that was handed out begins at granule `place`
 *                            of these 8, or, if that is 0, further inside of the partition:
 *     01 | place | order     there
 *
 * Blocks that begin inside their partition are those aligned beyond what its place gives.
 *
 * A range that is no power of two is cut into the largest blocks at first: one for each bit of its
 * size in granules. What would be the buddy of such a block lies past the end of the range; its bit
 * stays 0, so nothing ever merges with it.
 *
 * Invariant: free and used blocks cover the range without overlap; a free block's buddy is not free.
 */

/* Orders that 31 bits of granules can have; words that a top may have; levels that so many granules
 * have then. */
enum { ORDERS_MAX = 31, TOP_WORDS = 8, LEVELS_MAX = 5 };

enum {
    TALLY_SHIFT = 3, /* granules that share a tally, as a power of two */
    TALLY_SPAN = 1 << TALLY_SHIFT,
    TALLY_MASK = TALLY_SPAN - 1,
    TALLY_ORDER = 31, /* the bits that are the order of a larger block, less ... */
    TALLY_LESS = 2,   /* ... this */
    TALLY_PLACE = 5,  /* bits below the place */
    TALLY_INNER = 0x4000,
    TALLY_LARGE = 0x8000
};

typedef struct buddy_order {
    uint32_t at[LEVELS_MAX]; /* where each level is among the words */
    uint32_t top_words;      /* words of the last level */
} buddy_order;

typedef struct buddy {
    uint64_t *words;
    uint16_t *tallies;
    uint32_t map;   /* a bit for each order that has a free block */
    uint32_t top;   /* the highest order */
    uint32_t depth; /* levels above level 0 */
    buddy_order orders[];
} buddy;

REGION_INLINE buddy *buddy_of(const region_range *range)
{
    return range->index.own;
}

/* ------------------------------------------------------------------------------------------------
 * Layout: the struct, the words, the tallies.
 */
static uint32_t words_for(uint32_t bits)
{
    return bits / 64 + (bits % 64 != 0);
}

/* Levels until few words are left. */
static uint32_t depth_for(uint32_t granules)
{
    uint32_t depth = 0;
    for (uint32_t words = words_for(granules); words > TOP_WORDS; words = words_for(words)) {
        depth++;
    }
    return depth;
}

/* Lays out an order of `count` blocks from word `at` on; returns the word behind it. */
static uint32_t lay_order(buddy_order *order, uint32_t count, uint32_t depth, uint32_t at)
{
    for (uint32_t level = 0; level <= depth; level++) {
        count = words_for(count);
        order->at[level] = at;
        at += count;
    }
    order->top_words = count;
    return at;
}

static size_t head_size(uint32_t top)
{
    return base_align_up(sizeof(buddy) + (top + 1) * sizeof(buddy_order), sizeof(uint64_t));
}

static uint32_t tallies_for(uint32_t granules)
{
    return (granules + TALLY_MASK) >> TALLY_SHIFT;
}

static size_t index_size(const tarn_region_options *options, uint32_t granules)
{
    (void)options;
    const uint32_t top = base_log2_floor(granules);
    uint32_t words = 0;
    for (uint32_t k = 0; k <= top; k++) {
        buddy_order order;
        words = lay_order(&order, granules >> k, depth_for(granules), words);
    }
    return base_align_up(head_size(top) + (size_t)words * sizeof(uint64_t) +
                             (size_t)tallies_for(granules) * sizeof(uint16_t),
                         16);
}

static uint32_t anchors(const tarn_region_options *options, uint32_t granules)
{
    (void)options;
    (void)granules;
    return 0;
}

/* ------------------------------------------------------------------------------------------------
 * Free blocks.
 */
REGION_INLINE uint64_t *word_at(const buddy *own, uint32_t order, uint32_t level, uint32_t word)
{
    return &own->words[own->orders[order].at[level] + word];
}

/* The word with bit `number` of a level. */
REGION_INLINE uint64_t *word_of(const buddy *own, uint32_t order, uint32_t level, uint32_t number)
{
    return word_at(own, order, level, number / 64);
}

REGION_INLINE bool is_free(const buddy *own, uint32_t order, uint32_t number)
{
    return (*word_of(own, order, 0, number) >> (number % 64) & 1) != 0;
}

static bool has_free(const buddy *own, uint32_t order)
{
    const uint64_t *top = word_at(own, order, own->depth, 0);
    uint64_t any = 0;
    for (uint32_t word = 0; word < own->orders[order].top_words; word++) {
        any |= top[word];
    }
    return any != 0;
}

REGION_INLINE void set_bit(buddy *own, uint32_t order, uint32_t level, uint32_t number)
{
    *word_of(own, order, level, number) |= UINT64_C(1) << (number % 64);
}

static void set_free(buddy *own, uint32_t order, uint32_t number)
{
    for (uint32_t level = 0; level <= own->depth; level++) {
        set_bit(own, order, level, number);
        number /= 64;
    }
    own->map |= 1U << order;
}

/* The same for two levels above level 0. */
REGION_INLINE void set_free_of_three(buddy *own, uint32_t order, uint32_t number)
{
    set_bit(own, order, 0, number);
    set_bit(own, order, 1, number / 64);
    set_bit(own, order, 2, number / 64 / 64);
    own->map |= 1U << order;
}

static void clear_free(buddy *own, uint32_t order, uint32_t number)
{
    uint64_t left = 0;
    for (uint32_t level = 0; level <= own->depth && left == 0; level++) {
        uint64_t *word = word_of(own, order, level, number);
        *word &= ~(UINT64_C(1) << (number % 64));
        left = *word;
        number /= 64;
    }
    if (left == 0 && !has_free(own, order)) {
        own->map &= ~(1U << order);
    }
}

/* Which word of the top of an order has the first free block. */
REGION_INLINE uint32_t first_of_top(const uint64_t *top)
{
    uint32_t word = 0;
    while (base_unlikely(top[word] == 0)) {
        word++;
    }
    return word;
}

/* A word without its lowest bit, if that is what a word below that became `left` asks for. */
REGION_INLINE uint64_t without_first(uint64_t word, uint64_t left)
{
    uint64_t one = left == 0;
    /* Hides where it comes from, lest a compiler make a branch of it. */
    __asm__("" : "+r"(one));
    return word & (word - one);
}

/* Takes the first free block of an order that has one. */
static uint32_t take_first(buddy *own, uint32_t order)
{
    uint64_t *places[LEVELS_MAX];
    uint32_t number = first_of_top(word_at(own, order, own->depth, 0));
    for (uint32_t level = own->depth + 1; level > 0; level--) {
        places[level - 1] = word_at(own, order, level - 1, number);
        number = number * 64 + base_ctz(*places[level - 1]);
    }
    uint64_t left = 0;
    for (uint32_t level = 0; level <= own->depth; level++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): found for each level just above */
        left = without_first(*places[level], left);
        *places[level] = left;
    }
    if (left == 0 && !has_free(own, order)) {
        own->map &= ~(1U << order);
    }
    return number;
}

/* The same for two levels above level 0. */
REGION_INLINE uint32_t take_first_of_three(buddy *own, uint32_t order)
{
    uint64_t *top = word_at(own, order, 2, 0);
    uint32_t number = first_of_top(top);
    top += number;
    const uint64_t top_word = *top;
    number = number * 64 + base_ctz(top_word);
    uint64_t *middle = word_at(own, order, 1, number);
    const uint64_t middle_word = *middle;
    number = number * 64 + base_ctz(middle_word);
    uint64_t *bottom = word_at(own, order, 0, number);
    const uint64_t bottom_word = *bottom;
    number = number * 64 + base_ctz(bottom_word);
    uint64_t left = bottom_word & (bottom_word - 1);
    *bottom = left;
    left = without_first(middle_word, left);
    *middle = left;
    left = without_first(top_word, left);
    *top = left;
    if (base_unlikely(left == 0) && !has_free(own, order)) {
        own->map &= ~(1U << order);
    }
    return number;
}

/* The highest order of a block that could begin at `start`. */
static uint32_t highest_at(const buddy *own, uint32_t start)
{
    return base_ctz(start | 1U << own->top);
}

/* The order of the free partition that begins at `start`; ORDERS_MAX if none does. */
static uint32_t find_free(const region_range *range, uint32_t start)
{
    const buddy *own = buddy_of(range);
    uint32_t order = highest_at(own, start);
    for (;;) {
        const uint32_t number = start >> order;
        if (number < range->granules >> order && is_free(own, order, number)) {
            return order;
        }
        if (order-- == 0) {
            return ORDERS_MAX;
        }
    }
}

/* ------------------------------------------------------------------------------------------------
 * Used blocks.
 */
REGION_INLINE uint16_t *tally_at(const buddy *own, uint32_t start)
{
    return &own->tallies[start >> TALLY_SHIFT];
}

/* The bits of a tally that tell of a block of `order` at `start`. */
REGION_INLINE uint32_t bits_of(uint32_t order, uint32_t start)
{
    /* At the first granule of a tally. */
    static const uint16_t firsts[ORDERS_MAX] = {
        0x0001, 0x0100, 0x1000, 0x8001, 0x8002, 0x8003, 0x8004, 0x8005, 0x8006, 0x8007, 0x8008,
        0x8009, 0x800A, 0x800B, 0x800C, 0x800D, 0x800E, 0x800F, 0x8010, 0x8011, 0x8012, 0x8013,
        0x8014, 0x8015, 0x8016, 0x8017, 0x8018, 0x8019, 0x801A, 0x801B, 0x801C,
    };
    return (uint32_t)firsts[order] << ((start & TALLY_MASK) >> order);
}

REGION_INLINE void set_used(buddy *own, uint32_t order, uint32_t start)
{
    uint16_t *tally = tally_at(own, start);
    *tally = (uint16_t)(*tally | bits_of(order, start));
}

/* Tells of a block that begins inside its partition. */
static void set_inner(buddy *own, uint32_t first, uint32_t order, uint32_t start)
{
    const uint32_t place = (start & TALLY_MASK) << TALLY_PLACE;
    const uint32_t bits = TALLY_INNER | (order - TALLY_LESS);
    uint16_t *outer = tally_at(own, first);
    uint16_t *inner = tally_at(own, start);
    *inner = (uint16_t)(bits | place);
    *outer = (uint16_t)(bits | (inner == outer ? place : 0) | TALLY_LARGE);
}

/* The partition of a live block. */
typedef struct buddy_found {
    uint32_t bits; /* those of its tally that tell of the block; 0: there is none */
    uint32_t order;
    uint32_t first; /* granule */
} buddy_found;

static buddy_found find_inner(uint32_t tally, uint32_t start)
{
    const uint32_t order = (tally & TALLY_ORDER) + TALLY_LESS;
    const uint32_t place = tally >> TALLY_PLACE & TALLY_MASK;
    const bool is_outer = (tally & TALLY_LARGE) != 0;
    if ((start & TALLY_MASK) != place || (is_outer && place == 0)) {
        return (buddy_found){0};
    }
    return (buddy_found){tally, order, start >> order << order};
}

REGION_INLINE buddy_found find_live(const buddy *own, uint32_t start)
{
    /* The bits that can tell of a block at each place: of a small one, of a larger one. */
    static const uint16_t masks[2][TALLY_SPAN] = {
        {0x1101, 0x0002, 0x0204, 0x0008, 0x2410, 0x0020, 0x0840, 0x0080},
        {0xFFFF, 0, 0, 0, 0, 0, 0, 0},
    };
    const uint32_t tally = *tally_at(own, start);
    if (base_unlikely((tally & TALLY_INNER) != 0)) {
        return find_inner(tally, start);
    }
    const uint32_t bits = tally & masks[tally / TALLY_LARGE][start & TALLY_MASK];
    /* Sizes are random, so without a branch; to a larger block `small` adds TALLY_LESS. */
    const uint32_t larger = bits & TALLY_ORDER & (0 - bits / TALLY_LARGE);
    const uint32_t small = (uint32_t)(bits >= 0x0100) + (uint32_t)(bits >= 0x1000);
    return (buddy_found){bits, larger + small, start};
}

REGION_INLINE buddy_found get_live(const region_range *range, uint32_t start)
{
    const buddy_found found = find_live(buddy_of(range), start);
    if (base_unlikely(found.bits == 0)) {
        region_not_a_block(range, start, find_free(range, start) != ORDERS_MAX);
    }
    return found;
}

/* ------------------------------------------------------------------------------------------------
 * Alloc.
 */

/* The order of a block of so many bytes; past the highest one if they are too many. */
REGION_INLINE uint32_t order_of(const region_range *range, size_t size)
{
    /* The logarithm of its granules, rounded up. */
    return base_log2_floor((((uint64_t)size - 1) >> range->shift) * 2 + 1);
}

/* The bytes of a partition for an alignment above the granule, PTRDIFF_MAX if they are too many; and
 * how many of them come before the block.
 *
 * If granule 0 is aligned, so is every partition that is as large as the alignment. If it is not,
 * all those are equally far from being so, and one is needed that has room for that distance too. */
static size_t padded(const region_range *range, size_t size, size_t alignment, size_t *skip)
{
    size_t least = alignment;
    *skip = (0 - range->base) & (alignment - 1);
    if (size > PTRDIFF_MAX - *skip || (*skip != 0 && range->granules < TALLY_SPAN)) {
        return PTRDIFF_MAX;
    }
    if (*skip != 0 && least < (size_t)TALLY_SPAN << range->shift) {
        /* Only a larger partition can tell of a block inside. */
        least = (size_t)TALLY_SPAN << range->shift;
    }
    return size + *skip < least ? least : size + *skip;
}

/* Gives back the upper halves that a block of `order` is cut off from. */
static __attribute__((noinline)) void halve(buddy *own, uint32_t order, uint32_t number,
                                            uint32_t halvings)
{
    for (; halvings > 0; halvings--) {
        set_free(own, order, number + 1);
        order++;
        number /= 2;
    }
}

/* The first granule of a new partition, or REGION_NONE. */
REGION_INLINE uint32_t take(region_range *range, uint32_t order, bool of_three)
{
    buddy *own = buddy_of(range);
    const uint64_t map = (uint64_t)own->map >> order;
    if (base_unlikely(map == 0)) {
        return REGION_NONE;
    }
    const uint32_t halvings = base_ctz(map);
    const uint32_t from = order + halvings;
    uint32_t number = of_three ? take_first_of_three(own, from) : take_first(own, from);
    number <<= halvings;
    if (base_unlikely(halvings != 0)) {
        halve(own, order, number, halvings);
    }
    region_give(range, 1U << order);
    return number << order;
}

static uint32_t alloc_aligned(region_range *range, size_t size, size_t alignment)
{
    buddy *own = buddy_of(range);
    size_t skip;
    const uint32_t order = order_of(range, padded(range, size, alignment, &skip));
    const uint32_t first = take(range, order, false);
    if (first == REGION_NONE) {
        return REGION_NONE;
    }
    if (skip == 0) {
        set_used(own, order, first);
        return first;
    }
    const uint32_t start = first + (uint32_t)(skip >> range->shift);
    set_inner(own, first, order, start);
    return start;
}

REGION_INLINE uint32_t alloc_plain(region_range *range, size_t size, bool of_three)
{
    const uint32_t order = order_of(range, size);
    const uint32_t first = take(range, order, of_three);
    if (base_likely(first != REGION_NONE)) {
        set_used(buddy_of(range), order, first);
    }
    return first;
}

static uint32_t alloc(region_range *range, size_t size, size_t alignment)
{
    if (alignment >> range->shift > 1) {
        return alloc_aligned(range, size, alignment);
    }
    return alloc_plain(range, size, false);
}

static void *take_block(tarn_region *region, size_t size, size_t alignment)
{
    region_range *range = region->ranges;
    /* Every granule is aligned enough, and the size is not 0. */
    if (base_likely(region_is_small_alignment(alignment) && range->shift >= REGION_GRANULE_SHIFT &&
                    buddy_of(range)->depth == 2 && size - 1 < range->largest)) {
        const uint32_t start = alloc_plain(range, size, true);
        if (base_likely(start != REGION_NONE)) {
            return (void *)region_address(range, start);
        }
    }
    return region_alloc_slow(region, size, alignment);
}

/* ------------------------------------------------------------------------------------------------
 * Free and resize.
 */

/* Merges a block with its buddy, which is free, and the result with its own, until one is not. */
static __attribute__((noinline)) void merge(buddy *own, uint32_t order, uint32_t number)
{
    /* The highest order needs no test: nothing is beside it. */
    do {
        clear_free(own, order, number ^ 1);
        order++;
        number /= 2;
    } while (is_free(own, order, number ^ 1));
    set_free(own, order, number);
}

REGION_INLINE void free_plain(region_range *range, uint32_t start, bool of_three)
{
    buddy *own = buddy_of(range);
    const buddy_found found = get_live(range, start);
    const uint32_t number = found.first >> found.order;
    uint16_t *tally = tally_at(own, start);
    *tally = (uint16_t)(*tally & ~found.bits);
    if (base_unlikely(found.first != start)) {
        *tally_at(own, found.first) = 0;
    }
    region_take(range, 1U << found.order);
    if (base_unlikely(is_free(own, found.order, number ^ 1))) {
        merge(own, found.order, number);
    } else if (of_three) {
        set_free_of_three(own, found.order, number);
    } else {
        set_free(own, found.order, number);
    }
}

static void free_start(region_range *range, uint32_t start)
{
    free_plain(range, start, false);
}

static void give_block(tarn_region *region, void *block)
{
    region_range *range = region->ranges;
    const uintptr_t distance = (uintptr_t)block - range->base;
    const uint32_t start = (uint32_t)(distance >> range->shift);
    if (base_likely(distance < range->largest && (uintptr_t)start << range->shift == distance &&
                    buddy_of(range)->depth == 2)) {
        free_plain(range, start, true);
    } else {
        region_free_slow(region, block);
    }
}

/* Can the partition become one of `order` with the free buddies behind it? */
static bool can_grow(const buddy *own, buddy_found found, uint32_t order)
{
    for (uint32_t k = found.order; k < order; k++) {
        const uint32_t number = found.first >> k;
        if (k >= own->top || number % 2 != 0 || !is_free(own, k, number + 1)) {
            return false;
        }
    }
    return true;
}

static bool resize(region_range *range, uint32_t start, size_t size)
{
    buddy *own = buddy_of(range);
    const buddy_found found = get_live(range, start);
    const bool is_inner = found.first != start;
    const size_t skip = (size_t)(start - found.first) << range->shift;
    if (size > PTRDIFF_MAX - skip) {
        return false;
    }
    uint32_t order = order_of(range, size + skip);
    if (is_inner && order < TALLY_SHIFT) {
        order = TALLY_SHIFT;
    }
    if (!can_grow(own, found, order)) {
        return false;
    }
    for (uint32_t k = found.order; k < order; k++) {
        clear_free(own, k, (found.first >> k) + 1);
    }
    if (order < found.order) {
        halve(own, order, found.first >> order, found.order - order);
    }
    region_change(range, 1U << found.order, 1U << order);
    if (is_inner) {
        set_inner(own, found.first, order, start);
    } else {
        uint16_t *tally = tally_at(own, start);
        *tally = (uint16_t)((*tally & ~found.bits) | bits_of(order, start));
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * Questions.
 */
static size_t bytes_between(const region_range *range, uint32_t start, uint32_t end)
{
    return (size_t)(end - start) << range->shift;
}

static size_t room(region_range *range, uint32_t start)
{
    const buddy_found found = find_live(buddy_of(range), start);
    if (found.bits == 0) {
        return 0;
    }
    return bytes_between(range, start, found.first + (1U << found.order));
}

static size_t largest(region_range *range)
{
    const uint32_t map = buddy_of(range)->map;
    return map == 0 ? 0 : (size_t)1 << (base_log2_floor(map) + range->shift);
}

/* The order that would be halved. */
static uint64_t rank(region_range *range, size_t size, size_t alignment)
{
    if (alignment >> range->shift > 1) {
        size_t skip;
        size = padded(range, size, alignment, &skip);
    }
    const uint32_t order = order_of(range, size);
    const uint64_t map = (uint64_t)buddy_of(range)->map >> order;
    return map == 0 ? UINT64_MAX : order + base_ctz(map);
}

/* ------------------------------------------------------------------------------------------------
 * All of them.
 */

/* What begins at a granule. */
typedef struct buddy_partition {
    uint32_t order; /* ORDERS_MAX: nothing that could be right */
    uint32_t block; /* granule at which a used partition's block begins */
    bool is_free;
} buddy_partition;

/* Where the block of a used partition begins that has it inside. */
static uint32_t block_inside(const buddy *own, uint32_t first, uint32_t order)
{
    const uint32_t place = *tally_at(own, first) >> TALLY_PLACE & TALLY_MASK;
    if (place != 0) {
        return first + place;
    }
    const uint32_t end = first + (1U << order);
    for (uint32_t at = first + TALLY_SPAN; at < end; at += TALLY_SPAN) {
        const uint32_t tally = *tally_at(own, at);
        if (tally != 0) {
            return at + (tally >> TALLY_PLACE & TALLY_MASK);
        }
    }
    return first;
}

static buddy_partition partition_at(const region_range *range, uint32_t first)
{
    const buddy *own = buddy_of(range);
    const buddy_partition nothing = {ORDERS_MAX, first, false};
    const uint32_t free_order = find_free(range, first);
    if (free_order != ORDERS_MAX) {
        return (buddy_partition){free_order, first, true};
    }
    const uint32_t tally = *tally_at(own, first);
    const bool is_inner = (tally & TALLY_INNER) != 0;
    const uint32_t order =
        is_inner ? (tally & TALLY_ORDER) + TALLY_LESS : find_live(own, first).order;
    if (order > highest_at(own, first) || first >> order >= range->granules >> order) {
        return nothing;
    }
    const uint32_t block = is_inner ? block_inside(own, first, order) : first;
    const buddy_found found = find_live(own, block);
    if (found.bits == 0 || found.first != first || found.order != order) {
        return nothing;
    }
    return (buddy_partition){order, block, false};
}

static bool visit(region_range *range, tarn_partition_visitor *visitor, void *context)
{
    uint32_t first = 0;
    while (first < range->granules) {
        const buddy_partition partition = partition_at(range, first);
        if (partition.order == ORDERS_MAX) {
            region_overwritten(range, first);
        }
        const uint32_t end = first + (1U << partition.order);
        if (!region_show(range, partition.block, bytes_between(range, partition.block, end),
                         partition.is_free, visitor, context)) {
            return false;
        }
        first = end;
    }
    return true;
}

/* What the tally with granule `at` of a partition that has it to itself should be. */
static uint32_t wanted_tally(uint32_t first, buddy_partition partition, uint32_t at)
{
    const uint32_t place = (partition.block & TALLY_MASK) << TALLY_PLACE;
    const uint32_t inner = TALLY_INNER | (partition.order - TALLY_LESS);
    const bool has_block = at == partition.block / TALLY_SPAN * TALLY_SPAN;
    if (partition.is_free) {
        return 0;
    }
    if (partition.block == first) {
        return at == first ? bits_of(partition.order, first) : 0;
    }
    if (at == first) {
        return TALLY_LARGE | inner | (has_block ? place : 0);
    }
    return has_block ? inner | place : 0;
}

/* Do the tallies of a partition tell of it and of nothing else? */
static bool tallies_balance(const buddy *own, uint32_t first, buddy_partition partition)
{
    const uint32_t end = first + (1U << partition.order);
    if (partition.order < TALLY_SHIFT) {
        uint32_t around = 0;
        for (uint32_t at = first; at < end; at++) {
            for (uint32_t order = 0; order < TALLY_SHIFT; order++) {
                around |= bits_of(order, at >> order << order);
            }
        }
        const uint32_t wanted = partition.is_free ? 0 : bits_of(partition.order, first);
        return (*tally_at(own, first) & (around | TALLY_LARGE | TALLY_INNER)) == wanted;
    }
    for (uint32_t at = first; at < end; at += TALLY_SPAN) {
        if (*tally_at(own, at) != wanted_tally(first, partition, at)) {
            return false;
        }
    }
    return true;
}

/* Has each level a bit for just those words below that are not 0? */
static bool levels_balance(const region_range *range, uint32_t order)
{
    const buddy *own = buddy_of(range);
    uint32_t words = words_for(range->granules >> order);
    for (uint32_t level = 1; level <= own->depth; level++) {
        for (uint32_t word = 0; word < words; word++) {
            const uint64_t below = *word_at(own, order, level - 1, word);
            const uint64_t above = *word_of(own, order, level, word);
            if ((above >> (word % 64) & 1) != (below != 0)) {
                return false;
            }
        }
        words = words_for(words);
    }
    return (own->map >> order & 1) == has_free(own, order);
}

static bool free_blocks_balance(const region_range *range, uint32_t order, uint32_t count)
{
    const buddy *own = buddy_of(range);
    for (uint32_t word = 0; word < words_for(range->granules >> order); word++) {
        count -= base_popcount(*word_at(own, order, 0, word));
    }
    return count == 0 && levels_balance(range, order);
}

static bool check(region_range *range, char *fault, size_t fault_size)
{
    const buddy *own = buddy_of(range);
    uint32_t free_blocks[ORDERS_MAX];
    base_zero(free_blocks, sizeof free_blocks);
    uint32_t blocks = 0;
    uint32_t first = 0;
    while (first < range->granules) {
        const buddy_partition partition = partition_at(range, first);
        const uint32_t order = partition.order;
        if (order == ORDERS_MAX) {
            return region_fault(range, first, "no partition where one should begin", fault,
                                fault_size);
        }
        if (!tallies_balance(own, first, partition)) {
            return region_fault(range, first, "the tallies tell of more than the partition", fault,
                                fault_size);
        }
        if (partition.is_free && is_free(own, order, (first >> order) ^ 1)) {
            return region_fault(range, first, "a partition and its buddy are both free", fault,
                                fault_size);
        }
        free_blocks[order] += partition.is_free;
        blocks += !partition.is_free;
        first += 1U << order;
    }
    if (blocks != range->blocks) {
        return region_fault(range, 0, "the count of blocks is wrong", fault, fault_size);
    }
    for (uint32_t order = 0; order <= own->top; order++) {
        if (!free_blocks_balance(range, order, free_blocks[order])) {
            return region_fault(range, 0, "the index is not that of the free partitions", fault,
                                fault_size);
        }
    }
    return true;
}

static void open(region_range *range)
{
    buddy *own = (buddy *)(void *)range->index_memory;
    const uint32_t granules = range->granules;
    const uint32_t top = base_log2_floor(granules);
    range->index.own = own;
    base_zero(own, sizeof *own);
    own->words = (uint64_t *)(void *)(range->index_memory + head_size(top));
    own->top = top;
    own->depth = depth_for(granules);
    uint32_t words = 0;
    for (uint32_t order = 0; order <= top; order++) {
        words = lay_order(&own->orders[order], granules >> order, own->depth, words);
    }
    for (uint32_t word = 0; word < words; word++) {
        own->words[word] = 0;
    }
    own->tallies = (uint16_t *)(void *)(own->words + words);
    for (uint32_t tally = 0; tally < tallies_for(granules); tally++) {
        own->tallies[tally] = 0;
    }
    for (uint32_t order = 0; order <= top; order++) {
        if ((granules >> order & 1) != 0) {
            set_free(own, order, (granules >> order) - 1);
        }
    }
}

const region_policy region_buddy = {
    .take = take_block,
    .give = give_block,
    .index_size = index_size,
    .anchors = anchors,
    .open = open,
    .alloc = alloc,
    .free = free_start,
    .resize = resize,
    .room = room,
    .largest = largest,
    .rank = rank,
    .check = check,
    .visit = visit,
};
