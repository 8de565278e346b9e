/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tarn/heaps.h"
#include "tarn/region.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "fatal.h"
#include "region_tools.h"

/*
 * Where a region's memory comes from and where its books go: several ranges, ranges and books from upstream,
 * books in the caller's memory, and ranges that nobody may touch.
 */

enum { RANGE = 8192, RANGES = 4 };

static _Alignas(4096) unsigned char memory[RANGE * RANGES];
static _Alignas(64) unsigned char book_memory[1 << 16];
static tarn_region region;
static void *blocks[sizeof memory / 8];

static tarn_memory range_at(size_t which)
{
    return (tarn_memory){memory + which * RANGE, RANGE};
}

static size_t range_of(const void *block)
{
    return (size_t)((const unsigned char *)block - memory) / RANGE;
}

/* Blocks of `size` until there is no more; returns how many. */
static size_t fill(size_t size)
{
    size_t count = 0;
    void *block;
    while ((block = tarn_region_alloc(&region, size, 1)) != NULL) {
        assert_true(count < sizeof blocks / sizeof blocks[0]);
        blocks[count++] = block;
    }
    return count;
}

/* ------------------------------------------------------------------------------------------------
 * Several ranges.
 */
static void ranges_may_be_added_in_any_order(void **state)
{
    (void)state;
    static const size_t orders[][RANGES] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}, {2, 0, 3, 1}};
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
            open_kind(&region, &region_kinds[kind], range_at(orders[i][0]).start, RANGE);
            for (size_t j = 1; j < RANGES; j++) {
                assert_int_equal(tarn_region_add(&region, range_at(orders[i][j])), TARN_OK);
                assert_balance(&region);
            }
            assert_true(tarn_region_stats(&region).footprint >= sizeof memory);
            const size_t count = fill(100);
            size_t in[RANGES] = {0};
            for (size_t j = 0; j < count; j++) {
                in[range_of(blocks[j])]++;
                memset(blocks[j], 0xa5, 100);
                /* A block never spans two ranges, even when they touch. */
                assert_int_equal(range_of(blocks[j]),
                                 range_of((unsigned char *)blocks[j] +
                                          tarn_region_room(&region, blocks[j]) - 1));
            }
            for (size_t j = 0; j < RANGES; j++) {
                assert_true(in[j] > 0 && in[j] == in[0]);
            }
            assert_balance(&region);
            for (size_t j = 0; j < count; j++) {
                tarn_region_free(&region, blocks[j]);
            }
            assert_balance(&region);
            assert_int_equal(tarn_region_stats(&region).live, 0);
            tarn_region_deinit(&region);
        }
    }
}

static void a_range_that_overlaps_another_is_refused(void **state)
{
    (void)state;
    const tarn_memory wrong[] = {
        {memory + RANGE, RANGE},
        {memory + RANGE, RANGE * 2},
        {memory, RANGE + 1},
        {memory + RANGE + 1000, 1000},
        {memory, sizeof memory},
        {memory + 2 * RANGE - 1, RANGE},
        {memory + RANGE - 4096, 2 * 4096},
    };
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        open_kind(&region, &region_kinds[kind], range_at(1).start, RANGE);
        assert_int_equal(tarn_region_add(&region, range_at(3)), TARN_OK);
        const size_t footprint = tarn_region_stats(&region).footprint;
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            assert_int_equal(tarn_region_add(&region, wrong[i]), TARN_BAD_ARGUMENT);
            assert_balance(&region);
        }
        assert_int_equal(tarn_region_stats(&region).footprint, footprint);
        /* What only touches is no overlap. */
        assert_int_equal(tarn_region_add(&region, range_at(2)), TARN_OK);
        assert_int_equal(tarn_region_add(&region, range_at(0)), TARN_OK);
        tarn_region_deinit(&region);
    }
}

