/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "base/bits.h"
#include "region/range.h"
#include "tarn/heaps.h"
#include "tarn/region.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fatal.h"
#include "region_tools.h"
#include "tools.h"

/*
 * The contract of regions that all policies share. Several ranges, upstream and outside books are in
 * region_ranges_test.c; what each policy chooses is in region_choice_test.c.
 */

enum { GRANULE = _Alignof(max_align_t), TAG = 8 };

static _Alignas(4096) unsigned char memory[1 << 16];
static tarn_region region;
static void *blocks[sizeof memory / 8];

static tarn_status init(size_t size, const tarn_region_options *options)
{
    return tarn_region_init(&region, (tarn_memory){memory, size}, options);
}

/* Blocks of `size` until there is no more; returns how many, in the order of addresses. */
static int by_address(const void *one, const void *other)
{
    const uintptr_t a = (uintptr_t) * (void *const *)one;
    const uintptr_t b = (uintptr_t) * (void *const *)other;
    return (a > b) - (a < b);
}

static size_t fill(size_t size)
{
    size_t count = 0;
    void *block;
    while ((block = tarn_region_alloc(&region, size, 1)) != NULL) {
        assert_true(count < sizeof blocks / sizeof blocks[0]);
        blocks[count++] = block;
    }
    qsort(blocks, count, sizeof blocks[0], by_address);
    return count;
}

/* ------------------------------------------------------------------------------------------------
 * Init.
 */
static void a_range_that_cannot_hold_a_partition_is_refused(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const tarn_region_options options = kind_options(&region_kinds[kind]);
        bool had_room = false;
        for (size_t size = 0; size < 2400; size += size < 40 ? 1 : 9) {
            for (size_t lead = 0; lead < GRANULE; lead += 3) {
                memset(memory, 0x55, 2500);
                const tarn_status status =
                    tarn_region_init(&region, (tarn_memory){memory + lead, size}, &options);
                if (status == TARN_OK) {
                    had_room = true;
                    assert_balance(&region);
                    const size_t largest = tarn_region_largest_free(&region);
                    assert_true(largest > 0 && largest <= size);
                    unsigned char *block = tarn_region_alloc(&region, largest, 0);
                    assert_non_null(block);
                    assert_true(block >= memory + lead && block + largest <= memory + lead + size);
                    memset(block, 1, largest);
                    tarn_region_free(&region, block);
                    tarn_region_deinit(&region);
                } else {
                    assert_int_equal(status, TARN_NO_ROOM);
                    assert_false(had_room && size > 2200);
                }
                for (size_t i = 0; i < 2500; i++) {
                    if (i < lead || i >= lead + size) {
                        assert_int_equal(memory[i], 0x55);
                    }
                }
            }
        }
        assert_true(had_room);
    }
}

static void books_take_a_small_part_of_the_range(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        if (region_kinds[kind].policy == TARN_FIXED_PARTITIONS) {
            continue;
        }
        open_kind(&region, &region_kinds[kind], memory, sizeof memory);
        size_t room = 0;
        for (size_t size = sizeof memory; size >= 64; size /= 2) {
            while (tarn_region_alloc(&region, size - TAG, 0) != NULL) {
                room += size;
            }
        }
        assert_true(room > sizeof memory * 9 / 10 || region.options.policy == TARN_SINGLE);
        tarn_region_deinit(&region);
    }
}

static void a_range_of_more_granules_than_31_bits_count_is_refused(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const tarn_region_options options = kind_options(&region_kinds[kind]);
        assert_int_equal(init(SIZE_MAX, &options), TARN_TOO_LARGE);
#if SIZE_MAX > UINT32_MAX
        const size_t granule = options.policy == TARN_BUDDY ? 64 : GRANULE;
        assert_int_equal(init(granule << 31, &options), TARN_TOO_LARGE);
        if (options.books == TARN_BOOKS_OUTSIDE) {
            assert_int_equal(
                tarn_region_init(&region, (tarn_memory){NULL, granule << 31}, &options),
                TARN_TOO_LARGE);
        }
#endif
    }
#if SIZE_MAX > UINT32_MAX
    /* One granule less is taken. */
    const size_t granule = 8;
    const size_t largest = (size_t)INT32_MAX * granule;
    const tarn_region_options options = {.books = TARN_BOOKS_OUTSIDE, .granule = granule};
    assert_int_equal(tarn_region_init(&region, (tarn_memory){NULL, largest}, &options), TARN_OK);
    assert_int_equal(tarn_region_largest_free(&region), largest);
    assert_int_equal(tarn_region_alloc_offset(&region, largest, 0), 0);
    tarn_region_deinit(&region);
#endif
}

static const size_t two_sizes[] = {64, 128};
static const size_t a_size_of_zero[] = {64, 0};
static const size_t too_large_sizes[] = {sizeof memory, sizeof memory * 2};

