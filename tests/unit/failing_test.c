/* SPDX-License-Identifier: MIT */
#include "tarn/heaps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static _Alignas(64) unsigned char memory[8192];
static tarn_buffer buffer;
static tarn_failing failing;

static int make_heaps(void **state)
{
    (void)state;
    tarn_buffer_init(&buffer, (tarn_memory){memory, sizeof memory}, NULL);
    return tarn_failing_init(&failing, &(tarn_failing_options){.upstream = &buffer.heap});
}

static int end_heaps(void **state)
{
    (void)state;
    tarn_buffer_deinit(&buffer);
    return 0;
}

/* One request, as 'x' if it was refused and '.' if not. */
static char try_request(void)
{
    void *block = tarn_heap_alloc(&failing.heap, 16, 0);
    tarn_heap_free(&failing.heap, block, 16);
    return block == NULL ? 'x' : '.';
}

static void assert_requests(tarn_failing_plan plan, const char *wanted)
{
    char seen[32] = "";
    tarn_failing_restart(&failing, &plan);
    for (size_t i = 0; wanted[i] != '\0'; i++) {
        seen[i] = try_request();
    }
    assert_string_equal(seen, wanted);
}

static void the_plan_says_which_requests_fail(void **state)
{
    (void)state;
    assert_requests((tarn_failing_plan){0}, "..........");
    assert_requests((tarn_failing_plan){.at = 1}, "x.........");
    assert_requests((tarn_failing_plan){.at = 4}, "...x......");
    assert_requests((tarn_failing_plan){.from = 4}, "...xxxxxxx");
    assert_requests((tarn_failing_plan){.every = 3}, "..x..x..x.");
    assert_requests((tarn_failing_plan){.every = 1}, "xxxxxxxxxx");
    assert_requests((tarn_failing_plan){.one_in = 1}, "xxxxxxxxxx");
    assert_requests((tarn_failing_plan){.at = 1, .every = 5, .from = 9}, "x...x...xx");
    assert_int_equal(failing.requests, 10);
    assert_int_equal(failing.refused, 4);
    tarn_failing_restart(&failing, NULL);
    assert_int_equal(failing.requests, 0);
    assert_int_equal(try_request(), '.');
}

static void a_seed_draws_the_same_failures_again(void **state)
{
    (void)state;
    enum { COUNT = 4000 };
    static char runs[3][COUNT];
    const uint64_t seeds[3] = {7, 7, 8};
    for (int run = 0; run < 3; run++) {
        const tarn_failing_plan plan = {.one_in = 4, .seed = seeds[run]};
        tarn_failing_restart(&failing, &plan);
        for (int i = 0; i < COUNT; i++) {
            runs[run][i] = try_request();
        }
        assert_true(failing.refused > COUNT / 5 && failing.refused < COUNT / 3);
    }
    assert_memory_equal(runs[0], runs[1], COUNT);
    assert_memory_not_equal(runs[0], runs[2], COUNT);
}

static void resizes_are_requests_too(void **state)
{
    (void)state;
    tarn_failing_restart(&failing, NULL);
    unsigned char *block = tarn_heap_alloc(&failing.heap, 100, 0);
    memset(block, 9, 100);
    tarn_failing_restart(&failing, &(tarn_failing_plan){.at = 1});
    assert_false(tarn_heap_resize(&failing.heap, block, 100, 50));
    assert_true(tarn_heap_resize(&failing.heap, block, 100, 50));
    /* Both the resize and the alloc of a realloc fail; the block stays. */
    tarn_failing_restart(&failing, &(tarn_failing_plan){.from = 1});
    assert_null(tarn_heap_realloc(&failing.heap, block, 50, 500, 0));
    assert_null(tarn_heap_calloc(&failing.heap, 5, 5, 0));
    assert_int_equal(failing.refused, 3);
    assert_int_equal(block[49], 9);
    tarn_heap_free(&failing.heap, block, 50);
    assert_int_equal(tarn_heap_stats(&failing.heap).blocks, 0);
}

static void moves_are_requests_too(void **state)
{
    (void)state;
    tarn_failing over_pages;
    tarn_failing_init(&over_pages, NULL);
    void *block = tarn_heap_alloc(&over_pages.heap, 5000, 0);
    tarn_failing_restart(&over_pages, &(tarn_failing_plan){.from = 1});
    assert_null(tarn_heap_realloc(&over_pages.heap, block, 5000, 50000, 0));
    assert_int_equal(over_pages.refused, 3); /* resize, move, alloc */
    assert_null(tarn_heap_calloc(&over_pages.heap, 1, 1, 0));
    tarn_heap_free(&over_pages.heap, block, 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plan_says_which_requests_fail),
        cmocka_unit_test(a_seed_draws_the_same_failures_again),
        cmocka_unit_test(resizes_are_requests_too),
        cmocka_unit_test(moves_are_requests_too),
    };
    return cmocka_run_group_tests(tests, make_heaps, end_heaps);
}
