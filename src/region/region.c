/* SPDX-License-Identifier: MIT */
#include "base/bits.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/freestanding.h"
#include "base/record.h"
#include "base/text.h"
#include "heap/watch.h"
#include "region/fixed.h"
#include "region/outside.h"
#include "region/range.h"
#include "region/segregated.h"
#if !TARN_FREESTANDING
#include "tarn/heaps.h"
#endif

/*
 * The front of all policies: ranges, addresses, the books of the region and what strangers say.
 *
 *     inside     range.memory
 *                [ region_range | index | anchors | partitions ...                     | end ]
 *                                                 ^ nodes, base
 *
 *     outside    books                     records
 *                [ region_range | index ]  [ anchors | records ]  [ buckets ]
 *                                                    ^ nodes
 *                range.memory (never touched)
 *                [ partitions ... ]
 *                ^ base
 *
 * Invariant: the ranges are in the order of addresses and do not overlap.
 */

/* What this build has: a bit `1 << policy` for each policy, and `1 << books` for each way of keeping
 * the books. Of what is left out nothing refers to the code, so that the linker can drop it. */
#ifndef TARN_REGION_POLICIES
#define TARN_REGION_POLICIES UINT32_MAX
#endif
#ifndef TARN_REGION_BOOKS
#define TARN_REGION_BOOKS UINT32_MAX
#endif
#define HAS_POLICY(policy) (((uint32_t)(TARN_REGION_POLICIES) >> (policy)&1) != 0)
#define HAS_BOOKS(books) (((uint32_t)(TARN_REGION_BOOKS) >> (books)&1) != 0)

enum { PARTITIONS_DEFAULT = 64, BUDDY_GRANULE = 64, GRANULE_MIN = 8 };

static tarn_region *region_of(tarn_heap *heap)
{
    return (tarn_region *)(void *)heap;
}

/* ------------------------------------------------------------------------------------------------
 * Messages.
 */
static const void *block_at(const region_range *range, uint32_t start)
{
    uintptr_t address = region_address(range, start) + range->tag;
    if (!range->region->has_memory) {
        address -= range->region->origin;
    }
    return (const void *)address;
}

void region_not_a_block(const region_range *range, uint32_t start, bool is_free)
{
    const char *what = is_free ? "double free"
                       : range->tag != 0
                           ? "not a block of this region, or the bytes before it were overwritten"
                           : "not a block of this region";
    base_fatal(what, range->region->heap.name, block_at(range, start));
}

void region_overwritten(const region_range *range, uint32_t start)
{
    base_fatal("the bytes behind the block were overwritten", range->region->heap.name,
               block_at(range, start));
}

void region_links_overwritten(const region_range *range, uint32_t start)
{
    base_fatal("the links of a free block were overwritten", range->region->heap.name,
               block_at(range, start));
}

void region_before_overwritten(const region_range *range, uint32_t start)
{
    base_fatal("the free block before this one was overwritten", range->region->heap.name,
               block_at(range, start));
}

bool region_fault(const region_range *range, uint32_t start, const char *what, char *fault,
                  size_t fault_size)
{
    base_text text = base_text_in(fault, fault_size);
    base_text_add(&text, what);
    base_text_add(&text, ", at offset ");
    base_text_add_number(&text, region_address(range, start) + range->tag - range->region->origin,
                         10);
    return false;
}

bool region_show(const region_range *range, uint32_t start, size_t bytes, bool is_free,
                 tarn_partition_visitor *visitor, void *context)
{
    const uintptr_t address = region_address(range, start) + range->tag;
    const tarn_partition partition = {
        .block = range->region->has_memory ? (void *)address : NULL,
        .offset = address - range->region->origin,
        .size = bytes,
        .is_free = is_free,
    };
    return visitor(context, &partition);
}

/* ------------------------------------------------------------------------------------------------
 * Watching: what Valgrind and AddressSanitizer are told.
 */
static void watch_begin(const tarn_region *region)
{
    if (base_unlikely(region->is_watched)) {
        heap_watch_pause();
    }
}

static void watch_end(const tarn_region *region)
{
    if (base_unlikely(region->is_watched)) {
        heap_watch_resume();
    }
}

/* What of a range is blocks and tags. */
static size_t managed_bytes(const region_range *range)
{
    return ((size_t)range->granules << range->shift) + range->tag;
}

static void hide_all(const region_range *range)
{
    if (range->region->is_watched) {
        heap_watch_hide((const void *)range->base, managed_bytes(range));
    }
}

static void show_all(const region_range *range)
{
    if (range->region->is_watched) {
        heap_watch_show((const void *)range->base, managed_bytes(range));
    }
}