static void options_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    const struct {
        tarn_region_options options;
        tarn_status status;
    } cases[] = {
        {{.policy = (tarn_region_policy)99}, TARN_BAD_ARGUMENT},
        {{.policy = (tarn_region_policy)-1}, TARN_BAD_ARGUMENT},
        {{.books = (tarn_region_books)2}, TARN_BAD_ARGUMENT},
        {{.granule = GRANULE}, TARN_BAD_ARGUMENT},
        {{.policy = TARN_SINGLE, .granule = 64}, TARN_BAD_ARGUMENT},
        {{.policy = TARN_FIXED_PARTITIONS, .partition_size = 64, .granule = 64}, TARN_BAD_ARGUMENT},
        {{.books = TARN_BOOKS_OUTSIDE, .granule = 24}, TARN_BAD_LAYOUT},
        {{.books = TARN_BOOKS_OUTSIDE, .granule = 4}, TARN_BAD_LAYOUT},
        {{.books = TARN_BOOKS_OUTSIDE, .granule = SIZE_MAX}, TARN_BAD_LAYOUT},
        {{.policy = TARN_BUDDY, .granule = 48}, TARN_BAD_LAYOUT},
        {{.policy = TARN_BUDDY, .granule = 4}, TARN_BAD_LAYOUT},
        {{.partition_size = 64}, TARN_BAD_ARGUMENT},
        {{.sizes = two_sizes, .size_count = 2}, TARN_BAD_ARGUMENT},
        {{.policy = TARN_BUDDY, .size_count = 2}, TARN_BAD_ARGUMENT},
        {{.policy = TARN_FIXED_PARTITIONS}, TARN_BAD_LAYOUT},
        {{.policy = TARN_FIXED_PARTITIONS, .sizes = a_size_of_zero, .size_count = 2},
         TARN_BAD_LAYOUT},
        {{.policy = TARN_FIXED_PARTITIONS,
          .partition_size = 64,
          .sizes = two_sizes,
          .size_count = 2},
         TARN_BAD_ARGUMENT},
        {{.policy = TARN_FIXED_PARTITIONS, .sizes = two_sizes}, TARN_BAD_ARGUMENT},
        {{.policy = TARN_FIXED_PARTITIONS, .partition_size = 64, .size_count = 2},
         TARN_BAD_ARGUMENT},
        {{.policy = TARN_FIXED_PARTITIONS, .partition_size = sizeof memory * 2}, TARN_NO_ROOM},
        {{.policy = TARN_FIXED_PARTITIONS, .sizes = too_large_sizes, .size_count = 2},
         TARN_NO_ROOM},
        {{.book_memory = {memory, 4096}}, TARN_BAD_ARGUMENT},
        {{.partitions = 100}, TARN_BAD_ARGUMENT},
        {{.books = TARN_BOOKS_OUTSIDE, .book_memory = {memory, 64}}, TARN_NO_ROOM},
        {{.books = TARN_BOOKS_OUTSIDE, .book_memory = {memory, 0}}, TARN_NO_ROOM},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const tarn_status status = init(4096, &cases[i].options);
        if (status != cases[i].status) {
            print_error("case %zu: %s\n", i, tarn_status_text(status));
        }
        assert_int_equal(status, cases[i].status);
    }
}

static void sizes_of_partitions_that_no_range_has_are_refused(void **state)
{
    (void)state;
    static const size_t sizes[] = {64, SIZE_MAX, 64};
    const tarn_region_options list = {
        .policy = TARN_FIXED_PARTITIONS, .sizes = sizes, .size_count = 3};
    assert_int_not_equal(init(4096, &list), TARN_OK);
    const tarn_region_options equal = {.policy = TARN_FIXED_PARTITIONS, .partition_size = SIZE_MAX};
    assert_int_not_equal(init(4096, &equal), TARN_OK);
}

static void no_options_are_the_default_ones(void **state)
{
    (void)state;
    assert_int_equal(init(4096, NULL), TARN_OK);
    assert_string_equal(region.heap.name, "region");
    const size_t whole = tarn_region_largest_free(&region);
    assert_true(whole > 4096 * 3 / 4 && whole < 4096);
    /* Best fit, books inside. */
    assert_true(tarn_region_exact(&region) > 0);
    char *first = tarn_region_alloc(&region, 24, 0);
    char *second = tarn_region_alloc(&region, 24, 0);
    assert_true(second + 32 == first);
    tarn_region_deinit(&region);
}

/* ------------------------------------------------------------------------------------------------
 * Requests.
 */
static void a_size_of_zero_is_served_as_one(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        open_kind(&region, &region_kinds[kind], memory, 4096);
        void *one = tarn_region_alloc(&region, 0, 0);
        assert_non_null(one);
        assert_true(tarn_region_room(&region, one) >= 1);
        void *other = tarn_region_alloc(&region, 0, 0);
        assert_ptr_not_equal(one, other);
        assert_true(tarn_region_resize(&region, one, 0));
        tarn_region_free(&region, one);
        tarn_region_free(&region, other);
        assert_int_equal(tarn_region_stats(&region).blocks, 0);
        tarn_region_deinit(&region);
    }
}

