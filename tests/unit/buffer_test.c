/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tarn/heaps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fatal.h"
#include "tools.h"

static _Alignas(64) unsigned char memory[65536];

/* The block's tag, and the word before the next block's tag; see buffer.c. */
static const size_t word = sizeof(size_t);

static void make_buffer(tarn_buffer *buffer, size_t size)
{
    assert_int_equal(tarn_buffer_init(buffer, (tarn_memory){memory, size}, NULL), TARN_OK);
}

static size_t largest_free(tarn_buffer *buffer)
{
    return tarn_heap_stats(&buffer->heap).largest_free;
}

static void memory_that_cannot_hold_a_block_is_refused(void **state)
{
    (void)state;
    bool had_room = false;
    for (size_t size = 0; size < 700; size++) {
        for (size_t offset = 0; offset < 16; offset++) {
            tarn_buffer buffer;
            memset(memory, 0x55, 1024);
            const tarn_status status =
                tarn_buffer_init(&buffer, (tarn_memory){memory + offset, size}, NULL);
            if (status == TARN_OK) {
                had_room = true;
                assert_true(tarn_heap_check(&buffer.heap, NULL, 0));
                const size_t largest = largest_free(&buffer);
                unsigned char *block = tarn_heap_alloc(&buffer.heap, largest, 0);
                assert_non_null(block);
                assert_true(block >= memory + offset && block + largest <= memory + offset + size);
                memset(block, 1, largest);
                tarn_heap_free(&buffer.heap, block, largest);
                tarn_buffer_deinit(&buffer);
            } else {
                assert_int_equal(status, TARN_NO_ROOM);
                assert_false(had_room && size > 400);
            }
            for (size_t i = 0; i < offset; i++) {
                assert_int_equal(memory[i], 0x55);
            }
            for (size_t i = offset + size; i < 1024; i++) {
                assert_int_equal(memory[i], 0x55);
            }
        }
    }
    assert_true(had_room);
}

static void memory_that_is_none_or_too_much_is_refused(void **state)
{
    (void)state;
    tarn_buffer buffer;
    assert_int_equal(tarn_buffer_init(&buffer, (tarn_memory){NULL, 4096}, NULL), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_buffer_init(&buffer, (tarn_memory){memory, SIZE_MAX}, NULL),
                     TARN_TOO_LARGE);
}

static void books_take_a_small_part_of_the_memory(void **state)
{
    (void)state;
    tarn_buffer buffer;
    make_buffer(&buffer, 1024);
    assert_true(largest_free(&buffer) > 1024 * 3 / 4);
    tarn_buffer_deinit(&buffer);
    make_buffer(&buffer, sizeof memory);
    assert_true(largest_free(&buffer) > sizeof memory * 49 / 50);
    tarn_buffer_deinit(&buffer);
}

static void neighbours_merge_in_whatever_order_they_are_freed(void **state)
{
    (void)state;
    enum { COUNT = 4 };
    tarn_buffer buffer;
    make_buffer(&buffer, 8192);
    const size_t whole = largest_free(&buffer);
    for (unsigned order = 0; order < COUNT * COUNT * COUNT * COUNT; order++) {
        void *blocks[COUNT];
        for (size_t i = 0; i < COUNT; i++) {
            blocks[i] = tarn_heap_alloc(&buffer.heap, 100 + 50 * i, 0);
        }
        unsigned which = order;
        for (size_t i = 0; i < COUNT; i++, which /= COUNT) {
            if (blocks[which % COUNT] != NULL) {
                tarn_heap_free(&buffer.heap, blocks[which % COUNT], 100 + 50 * (which % COUNT));
                blocks[which % COUNT] = NULL;
                assert_true(tarn_heap_check(&buffer.heap, NULL, 0));
            }
        }
        for (size_t i = 0; i < COUNT; i++) {
            if (blocks[i] != NULL) {
                tarn_heap_free(&buffer.heap, blocks[i], 100 + 50 * i);
            }
        }
        assert_int_equal(largest_free(&buffer), whole);
    }
    tarn_buffer_deinit(&buffer);
}

