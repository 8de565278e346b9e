/* SPDX-License-Identifier: MIT */
#include "tarn/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * What tarn_heap_*() make of a request before the heap sees it. The heap here writes down the last
 * call.
 */
typedef struct scribe {
    tarn_heap heap;
    char call; /* the op's first letter; 0: none was called */
    void *block;
    size_t old_size;
    size_t size;
    size_t alignment;
    bool answer;        /* what resize, check, visit and reset say */
    void *moved;        /* what move says */
    unsigned char *out; /* what alloc says */
    unsigned frees;
} scribe;

static scribe *scribe_of(tarn_heap *heap)
{
    return (scribe *)heap;
}

static void *scribe_alloc(tarn_heap *heap, size_t size, size_t alignment)
{
    scribe *it = scribe_of(heap);
    it->call = 'a';
    it->size = size;
    it->alignment = alignment;
    return it->out;
}

static void *scribe_alloc_zeroed(tarn_heap *heap, size_t size, size_t alignment)
{
    scribe_alloc(heap, size, alignment);
    scribe_of(heap)->call = 'z';
    return scribe_of(heap)->out;
}

static void scribe_free(tarn_heap *heap, void *block, size_t size)
{
    scribe *it = scribe_of(heap);
    it->frees++;
    it->block = block;
    it->old_size = size;
}

static bool scribe_resize(tarn_heap *heap, void *block, size_t old_size, size_t new_size)
{
    scribe *it = scribe_of(heap);
    it->call = 'r';
    it->block = block;
    it->old_size = old_size;
    it->size = new_size;
    return it->answer;
}

static void *scribe_move(tarn_heap *heap, void *block, size_t old_size, size_t new_size,
                         size_t alignment)
{
    scribe *it = scribe_of(heap);
    scribe_resize(heap, block, old_size, new_size);
    it->call = 'm';
    it->alignment = alignment;
    return it->moved;
}

static bool scribe_check(tarn_heap *heap, char *fault, size_t fault_size)
{
    assert_non_null(fault);
    assert_true(fault_size > 0);
    if (fault_size > 3) {
        memcpy(fault, "bad", 4);
    }
    return scribe_of(heap)->answer;
}

static bool scribe_visit(tarn_heap *heap, tarn_visitor *visitor, void *context)
{
    return visitor(context, heap, 7) && scribe_of(heap)->answer;
}

static bool scribe_reset(tarn_heap *heap)
{
    return scribe_of(heap)->answer;
}

static const tarn_heap_ops least_ops = {.alloc = scribe_alloc, .free = scribe_free};

static const tarn_heap_ops most_ops = {
    .alloc = scribe_alloc,
    .free = scribe_free,
    .resize = scribe_resize,
    .move = scribe_move,
    .check = scribe_check,
    .visit = scribe_visit,
    .reset = scribe_reset,
    .alloc_zeroed = scribe_alloc_zeroed,
};

static const size_t natural = _Alignof(max_align_t);

static void zero_bytes_are_served_as_one_byte(void **state)
{
    (void)state;
    unsigned char out[1];
    scribe it = {.heap = {&most_ops, "scribe"}, .out = out};
    assert_ptr_equal(tarn_heap_alloc(&it.heap, 0, 8), out);
    assert_int_equal(it.size, 1);
    assert_ptr_equal(tarn_heap_calloc(&it.heap, 0, 8, 8), out);
    assert_int_equal(it.size, 1);
    tarn_heap_free(&it.heap, out, 0);
    assert_int_equal(it.old_size, 1);
    it.answer = true;
    assert_true(tarn_heap_resize(&it.heap, out, 0, 0));
    assert_int_equal(it.old_size, 1);
    assert_int_equal(it.size, 1);
    assert_ptr_equal(tarn_heap_realloc(&it.heap, out, 0, 0, 0), out);
    assert_int_equal(it.old_size, 1);
    assert_int_equal(it.size, 1);
}