static void what_no_region_can_serve_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    static const size_t sizes[] = {
        SIZE_MAX,
        SIZE_MAX - 1,
        SIZE_MAX - 7,
        SIZE_MAX - 8,
        SIZE_MAX - 15,
        SIZE_MAX - 63,
        (size_t)PTRDIFF_MAX + 1,
        PTRDIFF_MAX,
        PTRDIFF_MAX - 15,
#if SIZE_MAX > UINT32_MAX
        (size_t)UINT32_MAX + 1,
#endif
        (size_t)UINT32_MAX,
        (size_t)INT32_MAX + 1,
        8193
    };
    static const size_t alignments[] = {3, 24, SIZE_MAX, 48, 1023};
    static region_text before;
    static region_text after;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        open_kind(&region, &region_kinds[kind], memory, 8192);
        void *block = tarn_region_alloc(&region, 100, 0);
        const size_t room = tarn_region_room(&region, block);
        memset(block, 0x77, room);
        layout(&region, &before);
        uint64_t refused = 0;
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            assert_null(tarn_region_alloc(&region, sizes[i], 0));
            assert_null(tarn_region_alloc(&region, sizes[i], 4096));
            assert_null(tarn_heap_alloc(&region.heap, sizes[i], 0));
            assert_false(tarn_region_resize(&region, block, sizes[i]));
            refused += 2;
        }
        for (size_t i = 0; i < sizeof alignments / sizeof alignments[0]; i++) {
            assert_null(tarn_region_alloc(&region, 16, alignments[i]));
            assert_null(tarn_heap_alloc(&region.heap, 16, alignments[i]));
            refused++;
        }
        assert_string_equal(layout(&region, &after), before.text);
        assert_int_equal(tarn_region_room(&region, block), room);
        assert_true(tarn_region_stats(&region).failures >= refused);
        assert_int_equal(tarn_region_stats(&region).blocks, 1);
        assert_balance(&region);
        tarn_region_deinit(&region);
    }
}

static void an_alignment_beyond_the_range_is_refused(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        /* What lies at a multiple of a page is not part of the range. */
        open_kind(&region, &region_kinds[kind], memory + 64, 4096 - 64);
        for (unsigned power = 12; power < 8 * sizeof(size_t); power++) {
            assert_null(tarn_region_alloc(&region, 1, (size_t)1 << power));
        }
        assert_int_equal(tarn_region_stats(&region).failures, 8 * sizeof(size_t) - 12);
        assert_balance(&region);
        tarn_region_deinit(&region);
    }
}

static void every_alignment_is_kept(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const region_kind *it = &region_kinds[kind];
        tarn_region_options options = kind_options(it);
        options.partition_size *= 16;
        for (size_t lead = 0; lead < 64; lead += 7) {
            const tarn_memory range = {memory + lead, sizeof memory - 64};
            assert_int_equal(tarn_region_init(&region, range, &options), TARN_OK);
            size_t served = 0;
            for (size_t alignment = 1; alignment <= 4096; alignment *= 2) {
                unsigned char *block = tarn_region_alloc(&region, 40, alignment);
                if (block == NULL) {
                    continue;
                }
                served++;
                assert_int_equal((uintptr_t)block % alignment, 0);
                assert_int_equal((uintptr_t)block % GRANULE, 0);
                assert_true(tarn_region_room(&region, block) >= 40);
                assert_true(block >= memory + lead &&
                            block + 40 <= memory + lead + sizeof memory - 64);
                memset(block, 0xee, 40);
                assert_balance(&region);
            }
            /* A fixed partition is no larger than the largest alignment. */
            const size_t least = it->policy == TARN_FIXED_PARTITIONS ? 12 : 13;
            assert_true(served == (it->policy == TARN_SINGLE ? 1 : 13) || served == least);
            tarn_region_deinit(&region);
        }
    }
}

static void an_alignment_of_zero_is_that_of_max_align_t(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        tarn_region_options options = kind_options(&region_kinds[kind]);
        if (options.books == TARN_BOOKS_OUTSIDE) {
            options.granule = 8;
        }
        options.partition_size = options.policy == TARN_FIXED_PARTITIONS ? 24 : 0;
        assert_int_equal(init(4096, &options), TARN_OK);
        for (size_t i = 0; i < 20; i++) {
            const void *block = tarn_region_alloc(&region, 8, 0);
            assert_int_equal((uintptr_t)block % GRANULE, 0);
            (void)tarn_region_alloc(&region, 8, 8);
        }
        assert_balance(&region);
        tarn_region_deinit(&region);
    }
}

static void a_block_may_be_written_from_its_first_byte_to_its_last(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        for (unsigned byte = 0; byte < 256; byte += 51) {
            open_kind(&region, &region_kinds[kind], memory, sizeof memory);
            for (size_t size = 1; size < 600; size += 13) {
                unsigned char *block = tarn_region_alloc(&region, size, 0);
                if (block != NULL) {
                    memset(block, (int)byte, tarn_region_room(&region, block));
                }
                assert_balance(&region);
            }
            tarn_region_deinit(&region);
        }
    }
}

static void room_is_what_the_granules_give(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const region_kind *it = &region_kinds[kind];
        open_kind(&region, it, memory, sizeof memory);
        for (size_t size = 1; size < 200 && kind_is_dynamic(it); size++) {
            const size_t tag = it->books == TARN_BOOKS_INSIDE ? TAG : 0;
            size_t wanted = (size + tag + GRANULE - 1) / GRANULE * GRANULE - tag;
            if (tag != 0 && wanted < 2 * GRANULE - tag) {
                wanted = 2 * GRANULE - tag;
            }
            void *block = tarn_region_alloc(&region, size, 0);
            assert_int_equal(tarn_region_room(&region, block), wanted);
            tarn_region_free(&region, block);
        }
        tarn_region_deinit(&region);
    }
}

