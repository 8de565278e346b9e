/* SPDX-License-Identifier: MIT */
#include "base/bits.h"
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
 * the first free block of an order. All orders have the same number of levels, and all levels are
 * kept up to date by the same few instructions whatever the bits are: branches that depend on random
 * bits would cost more.
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

/* Orders that 31 bits of granules can have, and levels above the bits of the first of them. */
enum { ORDERS_MAX = 31, LEVELS_MAX = 5 };

/* Granules that share a tally, as a power of two; and its parts. */
enum {
    TALLY_SHIFT = 3,
    TALLY_MASK = (1 << TALLY_SHIFT) - 1,
    TALLY_ORDER = 31,
    TALLY_PLACE = 5, /* bits below the place */
    TALLY_LARGE = 0x8000,
    TALLY_INNER = 0x4000
};

/* Where things of an order are among the words: first its bits, then each level. */
typedef struct buddy_order {
    uint32_t at[LEVELS_MAX + 1];
} buddy_order;

typedef struct buddy {
    uint64_t *words;
    uint16_t *tallies;
    uint32_t map;   /* a bit for each order that has a free block */
    uint32_t top;   /* the highest order */
    uint32_t depth; /* levels above the bits */
    buddy_order orders[];
} buddy;

static inline buddy *buddy_of(const region_range *range)
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

/* Levels until a single word is left. */
static uint32_t depth_for(uint32_t granules)
{
    uint32_t depth = 0;
    for (uint32_t words = words_for(granules); words > 1; words = words_for(words)) {
        depth++;
    }
    return depth;
}