/* ------------------------------------------------------------------------------------------------
 * Ranges.
 */
static bool is_outside(const tarn_region_options *options)
{
    return !HAS_BOOKS(TARN_BOOKS_INSIDE) ||
           (HAS_BOOKS(TARN_BOOKS_OUTSIDE) && options->books == TARN_BOOKS_OUTSIDE);
}

/* Constants in a build that leaves something out. */
#define ONE_OF(policy, inside, outside)                                                            \
    (HAS_POLICY(policy) ? is_outside(options) ? &(outside) : &(inside) : NULL)
#define ONLY(policy, it) (HAS_POLICY(policy) ? &(it) : NULL)

/* `size` is that of the first range, in bytes. NULL if this build has no such policy. */
static const region_policy *policy_of(const tarn_region_options *options, size_t size)
{
    switch (options->policy) {
    case TARN_BEST_FIT:
        return ONE_OF(TARN_BEST_FIT, region_best_inside, region_best_outside);
    case TARN_FIRST_FIT:
        return ONE_OF(TARN_FIRST_FIT, region_first_inside, region_first_outside);
    case TARN_NEXT_FIT:
        return ONE_OF(TARN_NEXT_FIT, region_next_inside, region_next_outside);
    case TARN_WORST_FIT:
        return ONE_OF(TARN_WORST_FIT, region_worst_inside, region_worst_outside);
    case TARN_SEGREGATED_FIT:
        if (region_steps_log2((uint32_t)(size / options->granule < INT32_MAX
                                             ? size / options->granule
                                             : INT32_MAX)) == region_steps_log2(INT32_MAX)) {
            return ONE_OF(TARN_SEGREGATED_FIT, region_segregated_inside, region_segregated_outside);
        }
        return ONE_OF(TARN_SEGREGATED_FIT, region_coarse_inside, region_coarse_outside);
    case TARN_BUDDY:
        return ONLY(TARN_BUDDY, region_buddy);
    case TARN_FIXED_PARTITIONS:
        return ONLY(TARN_FIXED_PARTITIONS, region_fixed);
    case TARN_SINGLE:
        return ONLY(TARN_SINGLE, region_single);
    }
    return NULL;
}

/* Partitions begin with a tag, or have a record. */
static bool is_dynamic(const tarn_region_options *options)
{
    return options->policy != TARN_BUDDY && options->policy != TARN_FIXED_PARTITIONS &&
           options->policy != TARN_SINGLE;
}

static uint32_t new_salt(tarn_region *region)
{
    /* No secret, but different in each region, range and life of it. */
    region->seed = (region->seed ^ region->seed >> 16) * 0x7FEB352DU + 0x9E3779B9U;
    return region->seed;
}

/* How many granules fit into so many bytes; TARN_TOO_LARGE if there are more than refs reach. */
static tarn_status count_granules(size_t bytes, uint32_t shift, uint32_t *granules)
{
    if (bytes >> shift == 0) {
        return TARN_NO_ROOM;
    }
    if (bytes >> shift > INT32_MAX) {
        return TARN_TOO_LARGE;
    }
    *granules = (uint32_t)(bytes >> shift);
    return TARN_OK;
}

/* Do so many granules hold one of the fixed partitions, if it is these that are asked for? */
static bool has_partition(const tarn_region_options *options, uint32_t granules)
{
    return !HAS_POLICY(TARN_FIXED_PARTITIONS) || options->policy != TARN_FIXED_PARTITIONS ||
           region_fixed_count(options, granules) != 0;
}

/* Divides a range that has its books inside, and puts its struct at its start. */
static tarn_status lay_inside(tarn_region *region, tarn_memory memory, region_range **result)
{
    const tarn_region_options *options = &region->options;
    const size_t granule = options->granule;
    const uint32_t tag = is_dynamic(options) ? REGION_TAG : 0;
    const uintptr_t end = (uintptr_t)memory.start + memory.size;
    const uintptr_t first = base_align_up((uintptr_t)memory.start, _Alignof(max_align_t));
    uint32_t granules;
    tarn_status status = count_granules(memory.size, base_ctz(granule), &granules);
    if (status != TARN_OK) {
        return status;
    }
    const uint32_t anchors = region->policy->anchors(options, granules);
    /* The index is made for what the range would have without it. */
    size_t size = base_align_up(sizeof(region_range), 16);
    const size_t index_at = size;
    size += region->policy->index_size(options, granules) + (size_t)anchors * granule;
    const uintptr_t base = base_align_up(first + size + tag, granule) - tag;
    if (first < (uintptr_t)memory.start || first + size < first || base < first ||
        base + tag >= end) {
        return TARN_NO_ROOM;
    }
    status = count_granules(end - base - tag, base_ctz(granule), &granules);
    if (status != TARN_OK) {
        return status;
    }
    if (is_dynamic(options) && granules < REGION_INSIDE_MIN) {
        return TARN_NO_ROOM;
    }
    if (!has_partition(options, granules)) {
        return TARN_NO_ROOM;
    }
    region_range *range = (region_range *)first;
    base_zero(range, sizeof *range);
    range->nodes = (unsigned char *)base;
    range->granules = granules;
    range->base = base;
    range->tag = tag;
    range->index_memory = (unsigned char *)first + index_at;
    *result = range;
    return TARN_OK;
}