static void freeing_null_does_nothing(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        open_kind(&region, &region_kinds[kind], memory, 4096);
        tarn_region_free(&region, NULL);
        tarn_heap_free(&region.heap, NULL, 10);
        assert_int_equal(tarn_region_stats(&region).frees, 0);
        tarn_region_deinit(&region);
    }
}

static void largest_free_is_certain_and_nothing_larger_is_served(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const region_kind *it = &region_kinds[kind];
        open_kind(&region, it, memory, 16384);
        uint32_t random = 12345;
        for (unsigned i = 0; i < 3000; i++) {
            random = random * 1103515245 + 12345;
            void **block = &blocks[random >> 16 & 63];
            if (i < 64) {
                blocks[i] = NULL;
                continue;
            }
            if (*block == NULL) {
                *block = tarn_region_alloc(&region, random >> 24, 0);
            } else {
                tarn_region_free(&region, *block);
                *block = NULL;
            }
            const size_t largest = tarn_region_largest_free(&region);
            assert_int_equal(tarn_region_stats(&region).largest_free, largest);
            /* First: what is free may be in another order once it was in use. */
            assert_null(tarn_region_alloc(&region, largest + 1, 1));
            void *all = largest == 0 ? NULL : tarn_region_alloc(&region, largest, GRANULE);
            assert_true(all != NULL || largest == 0);
            tarn_region_free(&region, all);
        }
        assert_balance(&region);
        tarn_region_deinit(&region);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Merging.
 */

/* Fills a region with equal blocks, and what is left with small ones; `first` and the next four are without
 * a gap. Returns the room of each. */
static size_t fill_with_five(const region_kind *kind, size_t *first)
{
    open_kind(&region, kind, memory, 16384);
    const size_t count = fill(120);
    assert_true(count > 12);
    while (tarn_region_alloc(&region, 1, 1) != NULL) {
    }
    *first = count / 2 - 2;
    return tarn_region_room(&region, blocks[*first]);
}

/* What is around the block: whether the partitions before, of and behind it are free, and the size of its
 * own. */
typedef struct neighbours {
    const void *block;
    char text[4];
    unsigned count;
    size_t size;
    size_t offset;
    char last;
    bool is_found;
} neighbours;

static bool look(void *context, const tarn_partition *partition)
{
    neighbours *it = context;
    const char what = partition->is_free ? 'f' : 'u';
    if (it->is_found) {
        it->text[2] = what;
        return false;
    }
    const unsigned char *end = (unsigned char *)partition->block + partition->size;
    if ((const unsigned char *)it->block < end) {
        it->text[0] = it->last;
        it->text[1] = what;
        it->size = partition->size;
        it->offset = (size_t)((const unsigned char *)it->block - (unsigned char *)partition->block);
        it->is_found = true;
    }
    it->last = what;
    return true;
}

static neighbours around(const void *block)
{
    neighbours it = {.block = block, .last = '-'};
    tarn_region_visit(&region, look, &it);
    assert_balance(&region);
    return it;
}

static void a_freed_partition_merges_with_free_neighbours_in_all_four_cases(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const region_kind *it = &region_kinds[kind];
        if (!kind_is_dynamic(it)) {
            continue;
        }
        for (unsigned which = 0; which < 4; which++) {
            size_t first;
            const size_t room = fill_with_five(it, &first);
            const size_t partition = (size_t)((char *)blocks[first + 1] - (char *)blocks[first]);
            const bool before = (which & 1) != 0;
            const bool behind = (which & 2) != 0;
            if (before) {
                tarn_region_free(&region, blocks[first + 1]);
            }
            if (behind) {
                tarn_region_free(&region, blocks[first + 3]);
            }
            const size_t largest = tarn_region_largest_free(&region);
            assert_int_equal(largest, which == 0 ? 0 : room);
            tarn_region_free(&region, blocks[first + 2]);
            const neighbours seen = around(blocks[first + 2]);
            assert_string_equal(seen.text, "ufu");
            assert_int_equal(seen.offset, before ? partition : 0);
            assert_int_equal(seen.size, room + partition * (which == 3 ? 2 : which != 0));
            assert_int_equal(tarn_region_largest_free(&region), seen.size);
            tarn_region_deinit(&region);
        }
    }
}

