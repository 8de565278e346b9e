/* SPDX-License-Identifier: MIT */
#include "heap/wrapper.h"

HEAP_WRAPPER_IS_IN_PLACE(tarn_limited);

static tarn_limited *limited_of(tarn_heap *heap)
{
    return (tarn_limited *)heap;
}

/* True if a block may grow from old_size to new_size, a new one from 0. */
static bool admits(const tarn_limited *limited, size_t old_size, size_t new_size)
{
    const size_t hard_limit = limited->options.hard_limit;
    return hard_limit == 0 || new_size <= old_size ||
           new_size - old_size <= hard_limit - limited->wrapper.books.live;
}

/* Calls back once each time the soft limit is passed: not again until the bytes have been at or
 * below it. */
static void look_at_soft_limit(tarn_limited *limited)
{
    const tarn_limited_options *options = &limited->options;
    const size_t live = limited->wrapper.books.live;
    const bool was_above = limited->is_above;
    limited->is_above = options->soft_limit != 0 && live > options->soft_limit;
    if (limited->is_above && !was_above) {
        options->on_soft_limit(options->context, &limited->heap, live);
    }
}

static void *limited_alloc(tarn_heap *heap, size_t size, size_t alignment)
{
    if (!admits(limited_of(heap), 0, size)) {
        return heap_wrapper_refuse(heap);
    }
    void *block = heap_wrapper_alloc(heap, size, alignment);
    look_at_soft_limit(limited_of(heap));
    return block;
}

static void *limited_alloc_zeroed(tarn_heap *heap, size_t size, size_t alignment)
{
    if (!admits(limited_of(heap), 0, size)) {
        return heap_wrapper_refuse(heap);
    }
    void *block = heap_wrapper_alloc_zeroed(heap, size, alignment);
    look_at_soft_limit(limited_of(heap));
    return block;
}

static void limited_free(tarn_heap *heap, void *block, size_t size)
{
    heap_wrapper_free(heap, block, size);
    look_at_soft_limit(limited_of(heap));
}

static bool limited_resize(tarn_heap *heap, void *block, size_t old_size, size_t new_size)
{
    const bool done = admits(limited_of(heap), old_size, new_size) &&
                      heap_wrapper_resize(heap, block, old_size, new_size);
    look_at_soft_limit(limited_of(heap));
    return done;
}

static void *limited_move(tarn_heap *heap, void *block, size_t old_size, size_t new_size,
                          size_t alignment)
{
    if (!admits(limited_of(heap), old_size, new_size)) {
        return NULL;
    }
    void *moved = heap_wrapper_move(heap, block, old_size, new_size, alignment);
    look_at_soft_limit(limited_of(heap));
    return moved;
}

static void limited_stats(tarn_heap *heap, tarn_stats *stats)
{
    const size_t hard_limit = limited_of(heap)->options.hard_limit;
    heap_wrapper_stats(heap, stats);
    if (hard_limit != 0 && stats->largest_free > hard_limit - stats->live) {
        stats->largest_free = hard_limit - stats->live;
    }
}

static bool limited_reset(tarn_heap *heap)
{
    const bool done = heap_wrapper_reset(heap);
    look_at_soft_limit(limited_of(heap));
    return done;
}

tarn_status tarn_limited_init(tarn_limited *limited, const tarn_limited_options *options)
{
    static const tarn_heap_ops ops = {
        .alloc = limited_alloc,
        .free = limited_free,
        .resize = limited_resize,
        .move = limited_move,
        .trim = heap_wrapper_trim,
        .stats = limited_stats,
        .check = heap_wrapper_check,
        .visit = heap_wrapper_visit,
        .reset = limited_reset,
        .alloc_zeroed = limited_alloc_zeroed,
        .should_move = heap_wrapper_should_move,
    };
    static const tarn_limited_options none;
    if (options == NULL) {
        options = &none;
    }
    if (options->soft_limit != 0 &&
        (options->on_soft_limit == NULL ||
         (options->hard_limit != 0 && options->soft_limit > options->hard_limit))) {
        return TARN_BAD_ARGUMENT;
    }
    limited->options = *options;
    limited->is_above = false;
    heap_wrapper_init(&limited->heap, &ops, options->upstream, options->name, "limited");
    return TARN_OK;
}