static void a_range_that_init_would_refuse_is_not_added(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        open_kind(&region, &region_kinds[kind], memory, RANGE);
        assert_int_equal(tarn_region_add(&region, (tarn_memory){memory + 2 * RANGE, 7}),
                         TARN_NO_ROOM);
        assert_int_equal(tarn_region_add(&region, (tarn_memory){memory + 2 * RANGE, 0}),
                         TARN_NO_ROOM);
        assert_int_equal(tarn_region_add(&region, (tarn_memory){memory + 2 * RANGE, SIZE_MAX}),
                         TARN_TOO_LARGE);
        assert_int_equal(tarn_region_remove(&region, memory), TARN_BAD_ARGUMENT);
        assert_balance(&region);
        tarn_region_deinit(&region);
    }
}

static void a_range_is_removed_when_it_is_empty(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        open_kind(&region, &region_kinds[kind], memory, RANGE);
        const size_t footprint = tarn_region_stats(&region).footprint;
        assert_int_equal(tarn_region_remove(&region, memory), TARN_BAD_ARGUMENT);
        assert_int_equal(tarn_region_add(&region, range_at(2)), TARN_OK);
        assert_int_equal(tarn_region_add(&region, range_at(3)), TARN_OK);
        assert_int_equal(tarn_region_remove(&region, memory + RANGE), TARN_BAD_ARGUMENT);
        assert_int_equal(tarn_region_remove(&region, &region), TARN_BAD_ARGUMENT);
        assert_int_equal(tarn_region_remove(&region, NULL), TARN_BAD_ARGUMENT);

        const size_t count = fill(100);
        for (size_t i = 0; i < RANGES; i++) {
            assert_int_equal(tarn_region_remove(&region, range_at(i).start),
                             i == 1 ? TARN_BAD_ARGUMENT : TARN_NO_ROOM);
        }
        assert_balance(&region);
        /* Only the last range keeps its blocks. */
        for (size_t i = 0; i < count; i++) {
            if (range_of(blocks[i]) != 3) {
                tarn_region_free(&region, blocks[i]);
            }
        }
        assert_int_equal(tarn_region_remove(&region, memory + RANGE - 1), TARN_OK);
        memset(memory, 0xa5, RANGE);
        assert_balance(&region);
        assert_int_equal(tarn_region_remove(&region, memory), TARN_BAD_ARGUMENT);
        assert_int_equal(tarn_region_remove(&region, memory + 2 * RANGE), TARN_OK);
        memset(memory + 2 * RANGE, 0xa5, RANGE);
        assert_balance(&region);
        assert_int_equal(tarn_region_remove(&region, memory + 3 * RANGE), TARN_BAD_ARGUMENT);
        if (region_kinds[kind].books == TARN_BOOKS_INSIDE) {
            assert_int_equal(tarn_region_stats(&region).footprint, footprint);
        }
        assert_null(tarn_region_alloc(&region, 100, 1));
        for (size_t i = 0; i < count; i++) {
            if (range_of(blocks[i]) == 3) {
                tarn_region_free(&region, blocks[i]);
            }
        }
        const size_t again = fill(100);
        assert_true(again > 0);
        for (size_t i = 0; i < again; i++) {
            assert_int_equal(range_of(blocks[i]), 3);
        }
        tarn_region_deinit(&region);
    }
}

static void a_removed_range_may_come_back(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        open_kind(&region, &region_kinds[kind], range_at(1).start, RANGE);
        for (unsigned round = 0; round < 5; round++) {
            const size_t which = round % 2 == 0 ? 0 : 2;
            assert_int_equal(tarn_region_add(&region, range_at(which)), TARN_OK);
            const size_t count = fill(64 + round);
            for (size_t i = 0; i < count; i++) {
                tarn_region_free(&region, blocks[i]);
            }
            assert_int_equal(tarn_region_remove(&region, range_at(which).start), TARN_OK);
            assert_balance(&region);
        }
        tarn_region_deinit(&region);
    }
}

