/* SPDX-License-Identifier: MIT */
#include "tarn/region.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fatal.h"
#include "region/range.h"
#include "region_tools.h"

/*
 * What is special to the buddy policy. Most regions here have no memory: offsets tell all.
 */

static _Alignas(4096) unsigned char memory[1 << 15];
static unsigned char books[1 << 20];
static tarn_region region;

/* A range of so many granules of 64 bytes, without memory. */
static void open_granules(size_t granules)
{
    const tarn_region_options options = {
        .name = "pals",
        .policy = TARN_BUDDY,
        .books = TARN_BOOKS_OUTSIDE,
    };
    assert_int_equal(tarn_region_init(&region, (tarn_memory){NULL, granules * 64}, &options),
                     TARN_OK);
}

/* The same at `start`, with memory. */
static void open_at(unsigned char *start, size_t granules)
{
    const tarn_region_options options = {
        .name = "pals",
        .policy = TARN_BUDDY,
        .books = TARN_BOOKS_OUTSIDE,
        .book_memory = {books, sizeof books},
    };
    assert_int_equal(tarn_region_init(&region, (tarn_memory){start, granules * 64}, &options),
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

static void a_block_is_a_power_of_two_at_a_multiple_of_its_size(void **state)
{
    (void)state;
    open_granules(256);
    for (size_t size = 1; size <= 4096; size += 61) {
        (void)take(1);
        const size_t block = take(size);
        const size_t room = tarn_region_room_offset(&region, block);
        assert_true(room >= size && room >= 64 && (room & (room - 1)) == 0);
        assert_true(room < 2 * size || room == 64);
        assert_int_equal(block % room, 0);
        tarn_region_reset(&region);
    }
    tarn_region_deinit(&region);
}

static void the_first_of_the_smallest_that_are_large_enough_is_halved(void **state)
{
    (void)state;
    open_granules(16);
    assert_int_equal(take(64), 0);
    assert_layout(&region, "u64 f64 f128 f256 f512 ");
    assert_int_equal(take(100), 128);
    assert_int_equal(take(65), 256);
    assert_layout(&region, "u64 f64 u128 u128 f128 f512 ");
    /* The smallest is not the first. */
    give(128);
    assert_int_equal(take(1), 64);
    assert_int_equal(take(128), 128);
    /* The first of the smallest. */
    assert_int_equal(take(500), 512);
    give(0);
    give(64);
    give(256);
    assert_layout(&region, "f128 u128 f256 u512 ");
    assert_int_equal(take(1), 0);
    tarn_region_deinit(&region);
}

static void a_freed_block_merges_with_its_buddy_and_with_no_other(void **state)
{
    (void)state;
    open_granules(8);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(take(64), i * 64);
    }
    give(64);
    give(128); /* a neighbour of 64, but not its buddy */
    assert_layout(&region, "u64 f64 f64 u64 u64 u64 u64 u64 ");
    give(192);
    assert_layout(&region, "u64 f64 f128 u64 u64 u64 u64 ");
    give(0);
    assert_layout(&region, "f256 u64 u64 u64 u64 ");
    give(448);
    give(320);
    give(256);
    assert_layout(&region, "f256 f128 u64 f64 ");
    give(384);
    assert_layout(&region, "f512 ");
    tarn_region_deinit(&region);
}

static void a_range_that_is_no_power_of_two_is_cut_into_the_largest_blocks(void **state)
{
    (void)state;
    open_granules(1 + 2 + 8 + 32);
    assert_layout(&region, "f2048 f512 f128 f64 ");
    size_t count = 0;
    while (take(64) != TARN_NO_OFFSET) {
        count++;
    }
    assert_int_equal(count, 43);
    for (size_t i = 0; i < count; i++) {
        give(i * 64);
        assert_balance(&region);
    }
    /* 2048 and 512 are as neighbours as can be, but no buddies. */
    assert_layout(&region, "f2048 f512 f128 f64 ");
    tarn_region_deinit(&region);
}

static void every_count_of_granules_can_be_used_to_the_last(void **state)
{
    (void)state;
    for (size_t granules = 1; granules <= 1100; granules++) {
        open_granules(granules);
        for (size_t i = 0; i < granules; i++) {
            assert_int_not_equal(take(1), TARN_NO_OFFSET);
        }
        assert_int_equal(take(1), TARN_NO_OFFSET);
        assert_int_equal(tarn_region_largest_free(&region), 0);
        for (size_t i = 0; i < granules; i++) {
            /* In another order than they were taken. */
            give((i * 7919 % granules) * 64);
        }
        assert_balance(&region);
        size_t largest = 64;
        while (largest * 2 <= granules * 64) {
            largest *= 2;
        }
        assert_int_equal(tarn_region_largest_free(&region), largest);
        tarn_region_deinit(&region);
    }
}

static void growing_takes_the_free_buddies_behind(void **state)
{
    (void)state;
    open_granules(16);
    const size_t block = take(64);
    assert_true(tarn_region_resize_offset(&region, block, 200));
    assert_layout(&region, "u256 f256 f512 ");
    assert_int_equal(take(64), 256);
    assert_false(tarn_region_resize_offset(&region, block, 257));
    assert_layout(&region, "u256 u64 f64 f128 f512 ");
    give(256);
    assert_true(tarn_region_resize_offset(&region, block, 1024));
    assert_false(tarn_region_resize_offset(&region, block, 1025));
    assert_false(tarn_region_resize_offset(&region, block, PTRDIFF_MAX));
    assert_layout(&region, "u1024 ");
    tarn_region_deinit(&region);
}

static void an_upper_half_cannot_grow(void **state)
{
    (void)state;
    open_granules(8);
    const size_t lower = take(64);
    const size_t upper = take(64);
    give(lower);
    assert_false(tarn_region_resize_offset(&region, upper, 65));
    assert_true(tarn_region_resize_offset(&region, upper, 64));
    assert_layout(&region, "f64 u64 f128 f256 ");
    tarn_region_deinit(&region);
}

static void shrinking_gives_the_upper_halves_back(void **state)
{
    (void)state;
    open_granules(16);
    const size_t block = take(1024);
    assert_true(tarn_region_resize_offset(&region, block, 513));
    assert_layout(&region, "u1024 ");
    assert_true(tarn_region_resize_offset(&region, block, 65));
    assert_layout(&region, "u128 f128 f256 f512 ");
    assert_true(tarn_region_resize_offset(&region, block, 0));
    assert_layout(&region, "u64 f64 f128 f256 f512 ");
    give(block);
    assert_layout(&region, "f1024 ");
    tarn_region_deinit(&region);
}

static void blocks_of_an_aligned_range_are_as_large_as_their_alignment(void **state)
{
    (void)state;
    open_at(memory, 256);
    assert_int_equal(tarn_region_alloc_offset(&region, 1, 64), 0);
    assert_int_equal(tarn_region_alloc_offset(&region, 1, 1024), 1024);
    assert_int_equal(tarn_region_room_offset(&region, 1024), 1024);
    assert_int_equal(tarn_region_alloc_offset(&region, 1, 4096), 4096);
    /* The base is no multiple of that for certain. */
    assert_int_equal(tarn_region_alloc_offset(&region, 1, SIZE_MAX / 2 + 1), TARN_NO_OFFSET);
    tarn_region_deinit(&region);
}

/* `start` is one granule off any larger alignment. */
static void open_askew(void)
{
    open_at(memory + 64, 128);
}

static void a_block_can_be_aligned_where_the_range_is_not(void **state)
{
    (void)state;
    for (size_t alignment = 128; alignment <= 4096; alignment *= 2) {
        for (size_t size = 1; size <= 2048; size = size * 2 + 1) {
            open_at(memory + 64, 256);
            unsigned char *other = tarn_region_alloc(&region, 1, 1);
            unsigned char *block = tarn_region_alloc(&region, size, alignment);
            assert_non_null(block);
            assert_int_equal((uintptr_t)block % alignment, 0);
            const size_t room = tarn_region_room(&region, block);
            assert_true(room >= size && block + room <= memory + 64 + 256 * 64);
            assert_balance(&region);
            tarn_region_free(&region, other);
            tarn_region_free(&region, block);
            assert_layout(&region, "f16384 ");
        }
    }
}

static void a_block_inside_its_partition_is_resized_where_it_is(void **state)
{
    (void)state;
    open_askew();
    unsigned char *block = tarn_region_alloc(&region, 1000, 1024);
    /* 960 bytes to the alignment and 1000 for the block: 2048 bytes. */
    assert_ptr_equal(block, memory + 1024);
    assert_layout(&region, "u1088 f2048 f4096 ");
    assert_true(tarn_region_resize(&region, block, 1089));
    assert_layout(&region, "u3136 f4096 ");
    assert_false(tarn_region_resize(&region, block, 8192));
    assert_true(tarn_region_resize(&region, block, 64));
    assert_layout(&region, "u64 f1024 f2048 f4096 ");
    assert_int_equal(tarn_region_room(&region, block), 64);
    tarn_region_free(&region, block);
    assert_layout(&region, "f8192 ");

    /* Near enough to share a tally with its partition's start, and not to be cut off from it. */
    block = tarn_region_alloc(&region, 300, 128);
    assert_ptr_equal(block, memory + 128);
    assert_layout(&region, "u448 f512 f1024 f2048 f4096 ");
    assert_true(tarn_region_resize(&region, block, 1));
    assert_layout(&region, "u448 f512 f1024 f2048 f4096 ");
    assert_true(tarn_region_resize(&region, block, 449));
    assert_layout(&region, "u960 f1024 f2048 f4096 ");
    assert_true(tarn_region_resize(&region, block, 1));
    assert_layout(&region, "u448 f512 f1024 f2048 f4096 ");
    tarn_region_free(&region, block);
    assert_layout(&region, "f8192 ");
}

static void what_is_no_start_of_a_live_block_is_refused(void **state)
{
    (void)state;
    static const char *foreign = "not a block of this region";
    open_askew();
    unsigned char *small = tarn_region_alloc(&region, 1, 1);
    unsigned char *pair = tarn_region_alloc(&region, 128, 1);
    unsigned char *large = tarn_region_alloc(&region, 2048, 1);
    unsigned char *freed = tarn_region_alloc(&region, 1024, 1);
    tarn_region_free(&region, freed);
    assert_fatal(tarn_region_free(&region, pair + 64), foreign, "pals", pair + 64);
    assert_fatal(tarn_region_free(&region, large + 64), foreign, "pals", large + 64);
    assert_fatal(tarn_region_free(&region, large + 512), foreign, "pals", large + 512);
    assert_fatal(tarn_region_free(&region, large + 1024), foreign, "pals", large + 1024);
    assert_fatal(tarn_region_free(&region, small + 1), foreign, "pals", small + 1);
    assert_fatal(tarn_region_free(&region, freed + 64), foreign, "pals", freed + 64);
    assert_fatal(tarn_region_free(&region, freed), "double free", "pals", freed);
    assert_fatal(tarn_region_free(&region, small + 64), "double free", "pals", small + 64);
    tarn_region_free(&region, small);
    /* It has merged, but begins where the merged one does. */
    assert_fatal(tarn_region_free(&region, small), "double free", "pals", small);
    tarn_region_reset(&region);
    assert_fatal(tarn_region_free(&region, pair), foreign, "pals", pair);
}

static void the_partition_of_a_block_inside_is_no_block(void **state)
{
    (void)state;
    static const char *foreign = "not a block of this region";
    open_askew();
    unsigned char *far = tarn_region_alloc(&region, 1000, 1024);
    assert_ptr_equal(far, memory + 1024);
    assert_fatal(tarn_region_free(&region, memory + 64), foreign, "pals", memory + 64);
    assert_fatal(tarn_region_free(&region, memory + 512), foreign, "pals", memory + 512);
    assert_fatal(tarn_region_free(&region, far + 64), foreign, "pals", far + 64);
    assert_fatal(tarn_region_free(&region, far - 64), foreign, "pals", far - 64);
    assert_fatal(tarn_region_free(&region, far + 512), foreign, "pals", far + 512);
    tarn_region_free(&region, far);
    assert_fatal(tarn_region_free(&region, far), foreign, "pals", far);
    unsigned char *near = tarn_region_alloc(&region, 300, 128);
    assert_ptr_equal(near, memory + 128);
    assert_fatal(tarn_region_free(&region, memory + 64), foreign, "pals", memory + 64);
    assert_fatal(tarn_region_free(&region, near + 64), foreign, "pals", near + 64);
    tarn_region_free(&region, near);
    assert_balance(&region);
}

static void ranges_of_any_depth_of_index_serve_every_block(void **state)
{
    (void)state;
    /* No level of summary, one, two, three, and a little more than that. */
    static const size_t granules[] = {1 << 8, 1 << 12, 1 << 17, 3 << 20, (1 << 22) + 12345};
    static size_t blocks[1 << 17];
    for (size_t i = 0; i < sizeof granules / sizeof granules[0]; i++) {
        open_granules(granules[i]);
        const size_t size = granules[i] <= 1 << 17 ? 64 : 64 * 64;
        const size_t count = granules[i] * 64 / size;
        for (size_t n = 0; n < count; n++) {
            blocks[n] = take(size);
            assert_true(blocks[n] != TARN_NO_OFFSET);
        }
        assert_int_equal(take(size), TARN_NO_OFFSET);
        assert_balance(&region);
        /* Holes all over the range, whose lowest is served first. */
        for (size_t n = 0; n < count; n += 3) {
            give(blocks[n / 3 * 7919 % ((count + 2) / 3) * 3]);
        }
        assert_balance(&region);
        size_t before = 0;
        for (size_t n = 0; n < count; n += 3) {
            const size_t block = take(size);
            assert_true(block != TARN_NO_OFFSET && (n == 0 || block > before));
            before = block;
        }
        assert_int_equal(take(size), TARN_NO_OFFSET);
        assert_balance(&region);
        tarn_region_deinit(&region);
    }
}

/* For a range whose index is looked at: its granules, and the words of free bits of its orders. */
enum { GRANULES = 128 + 32 + 8, WORDS = 3 + 2 + 6 };

/* How far into its partition a block begins is told once only, by three bits of a tally. */
static bool is_place(const unsigned char *words, size_t bit)
{
    static const uint16_t far_outer = 0xC003; /* of the block aligned to 1024, with no place */
    uint16_t tally;
    memcpy(&tally, words + bit / 16 * sizeof tally, sizeof tally);
    return bit >= WORDS * 64 && (tally & 0x4000) != 0 && tally != far_outer && bit % 16 >= 5 &&
           bit % 16 <= 7;
}

static void check_finds_each_bit_of_the_index_that_is_flipped(void **state)
{
    (void)state;
    /* All kinds of blocks: of each small order, larger ones, and both kinds inside a partition. */
    open_at(memory + 64, GRANULES);
    assert_non_null(tarn_region_alloc(&region, 1, 1));
    assert_non_null(tarn_region_alloc(&region, 128, 1));
    assert_non_null(tarn_region_alloc(&region, 256, 1));
    assert_non_null(tarn_region_alloc(&region, 512, 1));
    assert_non_null(tarn_region_alloc(&region, 100, 128));
    assert_non_null(tarn_region_alloc(&region, 1000, 1024));
    assert_balance(&region);
    /* The struct, which begins with where the words are, is not looked at. */
    const region_range *range = region.ranges;
    unsigned char *words;
    memcpy(&words, range->index.own, sizeof words);
    const size_t size = WORDS * sizeof(uint64_t) + GRANULES / 8 * sizeof(uint16_t);
    for (size_t bit = 0; bit < size * 8; bit++) {
        if (is_place(words, bit)) {
            continue;
        }
        char fault[100] = "";
        words[bit / 8] = (unsigned char)(words[bit / 8] ^ 1U << bit % 8);
        assert_false(tarn_region_check(&region, fault, sizeof fault));
        assert_true(strlen(fault) > 10);
        words[bit / 8] = (unsigned char)(words[bit / 8] ^ 1U << bit % 8);
    }
    assert_balance(&region);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_is_a_power_of_two_at_a_multiple_of_its_size),
        cmocka_unit_test(the_first_of_the_smallest_that_are_large_enough_is_halved),
        cmocka_unit_test(a_freed_block_merges_with_its_buddy_and_with_no_other),
        cmocka_unit_test(a_range_that_is_no_power_of_two_is_cut_into_the_largest_blocks),
        cmocka_unit_test(every_count_of_granules_can_be_used_to_the_last),
        cmocka_unit_test(growing_takes_the_free_buddies_behind),
        cmocka_unit_test(an_upper_half_cannot_grow),
        cmocka_unit_test(shrinking_gives_the_upper_halves_back),
        cmocka_unit_test(blocks_of_an_aligned_range_are_as_large_as_their_alignment),
        cmocka_unit_test(a_block_can_be_aligned_where_the_range_is_not),
        cmocka_unit_test(a_block_inside_its_partition_is_resized_where_it_is),
        cmocka_unit_test(what_is_no_start_of_a_live_block_is_refused),
        cmocka_unit_test(the_partition_of_a_block_inside_is_no_block),
        cmocka_unit_test(ranges_of_any_depth_of_index_serve_every_block),
        cmocka_unit_test(check_finds_each_bit_of_the_index_that_is_flipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
