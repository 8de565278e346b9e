/* SPDX-License-Identifier: MIT */
#include "heap_model.h"

#include "tarn/arena.h"
#include "tarn/heaps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tools.h"

/*
 * Arenas of every kind as heaps, under the model: open and closed, in a buffer, over other heaps,
 * as children, and without pooling.
 */

/* Tools are slow to follow the books. */
static const unsigned operations = HEAP_WATCH_ASAN || IS_UNDER_TSAN ? 1000 : 4000;
static const unsigned short_operations = 50;

static _Alignas(64) unsigned char memory[1 << 16];
static tarn_arena arena;
static tarn_arena outer;
static tarn_arena *created;

typedef struct subject_state {
    tarn_arena_options options;
    bool has_buffer;
    bool is_created;
    bool is_child;    /* of an arena whose upstream it shares */
    bool is_in_arena; /* takes its chunks from another arena */
    bool is_unpooled;
} subject_state;

static tarn_heap *open_arena(void *state, tarn_heap *upstream)
{
    const subject_state *wanted = state;
    tarn_arena_options options = wanted->options;
    options.upstream = upstream;
    tarn_set_pooling(!wanted->is_unpooled);
    if (wanted->has_buffer) {
        /* A large one might be all that a short run needs, and upstream not be asked at all. */
        options.buffer = (tarn_memory){memory + 3, options.fixed ? sizeof memory - 5 : 2000};
    }
    if (wanted->is_child || wanted->is_in_arena) {
        if (tarn_arena_init(&outer, &(tarn_arena_options){.upstream = upstream})) {
            return NULL;
        }
        options.parent = wanted->is_child ? &outer : NULL;
        options.upstream = wanted->is_in_arena ? &outer.heap : NULL;
    }
    if (wanted->is_created) {
        created = tarn_arena_create(&options);
        return created == NULL ? NULL : &created->heap;
    }
    return tarn_arena_init(&arena, &options) == TARN_OK ? &arena.heap : NULL;
}

static void close_arena(void *state)
{
    const subject_state *wanted = state;
    if (wanted->is_child) {
        tarn_arena_deinit(&outer);
    }
    if (wanted->is_created) {
        tarn_arena_destroy(created);
    } else {
        tarn_arena_deinit(&arena);
    }
    if (wanted->is_in_arena) {
        tarn_arena_deinit(&outer);
    }
    tarn_set_pooling(true);
}

static heap_model_subject subject_of(subject_state *state, const char *name)
{
    const bool is_closed =
        state->options.checks || state->is_unpooled || HEAP_WATCH_ASAN || IS_UNDER_VALGRIND;
    return (heap_model_subject){
        .name = name,
        .state = state,
        .open = open_arena,
        .close = close_arena,
        .size_max = 20000,
        .may_refuse = state->options.limit != 0 || state->options.fixed,
        .cannot_visit = !is_closed,
        .counts_room = !is_closed,
        .counts_no_blocks = !is_closed,
        .frees_nothing = true,
        .keeps_footprint = state->has_buffer || state->is_created,
    };
}

static void run(subject_state state, const char *name)
{
    const heap_model_subject subject = subject_of(&state, name);
    assert_true(heap_model_run(&subject, heap_model_seed(), operations));
    if (!state.options.fixed && !state.is_unpooled) {
        assert_true(heap_model_run_short_of_memory(&subject, heap_model_seed(), short_operations));
    }
    state.options.checks = true;
    const heap_model_subject closed = subject_of(&state, name);
    assert_true(heap_model_run(&closed, heap_model_seed(), operations));
    if (!state.options.fixed && !state.is_unpooled) {
        assert_true(heap_model_run_short_of_memory(&closed, heap_model_seed(), short_operations));
    }
}

/* Small chunks, so that there are many, and a third of the requests are large. */
#define SMALL_CHUNKS .chunk_size = 512, .chunk_size_max = 8192

static void an_arena_does_as_its_naive_twin(void **state)
{
    (void)state;
    run((subject_state){.options = {.name = NULL}}, "arena");
}

static void an_arena_of_small_chunks_does_as_its_naive_twin(void **state)
{
    (void)state;
    run((subject_state){.options = {SMALL_CHUNKS}}, "arena of small chunks");
}

static void an_arena_in_a_buffer_does_as_its_naive_twin(void **state)
{
    (void)state;
    run((subject_state){.options = {SMALL_CHUNKS}, .has_buffer = true}, "arena in a buffer");
    run((subject_state){.options = {.fixed = true}, .has_buffer = true},
        "arena in nothing but a buffer");
    run((subject_state){.options = {.fixed = true}, .has_buffer = true, .is_created = true},
        "created arena in nothing but a buffer");
}

static void an_arena_in_its_own_memory_does_as_its_naive_twin(void **state)
{
    (void)state;
    run((subject_state){.options = {SMALL_CHUNKS}, .is_created = true}, "created arena");
}

static void an_arena_with_a_limit_does_as_its_naive_twin(void **state)
{
    (void)state;
    run((subject_state){.options = {SMALL_CHUNKS, .limit = 300000}}, "limited arena");
}

static void a_child_does_as_its_naive_twin(void **state)
{
    (void)state;
    run((subject_state){.options = {SMALL_CHUNKS}, .is_child = true}, "child");
}

static void an_arena_over_an_arena_does_as_its_naive_twin(void **state)
{
    (void)state;
    run((subject_state){.options = {SMALL_CHUNKS}, .is_in_arena = true}, "arena over an arena");
}

static void an_arena_that_clears_does_as_its_naive_twin(void **state)
{
    (void)state;
    run((subject_state){.options = {SMALL_CHUNKS, .zero = true}}, "arena of zeros");
    run((subject_state){.options = {SMALL_CHUNKS, .zero = true}, .has_buffer = true},
        "buffer of zeros");
    run((subject_state){.options = {SMALL_CHUNKS, .poison = true}}, "arena that poisons");
}

static void an_arena_without_pooling_does_as_its_naive_twin(void **state)
{
    (void)state;
    run((subject_state){.options = {SMALL_CHUNKS}, .is_unpooled = true}, "arena without pooling");
    run((subject_state){.options = {.zero = true}, .is_unpooled = true, .is_created = true},
        "created arena of zeros without pooling");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_arena_does_as_its_naive_twin),
        cmocka_unit_test(an_arena_of_small_chunks_does_as_its_naive_twin),
        cmocka_unit_test(an_arena_in_a_buffer_does_as_its_naive_twin),
        cmocka_unit_test(an_arena_in_its_own_memory_does_as_its_naive_twin),
        cmocka_unit_test(an_arena_with_a_limit_does_as_its_naive_twin),
        cmocka_unit_test(a_child_does_as_its_naive_twin),
        cmocka_unit_test(an_arena_over_an_arena_does_as_its_naive_twin),
        cmocka_unit_test(an_arena_that_clears_does_as_its_naive_twin),
        cmocka_unit_test(an_arena_without_pooling_does_as_its_naive_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