/* The policies that choose by size or address, with holes that only one range has. */
static void the_policy_chooses_among_the_partitions_of_all_ranges(void **state)
{
    (void)state;
    static const size_t kept[RANGES] = {2000, 300, 3000, 1000};
    static const struct {
        tarn_region_policy policy;
        size_t size;
        size_t range;
    } cases[] = {
        {TARN_FIRST_FIT, 100, 0},      {TARN_FIRST_FIT, 2500, 2},
        {TARN_BEST_FIT, 100, 1},       {TARN_BEST_FIT, 900, 3},
        {TARN_BEST_FIT, 1500, 0},      {TARN_BEST_FIT, 2500, 2},
        {TARN_WORST_FIT, 100, 2},      {TARN_SEGREGATED_FIT, 100, 1},
        {TARN_SEGREGATED_FIT, 900, 3}, {TARN_SEGREGATED_FIT, 2500, 2},
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        const tarn_region_options options = {
            .policy = cases[i / 2].policy,
            .books = i % 2 == 0 ? TARN_BOOKS_INSIDE : TARN_BOOKS_OUTSIDE,
        };
        assert_int_equal(tarn_region_init(&region, range_at(2), &options), TARN_OK);
        void *holes[RANGES];
        for (size_t j = 0; j < RANGES; j++) {
            const size_t which = (j + 2) % RANGES;
            assert_true(j == 0 || tarn_region_add(&region, range_at(which)) == TARN_OK);
            /* Everything else is full while this one is filled. */
            holes[which] = tarn_region_alloc(&region, kept[which], 1);
            assert_int_equal(range_of(holes[which]), which);
            fill(2000);
            fill(100);
            fill(1);
        }
        for (size_t j = 0; j < RANGES; j++) {
            tarn_region_free(&region, holes[j]);
        }
        const void *block = tarn_region_alloc(&region, cases[i / 2].size, 1);
        assert_non_null(block);
        assert_int_equal(range_of(block), cases[i / 2].range);
        assert_balance(&region);
        tarn_region_deinit(&region);
    }
}

static void next_fit_goes_on_from_range_to_range(void **state)
{
    (void)state;
    for (unsigned books = 0; books < 2; books++) {
        const tarn_region_options options = {.policy = TARN_NEXT_FIT,
                                             .books = (tarn_region_books)books};
        assert_int_equal(tarn_region_init(&region, range_at(0), &options), TARN_OK);
        assert_int_equal(tarn_region_add(&region, range_at(1)), TARN_OK);
        assert_int_equal(tarn_region_add(&region, range_at(2)), TARN_OK);
        void *low = tarn_region_alloc(&region, 1000, 1);
        assert_int_equal(range_of(low), 0);
        const void *block;
        do {
            block = tarn_region_alloc(&region, 1000, 1);
            assert_non_null(block);
        } while (range_of(block) == 0);
        assert_int_equal(range_of(block), 1);
        tarn_region_free(&region, low);
        do {
            block = tarn_region_alloc(&region, 1000, 1);
            assert_non_null(block);
        } while (range_of(block) == 1);
        assert_int_equal(range_of(block), 2);
        do {
            block = tarn_region_alloc(&region, 1000, 1);
            assert_non_null(block);
        } while (range_of(block) == 2);
        /* And from the start again. */
        assert_int_equal(range_of(block), 0);
        assert_null(tarn_region_alloc(&region, 1000, 1));
        tarn_region_deinit(&region);
    }
}

static void an_aligned_request_is_served_by_whatever_range_can(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        tarn_region_options options = kind_options(&region_kinds[kind]);
        if (options.policy == TARN_FIXED_PARTITIONS) {
            continue; /* a partition that has room wherever it begins would not fit the first range */
        }
        /* The first range has no multiple of a page. */
        const tarn_memory first = {memory + 64, 4096 - 64};
        const tarn_memory second = {memory + RANGE + 64, 2 * RANGE - 64};
        assert_int_equal(tarn_region_init(&region, first, &options), TARN_OK);
        assert_int_equal(tarn_region_add(&region, second), TARN_OK);
        const unsigned char *block = tarn_region_alloc(&region, 500, 4096);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 4096, 0);
        assert_balance(&region);
        tarn_region_deinit(&region);
    }
}

static void largest_free_is_the_largest_of_all_ranges(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        if (region_kinds[kind].policy == TARN_FIXED_PARTITIONS) {
            continue;
        }
        open_kind(&region, &region_kinds[kind], memory, RANGE);
        const size_t one = tarn_region_largest_free(&region);
        const tarn_memory twice = {memory + RANGE, 2 * RANGE};
        assert_int_equal(tarn_region_add(&region, twice), TARN_OK);
        const size_t largest = tarn_region_largest_free(&region);
        assert_true(largest > one && largest < twice.size + 1);
        assert_non_null(tarn_region_alloc(&region, largest, 0));
        assert_int_equal(tarn_region_largest_free(&region), one);
        assert_non_null(tarn_region_alloc(&region, one, 0));
        tarn_region_deinit(&region);
    }
}

