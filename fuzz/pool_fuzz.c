/* SPDX-License-Identifier: MIT */
/*
 * A fixed-size pool of any options over an upstream that fails. The first bytes choose what it is:
 *
 *     [ ways ][ more ways ][ size ][ alignment, first objects ][ most objects ][ cache ][ which requests fail ]
 *
 * and then a call is two:
 *
 *     [ what ][ which object, or how many ]
 *
 * The naive twin is a list of the objects that are live, each filled with a byte of its own.
 */
#include "tarn/heaps.h"
#include "tarn/pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { HEAD_BYTES = 7, CALL_BYTES = 2, LIVE_MAX = 1000, CHECK_EVERY = 16, CONSTRUCTED = 0xc5 };

typedef struct live_object {
    unsigned char *object;
    unsigned char fill;
} live_object;

typedef struct run {
    tarn_pool pool;
    tarn_pool_options options;
    tarn_counted counted;
    tarn_failing failing;
    live_object live[LIVE_MAX];
    size_t count;
    uint64_t allocs;
    uint64_t frees;
    size_t peak;
    unsigned char next_fill;
    bool is_pooled;
    size_t constructed;
    unsigned refuse_every; /* calls of the constructor; 0: none is refused */
    unsigned construct_calls;
    bool refused;
} run;

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "pool_fuzz: %s\n", what);
        __builtin_trap();
    }
}

/* ------------------------------------------------------------------------------------------------
 * Constructed objects have a byte in front that tells it.
 */
static bool construct(void *context, void *object)
{
    run *state = context;
    if (state->refuse_every != 0 && ++state->construct_calls % state->refuse_every == 0) {
        state->refused = true;
        return false;
    }
    *(unsigned char *)object = CONSTRUCTED;
    state->constructed++;
    return true;
}

static void destruct(void *context, void *object)
{
    run *state = context;
    must(*(unsigned char *)object == CONSTRUCTED, "what is destructed was not constructed");
    must(state->constructed > 0, "more is destructed than was constructed");
    state->constructed--;
}

/* ------------------------------------------------------------------------------------------------
 * The twin.
 */
static void add(run *state, unsigned char *object, bool is_zeroed)
{
    const size_t size = state->options.size;
    const size_t alignment = state->options.alignment != 0 ? state->options.alignment : 1;
    must(state->count < LIVE_MAX, "more objects than there is room for");
    must((uintptr_t)object % alignment == 0, "an object is not aligned");
    const size_t from = state->options.construct != NULL;
    must(from == 0 || *object == CONSTRUCTED, "an object was not constructed");
    for (size_t i = 0; is_zeroed && i < size; i++) {
        must(object[i] == 0, "an object is not zeroed");
    }
    const unsigned char fill = ++state->next_fill;
    memset(object + from, fill, size - from);
    state->live[state->count++] = (live_object){object, fill};
    state->allocs++;
    state->peak = state->count > state->peak ? state->count : state->peak;
}

/* Takes it off the list, and looks whether its contents are as they were. */
static unsigned char *take_out(run *state, size_t which)
{
    const live_object it = state->live[which];
    const size_t from = state->options.construct != NULL;
    must(from == 0 || *it.object == CONSTRUCTED, "the first byte of an object was changed");
    for (size_t i = from; i < state->options.size; i++) {
        must(it.object[i] == it.fill, "an object was changed");
    }
    state->live[which] = state->live[--state->count];
    state->frees++;
    return it.object;
}

static size_t room(const run *state)
{
    const size_t most = state->options.max_objects;
    return most != 0 && most < LIVE_MAX ? most - state->count : LIVE_MAX - state->count;
}

/* ------------------------------------------------------------------------------------------------
 * The calls.
 */
static void call_alloc(run *state, uint8_t way)
{
    if (state->count == LIVE_MAX) {
        return;
    }
    const bool had_one = tarn_pool_stats(&state->pool).largest_free != 0;
    const uint64_t refused = state->failing.refused;
    const size_t size = state->options.size;
    state->refused = false;
    bool is_zeroed = state->options.zero;
    unsigned char *object;
    if (way % 4 == 0 && state->options.construct == NULL) {
        object = tarn_pool_alloc_zeroed(&state->pool);
        is_zeroed = true;
    } else if (way % 4 == 1) {
        object = tarn_heap_alloc(&state->pool.heap, size > way ? size - way % size : size, 1);
    } else {
        object = tarn_pool_alloc(&state->pool);
    }
    if (object != NULL) {
        must(room(state) > 0, "the most objects are passed");
        add(state, object, is_zeroed);
        return;
    }
    must(room(state) == 0 || state->failing.refused > refused || state->refused,
         "an alloc failed without a reason");
    must(!had_one || state->refused || !state->is_pooled,
         "an alloc failed though there was an object");
}