/* Buckets for so many records, as a power of two: chains are of one or two. */
static unsigned bucket_bits(uint32_t capacity)
{
    const unsigned bits = base_log2_ceil(capacity);
    return bits < 4 ? 4 : bits;
}

/* What outside books consist of, in bytes. */
typedef struct outside_plan {
    size_t head;    /* struct and index */
    size_t records; /* anchors and records */
    size_t buckets;
    uint32_t anchors;
    uint32_t capacity;
} outside_plan;

static void plan_records(outside_plan *plan, uint32_t capacity)
{
    plan->capacity = capacity;
    plan->records = ((size_t)plan->anchors + capacity) << REGION_RECORD_SHIFT;
    plan->buckets = sizeof(uint32_t) << bucket_bits(capacity);
}

/* The largest capacity that fits into the caller's memory for books; false if none does. */
static bool fit_records(outside_plan *plan, size_t room)
{
    uint32_t capacity = room >> REGION_RECORD_SHIFT > INT32_MAX / 2
                            ? INT32_MAX / 2
                            : (uint32_t)(room >> REGION_RECORD_SHIFT);
    for (; capacity > OUTSIDE_SPARE; capacity -= capacity / 16 + 1) {
        plan_records(plan, capacity);
        if (plan->head <= room && plan->records <= room - plan->head &&
            plan->buckets <= room - plan->head - plan->records) {
            return true;
        }
    }
    return false;
}

static void fill_outside(region_range *range, const outside_plan *plan, unsigned char *records,
                         unsigned char *buckets, bool is_fixed)
{
    range->nodes = records + ((size_t)plan->anchors << REGION_RECORD_SHIFT);
    range->records.buckets = (uint32_t *)(void *)buckets;
    range->records.bucket_shift = 32 - bucket_bits(plan->capacity);
    range->records.capacity = plan->capacity;
    range->records.anchors = plan->anchors;
    range->records.block = is_fixed ? NULL : records;
    range->records.block_size = plan->records;
    range->records.bucket_size = plan->buckets;
    range->records.is_fixed = is_fixed;
}

/* Makes the books of a range that is not to be touched. */
static tarn_status lay_outside(tarn_region *region, tarn_memory memory, tarn_memory book_memory,
                               region_range **result)
{
    const tarn_region_options *options = &region->options;
    const size_t granule = options->granule;
    const uintptr_t start = (uintptr_t)memory.start;
    const uintptr_t base = region->has_memory ? base_align_up(start, granule) : start;
    uint32_t granules;
    if (base < start || base - start >= memory.size) {
        return TARN_NO_ROOM;
    }
    const tarn_status status =
        count_granules(memory.size - (base - start), base_ctz(granule), &granules);
    if (status != TARN_OK) {
        return status;
    }
    if (!has_partition(options, granules)) {
        return TARN_NO_ROOM;
    }
    outside_plan plan;
    base_zero(&plan, sizeof plan);
    plan.anchors = region->policy->anchors(options, granules);
    plan.head =
        base_align_up(sizeof(region_range), 16) + region->policy->index_size(options, granules);
    unsigned char *books;
    unsigned char *records = NULL;
    unsigned char *buckets = NULL;
    const bool is_fixed = book_memory.start != NULL;
    if (is_fixed) {
        const size_t skip = (0 - (uintptr_t)book_memory.start) & 15;
        const size_t room = book_memory.size < skip ? 0 : book_memory.size - skip;
        books = (unsigned char *)book_memory.start + skip;
        if (is_dynamic(options) ? !fit_records(&plan, room) : plan.head > room) {
            return TARN_NO_ROOM;
        }
        records = books + plan.head;
        buckets = records + plan.records;
    } else {
        tarn_heap *upstream = options->upstream;
        books = tarn_heap_alloc(upstream, plan.head, 16);
        if (books == NULL) {
            return TARN_NO_MEMORY;
        }
        if (is_dynamic(options)) {
            plan_records(&plan, (uint32_t)options->partitions + OUTSIDE_SPARE);
            records = tarn_heap_alloc(upstream, plan.records, 16);
            buckets = tarn_heap_alloc(upstream, plan.buckets, 16);
            if (records == NULL || buckets == NULL) {
                tarn_heap_free(upstream, records, plan.records);
                tarn_heap_free(upstream, buckets, plan.buckets);
                tarn_heap_free(upstream, books, plan.head);
                return TARN_NO_MEMORY;
            }
        }
    }
    region_range *range = (region_range *)(void *)books;
    base_zero(range, sizeof *range);
    range->granules = granules;
    range->base = base;
    range->index_memory = books + base_align_up(sizeof(region_range), 16);
    range->books = is_fixed ? NULL : books;
    range->books_size = plan.head;
    if (is_dynamic(options)) {
        fill_outside(range, &plan, records, buckets, is_fixed);
    }
    *result = range;
    return TARN_OK;
}

