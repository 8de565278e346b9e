/* SPDX-License-Identifier: MIT */
#include "tarn/region.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fatal.h"
#include "region/range.h"
#include "region_tools.h"

/*
 * What is special to fixed partitions and to the single one. Most regions here have no memory:
 * offsets tell all.
 */

enum { GRANULE = 16 };

static _Alignas(4096) unsigned char memory[1 << 14];
static tarn_region region;

static tarn_status init(tarn_memory range, const tarn_region_options *partitions)
{
    tarn_region_options options = *partitions;
    options.name = "cells";
    options.policy = TARN_FIXED_PARTITIONS;
    options.books = TARN_BOOKS_OUTSIDE;
    options.granule = GRANULE;
    return tarn_region_init(&region, range, &options);
}

static void open_equal(size_t bytes, size_t size)
{
    assert_int_equal(
        init((tarn_memory){NULL, bytes}, &(tarn_region_options){.partition_size = size}), TARN_OK);
}

static void open_listed(tarn_memory range, const size_t *sizes, size_t count)
{
    assert_int_equal(init(range, &(tarn_region_options){.sizes = sizes, .size_count = count}),
                     TARN_OK);
}

static size_t take(size_t size)
{
    return tarn_region_alloc_offset(&region, size, 1);
}

static void give(size_t offset)
{
    tarn_region_free_offset(&region, offset);
}

static void equal_partitions_are_served_from_the_start(void **state)
{
    (void)state;
    open_equal(1000, 90); /* 96 with whole granules: ten of them and a rest that stays unused */
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(take(1 + i), i * 96);
        assert_int_equal(tarn_region_room_offset(&region, i * 96), 96);
    }
    assert_int_equal(take(1), TARN_NO_OFFSET);
    give(5 * 96);
    give(2 * 96);
    assert_layout(&region, "u96 u96 f96 u96 u96 f96 u96 u96 u96 u96 ");
    assert_int_equal(take(97), TARN_NO_OFFSET);
    assert_int_equal(take(96), 2 * 96);
    tarn_region_reset(&region);
    assert_layout(&region, "f96 f96 f96 f96 f96 f96 f96 f96 f96 f96 ");
    assert_int_equal(tarn_region_largest_free(&region), 96);
    tarn_region_deinit(&region);
}

static void the_smallest_that_fits_is_served_and_the_first_of_equals(void **state)
{
    (void)state;
    static const size_t sizes[] = {64, 1000, 64, 16, 256, 64, 1000};
    open_listed((tarn_memory){NULL, 4096}, sizes, 7);
    assert_layout(&region, "f64 f1008 f64 f16 f256 f64 f1008 ");
    assert_int_equal(take(17), 0);
    assert_int_equal(take(17), 64 + 1008);
    assert_int_equal(take(1), 64 + 1008 + 64);
    assert_int_equal(take(1), 64 + 1008 + 64 + 16 + 256);
    /* What is smaller is in use. */
    assert_int_equal(take(1), 64 + 1008 + 64 + 16);
    assert_int_equal(take(1008), 64);
    assert_layout(&region, "u64 u1008 u64 u16 u256 u64 f1008 ");
    give(64 + 1008 + 64 + 16);
    assert_int_equal(tarn_region_largest_free(&region), 1008);
    assert_int_equal(take(1009), TARN_NO_OFFSET);
    assert_int_equal(take(257), 64 + 1008 + 64 + 16 + 256 + 64);
    assert_int_equal(tarn_region_largest_free(&region), 256);
    tarn_region_deinit(&region);
}

static void a_list_is_used_as_far_as_it_fits(void **state)
{
    (void)state;
    static const size_t sizes[] = {100, 200, 300, 16};
    open_listed((tarn_memory){NULL, 112 + 208 + 303}, sizes, 4);
    /* The fourth would fit where the third does not, but lies behind it. */
    assert_layout(&region, "f112 f208 ");
    tarn_region_deinit(&region);
    open_listed((tarn_memory){NULL, 112 + 208 + 304}, sizes, 4);
    assert_layout(&region, "f112 f208 f304 ");
    tarn_region_deinit(&region);
}