/* Lays out an order of `count` blocks from word `at` on; returns the word behind it. */
static uint32_t lay_order(buddy_order *order, uint32_t count, uint32_t depth, uint32_t at)
{
    uint32_t words = words_for(count);
    order->at[0] = at;
    at += words;
    for (uint32_t level = 1; level <= depth; level++) {
        words = words_for(words);
        order->at[level] = at;
        at += words;
    }
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
static inline uint64_t *word_of(const buddy *own, uint32_t order, uint32_t level, uint32_t number)
{
    return &own->words[own->orders[order].at[level] + number / 64];
}

static inline bool is_free(const buddy *own, uint32_t order, uint32_t number)
{
    return (*word_of(own, order, 0, number) >> (number % 64) & 1) != 0;
}

static inline void set_free(buddy *own, uint32_t order, uint32_t number)
{
    *word_of(own, order, 0, number) |= UINT64_C(1) << (number % 64);
    for (uint32_t level = 1; level <= own->depth; level++) {
        number /= 64;
        *word_of(own, order, level, number) |= UINT64_C(1) << (number % 64);
    }
    own->map |= 1U << order;
}

static inline void clear_free(buddy *own, uint32_t order, uint32_t number)
{
    uint64_t *word = word_of(own, order, 0, number);
    *word &= ~(UINT64_C(1) << (number % 64));
    uint64_t is_empty = *word == 0;
    for (uint32_t level = 1; level <= own->depth; level++) {
        number /= 64;
        word = word_of(own, order, level, number);
        *word &= ~(is_empty << (number % 64));
        is_empty = *word == 0;
    }
    own->map &= ~((uint32_t)is_empty << order);
}

/* The first free block of an order that has one. */
static inline uint32_t first_free(const buddy *own, uint32_t order)
{
    uint32_t number = 0;
    for (uint32_t level = own->depth + 1; level > 0; level--) {
        const uint64_t *words = &own->words[own->orders[order].at[level - 1]];
        number = number * 64 + base_ctz(words[number]);
    }
    return number;
}

/* The highest order of a block that could begin at `start`. */
static inline uint32_t highest_at(const buddy *own, uint32_t start)
{
    return base_ctz(start | 1U << own->top);
}

/* ------------------------------------------------------------------------------------------------
 * Used blocks.
 */

/* What the tally of `start` has for a used block of `order`. */
static inline uint16_t tally_of(uint32_t order, uint32_t start)
{
    /* Where in a tally the bits of a small order are. */
    static const uint8_t places[TALLY_SHIFT] = {0, 8, 12};
    if (order >= TALLY_SHIFT) {
        return (uint16_t)(TALLY_LARGE | order);
    }
    return (uint16_t)(1U << (places[order] + ((start & TALLY_MASK) >> order)));
}

static inline void set_used(buddy *own, uint32_t order, uint32_t start)
{
    uint16_t *tally = &own->tallies[start >> TALLY_SHIFT];
    *tally = (uint16_t)(*tally | tally_of(order, start));
}

static inline void clear_used(buddy *own, uint32_t order, uint32_t start)
{
    uint16_t *tally = &own->tallies[start >> TALLY_SHIFT];
    *tally = (uint16_t)(*tally & ~tally_of(order, start));
}

/* ------------------------------------------------------------------------------------------------
 * What a request needs.
 */

/* The order of so many granules, or ORDERS_MAX if none is so large. */
static inline uint32_t order_of(size_t granules)
{
    return granules > (size_t)1 << (ORDERS_MAX - 1) ? ORDERS_MAX : base_log2_ceil(granules);
}

static inline size_t granules_of(const region_range *range, size_t size)
{
    return (size + ((size_t)1 << range->shift) - 1) >> range->shift;
}

/* The order for an alignment above the granule, and how many granules into the partition the block
 * begins.
 *
 * If granule 0 is aligned, so is every partition that is as large as the alignment. If it is not, all
 * those are equally far from being so, and one is needed that has room for that distance too. */
static uint32_t order_for_aligned(const region_range *range, size_t need, size_t alignment,
                                  uint32_t *skip)
{
    const size_t least = alignment >> range->shift;
    if (least > range->granules) {
        return ORDERS_MAX;
    }
    *skip = (uint32_t)(((0 - range->base) & (alignment - 1)) >> range->shift);
    need += *skip;
    if (*skip != 0 && need <= TALLY_MASK) {
        /* Only large partitions can tell of a block further inside. */
        need = TALLY_MASK + 1;
    }
    return order_of(need < least ? least : need);
}

static inline uint32_t order_for(const region_range *range, size_t size, size_t alignment,
                                 uint32_t *skip)
{
    const size_t need = granules_of(range, size);
    *skip = 0;
    if (base_unlikely(alignment >> range->shift > 1)) {
        return order_for_aligned(range, need, alignment, skip);
    }
    return order_of(need);
}

/* Tells of a block that begins inside its partition, or tells so no more. */
static void set_inner(buddy *own, uint32_t first, uint32_t order, uint32_t start)
{
    const uint32_t place = start & TALLY_MASK;
    uint16_t *outer = &own->tallies[first >> TALLY_SHIFT];
    uint16_t *inner = &own->tallies[start >> TALLY_SHIFT];
    *outer = (uint16_t)(TALLY_LARGE | TALLY_INNER | order);
    if (inner == outer) {
        *outer = (uint16_t)(*outer | place << TALLY_PLACE);
    } else {
        *inner = (uint16_t)(TALLY_INNER | place << TALLY_PLACE | order);
    }
}

static void clear_inner(buddy *own, uint32_t first, uint32_t start)
{
    own->tallies[first >> TALLY_SHIFT] = 0;
    own->tallies[start >> TALLY_SHIFT] = 0;
}

static inline uint32_t alloc(region_range *range, size_t size, size_t alignment)
{
    buddy *own = buddy_of(range);
    uint32_t skip;
    const uint32_t order = order_for(range, size, alignment, &skip);
    const uint32_t map = own->map >> order;
    if (base_unlikely(map == 0)) {
        return REGION_NONE;
    }
    uint32_t from = order + base_ctz(map);
    uint32_t number = first_free(own, from);
    clear_free(own, from, number);
    while (from > order) {
        from--;
        number *= 2;
        set_free(own, from, number + 1);
    }
    const uint32_t first = number << order;
    region_give(range, 1U << order);
    if (base_unlikely(skip != 0)) {
        set_inner(own, first, order, first + skip);
        return first + skip;
    }
    set_used(own, order, first);
    return first;
}

/* ------------------------------------------------------------------------------------------------
 * Live blocks.
 */

/* The partition of a live block. */
typedef struct buddy_found {
    uint32_t order; /* ORDERS_MAX: there is no such block */
    uint32_t first; /* its first granule */
} buddy_found;

static buddy_found find_inner(uint32_t tally, uint32_t start)
{
    const uint32_t order = tally & TALLY_ORDER;
    const uint32_t place = tally >> TALLY_PLACE & TALLY_MASK;
    const bool is_outer = (tally & TALLY_LARGE) != 0;
    if ((start & TALLY_MASK) != place || (is_outer && place == 0)) {
        return (buddy_found){ORDERS_MAX, start};
    }
    return (buddy_found){order, start >> order << order};
}

static inline buddy_found find_live(const buddy *own, uint32_t start)
{
    const uint32_t tally = own->tallies[start >> TALLY_SHIFT];
    if (base_unlikely((tally & TALLY_INNER) != 0)) {
        return find_inner(tally, start);
    }
    /* The bits of small blocks that could begin at each place. */
    static const uint16_t small[TALLY_MASK + 1] = {
        0x1101, 0x0002, 0x0204, 0x0008, 0x2410, 0x0020, 0x0840, 0x0080,
    };
    const uint32_t place = start & TALLY_MASK;
    const uint32_t bits = tally & small[place];
    uint32_t order = (uint32_t)(bits > 0xFF) + (uint32_t)(bits > 0xFFF);
    order = bits == 0 ? ORDERS_MAX : order;
    if (tally >= TALLY_LARGE) {
        order = place == 0 ? tally & TALLY_ORDER : ORDERS_MAX;
    }
    return (buddy_found){order, start};
}

/* The free partition that begins at `start`; ORDERS_MAX if none does. */
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

static inline buddy_found get_live(const region_range *range, uint32_t start)
{
    const buddy_found found = find_live(buddy_of(range), start);
    if (base_unlikely(found.order == ORDERS_MAX)) {
        region_not_a_block(range, start, find_free(range, start) != ORDERS_MAX);
    }
    return found;
}

static void give_back(region_range *range, uint32_t start)
{
    buddy *own = buddy_of(range);
    const buddy_found found = get_live(range, start);
    uint32_t order = found.order;
    uint32_t number = found.first >> order;
    region_take(range, 1U << order);
    if (base_unlikely(found.first != start)) {
        clear_inner(own, found.first, start);
    } else {
        clear_used(own, order, start);
    }
    /* The highest order needs no test: nothing is beside it. */
    while (is_free(own, order, number ^ 1)) {
        clear_free(own, order, number ^ 1);
        number /= 2;
        order++;
    }
    set_free(own, order, number);
}

/* Can the partition become one of `order` by the free buddies behind it? */
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
    const uint32_t skip = start - found.first;
    uint32_t order = order_of(granules_of(range, size) + skip);
    if (skip != 0 && order < TALLY_SHIFT) {
        order = TALLY_SHIFT;
    }
    if (!can_grow(own, found, order)) {
        return false;
    }
    for (uint32_t k = found.order; k < order; k++) {
        clear_free(own, k, (found.first >> k) + 1);
    }
    for (uint32_t k = found.order; k > order; k--) {
        set_free(own, k - 1, (found.first >> (k - 1)) + 1);
    }
    region_change(range, 1U << found.order, 1U << order);
    if (skip != 0) {
        set_inner(own, found.first, order, start);
    } else {
        clear_used(own, found.order, start);
        set_used(own, order, start);
    }
    return true;
}