static size_t outside_books_size(const region_range *range)
{
    if (range->books == NULL) {
        return 0;
    }
    return range->books_size + range->records.block_size + range->records.bucket_size;
}

/* Gives back what a range holds. */
static void drop_range(region_range *range)
{
    const tarn_region *region = range->region;
    tarn_heap *upstream = region->options.upstream;
    show_all(range);
    const tarn_memory memory = range->memory;
    const bool is_owned = range->is_owned;
    if (range->books != NULL) {
        const region_records *records = &range->records;
        if (records->block != NULL) {
            tarn_heap_free(upstream, records->block, records->block_size);
            tarn_heap_free(upstream, records->buckets, records->bucket_size);
        }
        /* The range is in there. */
        tarn_heap_free(upstream, range->books, range->books_size);
    }
    if (is_owned) {
        tarn_heap_free(upstream, memory.start, memory.size);
    }
}

/* After every change of the ranges: the shortest way that serves. */
static void choose_way(tarn_region *region)
{
    region->is_alone = !region->is_watched && region->record == 0 && region->ranges->next == NULL;
    const bool is_plain = region->has_memory && region->is_alone;
    region->take =
        is_plain && region->policy->take != NULL ? region->policy->take : region_alloc_slow;
    region->give =
        is_plain && region->policy->give != NULL ? region->policy->give : region_free_slow;
}

static bool overlaps(tarn_memory one, tarn_memory other)
{
    const uintptr_t a = (uintptr_t)one.start;
    const uintptr_t b = (uintptr_t)other.start;
    return a < b ? b - a < one.size : a - b < other.size;
}

/* Makes a range of `memory` and puts it among the others. */
static tarn_status add_range(tarn_region *region, tarn_memory memory, tarn_memory book_memory)
{
    const bool inside = !is_outside(&region->options);
    if (memory.size > PTRDIFF_MAX) {
        return TARN_TOO_LARGE;
    }
    const bool is_owned = memory.start == NULL && region->has_memory;
    const bool needs_upstream = is_owned || (!inside && book_memory.start == NULL);
    if (needs_upstream && region->options.upstream == NULL) {
        return TARN_BAD_ARGUMENT;
    }
    if (is_owned) {
        if (memory.size == 0) {
            return TARN_NO_ROOM;
        }
        memory.start = tarn_heap_alloc(region->options.upstream, memory.size, 0);
        if (memory.start == NULL) {
            return TARN_NO_MEMORY;
        }
    } else if ((uintptr_t)memory.start + memory.size < (uintptr_t)memory.start) {
        return TARN_BAD_ARGUMENT;
    }
    region_range **place = &region->ranges;
    for (; *place != NULL; place = &(*place)->next) {
        if (overlaps((*place)->memory, memory)) {
            return TARN_BAD_ARGUMENT;
        }
        if ((uintptr_t)(*place)->memory.start > (uintptr_t)memory.start) {
            break;
        }
    }
    region_range *range = NULL;
    const tarn_status status = inside ? lay_inside(region, memory, &range)
                                      : lay_outside(region, memory, book_memory, &range);
    if (status != TARN_OK) {
        if (is_owned) {
            tarn_heap_free(region->options.upstream, memory.start, memory.size);
        }
        return status;
    }
    range->shift = base_ctz(region->options.granule);
    range->largest = ((size_t)range->granules << range->shift) - range->tag;
    range->region = region;
    range->memory = memory;
    range->is_owned = is_owned;
    range->salt = new_salt(region);
    range->next = *place;
    *place = range;
    region->policy->open(range);
    choose_way(region);
    region->footprint += (region->has_memory ? memory.size : 0) + outside_books_size(range);
    if (region->footprint > region->peak_footprint) {
        region->peak_footprint = region->footprint;
    }
    hide_all(range);
    return TARN_OK;
}