static void whatever_the_order_of_frees_the_range_is_whole_again(void **state)
{
    (void)state;
    static region_text fresh;
    static region_text after;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        open_kind(&region, &region_kinds[kind], memory, 8192);
        layout(&region, &fresh);
        uint32_t random = 99;
        for (unsigned round = 0; round < 60; round++) {
            size_t count = fill(1 + round * 5);
            while (count > 0) {
                random = random * 1103515245 + 12345;
                const size_t which = (random >> 8) % count;
                tarn_region_free(&region, blocks[which]);
                blocks[which] = blocks[--count];
                assert_balance(&region);
            }
            assert_string_equal(layout(&region, &after), fresh.text);
        }
        tarn_region_deinit(&region);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Resizing.
 */
static void a_block_grows_into_the_free_partition_behind_it_and_shrinks_back(void **state)
{
    (void)state;
    static region_text before;
    static region_text after;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const region_kind *it = &region_kinds[kind];
        if (!kind_is_dynamic(it)) {
            continue;
        }
        size_t first;
        const size_t room = fill_with_five(it, &first);
        const size_t partition = (size_t)((char *)blocks[first + 1] - (char *)blocks[first]);
        unsigned char *block = blocks[first];
        memset(block, 0x3c, room);
        assert_true(tarn_region_resize(&region, block, room));
        assert_false(tarn_region_resize(&region, block, room + 1));
        tarn_region_free(&region, blocks[first + 1]);
        layout(&region, &before);
        assert_false(tarn_region_resize(&region, block, room + partition + 1));
        assert_string_equal(layout(&region, &after), before.text);

        /* All of it, some of it, and back. */
        assert_true(tarn_region_resize(&region, block, room + partition));
        assert_int_equal(tarn_region_room(&region, block), room + partition);
        assert_int_equal(tarn_region_largest_free(&region), 0);
        assert_string_equal(around(block).text, "uuu");
        assert_true(tarn_region_resize(&region, block, room + 4 * GRANULE));
        assert_int_equal(tarn_region_room(&region, block), room + 4 * GRANULE);
        assert_string_equal(around(block).text, "uuf");
        assert_true(tarn_region_resize(&region, block, room));
        assert_string_equal(layout(&region, &after), before.text);
        for (size_t i = 0; i < room; i++) {
            assert_int_equal(block[i], 0x3c);
        }

        /* What is too little for a partition stays with the block. */
        const bool inside = it->books == TARN_BOOKS_INSIDE;
        assert_true(tarn_region_resize(&region, block, room + partition - GRANULE));
        assert_int_equal(tarn_region_room(&region, block),
                         inside ? room + partition : room + partition - GRANULE);
        assert_balance(&region);
        assert_true(tarn_region_resize(&region, block, room + partition));
        assert_true(tarn_region_resize(&region, block, room + partition - GRANULE));
        assert_int_equal(tarn_region_room(&region, block),
                         inside ? room + partition : room + partition - GRANULE);
        assert_balance(&region);
        tarn_region_deinit(&region);
    }
}

static void a_block_that_shrinks_gives_to_the_free_partition_behind_it(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const region_kind *it = &region_kinds[kind];
        if (!kind_is_dynamic(it)) {
            continue;
        }
        size_t first;
        const size_t room = fill_with_five(it, &first);
        tarn_region_free(&region, blocks[first + 1]);
        assert_true(tarn_region_resize(&region, blocks[first], room - 1));
        assert_int_equal(tarn_region_largest_free(&region), room);
        /* A granule is no partition inside, but it can be a part of one. */
        assert_true(tarn_region_resize(&region, blocks[first], room - GRANULE));
        assert_int_equal(tarn_region_largest_free(&region), room + GRANULE);
        assert_int_equal(tarn_region_room(&region, blocks[first]), room - GRANULE);
        assert_balance(&region);
        tarn_region_deinit(&region);
    }
}

/* ------------------------------------------------------------------------------------------------
 * The region as a whole.
 */
static void reset_frees_every_block_at_once(void **state)
{
    (void)state;
    static region_text fresh;
    static region_text after;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        open_kind(&region, &region_kinds[kind], memory, sizeof memory);
        layout(&region, &fresh);
        for (unsigned round = 0; round < 3; round++) {
            const size_t count = fill(50 + round);
            assert_true(count > 0);
            for (size_t i = 0; i < count; i += 3) {
                tarn_region_free(&region, blocks[i]);
            }
            if (round == 1) {
                assert_int_equal(tarn_heap_reset(&region.heap), TARN_OK);
            } else {
                tarn_region_reset(&region);
            }
            assert_string_equal(layout(&region, &after), fresh.text);
            assert_balance(&region);
            const tarn_stats stats = tarn_region_stats(&region);
            assert_int_equal(stats.live, 0);
            assert_int_equal(stats.blocks, 0);
            assert_int_equal(stats.allocs, stats.frees);
        }
        tarn_region_deinit(&region);
    }
}

static void stats_tell_what_happened(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const region_kind *it = &region_kinds[kind];
        if (it->policy == TARN_SINGLE) {
            continue;
        }
        open_kind(&region, it, memory, 8192);
        const size_t footprint = tarn_region_stats(&region).footprint;
        assert_true(it->books == TARN_BOOKS_INSIDE ? footprint == 8192 : footprint > 8192);
        void *one = tarn_region_alloc(&region, 100, 0);
        void *other = tarn_region_alloc(&region, 200, 0);
        const size_t tag = kind_is_dynamic(it) && it->books == TARN_BOOKS_INSIDE ? TAG : 0;
        const size_t one_room = tarn_region_room(&region, one) + tag;
        const size_t both = one_room + tarn_region_room(&region, other) + tag;
        assert_null(tarn_region_alloc(&region, 10000, 0));
        assert_int_equal(tarn_region_stats(&region).live, both);
        tarn_region_free(&region, other);
        const tarn_stats stats = tarn_region_stats(&region);
        assert_int_equal(stats.live, one_room);
        assert_int_equal(stats.peak_live, both);
        assert_int_equal(stats.footprint, footprint);
        assert_int_equal(stats.peak_footprint, footprint);
        assert_int_equal(stats.blocks, 1);
        assert_int_equal(stats.allocs, 2);
        assert_int_equal(stats.frees, 1);
        assert_int_equal(stats.failures, 1);
        tarn_region_deinit(&region);
    }
}

