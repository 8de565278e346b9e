/* SPDX-License-Identifier: MIT */
#include "tarn/heaps.h"
#include "tarn/malloc.h"
#include "tarn/movable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * The hint, used as a program that defragments uses it: walk over all blocks, move those that the heap says should move.
 */

enum { COUNT = 40000, SIZE = 200 };

static unsigned char *blocks[COUNT];

static size_t footprint_after_defragmenting(tarn_heap *heap, unsigned *moved)
{
    *moved = 0;
    for (int round = 0; round < 8; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            if (blocks[i] != NULL && tarn_movable_should_move(heap, blocks[i], SIZE)) {
                unsigned char *copy = tarn_heap_alloc(heap, SIZE, 0);
                assert_non_null(copy);
                memcpy(copy, blocks[i], SIZE);
                tarn_heap_free(heap, blocks[i], SIZE);
                blocks[i] = copy;
                ++*moved;
            }
        }
    }
    (void)tarn_heap_trim(heap);
    return tarn_heap_stats(heap).footprint;
}

static void defragment(tarn_heap *heap)
{
    uint32_t seed = 1;
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = tarn_heap_alloc(heap, SIZE, 0);
        memset(blocks[i], (int)i, SIZE);
    }
    for (size_t i = 0; i < COUNT; i++) {
        seed = seed * 1664525 + 1013904223;
        if ((seed >> 16) % 10 < 7) {
            tarn_heap_free(heap, blocks[i], SIZE);
            blocks[i] = NULL;
        }
    }
    (void)tarn_heap_trim(heap);
    const size_t before = tarn_heap_stats(heap).footprint;
    unsigned moved;
    const size_t after = footprint_after_defragmenting(heap, &moved);
    assert_true(moved > 100 && moved < COUNT);
    assert_true(after < before * 2 / 3);
    for (size_t i = 0; i < COUNT; i++) {
        if (blocks[i] != NULL) {
            assert_int_equal(blocks[i][0], (unsigned char)i);
            assert_int_equal(blocks[i][SIZE - 1], (unsigned char)i);
            tarn_heap_free(heap, blocks[i], SIZE);
        }
    }
}

static void moving_what_should_move_empties_spans_of_the_malloc(void **state)
{
    (void)state;
    defragment(tarn_malloc_heap());
}

static void moving_what_should_move_empties_spans_of_a_heap_of_ones_own(void **state)
{
    (void)state;
    tarn_heap *heap = tarn_malloc_create(NULL);
    assert_non_null(heap);
    defragment(heap);
    tarn_malloc_destroy(heap);
}

static void wrapping_heaps_hand_the_question_on(void **state)
{
    (void)state;
    tarn_heap *heap = tarn_malloc_create(NULL);
    tarn_counted counted;
    tarn_locked locked;
    tarn_counted_init(&counted, &(tarn_counted_options){.upstream = heap});
    tarn_locked_init(&locked, &(tarn_locked_options){.upstream = &counted.heap});
    unsigned different = 0;
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = tarn_heap_alloc(&locked.heap, SIZE, 0);
    }
    for (size_t i = 0; i < COUNT; i++) {
        if (i % (i < COUNT / 2 ? 10 : 2) != 0) {
            tarn_heap_free(&locked.heap, blocks[i], SIZE);
            blocks[i] = NULL;
        }
    }
    unsigned yes = 0;
    for (size_t i = 0; i < COUNT; i += i < COUNT / 2 ? 10 : 2) {
        const bool should = tarn_heap_should_move(heap, blocks[i], SIZE);
        yes += should;
        different += should != tarn_heap_should_move(&locked.heap, blocks[i], SIZE);
    }
    assert_int_equal(different, 0);
    assert_true(yes > 0);
    tarn_malloc_destroy(heap);
}

static void heaps_that_cannot_tell_say_no(void **state)
{
    (void)state;
    void *block = tarn_heap_alloc(tarn_pages_heap(), 100, 0);
    tarn_locked locked;
    tarn_locked_init(&locked, NULL);
    assert_false(tarn_heap_should_move(tarn_pages_heap(), block, 100));
    assert_false(tarn_heap_should_move(&locked.heap, block, 100));
    assert_false(tarn_heap_should_move(tarn_malloc_heap(), NULL, 100));
    tarn_heap_free(tarn_pages_heap(), block, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moving_what_should_move_empties_spans_of_the_malloc),
        cmocka_unit_test(moving_what_should_move_empties_spans_of_a_heap_of_ones_own),
        cmocka_unit_test(wrapping_heaps_hand_the_question_on),
        cmocka_unit_test(heaps_that_cannot_tell_say_no),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
