/* SPDX-License-Identifier: MIT */
#include "heap_model.h"

#include "tarn/heaps.h"
#include "tarn/twolevel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tools.h"

#ifndef TARN_HARDENED
#define TARN_HARDENED 0
#endif

/*
 * Two-level instances of every kind as heaps, under the model; and the typed functions, which the
 * heap interface does not reach, under a model of their own.
 */

/* Upstream is the kernel's pages, whose system calls take most of the time: the more so as a run
 * short of memory is one for each request that there is. */
static const unsigned operations = HEAP_WATCH_ASAN || IS_UNDER_TSAN ? 700 : 1500;
static const unsigned short_operations = HEAP_WATCH_ASAN || IS_UNDER_TSAN ? 40 : 50;

static _Alignas(64) unsigned char memory[1 << 18];
static tarn_buffer buffer;
static tarn_twolevel twolevel;

typedef struct subject_state {
    const char *name;
    tarn_twolevel_options options;
    bool has_buffer;
    bool is_unpooled;
} subject_state;

static const subject_state kinds[] = {
    {.name = "open"},
    {.name = "open, large chunks", .options = {.chunk_min = 10000}},
    {.name = "with checks", .options = {.checks = true}},
    {.name = "with a lock", .options = {.threads = true}},
    {.name = "with a lock and checks", .options = {.threads = true, .checks = true}},
    {.name = "all malloc", .options = {.use_malloc = true}},
    {.name = "in a buffer", .has_buffer = true},
    {.name = "in a buffer, with checks", .options = {.checks = true}, .has_buffer = true},
    {.name = "without pooling", .is_unpooled = true},
};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

static tarn_heap *open_twolevel(void *state, tarn_heap *upstream)
{
    const subject_state *wanted = state;
    tarn_twolevel_options options = wanted->options;
    const bool pooling = tarn_pooling();
    options.upstream = upstream;
    if (wanted->has_buffer) {
        tarn_buffer_init(&buffer, (tarn_memory){memory, 40000}, NULL);
        options.upstream = &buffer.heap;
    }
    if (wanted->is_unpooled) {
        tarn_set_pooling(false);
    }
    (void)tarn_twolevel_init(&twolevel, &options);
    tarn_set_pooling(pooling);
    return &twolevel.heap;
}

static void close_twolevel(void *state)
{
    const subject_state *wanted = state;
    tarn_twolevel_deinit(&twolevel);
    if (wanted->has_buffer) {
        tarn_buffer_deinit(&buffer);
    }
}

static heap_model_subject subject_of(const subject_state *kind, size_t size_max)
{
    const bool is_exact = kind->options.checks || kind->options.use_malloc || kind->is_unpooled ||
                          heap_watch_is_on() || TARN_HARDENED;
    return (heap_model_subject){
        .name = kind->name,
        .state = (void *)kind,
        .open = open_twolevel,
        .close = close_twolevel,
        .size_max = size_max,
        .blocks_max = 600,
        .may_refuse = kind->has_buffer,
        .counts_room = !is_exact,
        .cannot_visit = !is_exact,
        .keeps_no_history = !is_exact,
    };
}

static void instances_do_as_their_naive_twin(void **state)
{
    (void)state;
    const uint64_t seed = heap_model_seed();
    static const size_t sizes[] = {130, 2000};
    for (size_t kind = 0; kind < KINDS; kind++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            const heap_model_subject subject = subject_of(&kinds[kind], sizes[i]);
            assert_true(heap_model_run(&subject, seed, operations));
        }
    }
}

/* Instances of threads have no upstream of their own, and what they send to the first level is not
 * in the books: so only the lists are looked at. */
static tarn_heap *open_lasting(void *state, tarn_heap *upstream)
{
    (void)upstream;
    const bool is_of_thread = *(const bool *)state;
    return is_of_thread ? &tarn_twolevel_of_thread()->heap : &tarn_twolevel_of_process()->heap;
}

static void close_lasting(void *state)
{
    (void)state;
}

static void instances_of_threads_do_as_their_naive_twin(void **state)
{
    (void)state;
    const uint64_t seed = heap_model_seed();
    for (int is_of_thread = 0; is_of_thread < 2; is_of_thread++) {
        bool which = is_of_thread;
        const heap_model_subject subject = {
            .name = which ? "of the thread" : "of the process",
            .state = &which,
            .open = open_lasting,
            .close = close_lasting,
            .size_max = TARN_TWOLEVEL_MAX,
            .alignment_max = 16,
            .blocks_max = 600,
            .counts_room = true,
            .cannot_visit = true,
            .cannot_reset = true,
            /* They have one, but of more than this run. */
            .keeps_no_history = true,
        };
        assert_true(heap_model_run(&subject, seed, operations * 2));
    }
}

static void nothing_is_lost_when_any_upstream_request_fails(void **state)
{
    (void)state;
    const uint64_t seed = heap_model_seed();
    for (size_t kind = 0; kind < KINDS; kind++) {
        if (!kinds[kind].has_buffer && !kinds[kind].is_unpooled) {
            const heap_model_subject subject = subject_of(&kinds[kind], 300);
            assert_true(heap_model_run_short_of_memory(&subject, seed, short_operations));
        }
    }
}

/* ------------------------------------------------------------------------------------------------
 * The typed functions.
 */