static void growing_and_shrinking_count_as_live(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const region_kind *it = &region_kinds[kind];
        if (!kind_is_dynamic(it) && it->policy != TARN_BUDDY) {
            continue;
        }
        size_t first;
        const size_t room = fill_with_five(it, &first);
        const size_t full = tarn_region_stats(&region).live;
        assert_true(tarn_region_resize(&region, blocks[first], room / 2));
        const size_t less = room - tarn_region_room(&region, blocks[first]);
        assert_true(less > 0);
        assert_int_equal(tarn_region_stats(&region).live, full - less);
        assert_int_equal(tarn_region_stats(&region).peak_live, full);
        assert_true(tarn_region_resize(&region, blocks[first], room));
        assert_int_equal(tarn_region_stats(&region).live, full);
        assert_int_equal(tarn_region_stats(&region).peak_live, full);
        tarn_region_deinit(&region);
    }
}

typedef struct ordered_visit {
    const char *last;
    unsigned seen;
    unsigned limit;
} ordered_visit;

static bool see_in_order(void *context, const tarn_partition *partition)
{
    ordered_visit *it = context;
    assert_true((const char *)partition->block > it->last);
    assert_int_equal((const char *)partition->block - (char *)memory, partition->offset);
    it->last = partition->block;
    it->seen++;
    return it->seen != it->limit;
}

static void visit_shows_partitions_in_the_order_of_addresses_until_told_to_end(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const region_kind *it = &region_kinds[kind];
        open_kind(&region, it, memory, 8192);
        const size_t count = fill(60);
        for (size_t i = 1; i < count; i += 2) {
            tarn_region_free(&region, blocks[i]);
        }
        ordered_visit all = {.limit = 0};
        tarn_region_visit(&region, see_in_order, &all);
        assert_true(all.seen >= count);
        ordered_visit some = {.limit = count > 1 ? 2 : 1};
        tarn_region_visit(&region, see_in_order, &some);
        assert_int_equal(some.seen, some.limit);
        tarn_region_deinit(&region);
    }
}

static void the_size_asked_for_is_right_whatever_room_the_block_has(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const region_kind *it = &region_kinds[kind];
        open_kind(&region, it, memory, 4096);
        /* Holes of all sizes, so that a request gets what is left over with it. */
        for (size_t hole = 1; hole < 130; hole++) {
            for (size_t size = 0; size <= hole; size++) {
                void *block = tarn_heap_alloc(&region.heap, hole, 0);
                void *wall = tarn_heap_alloc(&region.heap, 1, 0);
                tarn_heap_free(&region.heap, block, hole);
                block = tarn_heap_alloc(&region.heap, size, 0);
                if (tarn_heap_resize(&region.heap, block, size, hole)) {
                    assert_true(tarn_heap_resize(&region.heap, block, hole, size));
                }
                tarn_heap_free(&region.heap, block, size);
                tarn_heap_free(&region.heap, wall, 1);
            }
        }
        assert_balance(&region);
        tarn_region_deinit(&region);
    }
}

static void exact_is_a_size_that_has_a_list(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < 2; kind++) {
        open_kind(&region, &region_kinds[kind], memory, sizeof memory);
        const size_t exact = tarn_region_exact(&region);
        assert_true(exact >= 64 && exact <= sizeof memory);
        tarn_region_deinit(&region);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Check: finds what was broken on purpose, and nothing once it is mended.
 */
static void assert_check_finds(unsigned char *place)
{
    const unsigned char was = peek(place);
    char fault[120];
    char few[8];
    poke(place, (unsigned char)(was ^ 0x41));
    assert_false(tarn_region_check(&region, fault, sizeof fault));
    assert_true(strlen(fault) > 8);
    memset(few, 'x', sizeof few);
    assert_false(tarn_region_check(&region, few, sizeof few));
    assert_int_equal(few[sizeof few - 1], '\0');
    assert_memory_equal(few, fault, sizeof few - 1);
    assert_false(tarn_region_check(&region, NULL, 0));
    assert_false(tarn_heap_check(&region.heap, fault, sizeof fault));
    poke(place, was);
    assert_balance(&region);
}

static void check_finds_books_that_were_overwritten(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const region_kind *it = &region_kinds[kind];
        if (!kind_is_dynamic(it) || it->books == TARN_BOOKS_OUTSIDE) {
            continue;
        }
        size_t first;
        const size_t room = fill_with_five(it, &first);
        unsigned char *used = blocks[first];
        unsigned char *free_block = blocks[first + 2];
        tarn_region_free(&region, free_block);
        tarn_region_free(&region, blocks[first + 4]);
        for (size_t i = 1; i <= TAG; i++) {
            assert_check_finds(used - i);
            assert_check_finds(free_block - i);
        }
        /* The links, and the size at the end. */
        assert_check_finds(free_block);
        assert_check_finds(free_block + 4);
        assert_check_finds(free_block + room - 1);
        assert_check_finds(free_block + room - 4);
        tarn_region_deinit(&region);
    }
}