static void reset_frees_the_blocks_of_all_ranges(void **state)
{
    (void)state;
    static region_text fresh;
    static region_text after;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        open_kind(&region, &region_kinds[kind], memory, RANGE);
        assert_int_equal(tarn_region_add(&region, range_at(2)), TARN_OK);
        layout(&region, &fresh);
        const size_t count = fill(100);
        tarn_region_reset(&region);
        assert_string_equal(layout(&region, &after), fresh.text);
        assert_int_equal(fill(100), count);
        tarn_region_reset(&region);
        assert_int_equal(tarn_region_remove(&region, memory), TARN_OK);
        tarn_region_deinit(&region);
    }
}

static void what_is_between_the_ranges_is_no_block(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const region_kind *it = &region_kinds[kind];
        open_kind(&region, it, memory, RANGE);
        assert_int_equal(tarn_region_add(&region, range_at(2)), TARN_OK);
        const size_t count = fill(100);
        assert_true(count > 0);
        unsigned char *stranger = memory + RANGE + 1024;
        assert_fatal(tarn_region_free(&region, stranger), "not a block of this region", it->name,
                     stranger);
        stranger = memory + 3 * RANGE + 1024;
        assert_fatal(tarn_region_room(&region, stranger), "not a block of this region", it->name,
                     stranger);
        tarn_region_deinit(&region);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Upstream.
 */
static void ranges_and_books_from_upstream_go_back_there(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const bool inside = region_kinds[kind].books == TARN_BOOKS_INSIDE;
        tarn_pages pages;
        tarn_counted counted;
        tarn_pages_init(&pages, NULL);
        tarn_counted_init(&counted, &(tarn_counted_options){.upstream = &pages.heap});
        tarn_region_options options = kind_options(&region_kinds[kind]);
        options.upstream = &counted.heap;
        const tarn_memory first = {inside ? NULL : memory, RANGE};
        assert_int_equal(tarn_region_init(&region, first, &options), TARN_OK);
        const size_t one = tarn_heap_stats(&counted.heap).live;
        assert_true(one > 0);
        const tarn_stats stats = tarn_region_stats(&region);
        assert_int_equal(stats.footprint, one + (inside ? 0 : RANGE));
        const tarn_memory second = {inside ? NULL : memory + RANGE, 2 * RANGE};
        assert_int_equal(tarn_region_add(&region, second), TARN_OK);
        assert_int_equal(tarn_region_stats(&region).footprint,
                         tarn_heap_stats(&counted.heap).live + (inside ? 0 : 3 * RANGE));
        assert_true(fill(100) > 0);
        tarn_region_reset(&region);
        void *block = tarn_region_alloc(&region, 10, 0);
        const void *place = block;
        tarn_region_free(&region, block);
        assert_int_equal(tarn_region_remove(&region, place), TARN_OK);
        const size_t ranges = inside ? 0 : range_of(place) == 0 ? 2 * RANGE : RANGE;
        assert_int_equal(tarn_region_stats(&region).footprint,
                         tarn_heap_stats(&counted.heap).live + ranges);
        assert_true(fill(100) > 0);
        tarn_region_deinit(&region);
        assert_int_equal(tarn_heap_stats(&counted.heap).live, 0);
        tarn_pages_deinit(&pages);
    }
}