/* The range that has `address` among its partitions, or NULL. */
static inline region_range *range_at(const tarn_region *region, uintptr_t address)
{
    region_range *range = region->ranges;
    while (range != NULL && address - range->base >= (uintptr_t)range->granules << range->shift) {
        range = range->next;
    }
    return range;
}

/* ------------------------------------------------------------------------------------------------
 * Init and deinit.
 */
static const tarn_heap_ops ops;

static tarn_heap *default_upstream(void)
{
#if TARN_FREESTANDING
    return NULL;
#else
    return tarn_pages_heap();
#endif
}

static tarn_status fill_options(tarn_region_options *options)
{
    const bool outside = options->books == TARN_BOOKS_OUTSIDE;
    if ((!outside && options->books != TARN_BOOKS_INSIDE) || options->policy > TARN_SINGLE) {
        return TARN_BAD_ARGUMENT;
    }
    if (!outside && (options->book_memory.start != NULL || options->partitions != 0)) {
        return TARN_BAD_ARGUMENT;
    }
    const bool is_fixed = options->policy == TARN_FIXED_PARTITIONS;
    if (!is_fixed &&
        (options->partition_size != 0 || options->sizes != NULL || options->size_count != 0)) {
        return TARN_BAD_ARGUMENT;
    }
    if (is_fixed) {
        if ((options->partition_size != 0) == (options->sizes != NULL) ||
            (options->sizes != NULL) != (options->size_count != 0)) {
            return options->partition_size == 0 && options->sizes == NULL ? TARN_BAD_LAYOUT
                                                                          : TARN_BAD_ARGUMENT;
        }
        for (size_t i = 0; i < options->size_count; i++) {
            if (options->sizes[i] == 0) {
                return TARN_BAD_LAYOUT;
            }
            if (options->sizes[i] > PTRDIFF_MAX) {
                return TARN_TOO_LARGE;
            }
        }
        if (options->partition_size > PTRDIFF_MAX) {
            return TARN_TOO_LARGE;
        }
    }
    if (options->granule == 0) {
        options->granule = options->policy == TARN_BUDDY ? BUDDY_GRANULE : REGION_GRANULE;
    } else if (!base_is_power_of_two(options->granule) || options->granule < GRANULE_MIN) {
        return TARN_BAD_LAYOUT;
    } else if (!outside && options->policy != TARN_BUDDY) {
        return TARN_BAD_ARGUMENT;
    }
    options->name = options->name != NULL ? options->name : "region";
    options->upstream = options->upstream != NULL ? options->upstream : default_upstream();
    if (options->partitions < PARTITIONS_DEFAULT) {
        options->partitions = PARTITIONS_DEFAULT;
    }
    /* Records and buckets must be countable in bytes, which where sizes have 32 bits is less. */
    if (options->partitions > INT32_MAX / 2 ||
        options->partitions > PTRDIFF_MAX >> (REGION_RECORD_SHIFT + 1)) {
        return TARN_TOO_LARGE;
    }
    return TARN_OK;
}

tarn_status tarn_region_init(tarn_region *region, tarn_memory range,
                             const tarn_region_options *options)
{
    base_zero(region, sizeof *region);
    if (options != NULL) {
        base_copy(&region->options, options, sizeof *options);
    }
    const tarn_status status = fill_options(&region->options);
    if (status != TARN_OK) {
        return status;
    }
    region->heap = (tarn_heap){&ops, region->options.name};
    region->policy = policy_of(&region->options, range.size);
    if (region->policy == NULL || !HAS_BOOKS(region->options.books)) {
        return TARN_UNSUPPORTED;
    }
    region->has_memory = range.start != NULL || region->options.books == TARN_BOOKS_INSIDE;
    /* A range with its books outside is not touched, nor is what the tools keep of it. */
    region->is_watched = region->options.books == TARN_BOOKS_INSIDE && heap_watch_is_on();
    region->seed = (uint32_t)((uintptr_t)region >> 4) ^ (uint32_t)((uintptr_t)range.start >> 12);
    if (region->has_memory) {
        region->record =
            base_record_open(&region->heap, region->options.upstream, "region", region->heap.name);
    }
    const tarn_status added = add_range(region, range, region->options.book_memory);
    if (added != TARN_OK) {
        base_record_close(region->record);
        return added;
    }
    region->origin = region->has_memory ? (uintptr_t)region->ranges->memory.start : 0;
    return TARN_OK;
}