typedef struct typed_block {
    unsigned char *start;
    size_t size;
    unsigned char fill;
} typed_block;

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

static bool is_filled(const typed_block *block, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (block->start[i] != block->fill) {
            return false;
        }
    }
    return true;
}

static void fill(typed_block *block, uint64_t *random)
{
    block->fill = (unsigned char)next_random(random);
    memset(block->start, block->fill, block->size);
}

/* Small sizes above all, and each as likely as the next. */
static size_t choose_size(uint64_t *random)
{
    return (size_t)(next_random(random) % 16 == 0 ? next_random(random) % 1000
                                                  : next_random(random) % 129);
}

static bool is_aligned(const typed_block *block)
{
    return (uintptr_t)block->start % (block->size % 16 == 0 ? 16 : 8) == 0;
}

/* One step on one block; false if it went wrong. */
static bool step(typed_block *block, uint64_t *random, bool may_refuse)
{
    const size_t size = choose_size(random);
    const size_t served = size == 0 ? 1 : size;
    if (block->start == NULL) {
        block->start = tarn_twolevel_alloc(&twolevel, size);
        block->size = served;
        if (block->start == NULL) {
            return may_refuse;
        }
        if (!is_aligned(block)) {
            return false;
        }
        fill(block, random);
        return true;
    }
    if (!is_filled(block, block->size)) {
        return false;
    }
    if (next_random(random) % 4 == 0) {
        const size_t kept = served < block->size ? served : block->size;
        unsigned char *start = tarn_twolevel_realloc(&twolevel, block->start, block->size, size);
        if (start == NULL) {
            return may_refuse && is_filled(block, block->size);
        }
        block->start = start;
        block->size = served;
        if (!is_aligned(block) || !is_filled(block, kept)) {
            return false;
        }
        fill(block, random);
        return true;
    }
    tarn_twolevel_free(&twolevel, block->start, block->size);
    block->start = NULL;
    return true;
}

/* Upstream follows the plan. */
static void run_typed(const subject_state *kind, uint64_t seed, tarn_failing_plan plan)
{
    enum { BLOCKS = 500 };
    static typed_block blocks[BLOCKS];
    uint64_t random = seed;
    tarn_pages pages;
    tarn_failing failing;
    const bool may_refuse = plan.every != 0 || plan.from != 0;
    tarn_pages_init(&pages, NULL);
    tarn_failing_init(&failing, &(tarn_failing_options){.upstream = &pages.heap, .plan = plan});
    memset(blocks, 0, sizeof blocks);
    (void)open_twolevel((void *)kind, &failing.heap);
    for (unsigned operation = 0; operation < operations * 4; operation++) {
        /* A part of the blocks at a time, so that chunks become free now and then. */
        const size_t part = 1 + operation / 100 * 7 % BLOCKS;
        char fault[200] = "";
        bool is_ok = step(&blocks[next_random(&random) % part], &random, may_refuse);
        if (operation % 64 == 0) {
            is_ok = is_ok && tarn_twolevel_check(&twolevel, fault, sizeof fault);
        }
        if (operation % 1000 == 999) {
            (void)tarn_twolevel_trim(&twolevel);
        }
        if (!is_ok) {
            fail_msg("%s, operation %u: %s; repeat with TARN_SEED=%llu", kind->name, operation,
                     fault, (unsigned long long)seed);
        }
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        if (blocks[i].start != NULL) {
            assert_true(is_filled(&blocks[i], blocks[i].size));
            tarn_twolevel_free(&twolevel, blocks[i].start, blocks[i].size);
        }
    }
    const tarn_stats stats = tarn_twolevel_stats(&twolevel);
    assert_int_equal(stats.blocks, 0);
    assert_int_equal(stats.live, 0);
    (void)tarn_twolevel_trim(&twolevel);
    assert_int_equal(tarn_twolevel_stats(&twolevel).footprint, 0);
    close_twolevel((void *)kind);
    assert_int_equal(tarn_heap_stats(&pages.heap).live, 0);
    tarn_pages_deinit(&pages);
}

static void the_typed_functions_do_as_their_naive_twin(void **state)
{
    (void)state;
    const uint64_t seed = heap_model_seed();
    for (size_t kind = 0; kind < KINDS; kind++) {
        if (!kinds[kind].has_buffer) {
            run_typed(&kinds[kind], seed, (tarn_failing_plan){0});
        }
    }
}

static void the_typed_functions_lose_nothing_when_upstream_refuses_most(void **state)
{
    (void)state;
    const uint64_t seed = heap_model_seed();
    for (size_t kind = 0; kind < KINDS; kind++) {
        if (!kinds[kind].has_buffer && !kinds[kind].is_unpooled) {
            /* Rarely is a chunk as large as was wished for. */
            run_typed(&kinds[kind], seed,
                      (tarn_failing_plan){.every = 2, .one_in = 2, .seed = seed});
            /* There is no other, so larger blocks are cut up. */
            run_typed(&kinds[kind], seed, (tarn_failing_plan){.from = 40});
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instances_do_as_their_naive_twin),
        cmocka_unit_test(instances_of_threads_do_as_their_naive_twin),
        cmocka_unit_test(nothing_is_lost_when_any_upstream_request_fails),
        cmocka_unit_test(the_typed_functions_do_as_their_naive_twin),
        cmocka_unit_test(the_typed_functions_lose_nothing_when_upstream_refuses_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
