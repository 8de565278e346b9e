/* SPDX-License-Identifier: MIT */
#include "heap/lock.h"
#include "heap/wrapper.h"

HEAP_WRAPPER_IS_IN_PLACE(tarn_locked);

/* Takes the lock and returns the heap that it guards. */
static tarn_heap *enter(tarn_heap *heap)
{
    tarn_locked *locked = (tarn_locked *)heap;
    heap_lock_take(&locked->lock);
    return locked->wrapper.upstream;
}

static void leave(tarn_heap *heap)
{
    heap_lock_release(&((tarn_locked *)heap)->lock);
}

static void *locked_alloc(tarn_heap *heap, size_t size, size_t alignment)
{
    tarn_heap *upstream = enter(heap);
    void *block = upstream->ops->alloc(upstream, size, alignment);
    leave(heap);
    return block;
}

static void *locked_alloc_zeroed(tarn_heap *heap, size_t size, size_t alignment)
{
    tarn_heap *upstream = enter(heap);
    void *block = upstream->ops->alloc_zeroed(upstream, size, alignment);
    leave(heap);
    return block;
}

static void locked_free(tarn_heap *heap, void *block, size_t size)
{
    tarn_heap *upstream = enter(heap);
    upstream->ops->free(upstream, block, size);
    leave(heap);
}

static bool locked_resize(tarn_heap *heap, void *block, size_t old_size, size_t new_size)
{
    tarn_heap *upstream = enter(heap);
    const bool done = upstream->ops->resize(upstream, block, old_size, new_size);
    leave(heap);
    return done;
}

static void *locked_move(tarn_heap *heap, void *block, size_t old_size, size_t new_size,
                         size_t alignment)
{
    tarn_heap *upstream = enter(heap);
    void *moved = upstream->ops->move(upstream, block, old_size, new_size, alignment);
    leave(heap);
    return moved;
}

static size_t locked_trim(tarn_heap *heap)
{
    const size_t given_back = tarn_heap_trim(enter(heap));
    leave(heap);
    return given_back;
}

static void locked_stats(tarn_heap *heap, tarn_stats *stats)
{
    *stats = tarn_heap_stats(enter(heap));
    leave(heap);
}

static bool locked_check(tarn_heap *heap, char *fault, size_t fault_size)
{
    const bool balances = tarn_heap_check(enter(heap), fault, fault_size);
    leave(heap);
    return balances;
}

static bool locked_visit(tarn_heap *heap, tarn_visitor *visitor, void *context)
{
    tarn_heap *upstream = enter(heap);
    const bool goes_on = upstream->ops->visit(upstream, visitor, context);
    leave(heap);
    return goes_on;
}

static bool locked_reset(tarn_heap *heap)
{
    const bool done = tarn_heap_reset(enter(heap)) == TARN_OK;
    leave(heap);
    return done;
}

static bool locked_should_move(tarn_heap *heap, void *block, size_t size)
{
    tarn_heap *upstream = enter(heap);
    const bool should = upstream->ops->should_move(upstream, block, size);
    leave(heap);
    return should;
}

tarn_status tarn_locked_init(tarn_locked *locked, const tarn_locked_options *options)
{
    static const tarn_heap_ops ops = {
        .alloc = locked_alloc,
        .free = locked_free,
        .resize = locked_resize,
        .move = locked_move,
        .trim = locked_trim,
        .stats = locked_stats,
        .check = locked_check,
        .visit = locked_visit,
        .reset = locked_reset,
        .alloc_zeroed = locked_alloc_zeroed,
        .should_move = locked_should_move,
    };
    static const tarn_locked_options none;
    if (options == NULL) {
        options = &none;
    }
    heap_lock_init(&locked->lock);
    heap_wrapper_init(&locked->heap, &ops, options->upstream, options->name, "locked");
    return TARN_OK;
}