void tarn_region_deinit(tarn_region *region)
{
    base_record_close(region->record);
    watch_begin(region);
    region_range *range = region->ranges;
    while (range != NULL) {
        region_range *next = range->next;
        drop_range(range);
        range = next;
    }
    watch_end(region);
    base_zero(region, sizeof *region);
}

tarn_status tarn_region_add(tarn_region *region, tarn_memory range)
{
    if (!region->has_memory) {
        return TARN_BAD_ARGUMENT;
    }
    if (range.start == NULL && region->options.books == TARN_BOOKS_OUTSIDE) {
        return TARN_BAD_ARGUMENT;
    }
    return add_range(region, range, (tarn_memory){NULL, 0});
}

tarn_status tarn_region_remove(tarn_region *region, const void *address)
{
    region_range **place = &region->ranges;
    while (*place != NULL &&
           (uintptr_t)address - (uintptr_t)(*place)->memory.start >= (*place)->memory.size) {
        place = &(*place)->next;
    }
    region_range *range = *place;
    if (range == NULL || (place == &region->ranges && range->next == NULL)) {
        return TARN_BAD_ARGUMENT;
    }
    if (range->blocks != 0) {
        return TARN_NO_ROOM;
    }
    *place = range->next;
    choose_way(region);
    region->footprint -= range->memory.size + outside_books_size(range);
    drop_range(range);
    return TARN_OK;
}

/* ------------------------------------------------------------------------------------------------
 * Blocks, by address.
 */

/* The most promising range first; those that an alignment made a disappointment last. */
static uint32_t alloc_from_many(tarn_region *region, size_t size, size_t alignment,
                                region_range **result)
{
    region_range *best = NULL;
    uint64_t best_rank = UINT64_MAX;
    for (region_range *range = region->ranges; range != NULL; range = range->next) {
        const uint64_t rank = region->policy->rank(range, size, alignment);
        if (rank < best_rank) {
            best = range;
            best_rank = rank;
        }
    }
    if (best == NULL) {
        return REGION_NONE;
    }
    uint32_t start = region->policy->alloc(best, size, alignment);
    *result = best;
    for (region_range *range = region->ranges; range != NULL && start == REGION_NONE;
         range = range->next) {
        if (range != best) {
            start = region->policy->alloc(range, size, alignment);
            *result = range;
        }
    }
    return start;
}

/* The address of a new block, or 0 and `is_served` false. */
static inline uintptr_t alloc(tarn_region *region, size_t size, size_t alignment, bool *is_served)
{
    region_range *range = region->ranges;
    uint32_t start;
    watch_begin(region);
    if (base_likely(range->next == NULL)) {
        start = region->policy->alloc(range, size, alignment);
    } else {
        start = alloc_from_many(region, size, alignment, &range);
    }
    *is_served = start != REGION_NONE;
    uintptr_t address = 0;
    if (base_likely(*is_served)) {
        address = region_address(range, start) + range->tag;
        if (base_unlikely(region->is_watched)) {
            heap_watch_give((const void *)address, region->policy->room(range, start));
        }
    } else {
        region->failures++;
    }
    watch_end(region);
    base_record_alloc(region->record, (const void *)address, size, alignment);
    return address;
}

/* The range and start of what should be a block; what cannot be one does not return. */
static inline region_range *find(const tarn_region *region, uintptr_t address, uint32_t *start)
{
    region_range *range = region->ranges;
    uintptr_t distance = address - range->base - range->tag;
    if (base_unlikely(distance >= (uintptr_t)range->granules << range->shift)) {
        range = range_at(region, address - range->tag);
        TARN_CHECK(range != NULL, "not a block of this region", region->heap.name,
                   (const void *)(region->has_memory ? address : address - region->origin));
        distance = address - range->base - range->tag;
    }
    TARN_CHECK((distance & (((uintptr_t)1 << range->shift) - 1)) == 0, "not a block of this region",
               region->heap.name,
               (const void *)(region->has_memory ? address : address - region->origin));
    *start = (uint32_t)(distance >> range->shift);
    return range;
}

static inline void give_back(tarn_region *region, uintptr_t address)
{
    uint32_t start;
    region_range *range = find(region, address, &start);
    base_record_free(region->record, (const void *)address);
    watch_begin(region);
    const size_t room = base_unlikely(region->is_watched) ? region->policy->room(range, start) : 0;
    region->policy->free(range, start);
    if (base_unlikely(room != 0)) {
        heap_watch_take((const void *)address, room);
    }
    watch_end(region);
}