static void a_range_without_room_for_one_partition_is_refused(void **state)
{
    (void)state;
    static const size_t sizes[] = {100, 16};
    const tarn_region_options listed = {.sizes = sizes, .size_count = 2};
    const tarn_region_options equal = {.partition_size = 100};
    assert_int_equal(init((tarn_memory){NULL, 111}, &listed), TARN_NO_ROOM);
    assert_int_equal(init((tarn_memory){NULL, 111}, &equal), TARN_NO_ROOM);
    assert_int_equal(init((tarn_memory){NULL, 112}, &listed), TARN_OK);
    tarn_region_deinit(&region);
    assert_int_equal(init((tarn_memory){NULL, 112}, &equal), TARN_OK);
    tarn_region_deinit(&region);
    /* With the books inside they need room, too. */
    const tarn_region_options inside = {.policy = TARN_FIXED_PARTITIONS, .partition_size = 4000};
    assert_int_equal(tarn_region_init(&region, (tarn_memory){memory, 4096}, &inside), TARN_NO_ROOM);
    assert_int_equal(tarn_region_init(&region, (tarn_memory){memory, 8192}, &inside), TARN_OK);
    assert_layout(&region, "f4000 ");
}

static void every_range_is_divided_alike(void **state)
{
    (void)state;
    static const size_t sizes[] = {512, 64, 1024};
    open_listed((tarn_memory){memory + 4096, 2048}, sizes, 3);
    assert_int_equal(tarn_region_add(&region, (tarn_memory){memory, 600}), TARN_OK);
    assert_layout(&region, "f512 f64 f512 f64 f1024 ");
    assert_ptr_equal(tarn_region_alloc(&region, 64, 1), memory + 512);
    assert_ptr_equal(tarn_region_alloc(&region, 64, 1), memory + 4096 + 512);
    assert_ptr_equal(tarn_region_alloc(&region, 600, 1), memory + 4096 + 576);
    assert_ptr_equal(tarn_region_alloc(&region, 64, 1), memory);
    tarn_region_deinit(&region);
}

static void a_block_is_resized_within_its_partition(void **state)
{
    (void)state;
    open_equal(4096, 256);
    const size_t block = take(10);
    assert_true(tarn_region_resize_offset(&region, block, 256));
    assert_false(tarn_region_resize_offset(&region, block, 257));
    assert_false(tarn_region_resize_offset(&region, block, PTRDIFF_MAX));
    assert_true(tarn_region_resize_offset(&region, block, 0));
    assert_int_equal(tarn_region_room_offset(&region, block), 256);
    tarn_region_deinit(&region);
}

static void an_aligned_block_begins_inside_its_partition(void **state)
{
    (void)state;
    static const char *foreign = "not a block of this region";
    static const size_t sizes[] = {48, 160, 4000};
    open_listed((tarn_memory){memory + 16, sizeof memory - 16}, sizes, 3);
    /* Partitions begin 16, 64 and 224 bytes behind a multiple of 4096. */
    unsigned char *block = tarn_region_alloc(&region, 16, 32);
    assert_ptr_equal(block, memory + 32);
    assert_layout(&region, "u32 f160 f4000 ");
    assert_true(tarn_region_resize(&region, block, 32));
    assert_false(tarn_region_resize(&region, block, 33));
    assert_fatal(tarn_region_free(&region, memory + 16), foreign, "cells", memory + 16);
    assert_fatal(tarn_region_free(&region, memory + 48), foreign, "cells", memory + 48);
    /* Of the second one too little would be left, so it has to be the third. */
    unsigned char *large = tarn_region_alloc(&region, 100, 128);
    assert_ptr_equal(large, memory + 256);
    assert_layout(&region, "u32 f160 u3968 ");
    assert_null(tarn_region_alloc(&region, 100, 128));
    tarn_region_free(&region, block);
    tarn_region_free(&region, large);
    assert_layout(&region, "f48 f160 f4000 ");
    /* It was no start of a partition, so it is none now. */
    assert_fatal(tarn_region_free(&region, block), foreign, "cells", block);
    tarn_region_deinit(&region);
}