static void a_block_grows_into_the_free_memory_behind_it_and_shrinks_back(void **state)
{
    (void)state;
    tarn_buffer buffer;
    make_buffer(&buffer, 8192);
    const size_t whole = largest_free(&buffer);
    unsigned char *block = tarn_heap_alloc(&buffer.heap, 100, 0);
    memset(block, 3, 100);
    assert_true(tarn_heap_resize(&buffer.heap, block, 100, whole));
    assert_int_equal(largest_free(&buffer), 0);
    assert_false(tarn_heap_resize(&buffer.heap, block, whole, whole + 100));
    assert_true(tarn_heap_resize(&buffer.heap, block, whole, 50));
    assert_int_equal(block[49], 3);
    void *behind = tarn_heap_alloc(&buffer.heap, 100, 0);
    assert_false(tarn_heap_resize(&buffer.heap, block, 50, 200));
    tarn_heap_free(&buffer.heap, behind, 100);
    assert_true(tarn_heap_resize(&buffer.heap, block, 50, 200));
    tarn_heap_free(&buffer.heap, block, 200);
    assert_int_equal(largest_free(&buffer), whole);
    tarn_buffer_deinit(&buffer);
}

static void a_free_block_that_is_just_large_enough_is_found(void **state)
{
    (void)state;
    tarn_buffer buffer;
    make_buffer(&buffer, sizeof memory);
    const size_t whole = largest_free(&buffer);
    /* A hole whose size is inside a step, all else in use: a search by whole steps alone would pass
     * it by. */
    for (size_t size = 1000; size < 1400; size += 16) {
        void *first = tarn_heap_alloc(&buffer.heap, size, 0);
        void *wall = tarn_heap_alloc(&buffer.heap, 16, 0);
        const size_t rest = largest_free(&buffer);
        void *all = tarn_heap_alloc(&buffer.heap, rest, 0);
        assert_int_equal(largest_free(&buffer), 0);
        tarn_heap_free(&buffer.heap, first, size);
        assert_true(largest_free(&buffer) >= size);
        first = tarn_heap_alloc(&buffer.heap, size, 0);
        assert_non_null(first);
        tarn_heap_free(&buffer.heap, first, size);
        tarn_heap_free(&buffer.heap, wall, 16);
        tarn_heap_free(&buffer.heap, all, rest);
        assert_int_equal(largest_free(&buffer), whole);
    }
    tarn_buffer_deinit(&buffer);
}

static void an_aligned_block_leaves_no_hole_behind(void **state)
{
    (void)state;
    tarn_buffer buffer;
    make_buffer(&buffer, sizeof memory);
    const size_t whole = largest_free(&buffer);
    for (size_t alignment = 1; alignment <= 16384; alignment *= 2) {
        void *push = tarn_heap_alloc(&buffer.heap, 24, 0);
        void *block = tarn_heap_alloc(&buffer.heap, 300, alignment);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % alignment, 0);
        assert_true(tarn_heap_check(&buffer.heap, NULL, 0));
        tarn_heap_free(&buffer.heap, push, 24);
        tarn_heap_free(&buffer.heap, block, 300);
        assert_int_equal(largest_free(&buffer), whole);
    }
    assert_null(tarn_heap_alloc(&buffer.heap, 8, (size_t)1 << 62));
    assert_null(tarn_heap_alloc(&buffer.heap, PTRDIFF_MAX, 0));
    tarn_buffer_deinit(&buffer);
}

static void resets_give_all_the_memory_back(void **state)
{
    (void)state;
    tarn_buffer buffer;
    make_buffer(&buffer, 8192);
    const size_t whole = largest_free(&buffer);
    for (int i = 0; i < 20; i++) {
        assert_non_null(tarn_heap_alloc(&buffer.heap, 100, 0));
    }
    assert_int_equal(tarn_heap_reset(&buffer.heap), TARN_OK);
    const tarn_stats stats = tarn_heap_stats(&buffer.heap);
    assert_int_equal(stats.largest_free, whole);
    assert_int_equal(stats.live, 0);
    assert_int_equal(stats.blocks, 0);
    assert_int_equal(stats.frees, 20);
    assert_int_equal(stats.footprint, 8192);
    tarn_buffer_deinit(&buffer);
}

