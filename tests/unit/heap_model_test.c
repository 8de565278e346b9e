/* SPDX-License-Identifier: MIT */
#include "heap_model.h"

#include "tarn/heaps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tools.h"

/*
 * Every heap of tarn/heaps.h, alone and in compositions, under the model.
 */

/* Tools are slow to follow the kernel's calls. */
static const unsigned operations = HEAP_WATCH_ASAN || IS_UNDER_TSAN ? 3000 : 10000;
static const unsigned short_operations = 60;

/* Storage for whatever the subject at hand is made of. */
static struct {
    tarn_pages pages;
    tarn_buffer buffer;
    tarn_limited limited;
    tarn_limited outer_limited;
    tarn_counted counted;
    tarn_locked locked;
    tarn_failing failing;
    tarn_guarded guarded;
    tarn_guarded outer_guarded;
    tarn_heap *upstream;
    void *chunk;
} it;

static _Alignas(64) unsigned char memory[1 << 20];

static void close_nothing(void *state)
{
    (void)state;
}

/* ------------------------------------------------------------------------------------------------
 * Pages.
 */
static tarn_heap *open_pages(void *state, tarn_heap *upstream)
{
    (void)state;
    (void)upstream;
    return tarn_pages_init(&it.pages, NULL) == TARN_OK ? &it.pages.heap : NULL;
}

static void close_pages(void *state)
{
    (void)state;
    tarn_pages_deinit(&it.pages);
}

static tarn_heap *open_shared_pages(void *state, tarn_heap *upstream)
{
    (void)state;
    (void)upstream;
    return tarn_pages_heap();
}

/* ------------------------------------------------------------------------------------------------
 * Buffer: over static memory whose start is off by some bytes, and over a chunk of upstream.
 */
typedef struct buffer_state {
    size_t offset;
    size_t size;
} buffer_state;

static tarn_heap *open_buffer(void *state, tarn_heap *upstream)
{
    const buffer_state *wanted = state;
    (void)upstream;
    const tarn_memory stretch = {memory + wanted->offset, wanted->size};
    return tarn_buffer_init(&it.buffer, stretch, NULL) == TARN_OK ? &it.buffer.heap : NULL;
}

static void close_buffer(void *state)
{
    (void)state;
    tarn_buffer_deinit(&it.buffer);
}

/* ------------------------------------------------------------------------------------------------
 * Wrapping heaps, over upstream.
 */
static void ignore_soft_limit(void *context, tarn_heap *heap, size_t live)
{
    (void)heap;
    (void)live;
    ++*(unsigned *)context;
}

static unsigned soft_limit_calls;

static tarn_heap *open_limited(void *state, tarn_heap *upstream)
{
    (void)state;
    const tarn_limited_options options = {
        .upstream = upstream,
        .soft_limit = 100000,
        .hard_limit = 200000,
        .on_soft_limit = ignore_soft_limit,
        .context = &soft_limit_calls,
    };
    return tarn_limited_init(&it.limited, &options) == TARN_OK ? &it.limited.heap : NULL;
}

static tarn_heap *open_counted(void *state, tarn_heap *upstream)
{
    (void)state;
    tarn_counted_init(&it.counted, &(tarn_counted_options){.upstream = upstream});
    return &it.counted.heap;
}

static tarn_heap *open_locked(void *state, tarn_heap *upstream)
{
    (void)state;
    tarn_locked_init(&it.locked, &(tarn_locked_options){.upstream = upstream});
    return &it.locked.heap;
}

static tarn_heap *open_failing(void *state, tarn_heap *upstream)
{
    (void)state;
    const tarn_failing_options options = {
        .upstream = upstream,
        .plan = {.at = 3, .every = 17, .one_in = 10, .seed = 1},
    };
    tarn_failing_init(&it.failing, &options);
    return &it.failing.heap;
}

static tarn_heap *open_guarded(void *state, tarn_heap *upstream)
{
    tarn_guarded_options options = *(const tarn_guarded_options *)state;
    options.upstream = upstream;
    return tarn_guarded_init(&it.guarded, &options) == TARN_OK ? &it.guarded.heap : NULL;
}

static void close_guarded(void *state)
{
    (void)state;
    tarn_guarded_deinit(&it.guarded);
}

/* ------------------------------------------------------------------------------------------------
 * Compositions.
 */

/* A buffer heap over a chunk of a limited heap. */
static tarn_heap *open_buffer_over_limited(void *state, tarn_heap *upstream)
{
    if (open_limited(state, upstream) == NULL) {
        return NULL;
    }
    it.chunk = tarn_heap_alloc(&it.limited.heap, 150000, 0);
    if (it.chunk == NULL) {
        return NULL;
    }
    tarn_buffer_init(&it.buffer, (tarn_memory){it.chunk, 150000}, NULL);
    return &it.buffer.heap;
}

static void close_buffer_over_limited(void *state)
{
    close_buffer(state);
    tarn_heap_free(&it.limited.heap, it.chunk, 150000);
}

static tarn_heap *open_everything(void *state, tarn_heap *upstream)
{
    tarn_heap *guarded = open_guarded(state, upstream);
    tarn_heap *counted = open_counted(NULL, guarded);
    tarn_heap *limited = open_limited(NULL, counted);
    return open_locked(NULL, limited);
}

static tarn_heap *open_locked_buffer(void *state, tarn_heap *upstream)
{
    return open_locked(NULL, open_counted(NULL, open_buffer(state, upstream)));
}

/* Guards in a static array: the kernel's pages too. */
static tarn_heap *open_guarded_buffer(void *state, tarn_heap *upstream)
{
    static buffer_state whole = {0, sizeof memory};
    return open_guarded(state, open_buffer(&whole, upstream));
}