static bool resize(tarn_region *region, uintptr_t address, size_t size)
{
    uint32_t start;
    region_range *range = find(region, address, &start);
    watch_begin(region);
    const size_t old = region->is_watched ? region->policy->room(range, start) : 0;
    const bool is_resized =
        size <= PTRDIFF_MAX && region->policy->resize(range, start, size == 0 ? 1 : size);
    if (is_resized && region->is_watched) {
        heap_watch_resize((const void *)address, old, (const void *)address,
                          region->policy->room(range, start));
    }
    watch_end(region);
    if (is_resized) {
        base_record_free(region->record, (const void *)address);
        base_record_alloc(region->record, (const void *)address, size, 0);
    }
    return is_resized;
}

static size_t room(const tarn_region *region, uintptr_t address)
{
    uint32_t start;
    region_range *range = find(region, address, &start);
    watch_begin(region);
    const size_t size = region->policy->room(range, start);
    watch_end(region);
    if (size == 0) {
        /* No live block: to free it says what is wrong, and does not return. */
        region->policy->free(range, start);
    }
    return size;
}

/* What a stranger may ask for: the alignment completed, or 0 if it is none. */
static inline size_t served_alignment(size_t size, size_t alignment)
{
    alignment = alignment == 0 ? _Alignof(max_align_t) : alignment;
    return size <= PTRDIFF_MAX && base_is_power_of_two(alignment) ? alignment : 0;
}

void *region_alloc_slow(tarn_region *region, size_t size, size_t alignment)
{
    bool is_served = false;
    alignment = served_alignment(size, alignment);
    if (base_unlikely(alignment == 0 || !region->has_memory)) {
        region->failures++;
        return NULL;
    }
    return (void *)alloc(region, size == 0 ? 1 : size, alignment, &is_served);
}

void region_free_slow(tarn_region *region, void *block)
{
    if (block != NULL) {
        give_back(region, (uintptr_t)block);
    }
}

void *tarn_region_alloc(tarn_region *region, size_t size, size_t alignment)
{
    return region->take(region, size, alignment);
}

void tarn_region_free(tarn_region *region, void *block)
{
    region->give(region, block);
}

bool tarn_region_resize(tarn_region *region, void *block, size_t size)
{
    return resize(region, (uintptr_t)block, size);
}

size_t tarn_region_room(tarn_region *region, const void *block)
{
    return room(region, (uintptr_t)block);
}

size_t tarn_region_alloc_offset(tarn_region *region, size_t size, size_t alignment)
{
    region_range *range = region->ranges;
    if (base_likely(region->is_alone && region_is_small_alignment(alignment) &&
                    size - 1 < range->largest)) {
        const uint32_t start =
            region->policy->alloc(range, size, alignment == 0 ? REGION_GRANULE : alignment);
        if (base_likely(start != REGION_NONE)) {
            return region_address(range, start) + range->tag - region->origin;
        }
        region->failures++;
        return TARN_NO_OFFSET;
    }
    bool is_served = false;
    alignment = served_alignment(size, alignment);
    if (base_unlikely(alignment == 0)) {
        region->failures++;
        return TARN_NO_OFFSET;
    }
    const uintptr_t address = alloc(region, size == 0 ? 1 : size, alignment, &is_served);
    return is_served ? address - region->origin : TARN_NO_OFFSET;
}

void tarn_region_free_offset(tarn_region *region, size_t offset)
{
    region_range *range = region->ranges;
    const uintptr_t distance = region->origin + offset - range->base - range->tag;
    const uintptr_t rest = distance & (((uintptr_t)1 << range->shift) - 1);
    if (base_likely(region->is_alone && rest == 0 && distance < range->largest)) {
        region->policy->free(range, (uint32_t)(distance >> range->shift));
        return;
    }
    give_back(region, region->origin + offset);
}

bool tarn_region_resize_offset(tarn_region *region, size_t offset, size_t size)
{
    return resize(region, region->origin + offset, size);
}

size_t tarn_region_room_offset(tarn_region *region, size_t offset)
{
    return room(region, region->origin + offset);
}

/* ------------------------------------------------------------------------------------------------
 * The region as a whole.
 */
void tarn_region_reset(tarn_region *region)
{
    base_record_reset(region->record);
    watch_begin(region);
    for (region_range *range = region->ranges; range != NULL; range = range->next) {
        range->blocks = 0;
        range->salt = new_salt(region);
        show_all(range);
        region->policy->open(range);
        hide_all(range);
    }
    region->live = 0;
    region->rover = 0;
    watch_end(region);
}

size_t tarn_region_largest_free(tarn_region *region)
{
    size_t largest = 0;
    watch_begin(region);
    for (region_range *range = region->ranges; range != NULL; range = range->next) {
        const size_t size = region->policy->largest(range);
        largest = size > largest ? size : largest;
    }
    watch_end(region);
    return largest;
}