static void misuse_of_blocks_is_fatal(void **state)
{
    (void)state;
    tarn_buffer buffer;
    tarn_buffer_init(&buffer, (tarn_memory){memory, 8192}, &(tarn_buffer_options){.name = "tub"});
    tarn_heap *heap = &buffer.heap;
    unsigned char *a = tarn_heap_alloc(heap, 100, 0);
    unsigned char *b = tarn_heap_alloc(heap, 100, 0);
    unsigned char *c = tarn_heap_alloc(heap, 100, 0);
    unsigned char outside[16];
    const char *foreign = "not a block of this heap";
    const char *inside = "not a block of this heap, or the bytes before it were overwritten";
    const char *size = "wrong size given back with the block";
    memset(a, 0, 100);
    assert_fatal(tarn_heap_free(heap, outside, 1), foreign, "tub", outside);
    assert_fatal(tarn_heap_free(heap, memory, 1), foreign, "tub", memory);
    assert_fatal(tarn_heap_free(heap, a + 1, 100), foreign, "tub", a + 1);
    assert_fatal(tarn_heap_free(heap, a + 16, 84), inside, "tub", a + 16);
    assert_fatal(tarn_heap_free(heap, a, 200), size, "tub", a);
    assert_fatal(tarn_heap_free(heap, a, 20), size, "tub", a);
    assert_fatal(tarn_heap_free(heap, a, SIZE_MAX), size, "tub", a);
    assert_fatal(tarn_heap_resize(heap, a, 200, 300), size, "tub", a);

    tarn_heap_free(heap, b, 100);
    assert_fatal(tarn_heap_free(heap, b, 100), "double free", "tub", b);
    assert_fatal(tarn_heap_realloc(heap, b, 100, 120, 0), "double free", "tub", b);
    tarn_heap_free(heap, a, 100);
    assert_fatal(tarn_heap_free(heap, a, 100), "double free", "tub", a);
    /* b is now an inner part of a free block; its tag still tells. */
    assert_fatal(tarn_heap_free(heap, b, 100), "double free", "tub", b);
    tarn_heap_free(heap, c, 100);
    assert_fatal(tarn_heap_free(heap, c, 100), "double free", "tub", c);

    assert_non_null(tarn_heap_alloc(heap, 100, 0));
    b = tarn_heap_alloc(heap, 100, 0);
    tarn_heap_reset(heap);
    assert_fatal(tarn_heap_free(heap, b, 100), inside, "tub", b);
    tarn_buffer_deinit(&buffer);
}

static void overwritten_books_are_fatal_where_they_are_met(void **state)
{
    (void)state;
    tarn_buffer buffer;
    tarn_buffer_init(&buffer, (tarn_memory){memory, 8192}, &(tarn_buffer_options){.name = "tub"});
    tarn_heap *heap = &buffer.heap;
    unsigned char *a = tarn_heap_alloc(heap, 104, 0);
    unsigned char *b = tarn_heap_alloc(heap, 104, 0);
    unsigned char *c = tarn_heap_alloc(heap, 104, 0);
    void *d = tarn_heap_alloc(heap, 104, 0);
    assert_ptr_equal(b, a + 112);

    const unsigned char tag = peek(b - word);
    poke(b - word, tag ^ 0x20);
    assert_fatal(tarn_heap_free(heap, a, 104), "the bytes behind the block were overwritten", "tub",
                 a);
    assert_fatal(tarn_heap_free(heap, b, 104),
                 "not a block of this heap, or the bytes before it were overwritten", "tub", b);
    poke(b - word, tag);

    tarn_heap_free(heap, b, 104);
    poke(b, peek(b) ^ 0x10); /* its link to the next free block */
    assert_fatal(tarn_heap_alloc(heap, 104, 0), "the links of a free block were overwritten", "tub",
                 b);
    poke(b, peek(b) ^ 0x10);
    poke(b - word, peek(b - word) ^ 0x40);
    assert_fatal(tarn_heap_alloc(heap, 104, 0), "the bytes before a free block were overwritten",
                 "tub", b);
    poke(b - word, peek(b - word) ^ 0x40);
    poke(c - 2 * word, peek(c - 2 * word) ^ 0x10); /* its size, for the block behind */
    assert_fatal(tarn_heap_free(heap, c, 104), "the free block before this one was overwritten",
                 "tub", c);
    poke(c - 2 * word, peek(c - 2 * word) ^ 0x10);
    tarn_heap_free(heap, c, 104);
    tarn_heap_free(heap, a, 104);
    tarn_heap_free(heap, d, 104);
    assert_true(tarn_heap_check(heap, NULL, 0));
    tarn_buffer_deinit(&buffer);
}