static void init_and_add_hold_nothing_when_upstream_refuses(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const bool inside = region_kinds[kind].books == TARN_BOOKS_INSIDE;
        const tarn_memory first = {inside ? NULL : memory, RANGE};
        const tarn_memory second = {inside ? NULL : memory + RANGE, RANGE};
        tarn_pages pages;
        tarn_failing failing;
        tarn_pages_init(&pages, NULL);
        tarn_failing_init(&failing, &(tarn_failing_options){.upstream = &pages.heap});
        tarn_region_options options = kind_options(&region_kinds[kind]);
        options.upstream = &failing.heap;
        for (uint64_t at = 1;; at++) {
            tarn_failing_restart(&failing, &(tarn_failing_plan){.at = at});
            const tarn_status status = tarn_region_init(&region, first, &options);
            if (status == TARN_OK) {
                assert_true(at > 1);
                break;
            }
            assert_int_equal(status, TARN_NO_MEMORY);
            assert_int_equal(tarn_heap_stats(&pages.heap).live, 0);
        }
        const size_t held = tarn_heap_stats(&pages.heap).live;
        for (uint64_t at = 1;; at++) {
            tarn_failing_restart(&failing, &(tarn_failing_plan){.at = at});
            const tarn_status status = tarn_region_add(&region, second);
            if (status == TARN_OK) {
                assert_true(at > 1);
                break;
            }
            assert_int_equal(status, TARN_NO_MEMORY);
            assert_int_equal(tarn_heap_stats(&pages.heap).live, held);
            assert_balance(&region);
        }
        tarn_region_deinit(&region);
        assert_int_equal(tarn_heap_stats(&pages.heap).live, 0);
        tarn_pages_deinit(&pages);
    }
}

static void a_range_from_upstream_that_is_too_small_goes_back_at_once(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        if (region_kinds[kind].books == TARN_BOOKS_OUTSIDE) {
            continue;
        }
        tarn_pages pages;
        tarn_pages_init(&pages, NULL);
        tarn_region_options options = kind_options(&region_kinds[kind]);
        options.upstream = &pages.heap;
        for (size_t size = 0; size < 100; size += 9) {
            assert_int_equal(tarn_region_init(&region, (tarn_memory){NULL, size}, &options),
                             TARN_NO_ROOM);
            assert_int_equal(tarn_heap_stats(&pages.heap).live, 0);
        }
        tarn_pages_deinit(&pages);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Books outside: the range is never touched.
 */
static void books_outside_never_touch_the_range(void **state)
{
    (void)state;
    const size_t size = (size_t)1 << 22;
    unsigned char *nobody_s =
        mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(nobody_s != MAP_FAILED);
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        if (region_kinds[kind].books == TARN_BOOKS_INSIDE) {
            continue;
        }
        open_kind(&region, &region_kinds[kind], nobody_s, size / 2);
        assert_int_equal(tarn_region_add(&region, (tarn_memory){nobody_s + size / 2, size / 2}),
                         TARN_OK);
        enum { SLOTS = 512 };
        memset(blocks, 0, sizeof blocks);
        uint32_t random = 4711;
        for (unsigned i = 0; i < 20000; i++) {
            random = random * 1103515245 + 12345;
            void **block = &blocks[random >> 10 & (SLOTS - 1)];
            if (*block == NULL) {
                *block = tarn_region_alloc(&region, random >> 20, (size_t)1 << (random >> 4 & 12));
            } else if ((random >> 8 & 3) == 0) {
                (void)tarn_region_resize(&region, *block, random >> 20);
            } else {
                tarn_region_free(&region, *block);
                *block = NULL;
            }
        }
        assert_balance(&region);
        assert_true(tarn_region_stats(&region).allocs > 100 ||
                    region_kinds[kind].policy == TARN_SINGLE);
        tarn_region_reset(&region);
        assert_int_equal(tarn_region_remove(&region, nobody_s), TARN_OK);
        tarn_region_deinit(&region);
    }
    munmap(nobody_s, size);
}

static bool has_no_address(void *context, const tarn_partition *partition)
{
    (void)context;
    assert_null(partition->block);
    return true;
}