static void how_far_inside_is_kept_for_partitions_of_any_size(void **state)
{
    (void)state;
    /* A byte, two and four hold the distance in granules. */
    static const size_t alignments[] = {(size_t)1 << 11, (size_t)1 << 19, (size_t)1 << 27};
    for (size_t i = 0; i < 3; i++) {
        const size_t size = alignments[i] * 2 - GRANULE;
        open_equal(size * 4, size);
        size_t starts[3];
        for (size_t n = 0; n < 3; n++) {
            starts[n] = tarn_region_alloc_offset(&region, GRANULE, alignments[i]);
            assert_int_equal(starts[n],
                             (size * n + alignments[i] - 1) / alignments[i] * alignments[i]);
        }
        for (size_t n = 0; n < 3; n++) {
            assert_int_equal(tarn_region_room_offset(&region, starts[n]),
                             size * (n + 1) - starts[n]);
            give(starts[n]);
        }
        assert_balance(&region);
        tarn_region_deinit(&region);
    }
}

static void what_is_no_start_of_a_live_block_is_refused(void **state)
{
    (void)state;
    static const char *foreign = "not a block of this region";
    const tarn_region_options equal = {.partition_size = 64};
    assert_int_equal(init((tarn_memory){memory, 1000}, &equal), TARN_OK);
    unsigned char *block = tarn_region_alloc(&region, 1, 1);
    assert_fatal(tarn_region_free(&region, block + 16), foreign, "cells", block + 16);
    assert_fatal(tarn_region_free(&region, block + 1), foreign, "cells", block + 1);
    assert_fatal(tarn_region_free(&region, block + 64), "double free", "cells", block + 64);
    assert_fatal(tarn_region_free(&region, block + 80), foreign, "cells", block + 80);
    /* What of the range is no partition. */
    assert_fatal(tarn_region_free(&region, memory + 960), foreign, "cells", memory + 960);
    tarn_region_free(&region, block);
    assert_fatal(tarn_region_free(&region, block), "double free", "cells", block);
    tarn_region_deinit(&region);
}

static uint32_t draw(uint32_t *random)
{
    *random = *random * 1664525 + 1013904223;
    return *random >> 8;
}

static int by_size(const void *one, const void *other)
{
    const size_t a = *(const size_t *)one;
    const size_t b = *(const size_t *)other;
    return (a > b) - (a < b);
}

static void many_sizes_are_served_in_order(void **state)
{
    (void)state;
    enum { COUNT = 70000 };
    static size_t sizes[COUNT];
    static size_t sorted[COUNT];
    uint32_t random = 7;
    size_t sum = 0;
    for (size_t i = 0; i < COUNT; i++) {
        sizes[i] = (1 + draw(&random) % 2000) * GRANULE;
        sum += sizes[i];
    }
    memcpy(sorted, sizes, sizeof sizes);
    qsort(sorted, COUNT, sizeof sorted[0], by_size);
    open_listed((tarn_memory){NULL, sum}, sizes, COUNT);
    size_t before = 0;
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(tarn_region_largest_free(&region), sorted[COUNT - 1]);
        const size_t block = take(1);
        assert_int_equal(tarn_region_room_offset(&region, block), sorted[i]);
        assert_true(i == 0 || sorted[i] != sorted[i - 1] || block > before);
        before = block;
    }
    assert_int_equal(take(1), TARN_NO_OFFSET);
    assert_int_equal(tarn_region_largest_free(&region), 0);
    assert_balance(&region);
    tarn_region_reset(&region);
    for (size_t i = COUNT; i > 0; i--) {
        assert_int_not_equal(take(sorted[i - 1]), TARN_NO_OFFSET);
    }
    assert_balance(&region);
    tarn_region_deinit(&region);
}

/* Flips each bit of some bytes of the index in turn. */
static void assert_all_found(unsigned char *bytes, size_t size)
{
    for (size_t bit = 0; bit < size * 8; bit++) {
        char fault[100] = "";
        bytes[bit / 8] = (unsigned char)(bytes[bit / 8] ^ 1U << bit % 8);
        assert_false(tarn_region_check(&region, fault, sizeof fault));
        assert_true(strlen(fault) > 10);
        bytes[bit / 8] = (unsigned char)(bytes[bit / 8] ^ 1U << bit % 8);
    }
    assert_balance(&region);
}