static void check_reports_what_was_overwritten(void **state)
{
    (void)state;
    tarn_buffer buffer;
    make_buffer(&buffer, 8192);
    tarn_heap *heap = &buffer.heap;
    unsigned char *a = tarn_heap_alloc(heap, 104, 0);
    unsigned char *b = tarn_heap_alloc(heap, 104, 0);
    unsigned char *c = tarn_heap_alloc(heap, 104, 0);
    char fault[100];
    char wanted[100];
    tarn_heap_free(heap, b, 104);
    const struct {
        unsigned char *place;
        const char *fault;
        void *block;
    } cases[] = {
        {a - word, "the bytes before block %p were overwritten", a},
        {c - word + 7, "the bytes before block %p were overwritten", c},
        {b - word + 7, "the bytes before block %p were overwritten", b},
        {c - 2 * word, "free block %p was overwritten at its end", b},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const unsigned char byte = peek(cases[i].place);
        poke(cases[i].place, byte ^ 0x80);
        assert_false(tarn_heap_check(heap, fault, sizeof fault));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(wanted, sizeof wanted, cases[i].fault, cases[i].block);
#pragma GCC diagnostic pop
        assert_string_equal(fault, wanted);
        poke(cases[i].place, byte);
        assert_true(tarn_heap_check(heap, fault, sizeof fault));
    }
    poke(b, peek(b) ^ 0x10);
    assert_false(tarn_heap_check(heap, fault, sizeof fault));
    assert_memory_equal(fault, "the links of a free list lead to", 32);
    assert_false(tarn_heap_check(heap, fault, 10));
    assert_string_equal(fault, "the links");
    poke(b, peek(b) ^ 0x10);
    buffer.row_map ^= 1;
    assert_false(tarn_heap_check(heap, fault, sizeof fault));
    assert_string_equal(fault, "the map of rows is wrong about row 0");
    buffer.row_map ^= 1;
    buffer.books.blocks++;
    assert_false(tarn_heap_check(heap, fault, sizeof fault));
    assert_string_equal(fault, "2 blocks are in use but the books have 3");
    tarn_buffer_deinit(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_cannot_hold_a_block_is_refused),
        cmocka_unit_test(memory_that_is_none_or_too_much_is_refused),
        cmocka_unit_test(books_take_a_small_part_of_the_memory),
        cmocka_unit_test(neighbours_merge_in_whatever_order_they_are_freed),
        cmocka_unit_test(a_block_grows_into_the_free_memory_behind_it_and_shrinks_back),
        cmocka_unit_test(a_free_block_that_is_just_large_enough_is_found),
        cmocka_unit_test(an_aligned_block_leaves_no_hole_behind),
        cmocka_unit_test(resets_give_all_the_memory_back),
        cmocka_unit_test(misuse_of_blocks_is_fatal),
        cmocka_unit_test(overwritten_books_are_fatal_where_they_are_met),
        cmocka_unit_test(check_reports_what_was_overwritten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
