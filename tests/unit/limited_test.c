/* SPDX-License-Identifier: MIT */
#include "tarn/heaps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static _Alignas(64) unsigned char memory[65536];
static tarn_buffer buffer;

static int make_upstream(void **state)
{
    (void)state;
    return tarn_buffer_init(&buffer, (tarn_memory){memory, sizeof memory}, NULL);
}

static int end_upstream(void **state)
{
    (void)state;
    tarn_buffer_deinit(&buffer);
    return 0;
}

static void the_hard_limit_is_reached_and_never_passed(void **state)
{
    (void)state;
    tarn_limited limited;
    const tarn_limited_options options = {.upstream = &buffer.heap, .hard_limit = 1000};
    assert_int_equal(tarn_limited_init(&limited, &options), TARN_OK);
    void *first = tarn_heap_alloc(&limited.heap, 600, 0);
    assert_non_null(first);
    assert_null(tarn_heap_alloc(&limited.heap, 401, 0));
    assert_null(tarn_heap_calloc(&limited.heap, 401, 1, 0));
    assert_false(tarn_heap_resize(&limited.heap, first, 600, 1001));
    assert_null(tarn_heap_realloc(&limited.heap, first, 600, 1001, 0));
    assert_null(tarn_heap_alloc(&limited.heap, PTRDIFF_MAX, 0));
    tarn_stats stats = tarn_heap_stats(&limited.heap);
    assert_int_equal(stats.live, 600);
    assert_int_equal(stats.footprint, 600);
    assert_int_equal(stats.largest_free, 400);
    assert_int_equal(stats.failures, 4);
    assert_int_equal(tarn_heap_stats(&buffer.heap).live, 600);
    void *second = tarn_heap_alloc(&limited.heap, 400, 0);
    assert_non_null(second);
    assert_null(tarn_heap_alloc(&limited.heap, 1, 0));
    tarn_heap_free(&limited.heap, second, 400);
    assert_true(tarn_heap_resize(&limited.heap, first, 600, 1000));
    tarn_heap_free(&limited.heap, first, 1000);
    stats = tarn_heap_stats(&limited.heap);
    assert_int_equal(stats.live, 0);
    assert_int_equal(stats.peak_live, 1000);
}

typedef struct soft_limit {
    unsigned calls;
    size_t live;
    tarn_heap *heap;
    void *victim; /* freed by the call, if not NULL */
} soft_limit;

static void on_soft_limit(void *context, tarn_heap *heap, size_t live)
{
    soft_limit *seen = context;
    seen->calls++;
    seen->live = live;
    seen->heap = heap;
    if (seen->victim != NULL) {
        tarn_heap_free(heap, seen->victim, 300);
        seen->victim = NULL;
    }
}

static void the_soft_limit_calls_back_once_for_each_crossing(void **state)
{
    (void)state;
    tarn_limited limited;
    soft_limit seen = {0};
    const tarn_limited_options options = {.upstream = &buffer.heap,
                                          .soft_limit = 500,
                                          .on_soft_limit = on_soft_limit,
                                          .context = &seen};
    assert_int_equal(tarn_limited_init(&limited, &options), TARN_OK);
    void *a = tarn_heap_alloc(&limited.heap, 500, 0);
    assert_int_equal(seen.calls, 0);
    void *b = tarn_heap_alloc(&limited.heap, 1, 0);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.live, 501);
    assert_ptr_equal(seen.heap, &limited.heap);
    void *c = tarn_heap_alloc(&limited.heap, 100, 0);
    assert_int_equal(seen.calls, 1);
    tarn_heap_free(&limited.heap, c, 100);
    assert_int_equal(seen.calls, 1);
    tarn_heap_free(&limited.heap, b, 1);
    b = tarn_heap_calloc(&limited.heap, 1, 1, 0);
    assert_int_equal(seen.calls, 2);
    tarn_heap_free(&limited.heap, b, 1);
    assert_true(tarn_heap_resize(&limited.heap, a, 500, 501));
    assert_int_equal(seen.calls, 3);
    assert_int_equal(tarn_heap_reset(&limited.heap), TARN_OK);
    a = tarn_heap_alloc(&limited.heap, 501, 0);
    assert_int_equal(seen.calls, 4);
    tarn_heap_free(&limited.heap, a, 501);
}