static void a_region_without_memory_hands_out_offsets_alone(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        if (region_kinds[kind].books == TARN_BOOKS_INSIDE) {
            continue;
        }
        open_kind(&region, &region_kinds[kind], NULL, RANGE);
        assert_null(tarn_region_alloc(&region, 16, 0));
        assert_null(tarn_heap_alloc(&region.heap, 16, 0));
        assert_int_equal(tarn_region_stats(&region).failures, 2);
        assert_int_equal(tarn_region_add(&region, range_at(0)), TARN_BAD_ARGUMENT);
        assert_int_equal(tarn_region_add(&region, (tarn_memory){NULL, RANGE}), TARN_BAD_ARGUMENT);
        tarn_region_visit(&region, has_no_address, NULL);

        bool taken[RANGE / 16] = {false};
        size_t count = 0;
        for (;;) {
            const size_t offset = tarn_region_alloc_offset(&region, 50, 0);
            if (offset == TARN_NO_OFFSET) {
                break;
            }
            count++;
            assert_int_equal(offset % 16, 0);
            assert_true(offset + 50 <= RANGE);
            for (size_t byte = offset; byte < offset + 50; byte += 16) {
                assert_false(taken[byte / 16]);
                taken[byte / 16] = true;
            }
            assert_true(tarn_region_room_offset(&region, offset) >= 50);
        }
        assert_true(count > 0);
        assert_int_equal(tarn_region_alloc_offset(&region, 50, 3), TARN_NO_OFFSET);
        tarn_region_visit(&region, has_no_address, NULL);
        assert_balance(&region);
        /* Nothing is held but the books. */
        assert_true(tarn_region_stats(&region).footprint < 16384);
        tarn_region_deinit(&region);
    }
}

static void offset_zero_is_a_multiple_of_every_alignment(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        if (region_kinds[kind].books == TARN_BOOKS_INSIDE ||
            region_kinds[kind].policy == TARN_BUDDY) {
            continue;
        }
        open_kind(&region, &region_kinds[kind], NULL, RANGE);
        const size_t largest = (size_t)1 << (8 * sizeof(size_t) - 1);
        assert_int_equal(tarn_region_alloc_offset(&region, 16, largest), 0);
        assert_int_equal(tarn_region_alloc_offset(&region, 16, largest), TARN_NO_OFFSET);
        assert_balance(&region);
        tarn_region_deinit(&region);
    }
}

static void an_offset_and_an_address_name_the_same_block(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        if (region_kinds[kind].books == TARN_BOOKS_INSIDE ||
            region_kinds[kind].policy == TARN_SINGLE) {
            continue;
        }
        tarn_region_options options = kind_options(&region_kinds[kind]);
        options.granule = 32;
        unsigned char *start = memory + RANGE + 5;
        assert_int_equal(tarn_region_init(&region, (tarn_memory){start, RANGE - 5}, &options),
                         TARN_OK);
        for (unsigned i = 0; i < 6; i++) {
            const size_t offset = tarn_region_alloc_offset(&region, 40, 64);
            assert_true(offset != TARN_NO_OFFSET);
            /* Addresses are aligned, offsets are where they are. */
            assert_int_equal((uintptr_t)(start + offset) % 64, 0);
            assert_int_equal(tarn_region_room(&region, start + offset),
                             tarn_region_room_offset(&region, offset));
            if (i % 2 == 0) {
                tarn_region_free(&region, start + offset);
            }
        }
        unsigned char *block = tarn_region_alloc(&region, 40, 0);
        assert_true(tarn_region_resize_offset(&region, (size_t)(block - start), 41));
        tarn_region_free_offset(&region, (size_t)(block - start));
        assert_int_equal(tarn_region_stats(&region).blocks, 3);
        tarn_region_deinit(&region);
    }
}

