/* SPDX-License-Identifier: MIT */
#include "heap_model.h"

#include "tarn/heaps.h"
#include "tarn/malloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tools.h"

/*
 * The malloc's heaps, alone and below others, under the model.
 */
static const unsigned operations = 10000;

static _Alignas(64) unsigned char memory[8 << 20];

static struct {
    tarn_heap *own;
    tarn_guarded guarded;
    tarn_buffer buffer;
    void *chunk;
} it;

static tarn_heap *open_process(void *state, tarn_heap *upstream)
{
    (void)state;
    (void)upstream;
    return tarn_malloc_heap();
}

static void close_nothing(void *state)
{
    (void)state;
}

static tarn_heap *open_own(void *state, tarn_heap *upstream)
{
    (void)upstream;
    it.own = tarn_malloc_create(state);
    return it.own;
}

static void close_own(void *state)
{
    (void)state;
    tarn_malloc_destroy(it.own);
}

static tarn_heap *open_guarded(void *state, tarn_heap *upstream)
{
    if (open_own(NULL, upstream) == NULL) {
        return NULL;
    }
    tarn_guarded_options options = *(const tarn_guarded_options *)state;
    options.upstream = it.own;
    tarn_guarded_init(&it.guarded, &options);
    return &it.guarded.heap;
}

static void close_guarded(void *state)
{
    tarn_guarded_deinit(&it.guarded);
    close_own(state);
}

static tarn_heap *open_buffer(void *state, tarn_heap *upstream)
{
    (void)state;
    (void)upstream;
    it.chunk = tarn_heap_alloc(tarn_malloc_heap(), 300000, 0);
    if (it.chunk == NULL ||
        tarn_buffer_init(&it.buffer, (tarn_memory){it.chunk, 300000}, NULL) != TARN_OK) {
        return NULL;
    }
    return &it.buffer.heap;
}

static void close_buffer(void *state)
{
    (void)state;
    tarn_buffer_deinit(&it.buffer);
    tarn_heap_free(tarn_malloc_heap(), it.chunk, 300000);
}

static tarn_malloc_options plain = {0};
static tarn_malloc_options hard = {.hard_limit = 4 << 20};
static tarn_malloc_options confined = {.memory = {memory, sizeof memory}};
static tarn_guarded_options zones = {.quarantine = 100000};
static tarn_guarded_options guard_pages = {.mode = TARN_GUARD_PAGES, .quarantine = 200000};

static const heap_model_subject subjects[] = {
    {
        .name = "the process's malloc",
        .open = open_process,
        .close = close_nothing,
        .size_max = 200000,
        .alignment_max = 1 << 16,
        .cannot_visit = true,
        .cannot_reset = true,
        .counts_room = true,
        .keeps_no_history = true,
        .keeps_footprint = true,
    },
    {
        .name = "a malloc of one's own",
        .state = &plain,
        .open = open_own,
        .close = close_own,
        .size_max = 200000,
        .alignment_max = 1 << 16,
        .visits_room = true,
        .counts_room = true,
        .keeps_footprint = true,
    },
    {
        .name = "a malloc with a hard limit",
        .state = &hard,
        .open = open_own,
        .close = close_own,
        .size_max = 100000,
        .may_refuse = true,
        .visits_room = true,
        .counts_room = true,
        .keeps_footprint = true,
    },
    {
        .name = "a malloc confined to a static array",
        .state = &confined,
        .open = open_own,
        .close = close_own,
        .size_max = 50000,
        .may_refuse = true,
        .visits_room = true,
        .counts_room = true,
        .keeps_footprint = true,
    },
    {
        .name = "guarded by zones over a malloc",
        .state = &zones,
        .open = open_guarded,
        .close = close_guarded,
        .size_max = 10000,
    },
    {
        .name = "guarded by pages over a malloc",
        .state = &guard_pages,
        .open = open_guarded,
        .close = close_guarded,
        .size_max = 10000,
    },
    {
        .name = "a buffer over the process's malloc",
        .open = open_buffer,
        .close = close_buffer,
        .size_max = 8000,
        .may_refuse = true,
        .visits_room = true,
        .keeps_footprint = true,
        .promises_largest = true,
    },
};

static void every_malloc_heap_does_as_its_naive_twin(void **state)
{
    (void)state;
    const uint64_t seed = heap_model_seed();
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
        assert_true(heap_model_run(&subjects[i], seed, operations));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_malloc_heap_does_as_its_naive_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
