/* SPDX-License-Identifier: MIT */
#include "heap_model.h"

#include "tarn/heaps.h"
#include "tarn/pool.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tools.h"

/*
 * Fixed-size pools as heaps, under the model: objects of several sizes, each way that calls can go, over pages and over
 * a static buffer.
 */

static const unsigned operations = HEAP_WATCH_ASAN || IS_UNDER_TSAN ? 3000 : 20000;
static const unsigned short_operations = 600;

static tarn_pool pool;

static tarn_heap *open_pool(void *state, tarn_heap *upstream)
{
    tarn_pool_options options = *(const tarn_pool_options *)state;
    options.upstream = upstream;
    return tarn_pool_init(&pool, &options) == TARN_OK ? &pool.heap : NULL;
}

static void close_pool(void *state)
{
    (void)state;
    tarn_pool_deinit(&pool);
}

static bool sees_each_call(const tarn_pool_options *options)
{
    return options->checks || options->history || options->zero || options->poison ||
           heap_watch_is_on();
}

static heap_model_subject subject_of(tarn_pool_options *options)
{
    const size_t divides = options->size & (~options->size + 1);
    const size_t natural = divides < 16 ? divides : 16;
    return (heap_model_subject){
        .name = options->name,
        .state = options,
        .open = open_pool,
        .close = close_pool,
        .size_max = options->size,
        .alignment_max = options->alignment != 0 ? options->alignment : natural,
        .blocks_max = 900,
        .may_refuse = options->max_objects != 0 || natural < 16,
        .visits_room = true,
        .counts_room = true,
        .keeps_no_history = !sees_each_call(options),
        .keeps_footprint = options->preallocate,
    };
}

static tarn_pool_options kinds[] = {
    {.name = "bytes", .size = 1},
    {.name = "odd", .size = 7},
    {.name = "words", .size = 8},
    {.name = "lines", .size = 64, .alignment = 64},
    {.name = "large", .size = 5000},
    {.name = "pages", .size = 4096, .alignment = 4096},
    {.name = "small chunks", .size = 48, .first_objects = 3, .chunk_objects_max = 10},
    {.name = "a small cache", .size = 32, .cache_objects = 3},
    {.name = "a cache of one", .size = 32, .cache_objects = 1, .first_objects = 1},
    {.name = "limited", .size = 32, .max_objects = 300},
    {.name = "preallocated", .size = 32, .max_objects = 300, .preallocate = true},
    {.name = "checks", .size = 48, .checks = true, .first_objects = 5},
    {.name = "history", .size = 24, .history = true},
    {.name = "zero", .size = 100, .zero = true},
    {.name = "poison", .size = 48, .poison = true, .first_objects = 20},
    {.name = "shared", .size = 64, .threads = TARN_SHARED},
    {.name = "shared, small magazines", .size = 64, .threads = TARN_SHARED, .cache_objects = 4},
    {.name = "shared, no cache", .size = 64, .threads = TARN_SHARED, .cache_objects = 1},
    {.name = "shared, limited", .size = 16, .threads = TARN_SHARED, .max_objects = 400},
    {.name = "shared, preallocated",
     .size = 16,
     .threads = TARN_SHARED,
     .max_objects = 400,
     .preallocate = true},
    {.name = "shared, checks", .size = 16, .threads = TARN_SHARED, .checks = true},
};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

static void pools_do_as_their_naive_twin(void **state)
{
    (void)state;
    const uint64_t seed = heap_model_seed();
    for (size_t i = 0; i < KINDS; i++) {
        const heap_model_subject subject = subject_of(&kinds[i]);
        assert_true(heap_model_run(&subject, seed, operations));
    }
}

static void nothing_is_lost_when_any_upstream_request_fails(void **state)
{
    (void)state;
    const uint64_t seed = heap_model_seed();
    for (size_t i = 0; i < KINDS; i++) {
        const heap_model_subject subject = subject_of(&kinds[i]);
        assert_true(heap_model_run_short_of_memory(&subject, seed, short_operations));
    }
}

static void pools_do_the_same_when_pooling_is_off(void **state)
{
    (void)state;
    const uint64_t seed = heap_model_seed();
    tarn_set_pooling(false);
    for (size_t i = 0; i < KINDS; i++) {
        heap_model_subject subject = subject_of(&kinds[i]);
        subject.keeps_footprint = false;
        assert_true(heap_model_run(&subject, seed, operations / 4));
    }
    tarn_set_pooling(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pools_do_as_their_naive_twin),
        cmocka_unit_test(nothing_is_lost_when_any_upstream_request_fails),
        cmocka_unit_test(pools_do_the_same_when_pooling_is_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