static void offsets_count_from_the_first_range_even_below_it(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        if (region_kinds[kind].books == TARN_BOOKS_INSIDE) {
            continue;
        }
        const tarn_memory first = range_at(2);
        open_kind(&region, &region_kinds[kind], first.start, first.size);
        assert_int_equal(tarn_region_add(&region, range_at(0)), TARN_OK);
        assert_int_equal(tarn_region_add(&region, range_at(3)), TARN_OK);
        const size_t count = fill(100);
        for (size_t i = 0; i < count; i++) {
            const size_t offset = (uintptr_t)blocks[i] - (uintptr_t)first.start;
            assert_int_equal(tarn_region_room_offset(&region, offset),
                             tarn_region_room(&region, blocks[i]));
            tarn_region_free_offset(&region, offset);
        }
        assert_int_equal(tarn_region_remove(&region, first.start), TARN_OK);
        const size_t offset = tarn_region_alloc_offset(&region, 100, 1);
        const size_t which = range_of((unsigned char *)first.start + offset);
        assert_true(which == 0 || which == 3);
        tarn_region_free_offset(&region, offset);
        assert_balance(&region);
        tarn_region_deinit(&region);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Where outside books go.
 */
static void books_in_memory_of_the_caller_need_no_upstream(void **state)
{
    (void)state;
    static region_text before;
    static region_text after;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const region_kind *it = &region_kinds[kind];
        if (it->books == TARN_BOOKS_INSIDE || !kind_is_dynamic(it)) {
            continue;
        }
        tarn_failing failing;
        tarn_failing_init(&failing, &(tarn_failing_options){.plan = {.from = 1}});
        tarn_region_options options = kind_options(it);
        options.upstream = &failing.heap;
        for (size_t lead = 0; lead < 16; lead += 5) {
            for (size_t room = 10000; room <= 24000; room += 1777) {
                memset(book_memory, 0x55, sizeof book_memory);
                options.book_memory = (tarn_memory){book_memory + 64 + lead, room};
                const tarn_memory range = {memory, sizeof memory};
                assert_int_equal(tarn_region_init(&region, range, &options), TARN_OK);
                const size_t count = fill(16);
                /* A record and its place in a table, beside the index. */
                assert_true(count > (room - 9000) / 100 && count < room / 16);
                assert_true(tarn_region_stats(&region).failures == 1);
                layout(&region, &before);
                assert_null(tarn_region_alloc(&region, 1, 0));
                assert_null(tarn_region_alloc(&region, 100, 256));
                assert_string_equal(layout(&region, &after), before.text);
                assert_balance(&region);
                for (size_t i = 0; i < count; i += 2) {
                    tarn_region_free(&region, blocks[i]);
                }
                assert_balance(&region);
                for (size_t i = 0; i < count; i += 2) {
                    blocks[i] = tarn_region_alloc(&region, 16, 0);
                    (void)tarn_region_resize(&region, blocks[1], 1 + i % 40);
                }
                assert_balance(&region);
                for (size_t i = 0; i < count; i++) {
                    tarn_region_free(&region, blocks[i]);
                }
                assert_balance(&region);
                assert_int_equal(fill(16), count);
                tarn_region_reset(&region);
                assert_int_equal(fill(16), count);
                tarn_region_deinit(&region);
                for (size_t i = 0; i < 64 + lead; i++) {
                    assert_int_equal(book_memory[i], 0x55);
                }
                for (size_t i = 64 + lead + room; i < sizeof book_memory; i++) {
                    assert_int_equal(book_memory[i], 0x55);
                }
            }
        }
        assert_int_equal(failing.requests, 0);
    }
}

static void book_memory_that_is_too_small_is_refused(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        if (region_kinds[kind].books == TARN_BOOKS_INSIDE) {
            continue;
        }
        tarn_region_options options = kind_options(&region_kinds[kind]);
        bool had_room = false;
        for (size_t room = 0; room < sizeof book_memory - 64; room += room < 64 ? 1 : 97) {
            memset(book_memory, 0x55, sizeof book_memory);
            options.book_memory = (tarn_memory){book_memory + 7, room};
            const tarn_status status = tarn_region_init(&region, range_at(0), &options);
            if (status == TARN_OK) {
                had_room = true;
                void *block = tarn_region_alloc(&region, 100, 0);
                assert_non_null(block);
                tarn_region_free(&region, block);
                assert_balance(&region);
                tarn_region_deinit(&region);
            } else {
                assert_int_equal(status, TARN_NO_ROOM);
                assert_false(had_room);
            }
            for (size_t i = 0; i < 7; i++) {
                assert_int_equal(book_memory[i], 0x55);
            }
            for (size_t i = 7 + room; i < sizeof book_memory; i++) {
                assert_int_equal(book_memory[i], 0x55);
            }
        }
        assert_true(had_room);
    }
}

