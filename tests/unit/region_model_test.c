/* SPDX-License-Identifier: MIT */
#include "heap_model.h"

#include "tarn/heaps.h"
#include "tarn/region.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "region_tools.h"
#include "tools.h"

/*
 * Regions of every policy as heaps, under the model: over the caller's memory in one piece and in several, over
 * ranges and books from upstream, and under a lock.
 */

/* Tools are slow to follow the books between the blocks. */
static const unsigned operations = HEAP_WATCH_ASAN || IS_UNDER_TSAN ? 2000 : 8000;
static const unsigned short_operations = 500;

static _Alignas(64) unsigned char memory[1 << 20];
static tarn_region region;
static tarn_locked locked;

typedef struct subject_state {
    const region_kind *kind;
    size_t lead; /* bytes that the range is off from its best alignment */
    size_t size; /* of a range */
    size_t ranges;
    bool is_locked;
} subject_state;

static tarn_region_options options_for(const subject_state *wanted, tarn_heap *upstream)
{
    tarn_region_options options = kind_options(wanted->kind);
    options.upstream = upstream;
    if (options.policy == TARN_FIXED_PARTITIONS) {
        options.partition_size = wanted->size / 20;
    }
    return options;
}

static tarn_heap *finish(const subject_state *wanted)
{
    if (!wanted->is_locked) {
        return &region.heap;
    }
    tarn_locked_init(&locked, &(tarn_locked_options){.upstream = &region.heap});
    return &locked.heap;
}

static tarn_heap *open_region(void *state, tarn_heap *upstream)
{
    const subject_state *wanted = state;
    const tarn_region_options options = options_for(wanted, upstream);
    unsigned char *start = memory + wanted->lead;
    if (tarn_region_init(&region, (tarn_memory){start, wanted->size}, &options) != TARN_OK) {
        return NULL;
    }
    for (size_t i = 1; i < wanted->ranges; i++) {
        start += wanted->size;
        if (tarn_region_add(&region, (tarn_memory){start, wanted->size}) != TARN_OK) {
            tarn_region_deinit(&region);
            return NULL;
        }
    }
    return finish(wanted);
}

/* Ranges come from upstream, too. */
static tarn_heap *open_region_from_upstream(void *state, tarn_heap *upstream)
{
    const subject_state *wanted = state;
    const tarn_region_options options = options_for(wanted, upstream);
    const tarn_memory range = {NULL, wanted->size};
    if (tarn_region_init(&region, range, &options) != TARN_OK) {
        return NULL;
    }
    for (size_t i = 1; i < wanted->ranges; i++) {
        if (tarn_region_add(&region, range) != TARN_OK) {
            tarn_region_deinit(&region);
            return NULL;
        }
    }
    return finish(wanted);
}

static void close_region(void *state)
{
    (void)state;
    tarn_region_deinit(&region);
}

/* What a test of one shape runs on every kind of region. */
static heap_model_subject subject_of(subject_state *state, const char *shape)
{
    static char name[100];
    snprintf(name, sizeof name, "%s, %s", state->kind->name, shape);
    return (heap_model_subject){
        .name = name,
        .state = state,
        .open = open_region,
        .close = close_region,
        .size_max = state->size / 12,
        .blocks_max = 600,
        .may_refuse = true,
        .visits_room = true,
        .counts_room = true,
        .keeps_footprint = true,
        .promises_largest = true,
    };
}

static void run_shape(const subject_state *shape, const char *name)
{
    const uint64_t seed = heap_model_seed();
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        subject_state state = *shape;
        state.kind = &region_kinds[kind];
        const heap_model_subject subject = subject_of(&state, name);
        assert_true(heap_model_run(&subject, seed, operations));
    }
}

static void a_small_range_does_as_its_naive_twin(void **state)
{
    (void)state;
    run_shape(&(subject_state){.lead = 3, .size = 4001, .ranges = 1}, "small");
}

static void a_large_range_does_as_its_naive_twin(void **state)
{
    (void)state;
    run_shape(&(subject_state){.lead = 24, .size = sizeof memory - 32, .ranges = 1}, "large");
}

static void several_ranges_do_as_their_naive_twin(void **state)
{
    (void)state;
    run_shape(&(subject_state){.lead = 8, .size = 20000, .ranges = 5}, "in five ranges");
}

static void a_locked_region_does_as_its_naive_twin(void **state)
{
    (void)state;
    run_shape(&(subject_state){.size = 50000, .ranges = 1, .is_locked = true}, "locked");
}

static void ranges_from_upstream_do_as_their_naive_twin(void **state)
{
    (void)state;
    const uint64_t seed = heap_model_seed();
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        subject_state it = {.kind = &region_kinds[kind], .size = 30000, .ranges = 3};
        heap_model_subject subject = subject_of(&it, "from upstream");
        subject.open = open_region_from_upstream;
        if (it.kind->books == TARN_BOOKS_INSIDE) {
            assert_true(heap_model_run(&subject, seed, operations));
        }
    }
}

static void nothing_is_lost_when_any_upstream_request_fails(void **state)
{
    (void)state;
    const uint64_t seed = heap_model_seed();
    for (size_t kind = 0; kind < REGION_KINDS; kind++) {
        subject_state it = {.kind = &region_kinds[kind], .size = 30000, .ranges = 2};
        heap_model_subject subject = subject_of(&it, "short of memory");
        subject.size_max = 200;
        if (it.kind->books == TARN_BOOKS_INSIDE) {
            subject.open = open_region_from_upstream;
        } else {
            /* Books that cannot grow serve nothing, however much is free. */
            subject.promises_largest = false;
        }
        assert_true(heap_model_run_short_of_memory(&subject, seed, short_operations));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_range_does_as_its_naive_twin),
        cmocka_unit_test(a_large_range_does_as_its_naive_twin),
        cmocka_unit_test(several_ranges_do_as_their_naive_twin),
        cmocka_unit_test(a_locked_region_does_as_its_naive_twin),
        cmocka_unit_test(ranges_from_upstream_do_as_their_naive_twin),
        cmocka_unit_test(nothing_is_lost_when_any_upstream_request_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