/* A region with free partitions of many sizes. The lowest is freed last, so that trees begin with others. */
static void fill_with_holes(void)
{
    const size_t count = fill(40);
    for (size_t i = count; i-- > 0;) {
        if (i % 3 == 0 || i % 16 < 5) {
            tarn_region_free(&region, blocks[i]);
        }
    }
    assert_balance(&region);
}

/* Overwrites bytes, asks check, and mends them; true if check had something to say. */
static bool is_found(unsigned char *place, const unsigned char *bytes, size_t size)
{
    unsigned char was[sizeof(uint32_t)];
    char fault[80] = "";
    for (size_t i = 0; i < size; i++) {
        was[i] = peek(place + i);
        poke(place + i, bytes[i]);
    }
    const bool balances = tarn_region_check(&region, fault, sizeof fault);
    assert_true(balances == (fault[0] == '\0'));
    for (size_t i = 0; i < size; i++) {
        poke(place + i, was[i]);
    }
    return !balances;
}

/* Overwrites each byte in turn, and each word as if it were a link to somewhere else; returns how often check
 * had something to say. It must come back from each. */
static size_t overwrite_each(unsigned char *place, size_t size)
{
    size_t found = 0;
    for (size_t i = 0; i < size; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            const unsigned char byte = peek(place + i) ^ (unsigned char)(1U << bit);
            found += is_found(place + i, &byte, 1);
        }
    }
    assert_balance(&region);
    for (size_t i = 0; i + sizeof(uint32_t) <= size; i += sizeof(uint32_t)) {
        for (uint32_t link = 0; link < 160; link++) {
            unsigned char bytes[sizeof link];
            memcpy(bytes, &link, sizeof link);
            found += is_found(place + i, bytes, sizeof bytes);
        }
    }
    assert_balance(&region);
    return found;
}

static void check_comes_back_from_whatever_was_overwritten(void **state)
{
    (void)state;
    static _Alignas(16) unsigned char books[7000];
    enum { SMALL = 2800 };
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const region_kind *it = &region_kinds[kind];
        if (!kind_is_dynamic(it)) {
            continue;
        }
        tarn_region_options options = kind_options(it);
        const bool inside = it->books == TARN_BOOKS_INSIDE;
        if (!inside) {
            options.book_memory = (tarn_memory){books, sizeof books};
        }
        assert_int_equal(init(SMALL, &options), TARN_OK);
        fill_with_holes();
        /* All but the addresses at the beginning, which nothing survives. */
        unsigned char *place = inside ? memory : books;
        const size_t head = base_align_up(sizeof(region_range), 16);
        const size_t found = overwrite_each(place + head, (inside ? SMALL : sizeof books) - head);
        assert_true(found > 20000);
        tarn_region_deinit(&region);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Misuse that needs no program of its own; more is in tests/misuse.
 */
static const char *const not_a_block = "not a block of this region";
static const char *const not_a_block_inside =
    "not a block of this region, or the bytes before it were overwritten";

static void resizing_what_is_no_block_is_fatal(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const region_kind *it = &region_kinds[kind];
        open_kind(&region, it, memory, 4096);
        /* Between two others, so that it does not merge when it is freed. */
        unsigned char *block = NULL;
        for (unsigned i = 0; i < 3; i++) {
            unsigned char *next = tarn_region_alloc(&region, 100, 0);
            block = i < 2 && next != NULL ? next : block;
        }
        assert_non_null(block);
        const bool has_tags = kind_is_dynamic(it) && it->books == TARN_BOOKS_INSIDE;
        assert_fatal(tarn_region_resize(&region, &region, 10), not_a_block, it->name, &region);
        assert_fatal(tarn_region_room(&region, &region), not_a_block, it->name, &region);
        assert_fatal(tarn_region_resize(&region, block + 1, 10), not_a_block, it->name, block + 1);
        assert_fatal(tarn_region_room(&region, block + 1), not_a_block, it->name, block + 1);
        memset(block, 0, 100);
        assert_fatal(tarn_region_room(&region, block + 64),
                     has_tags ? not_a_block_inside : not_a_block, it->name, block + 64);
        tarn_region_free(&region, block);
        assert_fatal(tarn_region_resize(&region, block, 10), "double free", it->name, block);
        assert_fatal(tarn_region_free(&region, block), "double free", it->name, block);
        tarn_region_deinit(&region);
    }
}

