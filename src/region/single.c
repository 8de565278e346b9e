/* SPDX-License-Identifier: MIT */
#include "base/bits.h"
#include "base/check.h"
#include "region/range.h"

/*
 * Single: one partition, the whole range.
 *
 *     [ what an alignment skips | block                ]
 *                               ^ start
 *
 * Invariant: `start` is that of the block, or REGION_NONE while there is none.
 */
typedef struct single {
    uint32_t start;
} single;

static single *single_of(const region_range *range)
{
    return range->index.own;
}

static size_t index_size(const tarn_region_options *options, uint32_t granules)
{
    (void)options;
    (void)granules;
    return base_align_up(sizeof(single), 16);
}

static uint32_t anchors(const tarn_region_options *options, uint32_t granules)
{
    (void)options;
    (void)granules;
    return 0;
}

static void open(region_range *range)
{
    single *own = (single *)(void *)range->index_memory;
    own->start = REGION_NONE;
    range->index.own = own;
}

static size_t bytes_from(const region_range *range, uint32_t start)
{
    return (size_t)(range->granules - start) << range->shift;
}

/* Where a block would begin, or REGION_NONE if it does not fit. */
static uint32_t place_for(const region_range *range, size_t size, size_t alignment)
{
    const size_t skip = (0 - range->base) & (alignment - 1);
    const size_t whole = bytes_from(range, 0);
    if (skip >= whole || size > whole - skip) {
        return REGION_NONE;
    }
    /* An alignment below the granule skips nothing. */
    return (uint32_t)(skip >> range->shift);
}

static uint32_t alloc(region_range *range, size_t size, size_t alignment)
{
    single *own = single_of(range);
    if (own->start != REGION_NONE) {
        return REGION_NONE;
    }
    own->start = place_for(range, size, alignment);
    if (own->start != REGION_NONE) {
        region_give(range, range->granules);
    }
    return own->start;
}

static void check_live(const region_range *range, uint32_t start)
{
    const single *own = single_of(range);
    if (base_unlikely(own->start != start)) {
        region_not_a_block(range, start, own->start == REGION_NONE && start == 0);
    }
}

static void free_start(region_range *range, uint32_t start)
{
    check_live(range, start);
    single_of(range)->start = REGION_NONE;
    region_take(range, range->granules);
}

static bool resize(region_range *range, uint32_t start, size_t size)
{
    check_live(range, start);
    return size <= bytes_from(range, start);
}

static size_t room(region_range *range, uint32_t start)
{
    return single_of(range)->start == start ? bytes_from(range, start) : 0;
}

static size_t largest(region_range *range)
{
    return single_of(range)->start == REGION_NONE ? bytes_from(range, 0) : 0;
}

/* The smallest partition that fits. */
static uint64_t rank(region_range *range, size_t size, size_t alignment)
{
    const bool fits =
        single_of(range)->start == REGION_NONE && place_for(range, size, alignment) != REGION_NONE;
    return fits ? range->granules : UINT64_MAX;
}

static bool check(region_range *range, char *fault, size_t fault_size)
{
    const single *own = single_of(range);
    const bool is_used = own->start != REGION_NONE;
    if (is_used && own->start >= range->granules) {
        return region_fault(range, 0, "the block begins past the end of the range", fault,
                            fault_size);
    }
    if (range->blocks != is_used) {
        return region_fault(range, 0, "the count of blocks is wrong", fault, fault_size);
    }
    return true;
}

static bool visit(region_range *range, tarn_partition_visitor *visitor, void *context)
{
    const bool is_free = single_of(range)->start == REGION_NONE;
    const uint32_t start = is_free ? 0 : single_of(range)->start;
    return region_show(range, start, bytes_from(range, start), is_free, visitor, context);
}

const region_policy region_single = {
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
