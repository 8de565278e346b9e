/* SPDX-License-Identifier: MIT */
#include "region/fixed.h"

#include "base/bits.h"
#include "base/bytes.h"
#include "base/check.h"
#include "region/range.h"

/*
 * Fixed partitions: cut once, never again.
 *
 *     starts     [ 0 | 4 | 6 | 14 | 16 ]           where each begins, and where the last ends
 *     range      [    |  |        |  ]
 *     ranked     [ 1 | 3 | 0 | 2 ]                 partitions by size, then by start: the ranks
 *     ranks      [ 2 | 0 | 3 | 1 ]                 the rank of each partition
 *     levels[0]    1   0   1   1                   a bit for each rank that is free
 *     levels[1]    ...                             a bit for each word below that is not 0, and so on
 *
 * The smallest free partition that fits is the first free rank from the first on that is large
 * enough. If all partitions are equal, a partition is its own rank and the arrays are left out.
 *
 * For an alignment a block may begin some granules into its partition; `skips` says how many, in as
 * few bytes as the largest partition allows.
 *
 * Invariant: the partitions without a free bit are the blocks.
 */

/* Levels above 31 bits of ranks, up to a single word. */
enum { LEVELS_MAX = 6 };

typedef struct fixed {
    uint64_t *levels[LEVELS_MAX];
    uint32_t *starts; /* NULL: all are equal */
    uint32_t *ranked;
    uint32_t *ranks;
    unsigned char *skips;
    uint32_t count;     /* partitions, at least one */
    uint32_t largest;   /* granules of the largest; of each if all are equal */
    uint32_t depth;     /* levels above level 0 */
    uint32_t skip_size; /* bytes that the skip of a partition takes */
} fixed;

static fixed *fixed_of(const region_range *range)
{
    return range->index.own;
}

/* ------------------------------------------------------------------------------------------------
 * Layout: the struct, the levels, the arrays, the skips.
 */
static uint32_t words_for(uint32_t bits)
{
    return bits / 64 + (bits % 64 != 0);
}

/* The size is not 0. */
static size_t granules_of(size_t size, size_t granule)
{
    return (size - 1) / granule + 1;
}

/* What is known of the partitions before they are laid out. */
typedef struct fixed_plan {
    uint32_t count;
    uint32_t largest; /* granules */
} fixed_plan;

static fixed_plan plan_for(const tarn_region_options *options, uint32_t granules)
{
    fixed_plan plan = {0};
    if (options->sizes == NULL) {
        const size_t size = granules_of(options->partition_size, options->granule);
        if (size <= granules) {
            plan = (fixed_plan){granules / (uint32_t)size, (uint32_t)size};
        }
        return plan;
    }
    uint32_t left = granules;
    while (plan.count < options->size_count) {
        const size_t size = granules_of(options->sizes[plan.count], options->granule);
        if (size > left) {
            break;
        }
        left -= (uint32_t)size;
        plan.largest = size > plan.largest ? (uint32_t)size : plan.largest;
        plan.count++;
    }
    return plan;
}

uint32_t region_fixed_count(const tarn_region_options *options, uint32_t granules)
{
    return plan_for(options, granules).count;
}

static uint32_t skip_size_for(uint32_t largest)
{
    return largest == 1 ? 0 : largest <= 1U << 8 ? 1 : largest <= 1U << 16 ? 2 : 4;
}

static size_t words_of_levels(uint32_t count)
{
    size_t sum = 0;
    uint32_t words = count;
    do {
        words = words_for(words);
        sum += words;
    } while (words > 1);
    return sum;
}

static size_t arrays_length(const tarn_region_options *options, uint32_t count)
{
    return options->sizes == NULL ? 0 : (size_t)count * 3 + 1;
}

static size_t index_size(const tarn_region_options *options, uint32_t granules)
{
    const fixed_plan plan = plan_for(options, granules);
    return base_align_up(base_align_up(sizeof(fixed), sizeof(uint64_t)) +
                             words_of_levels(plan.count) * sizeof(uint64_t) +
                             arrays_length(options, plan.count) * sizeof(uint32_t) +
                             (size_t)plan.count * skip_size_for(plan.largest),
                         16);
}

static uint32_t anchors(const tarn_region_options *options, uint32_t granules)
{
    (void)options;
    (void)granules;
    return 0;
}

/* ------------------------------------------------------------------------------------------------
 * Partitions.
 */
static uint32_t start_of(const fixed *own, uint32_t partition)
{
    return own->starts == NULL ? partition * own->largest : own->starts[partition];
}

static uint32_t size_of(const fixed *own, uint32_t partition)
{
    return own->starts == NULL ? own->largest : own->starts[partition + 1] - own->starts[partition];
}