static void close_guarded_buffer(void *state)
{
    close_guarded(state);
    close_buffer(state);
}

static tarn_heap *open_guarded_guarded(void *state, tarn_heap *upstream)
{
    open_guarded(state, upstream);
    tarn_guarded_init(&it.outer_guarded, &(tarn_guarded_options){.upstream = &it.guarded.heap});
    return &it.outer_guarded.heap;
}

static void close_guarded_guarded(void *state)
{
    tarn_guarded_deinit(&it.outer_guarded);
    close_guarded(state);
}

static buffer_state tiny = {0, 1000};
static buffer_state small = {3, 20000};
static buffer_state large = {24, sizeof memory - 32};

static tarn_guarded_options zones = {.mode = TARN_GUARD_ZONES, .quarantine = 100000};
static tarn_guarded_options narrow_zones = {.zone = 1, .quarantine = 1};
static tarn_guarded_options guard_pages = {.mode = TARN_GUARD_PAGES, .quarantine = 200000};

static const heap_model_subject subjects[] = {
    {
        .name = "pages",
        .open = open_pages,
        .close = close_pages,
        .size_max = 100000,
        .alignment_max = 1 << 17,
    },
    {
        .name = "the shared pages",
        .open = open_shared_pages,
        .close = close_nothing,
        .size_max = 20000,
        .cannot_reset = true,
    },
    {
        .name = "tiny buffer",
        .state = &tiny,
        .open = open_buffer,
        .close = close_buffer,
        .size_max = 400,
        .alignment_max = 128,
        .may_refuse = true,
        .visits_room = true,
        .keeps_footprint = true,
        .promises_largest = true,
    },
    {
        .name = "small buffer at an odd address",
        .state = &small,
        .open = open_buffer,
        .close = close_buffer,
        .size_max = 3000,
        .may_refuse = true,
        .visits_room = true,
        .keeps_footprint = true,
        .promises_largest = true,
    },
    {
        .name = "large buffer",
        .state = &large,
        .open = open_buffer,
        .close = close_buffer,
        .size_max = 10000,
        .blocks_max = 1000,
        .alignment_max = 65536,
        .may_refuse = true,
        .visits_room = true,
        .keeps_footprint = true,
        .promises_largest = true,
    },
    {
        .name = "limited",
        .open = open_limited,
        .close = close_nothing,
        .size_max = 30000,
        .may_refuse = true,
    },
    {
        .name = "counted",
        .open = open_counted,
        .close = close_nothing,
        .size_max = 30000,
    },
    {
        .name = "locked",
        .open = open_locked,
        .close = close_nothing,
        .size_max = 30000,
    },
    {
        .name = "failing",
        .open = open_failing,
        .close = close_nothing,
        .size_max = 30000,
        .may_refuse = true,
    },
    {
        .name = "guarded by zones",
        .state = &zones,
        .open = open_guarded,
        .close = close_guarded,
        .size_max = 10000,
    },
    {
        .name = "guarded by zones of a byte",
        .state = &narrow_zones,
        .open = open_guarded,
        .close = close_guarded,
        .size_max = 1000,
    },
    {
        .name = "guarded by pages",
        .state = &guard_pages,
        .open = open_guarded,
        .close = close_guarded,
        .size_max = 20000,
        .alignment_max = 16384,
    },
    {
        .name = "a buffer over limited",
        .open = open_buffer_over_limited,
        .close = close_buffer_over_limited,
        .size_max = 8000,
        .may_refuse = true,
        .visits_room = true,
        .keeps_footprint = true,
        .promises_largest = true,
    },
    {
        .name = "locked over limited over counted over guarded",
        .state = &zones,
        .open = open_everything,
        .close = close_guarded,
        .size_max = 10000,
        .may_refuse = true,
    },
    {
        .name = "locked over counted over a buffer",
        .state = &large,
        .open = open_locked_buffer,
        .close = close_buffer,
        .size_max = 10000,
        .may_refuse = true,
        .visits_room = true,
        .promises_largest = true,
    },
    {
        .name = "guarded by pages over a static buffer",
        .state = &guard_pages,
        .open = open_guarded_buffer,
        .close = close_guarded_buffer,
        .size_max = 3000,
        .may_refuse = true,
    },
    {
        .name = "guarded over guarded",
        .state = &zones,
        .open = open_guarded_guarded,
        .close = close_guarded_guarded,
        .size_max = 5000,
    },
};

static const size_t subject_count = sizeof subjects / sizeof subjects[0];

static void every_heap_does_as_its_naive_twin(void **state)
{
    (void)state;
    const uint64_t seed = heap_model_seed();
    for (size_t i = 0; i < subject_count; i++) {
        assert_true(heap_model_run(&subjects[i], seed, operations));
    }
}

static void every_heap_loses_nothing_when_any_upstream_request_fails(void **state)
{
    (void)state;
    const uint64_t seed = heap_model_seed();
    for (size_t i = 0; i < subject_count; i++) {
        const heap_model_subject *subject = &subjects[i];
        if (subject->open == open_pages || subject->open == open_shared_pages ||
            subject->open == open_buffer || subject->open == open_locked_buffer ||
            subject->open == open_guarded_buffer) {
            continue; /* these take nothing from an upstream */
        }
        assert_true(heap_model_run_short_of_memory(subject, seed, short_operations));
    }
}

static void the_soft_limit_was_passed_now_and_then(void **state)
{
    (void)state;
    assert_true(soft_limit_calls > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_heap_does_as_its_naive_twin),
        cmocka_unit_test(every_heap_loses_nothing_when_any_upstream_request_fails),
        cmocka_unit_test(the_soft_limit_was_passed_now_and_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