static void books_that_are_full_are_enlarged(void **state)
{
    (void)state;
    static region_text before;
    static region_text after;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const region_kind *it = &region_kinds[kind];
        if (it->books == TARN_BOOKS_INSIDE || !kind_is_dynamic(it)) {
            continue;
        }
        tarn_pages pages;
        tarn_failing failing;
        tarn_pages_init(&pages, NULL);
        tarn_failing_init(&failing, &(tarn_failing_options){.upstream = &pages.heap});
        tarn_region_options options = kind_options(it);
        options.upstream = &failing.heap;
        assert_int_equal(tarn_region_init(&region, (tarn_memory){memory, sizeof memory}, &options),
                         TARN_OK);
        const size_t footprint = tarn_region_stats(&region).footprint;
        tarn_failing_restart(&failing, &(tarn_failing_plan){.from = 1});
        const size_t few = fill(16);
        assert_true(few >= 16 && few < 200);
        assert_int_equal(tarn_region_stats(&region).footprint, footprint);
        layout(&region, &before);
        assert_null(tarn_region_alloc(&region, 16, 4096));
        assert_string_equal(layout(&region, &after), before.text);
        assert_balance(&region);
        tarn_failing_restart(&failing, NULL);
        const size_t many = fill(16);
        assert_int_equal(few + many, sizeof memory / 16);
        assert_true(tarn_region_stats(&region).footprint > footprint);
        assert_balance(&region);
        for (size_t i = 0; i < many; i++) {
            tarn_region_free(&region, blocks[i]);
        }
        assert_balance(&region);
        tarn_region_deinit(&region);
        assert_int_equal(tarn_heap_stats(&pages.heap).live, 0);
        tarn_pages_deinit(&pages);
    }
}

static void books_have_room_for_the_partitions_promised_from_the_start(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const region_kind *it = &region_kinds[kind];
        if (it->books == TARN_BOOKS_INSIDE || !kind_is_dynamic(it)) {
            continue;
        }
        tarn_pages pages;
        tarn_failing failing;
        tarn_pages_init(&pages, NULL);
        tarn_failing_init(&failing, &(tarn_failing_options){.upstream = &pages.heap});
        tarn_region_options options = kind_options(it);
        options.upstream = &failing.heap;
        options.partitions = 1000;
        assert_int_equal(tarn_region_init(&region, (tarn_memory){memory, sizeof memory}, &options),
                         TARN_OK);
        tarn_failing_restart(&failing, &(tarn_failing_plan){.from = 1});
        /* A free partition is one of them. */
        for (unsigned i = 0; i < 999; i++) {
            assert_non_null(tarn_region_alloc(&region, 16, 0));
        }
        assert_int_equal(failing.requests, 0);
        tarn_region_deinit(&region);
        tarn_pages_deinit(&pages);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_may_be_added_in_any_order),
        cmocka_unit_test(a_range_that_overlaps_another_is_refused),
        cmocka_unit_test(a_range_that_init_would_refuse_is_not_added),
        cmocka_unit_test(a_range_is_removed_when_it_is_empty),
        cmocka_unit_test(a_removed_range_may_come_back),
        cmocka_unit_test(the_policy_chooses_among_the_partitions_of_all_ranges),
        cmocka_unit_test(next_fit_goes_on_from_range_to_range),
        cmocka_unit_test(an_aligned_request_is_served_by_whatever_range_can),
        cmocka_unit_test(largest_free_is_the_largest_of_all_ranges),
        cmocka_unit_test(reset_frees_the_blocks_of_all_ranges),
        cmocka_unit_test(what_is_between_the_ranges_is_no_block),
        cmocka_unit_test(ranges_and_books_from_upstream_go_back_there),
        cmocka_unit_test(init_and_add_hold_nothing_when_upstream_refuses),
        cmocka_unit_test(a_range_from_upstream_that_is_too_small_goes_back_at_once),
        cmocka_unit_test(books_outside_never_touch_the_range),
        cmocka_unit_test(a_region_without_memory_hands_out_offsets_alone),
        cmocka_unit_test(offset_zero_is_a_multiple_of_every_alignment),
        cmocka_unit_test(an_offset_and_an_address_name_the_same_block),
        cmocka_unit_test(offsets_count_from_the_first_range_even_below_it),
        cmocka_unit_test(books_in_memory_of_the_caller_need_no_upstream),
        cmocka_unit_test(book_memory_that_is_too_small_is_refused),
        cmocka_unit_test(books_that_are_full_are_enlarged),
        cmocka_unit_test(books_have_room_for_the_partitions_promised_from_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