static void an_alignment_of_zero_is_the_natural_one(void **state)
{
    (void)state;
    unsigned char out[64];
    scribe it = {.heap = {&least_ops, "scribe"}, .out = out};
    tarn_heap_alloc(&it.heap, 5, 0);
    assert_int_equal(it.alignment, natural);
    tarn_heap_alloc(&it.heap, 5, 1);
    assert_int_equal(it.alignment, 1);
    tarn_heap_calloc(&it.heap, 5, 2, 0);
    assert_int_equal(it.alignment, natural);
    tarn_heap_realloc(&it.heap, out, 5, 6, 0);
    assert_int_equal(it.alignment, natural);
}

static void requests_that_no_heap_can_serve_do_not_reach_it(void **state)
{
    (void)state;
    unsigned char out[64] = {0};
    scribe it = {.heap = {&most_ops, "scribe"}, .out = out, .answer = true, .moved = out};
    assert_null(tarn_heap_alloc(&it.heap, (size_t)PTRDIFF_MAX + 1, 0));
    assert_null(tarn_heap_alloc(&it.heap, 1, 3));
    assert_null(tarn_heap_alloc(&it.heap, 1, SIZE_MAX));
    assert_null(tarn_heap_calloc(&it.heap, SIZE_MAX / 4, 5, 0));
    assert_null(tarn_heap_calloc(&it.heap, SIZE_MAX / 4, 4, 0));
    assert_null(tarn_heap_calloc(&it.heap, 1, 1, 12));
    assert_null(tarn_heap_realloc(&it.heap, out, 1, (size_t)PTRDIFF_MAX + 1, 0));
    assert_null(tarn_heap_realloc(&it.heap, out, 1, 2, 12));
    assert_null(tarn_heap_realloc(&it.heap, NULL, 0, 2, 12));
    assert_false(tarn_heap_resize(&it.heap, out, 1, (size_t)PTRDIFF_MAX + 1));
    assert_false(tarn_heap_resize(&it.heap, NULL, 1, 2));
    tarn_heap_free(&it.heap, NULL, 3);
    assert_int_equal(it.call, 0);
    assert_int_equal(it.frees, 0);
    assert_ptr_equal(tarn_heap_alloc(&it.heap, PTRDIFF_MAX, 0), out);
    assert_true(it.size == PTRDIFF_MAX);
}

static void calloc_zeroes_what_the_heap_does_not(void **state)
{
    (void)state;
    unsigned char out[16];
    memset(out, 1, sizeof out);
    scribe it = {.heap = {&least_ops, "scribe"}, .out = out};
    assert_ptr_equal(tarn_heap_calloc(&it.heap, 3, 5, 0), out);
    for (size_t i = 0; i < sizeof out; i++) {
        assert_int_equal(out[i], i < 15 ? 0 : 1);
    }
    it.out = NULL;
    assert_null(tarn_heap_calloc(&it.heap, 3, 5, 0));
}

static void calloc_leaves_alone_what_the_heap_has_zeroed(void **state)
{
    (void)state;
    unsigned char out[16] = {[3] = 9};
    scribe it = {.heap = {&most_ops, "scribe"}, .out = out};
    assert_ptr_equal(tarn_heap_calloc(&it.heap, 4, 4, 32), out);
    assert_int_equal(it.call, 'z');
    assert_int_equal(it.size, 16);
    assert_int_equal(it.alignment, 32);
    assert_int_equal(out[3], 9);
}

static void realloc_resizes_in_place_before_it_moves(void **state)
{
    (void)state;
    unsigned char old[16];
    unsigned char moved[16];
    scribe it = {.heap = {&most_ops, "scribe"}, .answer = true, .moved = moved};
    assert_ptr_equal(tarn_heap_realloc(&it.heap, old, 8, 16, 64), old);
    assert_int_equal(it.call, 'r');
    it.answer = false;
    assert_ptr_equal(tarn_heap_realloc(&it.heap, old, 8, 16, 64), moved);
    assert_int_equal(it.call, 'm');
    assert_int_equal(it.alignment, 64);
    assert_int_equal(it.frees, 0);
}