size_t tarn_region_exact(const tarn_region *region)
{
    if (region->options.policy != TARN_BEST_FIT) {
        return 0;
    }
    const region_range *range = region->ranges;
    return ((size_t)(range->index.lists.count - 1) << range->shift) - range->tag;
}

tarn_stats tarn_region_stats(tarn_region *region)
{
    uint64_t blocks = 0;
    for (const region_range *range = region->ranges; range != NULL; range = range->next) {
        blocks += range->blocks;
    }
    return (tarn_stats){
        .live = (size_t)region->live * region->options.granule,
        .peak_live = (size_t)region->peak_live * region->options.granule,
        .footprint = region->footprint,
        .peak_footprint = region->peak_footprint,
        .largest_free = tarn_region_largest_free(region),
        .blocks = blocks,
        .allocs = region->allocs,
        .frees = region->allocs - blocks,
        .failures = region->failures,
    };
}

bool tarn_region_check(tarn_region *region, char *fault, size_t fault_size)
{
    char nowhere[1];
    if (fault == NULL || fault_size == 0) {
        fault = nowhere;
        fault_size = sizeof nowhere;
    }
    fault[0] = '\0';
    bool is_right = true;
    watch_begin(region);
    for (region_range *range = region->ranges; range != NULL && is_right; range = range->next) {
        is_right = region->policy->check(range, fault, fault_size);
    }
    watch_end(region);
    return is_right;
}

void tarn_region_visit(tarn_region *region, tarn_partition_visitor *visitor, void *context)
{
    watch_begin(region);
    bool goes_on = true;
    for (region_range *range = region->ranges; range != NULL && goes_on; range = range->next) {
        goes_on = region->policy->visit(range, visitor, context);
    }
    watch_end(region);
}

/* ------------------------------------------------------------------------------------------------
 * The region as a heap.
 */
static void *heap_alloc(tarn_heap *heap, size_t size, size_t alignment)
{
    return tarn_region_alloc(region_of(heap), size, alignment);
}

/* Sizes are not kept, so only one that the block could not have is found. */
static void check_size(tarn_region *region, const void *block, size_t size)
{
    const size_t has = tarn_region_room(region, block);
    size_t slack = SIZE_MAX;
    if (is_dynamic(&region->options)) {
        slack = region->options.granule - 1;
        if (region->options.books == TARN_BOOKS_INSIDE) {
            /* No block is smaller than a partition, and a smaller leftover goes with a block. */
            const size_t least = REGION_INSIDE_MIN * REGION_GRANULE;
            slack = has + REGION_TAG <= 2 * least - REGION_GRANULE ? has
                                                                   : slack + least - REGION_GRANULE;
        }
    }
    TARN_CHECK(size <= has && has - size <= slack, "wrong size given back with the block",
               region->heap.name, block);
}

static void heap_free(tarn_heap *heap, void *block, size_t size)
{
    tarn_region *region = region_of(heap);
    check_size(region, block, size);
    tarn_region_free(region, block);
}

static bool heap_resize(tarn_heap *heap, void *block, size_t old_size, size_t new_size)
{
    tarn_region *region = region_of(heap);
    check_size(region, block, old_size);
    return tarn_region_resize(region, block, new_size);
}

static void heap_stats(tarn_heap *heap, tarn_stats *stats)
{
    const tarn_stats books = tarn_region_stats(region_of(heap));
    base_copy(stats, &books, sizeof books);
}

static bool heap_check(tarn_heap *heap, char *fault, size_t fault_size)
{
    return tarn_region_check(region_of(heap), fault, fault_size);
}

typedef struct block_visit {
    tarn_visitor *visitor;
    void *context;
    bool goes_on;
} block_visit;

static bool visit_block(void *context, const tarn_partition *partition)
{
    block_visit *visit = context;
    if (!partition->is_free) {
        visit->goes_on = visit->visitor(visit->context, partition->block, partition->size);
    }
    return visit->goes_on;
}

static bool heap_visit(tarn_heap *heap, tarn_visitor *visitor, void *context)
{
    block_visit visit = {visitor, context, true};
    tarn_region_visit(region_of(heap), visit_block, &visit);
    return visit.goes_on;
}

static bool heap_reset(tarn_heap *heap)
{
    tarn_region_reset(region_of(heap));
    return true;
}

static const tarn_heap_ops ops = {
    .alloc = heap_alloc,
    .free = heap_free,
    .resize = heap_resize,
    .stats = heap_stats,
    .check = heap_check,
    .visit = heap_visit,
    .reset = heap_reset,
};