static size_t bytes_between(const region_range *range, uint32_t start, uint32_t end)
{
    return (size_t)(end - start) << range->shift;
}

static size_t room(region_range *range, uint32_t start)
{
    const buddy_found found = find_live(buddy_of(range), start);
    if (found.order == ORDERS_MAX) {
        return 0;
    }
    return bytes_between(range, start, found.first + (1U << found.order));
}

static size_t largest(region_range *range)
{
    const uint32_t map = buddy_of(range)->map;
    return map == 0 ? 0 : (size_t)1 << (base_log2_floor(map) + range->shift);
}

/* The order that would have to be halved. */
static uint64_t rank(region_range *range, size_t size, size_t alignment)
{
    uint32_t skip;
    const uint32_t order = order_for(range, size, alignment, &skip);
    const uint32_t map = buddy_of(range)->map >> order;
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

/* Where the block of a used partition begins that has it further inside. */
static uint32_t block_inside(const buddy *own, uint32_t first, uint32_t order)
{
    const uint32_t place = own->tallies[first >> TALLY_SHIFT] >> TALLY_PLACE & TALLY_MASK;
    if (place != 0) {
        return first + place;
    }
    for (uint32_t at = first + TALLY_MASK + 1; at < first + (1U << order); at += TALLY_MASK + 1) {
        const uint32_t tally = own->tallies[at >> TALLY_SHIFT];
        if (tally != 0) {
            return at + (tally >> TALLY_PLACE & TALLY_MASK);
        }
    }
    return REGION_NONE;
}

static buddy_partition partition_at(const region_range *range, uint32_t first)
{
    const buddy *own = buddy_of(range);
    buddy_partition partition = {find_free(range, first), first, true};
    if (partition.order != ORDERS_MAX) {
        return partition;
    }
    partition.is_free = false;
    const uint32_t tally = own->tallies[first >> TALLY_SHIFT];
    if (tally < (TALLY_LARGE | TALLY_INNER)) {
        partition.order = find_live(own, first).order;
    } else if ((first & TALLY_MASK) == 0) {
        partition.order = tally & TALLY_ORDER;
        partition.block = block_inside(own, first, partition.order);
    }
    const uint32_t order = partition.order;
    /* A block that is at no multiple of its size, passes the end or is not to be found. */
    if (order != ORDERS_MAX &&
        (order > highest_at(own, first) || first >> order >= range->granules >> order ||
         (partition.block != first && find_live(own, partition.block).first != first))) {
        partition.order = ORDERS_MAX;
    }
    return partition;
}

static bool visit(region_range *range, tarn_partition_visitor *visitor, void *context)
{
    uint32_t first = 0;
    while (first < range->granules) {
        const buddy_partition partition = partition_at(range, first);
        if (partition.order == ORDERS_MAX) {
            return false;
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

/* Do the tallies of a used partition tell of nothing else? */
static bool is_alone(const buddy *own, uint32_t first, buddy_partition partition)
{
    const uint32_t tally = own->tallies[first >> TALLY_SHIFT];
    if (partition.order < TALLY_SHIFT) {
        /* Its own bit, and none of the larger and smaller blocks on the same granules. */
        uint32_t on_it = 0;
        for (uint32_t order = 0; order < TALLY_SHIFT; order++) {
            for (uint32_t at = first; at < first + (1U << partition.order); at++) {
                on_it |= tally_of(order, at >> order << order);
            }
        }
        return (tally & on_it) == (partition.is_free ? 0 : tally_of(partition.order, first));
    }
    const uint32_t end = first + (1U << partition.order);
    for (uint32_t at = first; at < end; at += TALLY_MASK + 1) {
        const bool is_its_own =
            !partition.is_free && (at == first || at == (partition.block & ~(uint32_t)TALLY_MASK));
        if (!is_its_own && own->tallies[at >> TALLY_SHIFT] != 0) {
            return false;
        }
    }
    return true;
}

/* Is each bit of a level that of a word below that is not 0? */
static bool levels_balance(const region_range *range, uint32_t order)
{
    const buddy *own = buddy_of(range);
    uint32_t words = words_for(range->granules >> order);
    for (uint32_t level = 1; level <= own->depth; level++) {
        for (uint32_t word = 0; word < words; word++) {
            const uint64_t below = own->words[own->orders[order].at[level - 1] + word];
            const uint64_t above = *word_of(own, order, level, word);
            if ((above >> (word % 64) & 1) != (below != 0)) {
                return false;
            }
        }
        words = words_for(words);
    }
    return (own->map >> order & 1) == (own->words[own->orders[order].at[own->depth]] != 0);
}

static bool free_blocks_balance(const region_range *range, uint32_t order, uint32_t count)
{
    const buddy *own = buddy_of(range);
    for (uint32_t word = 0; word < words_for(range->granules >> order); word++) {
        count -= base_popcount(own->words[own->orders[order].at[0] + word]);
    }
    return count == 0 && levels_balance(range, order);
}

static bool check(region_range *range, char *fault, size_t fault_size)
{
    const buddy *own = buddy_of(range);
    uint32_t free_blocks[ORDERS_MAX] = {0};
    uint32_t blocks = 0;
    uint32_t first = 0;
    while (first < range->granules) {
        const buddy_partition partition = partition_at(range, first);
        const uint32_t order = partition.order;
        if (order == ORDERS_MAX) {
            return region_fault(range, first, "no partition where one should begin", fault,
                                fault_size);
        }
        if (!is_alone(own, first, partition)) {
            return region_fault(range, first, "a block inside of another partition", fault,
                                fault_size);
        }
        if (partition.is_free && is_free(own, order, first >> order ^ 1)) {
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
    *own = (buddy){
        .words = (uint64_t *)(void *)(range->index_memory + head_size(top)),
        .top = top,
        .depth = depth_for(granules),
    };
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
    .index_size = index_size,
    .anchors = anchors,
    .open = open,
    .alloc = alloc,
    .free = give_back,
    .resize = resize,
    .room = room,
    .largest = largest,
    .rank = rank,
    .check = check,
    .visit = visit,
};