static void realloc_copies_when_the_heap_cannot_move(void **state)
{
    (void)state;
    unsigned char old[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    unsigned char out[16];
    for (int least = 0; least < 2; least++) {
        scribe it = {.heap = {least ? &least_ops : &most_ops, "scribe"}, .out = out};
        memset(out, 0, sizeof out);
        assert_ptr_equal(tarn_heap_realloc(&it.heap, old, 8, 16, 0), out);
        assert_memory_equal(out, old, 8);
        assert_int_equal(out[8], 0);
        assert_int_equal(it.frees, 1);
        assert_ptr_equal(it.block, old);
        assert_int_equal(it.old_size, 8);
        memset(out, 0, sizeof out);
        assert_ptr_equal(tarn_heap_realloc(&it.heap, old, 8, 3, 0), out);
        assert_memory_equal(out, old, 3);
        assert_int_equal(out[3], 0);
    }
}

static void realloc_that_fails_leaves_the_block(void **state)
{
    (void)state;
    unsigned char old[8];
    scribe it = {.heap = {&most_ops, "scribe"}};
    assert_null(tarn_heap_realloc(&it.heap, old, 8, 16, 0));
    assert_int_equal(it.frees, 0);
}

static void realloc_of_no_block_allocates(void **state)
{
    (void)state;
    unsigned char out[8];
    scribe it = {.heap = {&most_ops, "scribe"}, .out = out, .answer = true};
    assert_ptr_equal(tarn_heap_realloc(&it.heap, NULL, 0, 8, 16), out);
    assert_int_equal(it.call, 'a');
    assert_int_equal(it.alignment, 16);
}

static bool note_visit(void *context, void *block, size_t size)
{
    *(void **)context = block;
    return size == 7;
}

static void what_a_heap_leaves_out_has_an_answer(void **state)
{
    (void)state;
    scribe it = {.heap = {&least_ops, "scribe"}};
    char fault[8] = "before";
    void *seen = NULL;
    const tarn_stats stats = tarn_heap_stats(&it.heap);
    const tarn_stats none = {0};
    assert_memory_equal(&stats, &none, sizeof none);
    assert_int_equal(tarn_heap_trim(&it.heap), 0);
    assert_false(tarn_heap_resize(&it.heap, fault, 1, 2));
    assert_true(tarn_heap_check(&it.heap, fault, sizeof fault));
    assert_string_equal(fault, "");
    assert_int_equal(tarn_heap_visit(&it.heap, note_visit, &seen), TARN_UNSUPPORTED);
    assert_null(seen);
    assert_int_equal(tarn_heap_reset(&it.heap), TARN_UNSUPPORTED);
}

static void check_visit_and_reset_hand_on_the_answer(void **state)
{
    (void)state;
    scribe it = {.heap = {&most_ops, "scribe"}};
    char fault[8] = "";
    void *seen = NULL;
    assert_false(tarn_heap_check(&it.heap, fault, sizeof fault));
    assert_string_equal(fault, "bad");
    assert_false(tarn_heap_check(&it.heap, NULL, 0));
    assert_int_equal(tarn_heap_visit(&it.heap, note_visit, &seen), TARN_OK);
    assert_ptr_equal(seen, &it);
    assert_int_equal(tarn_heap_reset(&it.heap), TARN_UNSUPPORTED);
    it.answer = true;
    assert_true(tarn_heap_check(&it.heap, NULL, 0));
    assert_int_equal(tarn_heap_reset(&it.heap), TARN_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_bytes_are_served_as_one_byte),
        cmocka_unit_test(an_alignment_of_zero_is_the_natural_one),
        cmocka_unit_test(requests_that_no_heap_can_serve_do_not_reach_it),
        cmocka_unit_test(calloc_zeroes_what_the_heap_does_not),
        cmocka_unit_test(calloc_leaves_alone_what_the_heap_has_zeroed),
        cmocka_unit_test(realloc_resizes_in_place_before_it_moves),
        cmocka_unit_test(realloc_copies_when_the_heap_cannot_move),
        cmocka_unit_test(realloc_that_fails_leaves_the_block),
        cmocka_unit_test(realloc_of_no_block_allocates),
        cmocka_unit_test(what_a_heap_leaves_out_has_an_answer),
        cmocka_unit_test(check_visit_and_reset_hand_on_the_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