static void call_alloc_bulk(run *state, size_t count)
{
    static void *objects[LIVE_MAX];
    const size_t wanted = count < LIVE_MAX - state->count ? count : LIVE_MAX - state->count;
    const uint64_t refused = state->failing.refused;
    state->refused = false;
    const size_t got = tarn_pool_alloc_bulk(&state->pool, objects, wanted);
    must(got <= wanted && got <= room(state), "more than was asked for");
    must(got == wanted || got == room(state) || state->failing.refused > refused || state->refused,
         "a bulk is short without a reason");
    for (size_t i = 0; i < got; i++) {
        add(state, objects[i], state->options.zero);
    }
}

static void call_free(run *state, uint8_t which)
{
    if (state->count == 0) {
        tarn_pool_free(&state->pool, NULL);
        return;
    }
    void *object = take_out(state, which % state->count);
    if (which % 2 == 0) {
        tarn_pool_free(&state->pool, object);
    } else {
        tarn_heap_free(&state->pool.heap, object, 1 + which % state->options.size);
    }
}

static void call_free_bulk(run *state, size_t count)
{
    static void *objects[LIVE_MAX];
    const size_t some = count < state->count ? count : state->count;
    for (size_t i = 0; i < some; i++) {
        objects[i] = take_out(state, i * 7 % state->count);
    }
    tarn_pool_free_bulk(&state->pool, objects, some);
}

static void call_reserve(run *state, size_t count)
{
    const size_t held = tarn_heap_stats(&state->counted.heap).live;
    const size_t most = state->options.max_objects;
    const tarn_status status = tarn_pool_reserve(&state->pool, count);
    if (most != 0 && count > most - state->count) {
        must(status == TARN_NO_ROOM, "more is reserved than there may be");
    } else {
        must(status == TARN_OK || status == TARN_NO_MEMORY, "a reserve is refused");
    }
    if (status != TARN_OK) {
        must(tarn_heap_stats(&state->counted.heap).live == held,
             "a refused reserve has taken memory");
        return;
    }
    /* What is constructed may be refused. */
    if (state->refuse_every == 0 && state->is_pooled) {
        const uint64_t requests = state->failing.requests;
        call_alloc_bulk(state, count);
        must(state->failing.requests == requests, "what was reserved asks upstream");
    }
}

static void call_reset(run *state)
{
    while (state->count > 0) {
        take_out(state, state->count - 1);
    }
    tarn_pool_reset(&state->pool);
}

static void call_trim(run *state)
{
    const size_t held = tarn_heap_stats(&state->counted.heap).live;
    const size_t given = tarn_pool_trim(&state->pool);
    const size_t left = tarn_heap_stats(&state->counted.heap).live;
    must(!state->is_pooled || given == held - left, "a trim does not tell what it gave back");
    must(left == 0 || state->count > 0 || state->options.preallocate, "a trim left something");
}

/* ------------------------------------------------------------------------------------------------
 * Looking at everything.
 */
static bool see(void *context, void *block, size_t size)
{
    size_t *seen = context;
    (void)block;
    *seen += size;
    return true;
}

static void check(run *state)
{
    char fault[200] = "";
    if (!tarn_pool_check(&state->pool, fault, sizeof fault)) {
        must(false, fault);
    }
    size_t seen = 0;
    tarn_pool_visit(&state->pool, see, &seen);
    const size_t live = state->count * state->options.size;
    must(seen == live, "a visit does not see what is live");
    const tarn_stats stats = tarn_pool_stats(&state->pool);
    must(stats.blocks == state->count && stats.live == live, "stats do not tell what is live");
    if (state->is_pooled) {
        must(stats.footprint == tarn_heap_stats(&state->counted.heap).live,
             "the footprint is not what is held");
    }
    if (state->options.history) {
        must(stats.allocs == state->allocs && stats.frees == state->frees &&
                 stats.peak_live == state->peak * state->options.size,
             "the history is not exact");
    }
    for (size_t i = 0; i < state->count; i++) {
        unsigned char *object = state->live[i].object;
        must(tarn_pool_owns(&state->pool, object), "a live object is not owned");
        must(state->options.size == 1 || !tarn_pool_owns(&state->pool, object + 1),
             "what is inside an object is owned");
    }
    must(!tarn_pool_owns(&state->pool, state) && !tarn_pool_owns(&state->pool, NULL),
         "what is no object is owned");
}