static void a_size_that_the_block_cannot_have_is_fatal(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        const region_kind *it = &region_kinds[kind];
        open_kind(&region, it, memory, 8192);
        void *block = tarn_heap_alloc(&region.heap, 200, 0);
        const size_t room = tarn_region_room(&region, block);
        const char *what = "wrong size given back with the block";
        assert_fatal(tarn_heap_free(&region.heap, block, room + 1), what, it->name, block);
        assert_fatal(tarn_heap_resize(&region.heap, block, room + 1, 10), what, it->name, block);
        if (kind_is_dynamic(it)) {
            assert_fatal(tarn_heap_free(&region.heap, block, 200 - 3 * GRANULE), what, it->name,
                         block);
        }
        tarn_heap_free(&region.heap, block, 200);
        tarn_region_deinit(&region);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Ends of what can be counted.
 */
static void full_books_do_not_keep_a_block_from_resizing_without_a_further_record(void **state)
{
    (void)state;
    static _Alignas(16) unsigned char books[8192];
    const tarn_region_options options = {
        .books = TARN_BOOKS_OUTSIDE, .granule = 16, .book_memory = {books, sizeof books}};
    assert_int_equal(init(sizeof memory, &options), TARN_OK);
    const size_t count = fill(64);
    assert_true(count > 4 && tarn_region_largest_free(&region) >= 64);
    tarn_region_free(&region, blocks[1]);
    assert_true(tarn_region_resize(&region, blocks[0], 64));
    assert_true(tarn_region_resize(&region, blocks[0], 80));
    assert_int_equal(tarn_region_room(&region, blocks[0]), 80);
    assert_true(tarn_region_resize(&region, blocks[0], 32));
    assert_int_equal(tarn_region_room(&region, blocks[0]), 32);
    assert_true(tarn_region_resize(&region, blocks[0], 128));
    assert_true(tarn_region_resize(&region, blocks[2], 64));
    assert_balance(&region);
    tarn_region_deinit(&region);
}

static void
so_few_granules_that_no_buddy_can_have_its_block_inside_refuse_the_alignment(void **state)
{
    (void)state;
    /* Three granules of an eighth of the address space each, which nobody touches. Only inside a
     * partition is there a multiple of a quarter of it. */
    const size_t granule = SIZE_MAX / 8 + 1;
    const tarn_region_options options = {
        .policy = TARN_BUDDY, .books = TARN_BOOKS_OUTSIDE, .granule = granule};
    const tarn_memory range = {(void *)(uintptr_t)granule, granule * 3};
    if (heap_watch_is_on()) {
        /* The tools would mark every byte of it. */
        skip();
    }
    assert_int_equal(tarn_region_init(&region, range, &options), TARN_OK);
    assert_null(tarn_region_alloc(&region, 1, granule * 2));
    assert_null(tarn_region_alloc(&region, 1, granule * 4));
    assert_balance(&region);
    void *block = tarn_region_alloc(&region, 1, granule);
    assert_non_null(block);
    tarn_region_free(&region, block);
    assert_balance(&region);
    tarn_region_deinit(&region);
}

static void a_region_is_alone_while_it_has_one_range_that_nobody_watches(void **state)
{
    (void)state;
    static unsigned char further[4096];
    assert_int_equal(init(sizeof memory, NULL), TARN_OK);
    assert_int_equal(region.is_alone, !region.is_watched);
    assert_int_equal(tarn_region_add(&region, (tarn_memory){further, sizeof further}), TARN_OK);
    assert_false(region.is_alone);
    assert_int_equal(tarn_region_remove(&region, further), TARN_OK);
    assert_int_equal(region.is_alone, !region.is_watched);
    tarn_region_deinit(&region);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_that_cannot_hold_a_partition_is_refused),
        cmocka_unit_test(books_take_a_small_part_of_the_range),
        cmocka_unit_test(a_range_of_more_granules_than_31_bits_count_is_refused),
        cmocka_unit_test(options_that_make_no_sense_are_refused),
        cmocka_unit_test(sizes_of_partitions_that_no_range_has_are_refused),
        cmocka_unit_test(no_options_are_the_default_ones),
        cmocka_unit_test(a_size_of_zero_is_served_as_one),
        cmocka_unit_test(what_no_region_can_serve_is_refused_and_changes_nothing),
        cmocka_unit_test(an_alignment_beyond_the_range_is_refused),
        cmocka_unit_test(every_alignment_is_kept),
        cmocka_unit_test(an_alignment_of_zero_is_that_of_max_align_t),
        cmocka_unit_test(a_block_may_be_written_from_its_first_byte_to_its_last),
        cmocka_unit_test(room_is_what_the_granules_give),
        cmocka_unit_test(freeing_null_does_nothing),
        cmocka_unit_test(largest_free_is_certain_and_nothing_larger_is_served),
        cmocka_unit_test(a_freed_partition_merges_with_free_neighbours_in_all_four_cases),
        cmocka_unit_test(whatever_the_order_of_frees_the_range_is_whole_again),
        cmocka_unit_test(a_block_grows_into_the_free_partition_behind_it_and_shrinks_back),
        cmocka_unit_test(a_block_that_shrinks_gives_to_the_free_partition_behind_it),
        cmocka_unit_test(reset_frees_every_block_at_once),
        cmocka_unit_test(stats_tell_what_happened),
        cmocka_unit_test(growing_and_shrinking_count_as_live),
        cmocka_unit_test(visit_shows_partitions_in_the_order_of_addresses_until_told_to_end),
        cmocka_unit_test(the_size_asked_for_is_right_whatever_room_the_block_has),
        cmocka_unit_test(exact_is_a_size_that_has_a_list),
        cmocka_unit_test(check_finds_books_that_were_overwritten),
        cmocka_unit_test(check_comes_back_from_whatever_was_overwritten),
        cmocka_unit_test(resizing_what_is_no_block_is_fatal),
        cmocka_unit_test(a_size_that_the_block_cannot_have_is_fatal),
        cmocka_unit_test(full_books_do_not_keep_a_block_from_resizing_without_a_further_record),
        cmocka_unit_test(
            so_few_granules_that_no_buddy_can_have_its_block_inside_refuse_the_alignment),
        cmocka_unit_test(a_region_is_alone_while_it_has_one_range_that_nobody_watches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