static void the_soft_limits_call_may_free_blocks(void **state)
{
    (void)state;
    tarn_limited limited;
    soft_limit seen = {0};
    const tarn_limited_options options = {.upstream = &buffer.heap,
                                          .soft_limit = 500,
                                          .on_soft_limit = on_soft_limit,
                                          .context = &seen};
    tarn_limited_init(&limited, &options);
    seen.victim = tarn_heap_alloc(&limited.heap, 300, 0);
    void *block = tarn_heap_alloc(&limited.heap, 300, 0);
    assert_non_null(block);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(tarn_heap_stats(&limited.heap).live, 300);
    /* The call brought it back below, so the next crossing is a new one. */
    void *other = tarn_heap_alloc(&limited.heap, 300, 0);
    assert_int_equal(seen.calls, 2);
    tarn_heap_free(&limited.heap, block, 300);
    tarn_heap_free(&limited.heap, other, 300);
}

static void realloc_by_move_is_limited_too(void **state)
{
    (void)state;
    tarn_pages pages;
    tarn_limited limited;
    soft_limit seen = {0};
    tarn_pages_init(&pages, NULL);
    const tarn_limited_options options = {.upstream = &pages.heap,
                                          .soft_limit = 20000,
                                          .hard_limit = 100000,
                                          .on_soft_limit = on_soft_limit,
                                          .context = &seen};
    tarn_limited_init(&limited, &options);
    unsigned char *block = tarn_heap_alloc(&limited.heap, 10000, 0);
    block[9999] = 5;
    assert_null(tarn_heap_realloc(&limited.heap, block, 10000, 100001, 0));
    assert_int_equal(seen.calls, 0);
    /* Both would pass the limit together, so this is no copy. */
    block = tarn_heap_realloc(&limited.heap, block, 10000, 95000, 0);
    assert_non_null(block);
    assert_int_equal(block[9999], 5);
    assert_int_equal(seen.calls, 1);
    tarn_heap_free(&limited.heap, block, 95000);
    tarn_pages_deinit(&pages);
}

static void reset_spares_blocks_of_other_users_of_upstream(void **state)
{
    (void)state;
    tarn_limited limited;
    tarn_limited_init(&limited, &(tarn_limited_options){.upstream = &buffer.heap});
    void *block = tarn_heap_alloc(&limited.heap, 10, 0);
    void *foreign = tarn_heap_alloc(&buffer.heap, 10, 0);
    assert_int_equal(tarn_heap_reset(&limited.heap), TARN_UNSUPPORTED);
    assert_int_equal(tarn_heap_stats(&limited.heap).blocks, 1);
    tarn_heap_free(&limited.heap, block, 10);
    tarn_heap_free(&buffer.heap, foreign, 10);
    assert_non_null(tarn_heap_alloc(&limited.heap, 10, 0));
    assert_int_equal(tarn_heap_reset(&limited.heap), TARN_OK);
    assert_int_equal(tarn_heap_stats(&limited.heap).blocks, 0);
    assert_int_equal(tarn_heap_stats(&buffer.heap).blocks, 0);
}

static void options_that_contradict_each_other_are_refused(void **state)
{
    (void)state;
    tarn_limited limited;
    const tarn_limited_options nobody = {.soft_limit = 5};
    const tarn_limited_options crossed = {
        .soft_limit = 5, .hard_limit = 4, .on_soft_limit = on_soft_limit};
    assert_int_equal(tarn_limited_init(&limited, &nobody), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_limited_init(&limited, &crossed), TARN_BAD_ARGUMENT);
}

static void no_options_mean_no_limit_over_the_kernels_pages(void **state)
{
    (void)state;
    tarn_limited limited;
    assert_int_equal(tarn_limited_init(&limited, NULL), TARN_OK);
    assert_string_equal(limited.heap.name, "limited");
    const size_t before = tarn_heap_stats(tarn_pages_heap()).live;
    void *block = tarn_heap_alloc(&limited.heap, 1000000, 0);
    assert_non_null(block);
    assert_int_equal(tarn_heap_stats(tarn_pages_heap()).live, before + 1000000);
    assert_int_equal(tarn_heap_reset(&limited.heap), TARN_UNSUPPORTED);
    tarn_heap_free(&limited.heap, block, 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hard_limit_is_reached_and_never_passed),
        cmocka_unit_test(the_soft_limit_calls_back_once_for_each_crossing),
        cmocka_unit_test(the_soft_limits_call_may_free_blocks),
        cmocka_unit_test(realloc_by_move_is_limited_too),
        cmocka_unit_test(reset_spares_blocks_of_other_users_of_upstream),
        cmocka_unit_test(options_that_contradict_each_other_are_refused),
        cmocka_unit_test(no_options_mean_no_limit_over_the_kernels_pages),
    };
    return cmocka_run_group_tests(tests, make_upstream, end_upstream);
}