static void call(run *state, const uint8_t *bytes)
{
    const uint8_t how = bytes[1];
    switch (bytes[0] % 16) {
    case 0:
        call_alloc_bulk(state, how);
        break;
    case 1:
        call_alloc_bulk(state, (size_t)how * 4);
        break;
    case 2:
        call_free_bulk(state, how);
        break;
    case 3:
        call_free_bulk(state, (size_t)how * 4);
        break;
    case 4:
        if (how % 8 == 0) {
            call_reset(state);
        } else if (how % 8 < 4) {
            tarn_pool_flush(&state->pool);
        } else {
            call_trim(state);
        }
        break;
    case 5:
        call_reserve(state, (size_t)how * (1 + bytes[0] / 64));
        break;
    case 6:
        state->refuse_every = how % 16;
        break;
    case 7:
        tarn_failing_restart(
            &state->failing,
            &(tarn_failing_plan){.at = how % 8, .from = how % 3 == 1 ? how / 8 : 0});
        break;
    default:
        /* A few at once, so that caches fill and run empty. */
        for (unsigned i = 0; i <= bytes[0] / 16u; i++) {
            if (bytes[0] % 2 == 0) {
                call_alloc(state, how);
            } else {
                call_free(state, (uint8_t)(how + i * 7));
            }
        }
        break;
    }
}

/* Reads the head; false if no pool can be made of it. */
static bool open_pool(run *state, const uint8_t *head)
{
    tarn_pool_options *options = &state->options;
    tarn_counted_init(&state->counted, &(tarn_counted_options){.upstream = tarn_system_heap()});
    tarn_failing_init(&state->failing,
                      &(tarn_failing_options){.upstream = &state->counted.heap,
                                              .plan = {.one_in = head[6] % 8, .seed = head[6]}});
    options->upstream = &state->failing.heap;
    options->threads = (head[0] & 1) != 0 ? TARN_SHARED : TARN_ALONE;
    options->checks = (head[0] & 2) != 0;
    options->history = (head[0] & 4) != 0;
    options->zero = (head[0] & 8) != 0;
    options->poison = (head[0] & 16) != 0;
    options->preallocate = (head[0] & 32) != 0;
    state->is_pooled = (head[0] & 192) != 192;
    if ((head[1] & 1) != 0) {
        options->construct = construct;
        options->destruct = destruct;
        options->context = state;
    }
    options->chunk_objects_max = head[1] / 2;
    options->size = head[2] < 128 ? head[2] : (size_t)(head[2] - 127) * 5;
    options->alignment = head[3] % 16 == 15 ? head[3] : (size_t)1 << head[3] % 16 >> 1;
    options->first_objects = head[3] / 16 * 3;
    options->max_objects = head[4] < 200 ? head[4] : (size_t)(head[4] - 199) * 20;
    options->cache_objects = head[5] % 64;
    options->thread_caches = head[5] / 64;
    tarn_set_pooling(state->is_pooled);
    const tarn_status status = tarn_pool_init(&state->pool, options);
    tarn_set_pooling(true);
    if (status == TARN_OK) {
        return true;
    }
    const bool is_contradiction =
        (options->preallocate && options->max_objects == 0) ||
        (options->construct != NULL && (options->zero || options->poison));
    const bool is_layout =
        options->size == 0 || (options->alignment & (options->alignment - 1)) != 0;
    must(status == TARN_NO_MEMORY ? state->failing.refused > 0 || !state->is_pooled
                                  : is_contradiction || is_layout,
         "a pool is refused without a reason");
    must(tarn_heap_stats(&state->counted.heap).live == 0, "a pool that was not made holds memory");
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static run state;
    state = (run){0};
    if (size < HEAD_BYTES || !open_pool(&state, data)) {
        return 0;
    }
    check(&state);
    for (size_t at = HEAD_BYTES; at + CALL_BYTES <= size; at += CALL_BYTES) {
        call(&state, data + at);
        if (at / CALL_BYTES % CHECK_EVERY == 0) {
            check(&state);
        }
    }
    check(&state);
    call_free_bulk(&state, LIVE_MAX);
    check(&state);
    tarn_pool_deinit(&state.pool);
    must(state.constructed == 0, "what was constructed is not destructed");
    must(tarn_heap_stats(&state.counted.heap).live == 0, "memory of upstream is lost");
    return 0;
}