static uint32_t rank_of(const fixed *own, uint32_t partition)
{
    return own->starts == NULL ? partition : own->ranks[partition];
}

static uint32_t partition_of(const fixed *own, uint32_t rank)
{
    return own->starts == NULL ? rank : own->ranked[rank];
}

/* The partition that has granule `start`, or REGION_NONE. */
static uint32_t partition_with(const fixed *own, uint32_t start)
{
    if (start >= start_of(own, own->count)) {
        return REGION_NONE;
    }
    if (own->starts == NULL) {
        return start / own->largest;
    }
    uint32_t low = 0;
    uint32_t high = own->count;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (own->starts[middle] <= start) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static uint32_t skip_of(const fixed *own, uint32_t partition)
{
    const unsigned char *bytes = own->skips + (size_t)partition * own->skip_size;
    uint32_t skip = 0;
    for (uint32_t i = own->skip_size; i > 0; i--) {
        skip = skip << 8 | bytes[i - 1];
    }
    return skip;
}

static void set_skip(fixed *own, uint32_t partition, uint32_t skip)
{
    unsigned char *bytes = own->skips + (size_t)partition * own->skip_size;
    for (uint32_t i = 0; i < own->skip_size; i++) {
        bytes[i] = (unsigned char)(skip >> 8 * i);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Ranks.
 */
static bool is_free(const fixed *own, uint32_t rank)
{
    return (own->levels[0][rank / 64] >> (rank % 64) & 1) != 0;
}

static void set_free(fixed *own, uint32_t rank)
{
    for (uint32_t level = 0; level <= own->depth; level++) {
        own->levels[level][rank / 64] |= UINT64_C(1) << (rank % 64);
        rank /= 64;
    }
}

static void clear_free(fixed *own, uint32_t rank)
{
    uint64_t left = 0;
    for (uint32_t level = 0; level <= own->depth && left == 0; level++) {
        own->levels[level][rank / 64] &= ~(UINT64_C(1) << (rank % 64));
        left = own->levels[level][rank / 64];
        rank /= 64;
    }
}

/* The first free rank from `rank` on, or REGION_NONE. */
static uint32_t first_free(const fixed *own, uint32_t rank)
{
    uint32_t bits = own->count;
    uint32_t level = 0;
    uint64_t rest = 0;
    for (;;) {
        if (rank >= bits) {
            return REGION_NONE;
        }
        rest = own->levels[level][rank / 64] >> (rank % 64);
        if (rest != 0) {
            break;
        }
        if (level == own->depth) {
            return REGION_NONE;
        }
        rank = rank / 64 + 1;
        bits = words_for(bits);
        level++;
    }
    rank += base_ctz(rest);
    for (; level > 0; level--) {
        rank = rank * 64 + base_ctz(own->levels[level - 1][rank]);
    }
    return rank;
}

/* The last free rank, or REGION_NONE. */
static uint32_t last_free(const fixed *own)
{
    uint32_t rank = 0;
    for (uint32_t level = own->depth + 1; level > 0; level--) {
        const uint64_t word = own->levels[level - 1][rank];
        if (word == 0) {
            return REGION_NONE;
        }
        rank = rank * 64 + base_log2_floor(word);
    }
    return rank;
}

/* The first rank of at least `need` granules; own->count if none is so large. */
static uint32_t rank_for(const fixed *own, uint32_t need)
{
    if (need > own->largest) {
        return own->count;
    }
    uint32_t low = 0;
    uint32_t high = own->starts == NULL ? 0 : own->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (size_of(own, partition_of(own, middle)) < need) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Does one partition come before another in the order of ranks? */
static bool is_before(const fixed *own, uint32_t one, uint32_t other)
{
    const uint32_t size = size_of(own, one);
    const uint32_t other_size = size_of(own, other);
    return size != other_size ? size < other_size : one < other;
}

/* Lets a partition sink in the heap of the first `count` ones, whose last in order is on top. */
static void sink(fixed *own, uint32_t at, uint32_t count)
{
    const uint32_t sinking = own->ranked[at];
    for (;;) {
        uint32_t below = at * 2 + 1;
        if (below >= count) {
            break;
        }
        if (below + 1 < count && is_before(own, own->ranked[below], own->ranked[below + 1])) {
            below++;
        }
        if (!is_before(own, sinking, own->ranked[below])) {
            break;
        }
        own->ranked[at] = own->ranked[below];
        at = below;
    }
    own->ranked[at] = sinking;
}

/* Heapsort: no memory besides, and never more than n log n steps. */
static void sort_ranks(fixed *own)
{
    for (uint32_t i = 0; i < own->count; i++) {
        own->ranked[i] = i;
    }
    for (uint32_t i = own->count / 2; i > 0; i--) {
        sink(own, i - 1, own->count);
    }
    for (uint32_t left = own->count; left > 1; left--) {
        const uint32_t last = own->ranked[0];
        own->ranked[0] = own->ranked[left - 1];
        own->ranked[left - 1] = last;
        sink(own, 0, left - 1);
    }
    for (uint32_t i = 0; i < own->count; i++) {
        own->ranks[own->ranked[i]] = i;
    }
}

static void lay(region_range *range)
{
    const tarn_region_options *options = &range->region->options;
    const fixed_plan plan = plan_for(options, range->granules);
    fixed *own = (fixed *)(void *)range->index_memory;
    base_zero(own, sizeof *own);
    own->count = plan.count;
    own->largest = plan.largest;
    own->skip_size = skip_size_for(plan.largest);
    uint64_t *words =
        (uint64_t *)(void *)(range->index_memory + base_align_up(sizeof(fixed), sizeof(uint64_t)));
    uint32_t bits = plan.count;
    own->levels[0] = words;
    for (words += words_for(bits); words_for(bits) > 1; words += words_for(bits)) {
        bits = words_for(bits);
        own->levels[++own->depth] = words;
    }
    uint32_t *numbers = (uint32_t *)(void *)words;
    own->skips = (unsigned char *)(numbers + arrays_length(options, plan.count));
    if (options->sizes != NULL) {
        own->starts = numbers;
        own->ranked = own->starts + plan.count + 1;
        own->ranks = own->ranked + plan.count;
        own->starts[0] = 0;
        for (uint32_t i = 0; i < plan.count; i++) {
            own->starts[i + 1] =
                own->starts[i] + (uint32_t)granules_of(options->sizes[i], options->granule);
        }
        sort_ranks(own);
    }
    range->index.own = own;
}

static void open(region_range *range)
{
    if (range->index.own == NULL) {
        lay(range);
    }
    fixed *own = fixed_of(range);
    uint32_t bits = own->count;
    for (uint32_t level = 0; level <= own->depth; level++) {
        const uint32_t words = words_for(bits);
        for (uint32_t word = 0; word < words; word++) {
            own->levels[level][word] = UINT64_MAX;
        }
        if (bits % 64 != 0) {
            own->levels[level][words - 1] = (UINT64_C(1) << (bits % 64)) - 1;
        }
        bits = words;
    }
}

/* ------------------------------------------------------------------------------------------------
 * Blocks.
 */

/* A free partition for a request. */
typedef struct fixed_found {
    uint32_t rank; /* REGION_NONE: there is none */
    uint32_t partition;
    uint32_t skip; /* granules before the block */
} fixed_found;

/* The smallest one of `need` granules; whether the block fits behind the skip is another matter. */
static fixed_found smallest(const region_range *range, size_t need, size_t alignment)
{
    const fixed *own = fixed_of(range);
    fixed_found found = {REGION_NONE, 0, 0};
    if (need > own->largest) {
        return found;
    }
    found.rank = first_free(own, rank_for(own, (uint32_t)need));
    if (found.rank == REGION_NONE) {
        return found;
    }
    found.partition = partition_of(own, found.rank);
    const uintptr_t address = region_address(range, start_of(own, found.partition));
    const size_t skip = ((0 - address) & (alignment - 1)) >> range->shift;
    found.skip = skip > own->largest ? own->largest : (uint32_t)skip;
    return found;
}

static fixed_found find(const region_range *range, size_t size, size_t alignment)
{
    const size_t need = granules_of(size, (size_t)1 << range->shift);
    const fixed_found found = smallest(range, need, alignment);
    if (found.rank == REGION_NONE ||
        need + found.skip <= size_of(fixed_of(range), found.partition)) {
        return found;
    }
    /* Large enough wherever it begins. */
    return smallest(range, need + (alignment >> range->shift), alignment);
}

static uint32_t alloc(region_range *range, size_t size, size_t alignment)
{
    fixed *own = fixed_of(range);
    const fixed_found found = find(range, size, alignment);
    if (found.rank == REGION_NONE) {
        return REGION_NONE;
    }
    clear_free(own, found.rank);
    set_skip(own, found.partition, found.skip);
    region_give(range, size_of(own, found.partition));
    return start_of(own, found.partition) + found.skip;
}

/* The partition of the live block at `start`, or REGION_NONE. */
static uint32_t find_live(const region_range *range, uint32_t start)
{
    const fixed *own = fixed_of(range);
    const uint32_t partition = partition_with(own, start);
    if (partition == REGION_NONE || is_free(own, rank_of(own, partition)) ||
        start != start_of(own, partition) + skip_of(own, partition)) {
        return REGION_NONE;
    }
    return partition;
}

static uint32_t get_live(const region_range *range, uint32_t start)
{
    const fixed *own = fixed_of(range);
    const uint32_t live = find_live(range, start);
    if (base_unlikely(live == REGION_NONE)) {
        const uint32_t partition = partition_with(own, start);
        region_not_a_block(range, start,
                           partition != REGION_NONE && start == start_of(own, partition) &&
                               is_free(own, rank_of(own, partition)));
    }
    return live;
}

static void free_start(region_range *range, uint32_t start)
{
    fixed *own = fixed_of(range);
    const uint32_t partition = get_live(range, start);
    region_take(range, size_of(own, partition));
    set_free(own, rank_of(own, partition));
}

/* Bytes of a partition from granule `start` of the range on. */
static size_t bytes_from(const region_range *range, uint32_t partition, uint32_t start)
{
    return (size_t)(start_of(fixed_of(range), partition + 1) - start) << range->shift;
}

static bool resize(region_range *range, uint32_t start, size_t size)
{
    return size <= bytes_from(range, get_live(range, start), start);
}

static size_t room(region_range *range, uint32_t start)
{
    const uint32_t partition = find_live(range, start);
    return partition == REGION_NONE ? 0 : bytes_from(range, partition, start);
}

static size_t largest(region_range *range)
{
    const fixed *own = fixed_of(range);
    const uint32_t rank = last_free(own);
    return rank == REGION_NONE ? 0 : (size_t)size_of(own, partition_of(own, rank)) << range->shift;
}

/* The smallest that fits. */
static uint64_t rank(region_range *range, size_t size, size_t alignment)
{
    const fixed_found found = find(range, size, alignment);
    return found.rank == REGION_NONE ? UINT64_MAX : size_of(fixed_of(range), found.partition);
}

/* ------------------------------------------------------------------------------------------------
 * All of them.
 */

/* Has each level a bit for just those words below that are not 0? */
static bool levels_balance(const fixed *own)
{
    uint32_t words = words_for(own->count);
    for (uint32_t level = 1; level <= own->depth; level++) {
        for (uint32_t word = 0; word < words; word++) {
            const uint64_t above = own->levels[level][word / 64];
            if ((above >> (word % 64) & 1) != (own->levels[level - 1][word] != 0)) {
                return false;
            }
        }
        words = words_for(words);
    }
    return true;
}

/* Is a listed partition as large as it should be, and at its rank? */
static bool is_ranked(const region_range *range, uint32_t partition)
{
    const fixed *own = fixed_of(range);
    const tarn_region_options *options = &range->region->options;
    if (own->starts == NULL) {
        return true;
    }
    const uint32_t its = own->ranks[partition];
    if (size_of(own, partition) != granules_of(options->sizes[partition], options->granule) ||
        its >= own->count || own->ranked[its] != partition) {
        return false;
    }
    const uint32_t before = its == 0 ? partition : own->ranked[its - 1];
    return its == 0 || (before < own->count && is_before(own, before, partition));
}

static bool check(region_range *range, char *fault, size_t fault_size)
{
    const fixed *own = fixed_of(range);
    uint32_t blocks = 0;
    if (start_of(own, 0) != 0) {
        return region_fault(range, 0, "the first partition is not at the start", fault, fault_size);
    }
    for (uint32_t i = 0; i < own->count; i++) {
        if (!is_ranked(range, i)) {
            return region_fault(range, start_of(own, i), "a partition is not at its rank", fault,
                                fault_size);
        }
        const bool is_used = !is_free(own, rank_of(own, i));
        if (is_used && skip_of(own, i) >= size_of(own, i)) {
            return region_fault(range, start_of(own, i), "a block begins outside its partition",
                                fault, fault_size);
        }
        blocks += is_used;
    }
    if (blocks != range->blocks) {
        return region_fault(range, 0, "the count of blocks is wrong", fault, fault_size);
    }
    if (!levels_balance(own)) {
        return region_fault(range, 0, "the index is not that of the free partitions", fault,
                            fault_size);
    }
    return true;
}

static bool visit(region_range *range, tarn_partition_visitor *visitor, void *context)
{
    const fixed *own = fixed_of(range);
    for (uint32_t i = 0; i < own->count; i++) {
        const bool free = is_free(own, rank_of(own, i));
        const uint32_t start = start_of(own, i) + (free ? 0 : skip_of(own, i));
        if (!region_show(range, start, bytes_from(range, i, start), free, visitor, context)) {
            return false;
        }
    }
    return true;
}

const region_policy region_fixed = {
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