static void check_finds_each_bit_of_the_index_that_is_flipped(void **state)
{
    (void)state;
    enum { COUNT = 192 };
    size_t sizes[COUNT];
    uint32_t random = 11;
    for (size_t i = 0; i < COUNT; i++) {
        sizes[i] = (1 + draw(&random) % 9) * GRANULE;
    }
    open_listed((tarn_memory){NULL, 1 << 16}, sizes, COUNT);
    for (size_t i = 0; i < COUNT / 2; i++) {
        assert_int_not_equal(take(1), TARN_NO_OFFSET);
    }
    /* The struct, which begins with where the bits are, is not looked at. Behind the bits and their
     * summary come starts and ranks. */
    const size_t words = (COUNT / 64 + 1) * sizeof(uint64_t);
    const size_t numbers = (COUNT * 3 + 1) * sizeof(uint32_t);
    unsigned char *bits;
    memcpy(&bits, region.ranges->index.own, sizeof bits);
    assert_all_found(bits, words - sizeof(uint64_t));
    assert_all_found(bits + words, numbers);
    tarn_region_deinit(&region);
}

static void the_single_partition_is_the_whole_range(void **state)
{
    (void)state;
    static const char *foreign = "not a block of this region";
    const tarn_region_options options = {
        .name = "all", .policy = TARN_SINGLE, .books = TARN_BOOKS_OUTSIDE, .granule = GRANULE};
    assert_int_equal(tarn_region_init(&region, (tarn_memory){memory + 16, 1003}, &options),
                     TARN_OK);
    assert_int_equal(tarn_region_largest_free(&region), 992);
    assert_null(tarn_region_alloc(&region, 993, 1));
    unsigned char *block = tarn_region_alloc(&region, 10, 1);
    assert_ptr_equal(block, memory + 16);
    assert_layout(&region, "u992 ");
    assert_null(tarn_region_alloc(&region, 1, 1));
    assert_int_equal(tarn_region_largest_free(&region), 0);
    assert_true(tarn_region_resize(&region, block, 992));
    assert_false(tarn_region_resize(&region, block, 993));
    assert_fatal(tarn_region_free(&region, block + 16), foreign, "all", block + 16);
    tarn_region_free(&region, block);
    assert_fatal(tarn_region_free(&region, block), "double free", "all", block);
    assert_layout(&region, "f992 ");

    assert_null(tarn_region_alloc(&region, 497, 512));
    block = tarn_region_alloc(&region, 496, 512);
    assert_ptr_equal(block, memory + 512);
    assert_layout(&region, "u496 ");
    assert_fatal(tarn_region_free(&region, memory + 16), foreign, "all", memory + 16);
    assert_false(tarn_region_resize(&region, block, 497));
    tarn_region_free(&region, block);
    assert_null(tarn_region_alloc(&region, 1, 4096));
    assert_layout(&region, "f992 ");
    tarn_region_deinit(&region);
}

static void the_smallest_of_several_single_partitions_is_served(void **state)
{
    (void)state;
    const tarn_region_options options = {
        .policy = TARN_SINGLE, .books = TARN_BOOKS_OUTSIDE, .granule = GRANULE};
    assert_int_equal(tarn_region_init(&region, (tarn_memory){memory, 1024}, &options), TARN_OK);
    assert_int_equal(tarn_region_add(&region, (tarn_memory){memory + 4096, 512}), TARN_OK);
    assert_ptr_equal(tarn_region_alloc(&region, 100, 1), memory + 4096);
    assert_ptr_equal(tarn_region_alloc(&region, 100, 1), memory);
    assert_null(tarn_region_alloc(&region, 100, 1));
    tarn_region_deinit(&region);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_partitions_are_served_from_the_start),
        cmocka_unit_test(the_smallest_that_fits_is_served_and_the_first_of_equals),
        cmocka_unit_test(a_list_is_used_as_far_as_it_fits),
        cmocka_unit_test(a_range_without_room_for_one_partition_is_refused),
        cmocka_unit_test(every_range_is_divided_alike),
        cmocka_unit_test(a_block_is_resized_within_its_partition),
        cmocka_unit_test(an_aligned_block_begins_inside_its_partition),
        cmocka_unit_test(how_far_inside_is_kept_for_partitions_of_any_size),
        cmocka_unit_test(what_is_no_start_of_a_live_block_is_refused),
        cmocka_unit_test(many_sizes_are_served_in_order),
        cmocka_unit_test(check_finds_each_bit_of_the_index_that_is_flipped),
        cmocka_unit_test(the_single_partition_is_the_whole_range),
        cmocka_unit_test(the_smallest_of_several_single_partitions_is_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
