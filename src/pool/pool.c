/* SPDX-License-Identifier: MIT */
#include "pool/core.h"

#include "base/record.h"
#include "heap/lock.h"
#include "pool/unpooled.h"
#include "pool/watch.h"
#include "tarn/heaps.h"

#include <string.h>

/*
 *     cache     [ NULL | a | c | b |    |    |    ]
 *                        `--- free ---' ^ top      ^ limit
 *
 * The NULL at the bottom makes the inline alloc find nothing in an empty cache. `nothing` is an
 * empty and a full cache at once: a pool that uses it serves no call inline.
 *
 * Invariant: an object is in the cache, or has its bit set in its chunk, or was never touched, or
 * is its user's.
 */

enum {
    CHUNK_DEFAULT = 64 << 10,    /* bytes */
    CHUNK_MAX_DEFAULT = 4 << 20, /* bytes */
    OBJECTS_LEAST = 8,           /* of a chunk */
    CELLS_PER_CHUNK = 64,        /* of the largest chunks */
    CACHE_MOST = 1023,           /* objects: 8 KiB with the NULL */
    CACHE_LEAST = 16,
    MAGAZINE_MOST = 510, /* objects: 4 KiB with its books */
    BATCH_FIRST = 32     /* objects of the first refill */
};

#ifndef TARN_HARDENED
#define TARN_HARDENED 0
#endif

static void *nothing_below[1];
static const tarn_pool_stack nothing = {nothing_below + 1, nothing_below + 1};

/* ------------------------------------------------------------------------------------------------
 * Locks of shared pools.
 */
static void enter(tarn_pool *pool)
{
    if (pool_is_shared(pool)) {
        heap_lock_take(&pool->lock);
    }
}

static void leave(tarn_pool *pool)
{
    if (pool_is_shared(pool)) {
        heap_lock_release(&pool->lock);
    }
}

/* ------------------------------------------------------------------------------------------------
 * The cache of a pool for one thread.
 */
static bool has_cache(const tarn_pool *pool)
{
    return pool->mode == POOL_CACHED || pool->mode == POOL_CHECKED;
}

static tarn_pool_stack *stack_of(tarn_pool *pool)
{
    return pool->mode == POOL_CHECKED ? &pool->hidden : &pool->open;
}

static size_t cached_count(tarn_pool *pool)
{
    return pool->cache == NULL ? 0 : (size_t)(stack_of(pool)->top - pool->cache) - 1;
}

static size_t cache_bytes(const tarn_pool *pool)
{
    return (pool->cache_size + 1) * sizeof(void *);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Objects that a cache may hold so that it takes at most an eighth of the memory of `slots`. */
static size_t cache_most(const tarn_pool *pool, size_t slots)
{
    return pool->slot_size >= 64 ? slots : slots / 64 * pool->slot_size;
}

/* True if there is a cache, now. Where the first chunk turned out small, so is the cache. */
static bool cache_make(tarn_pool *pool)
{
    if (pool->cache != NULL) {
        return true;
    }
    if (pool->options.cache_objects == 0 && !pool->options.preallocate && pool->slots > 0) {
        const size_t most = cache_most(pool, pool->slots);
        pool->cache_size = smaller(pool->cache_first, most > CACHE_LEAST ? most : CACHE_LEAST);
        pool->cache_first = pool->cache_size;
        pool->batch = smaller(pool->batch, (pool->cache_size + 1) / 2);
    }
    pool->cache = pool_books_take(pool, cache_bytes(pool), 0);
    if (pool->cache == NULL) {
        return false;
    }
    pool->cache[0] = NULL;
    *stack_of(pool) = (tarn_pool_stack){pool->cache + 1, pool->cache + 1 + pool->cache_size};
    return true;
}

static void cache_drop(tarn_pool *pool)
{
    pool_books_give(pool, pool->cache, cache_bytes(pool));
    pool->cache = NULL;
    pool->cache_size = pool->cache_first;
    pool->open = nothing;
    pool->hidden = nothing;
}

/* Gives the `count` objects that are in the cache longest to the chunks. */
static void cache_spill(tarn_pool *pool, size_t count)
{
    void **const oldest = pool->cache + 1;
    const size_t rest = cached_count(pool) - count;
    pool_give(pool, oldest, count);
    memmove(oldest, oldest + count, rest * sizeof *oldest);
    stack_of(pool)->top = oldest + rest;
}

/* Moves the cache to memory for `size` objects, which are not fewer than it has; false if there
 * is none. */
static bool cache_resize(tarn_pool *pool, size_t size)
{
    const size_t count = cached_count(pool);
    void **const cache = pool_books_take(pool, (size + 1) * sizeof(void *), 0);
    if (cache == NULL) {
        return false;
    }
    memcpy(cache, pool->cache, (count + 1) * sizeof(void *));
    pool_books_give(pool, pool->cache, cache_bytes(pool));
    pool->cache = cache;
    pool->cache_size = size;
    *stack_of(pool) = (tarn_pool_stack){cache + 1 + count, cache + 1 + size};
    return true;
}

/* Makes the full cache larger if that would have saved as many ways to the chunks and back as it
 * takes to move all objects twice. So it grows to what use goes up and down by, and a last way
 * down does not end in it. */
static bool cache_grow(tarn_pool *pool)
{
    if (pool->options.cache_objects != 0 || pool->options.preallocate ||
        pool->returned / 2 < pool->slots) {
        return false;
    }
    const size_t size = smaller(pool->cache_size * 2, cache_most(pool, pool->slots));
    pool->returned = 0;
    return size > pool->cache_size && cache_resize(pool, size);
}

static void *refuse(tarn_pool *pool)
{
    pool->books.failures++;
    return NULL;
}

/* Fills the empty cache and takes one object. */
static void *cached_alloc(tarn_pool *pool)
{
    void *object;
    if ((pool->cache == NULL && !pool_chunks_begin(pool)) || !cache_make(pool)) {
        return pool_take(pool, &object, 1, 1) == 1 ? object : refuse(pool);
    }
    /* The lowest address on top. */
    const size_t wanted = pool->batch;
    const size_t count = pool_take(pool, pool->cache + wanted, -1, wanted);
    if (count == 0) {
        return refuse(pool);
    }
    if (count < wanted) {
        memmove(pool->cache + 1, pool->cache + 1 + wanted - count, count * sizeof(void *));
    }
    if (pool->batch < pool->cache_first / 2) {
        pool->batch *= 2;
    }
    stack_of(pool)->top = pool->cache + count;
    return pool->cache[count];
}

/* Makes room in the full cache and adds the object. */
static void cached_free(tarn_pool *pool, void *object)
{
    if (pool->cache == NULL) {
        pool_give(pool, &object, 1);
        return;
    }
    if (!cache_grow(pool)) {
        cache_spill(pool, pool->cache_size / 2 + 1);
    }
    *stack_of(pool)->top++ = object;
}

/* ------------------------------------------------------------------------------------------------
 * Each call by itself. `is_watched` pools hide what nobody has.
 */
static bool is_constructed(const tarn_pool *pool)
{
    return pool->options.construct != NULL || pool->options.destruct != NULL;
}

static void expect_poison(const tarn_pool *pool, const unsigned char *object)
{
    size_t index = 0;
    while (index < pool->options.size && object[index] == POOL_POISON) {
        index++;
    }
    TARN_CHECK(index == pool->options.size, "written to after it was freed", pool->heap.name,
               object);
}

static void *checked_alloc(tarn_pool *pool)
{
    void **const top = pool->hidden.top;
    void *object = top[-1];
    if (base_likely(object != NULL)) {
        pool->hidden.top = top - 1;
    } else {
        object = cached_alloc(pool);
        if (object == NULL) {
            return NULL;
        }
    }
    pool_note_live(pool, object);
    heap_books_give(&pool->books, pool->options.size);
    if (pool->options.poison) {
        expect_poison(pool, object);
    }
    if (pool->options.zero) {
        memset(object, 0, pool->options.size);
    }
    return object;
}

static void checked_free(tarn_pool *pool, void *object)
{
    pool_note_free(pool, object);
    heap_books_take(&pool->books, pool->options.size);
    if (pool->options.poison) {
        memset(object, POOL_POISON, pool->options.size);
    }
    void **const top = pool->hidden.top;
    if (base_likely(top != pool->hidden.limit)) {
        *top = object;
        pool->hidden.top = top + 1;
    } else {
        cached_free(pool, object);
    }
}

/* `tells`: Valgrind is told of the object as a block, not only that it may be touched. */
static void *direct_alloc(tarn_pool *pool, bool tells)
{
    const size_t size = pool->options.size;
    enter(pool);
    void *object = pool_take_one(pool);
    if (object == NULL) {
        pool->books.failures++;
    } else {
        heap_books_give(&pool->books, size);
        if (pool->is_watched && tells) {
            pool_tell(pool_find(pool, object));
            pool_watch_give(pool, object, size);
        }
    }
    leave(pool);
    base_record_alloc(pool->record, object, size, pool->alignment);
    if (object == NULL) {
        return NULL;
    }
    if (pool->is_watched) {
        heap_watch_show(object, size);
    }
    if (pool->options.poison) {
        expect_poison(pool, object);
    }
    if (pool->options.zero) {
        memset(object, 0, size);
    } else if (pool->is_watched && !is_constructed(pool)) {
        heap_watch_give(object, size);
    }
    return object;
}

static void direct_free(tarn_pool *pool, void *object)
{
    const size_t size = pool->options.size;
    base_record_free(pool->record, object);
    enter(pool);
    const pool_place place = pool_find_live(pool, object);
    if (pool->options.poison) {
        memset(object, POOL_POISON, size);
    }
    if (pool->is_watched) {
        if (pool_take_told(place)) {
            pool_watch_take(pool, object, size);
        }
        heap_watch_take(object, size);
    }
    heap_books_take(&pool->books, size);
    pool_give_one(pool, place);
    leave(pool);
}

/* ------------------------------------------------------------------------------------------------
 * No pooling.
 */
static void *unpooled_alloc(tarn_pool *pool)
{
    const tarn_pool_options *options = &pool->options;
    if (options->max_objects != 0) {
        tarn_stats stats;
        pool_unpooled_stats(pool->unpooled, &stats);
        if (stats.blocks >= options->max_objects) {
            return refuse(pool);
        }
    }
    void *object = pool_unpooled_alloc(pool->unpooled, options->size, pool->alignment);
    if (object == NULL) {
        return refuse(pool);
    }
    if (options->zero) {
        memset(object, 0, options->size);
    }
    if (options->construct != NULL && !options->construct(options->context, object)) {
        pool_unpooled_undo(pool->unpooled, object);
        return refuse(pool);
    }
    return object;
}

static void unpooled_free(tarn_pool *pool, void *object)
{
    TARN_CHECK(pool_unpooled_size(pool->unpooled, object) != 0,
               "not an object of this pool, or freed already", pool->heap.name, object);
    if (pool->options.destruct != NULL) {
        pool->options.destruct(pool->options.context, object);
    }
    (void)pool_unpooled_free(pool->unpooled, object);
}

static bool destruct_each(void *context, void *object, size_t size)
{
    const tarn_pool *pool = context;
    (void)size;
    pool->options.destruct(pool->options.context, object);
    return true;
}

static void unpooled_free_all(tarn_pool *pool)
{
    if (pool->options.destruct != NULL) {
        (void)pool_unpooled_visit(pool->unpooled, destruct_each, pool);
    }
    pool_unpooled_free_all(pool->unpooled);
}

/* ------------------------------------------------------------------------------------------------
 * What the inline functions leave over.
 */
__attribute__((noinline)) static void *other_alloc(tarn_pool *pool)
{
    switch (pool->mode) {
    case POOL_CACHED:
        return cached_alloc(pool);
    case POOL_CHECKED:
        return checked_alloc(pool);
    case POOL_DIRECT:
        return direct_alloc(pool, true);
    default:
        return unpooled_alloc(pool);
    }
}

__attribute__((noinline)) static void other_free(tarn_pool *pool, void *object)
{
    switch (pool->mode) {
    case POOL_CACHED:
        cached_free(pool, object);
        break;
    case POOL_CHECKED:
        checked_free(pool, object);
        break;
    case POOL_DIRECT:
        direct_free(pool, object);
        break;
    default:
        unpooled_free(pool, object);
        break;
    }
}

/* For shared pools these are the fast path: nothing here that would need a stack frame. */
void *tarn_pool_alloc_slow(tarn_pool *pool)
{
    return base_likely(pool->mode == POOL_SHARED) ? pool_shared_alloc(pool) : other_alloc(pool);
}

void tarn_pool_free_slow(tarn_pool *pool, void *object)
{
    if (object == NULL) {
        return;
    }
    if (base_likely(pool->mode == POOL_SHARED)) {
        pool_shared_free(pool, object);
    } else {
        other_free(pool, object);
    }
}

void *tarn_pool_alloc_zeroed(tarn_pool *pool)
{
    void *object = tarn_pool_alloc(pool);
    if (object != NULL) {
        memset(object, 0, pool->options.size);
    }
    return object;
}

size_t tarn_pool_alloc_bulk(tarn_pool *pool, void **objects, size_t count)
{
    size_t done = 0;
    if (pool->mode == POOL_SHARED) {
        return pool_shared_alloc_bulk(pool, objects, count);
    }
    if (pool->mode == POOL_CACHED) {
        const size_t cached = cached_count(pool);
        for (; done < count && done < cached; done++) {
            objects[done] = *--pool->open.top;
        }
        /* Many go directly. */
        while (count - done > pool->cache_first / 2) {
            const size_t got = pool_take(pool, objects + done, 1, count - done);
            done += got;
            if (got == 0) {
                break;
            }
        }
    }
    for (; done < count; done++) {
        objects[done] = tarn_pool_alloc(pool);
        if (objects[done] == NULL) {
            break;
        }
    }
    return done;
}

void tarn_pool_free_bulk(tarn_pool *pool, void *const *objects, size_t count)
{
    if (pool->mode == POOL_SHARED) {
        pool_shared_free_bulk(pool, objects, count);
        return;
    }
    if (pool->mode == POOL_CACHED && count > pool->cache_first / 2) {
        /* The newest stay at hand. */
        const size_t direct = count - pool->cache_first / 2;
        pool_give(pool, objects, direct);
        objects += direct;
        count -= direct;
    }
    for (size_t i = 0; i < count; i++) {
        tarn_pool_free(pool, objects[i]);
    }
}

/* ------------------------------------------------------------------------------------------------
 * The whole pool.
 */
bool tarn_pool_owns(tarn_pool *pool, const void *pointer)
{
    if (pool->mode == POOL_UNPOOLED) {
        return pool_unpooled_size(pool->unpooled, pointer) != 0;
    }
    enter(pool);
    const bool owns = pool_find(pool, pointer).is_touched;
    leave(pool);
    return owns;
}

static tarn_status unpooled_reserve(tarn_pool *pool, size_t count)
{
    tarn_stats stats;
    pool_unpooled_stats(pool->unpooled, &stats);
    const size_t most = pool->options.max_objects;
    return most != 0 && count > most - (size_t)stats.blocks ? TARN_NO_ROOM : TARN_OK;
}

tarn_status tarn_pool_reserve(tarn_pool *pool, size_t count)
{
    if (pool->mode == POOL_UNPOOLED) {
        return unpooled_reserve(pool, count);
    }
    const size_t most = pool->options.max_objects;
    const size_t live = (size_t)tarn_pool_stats(pool).blocks;
    if (most != 0 && (live > most || count > most - live)) {
        return TARN_NO_ROOM;
    }
    if (has_cache(pool) && !cache_make(pool)) {
        return TARN_NO_MEMORY;
    }
    const size_t cached =
        pool->mode == POOL_SHARED ? pool_shared_prepare_thread(pool) : cached_count(pool);
    enter(pool);
    const tarn_status status =
        count <= cached ? TARN_OK : pool_chunks_reserve(pool, count - cached);
    leave(pool);
    return status;
}

void tarn_pool_flush(tarn_pool *pool)
{
    if (pool->mode == POOL_SHARED) {
        pool_shared_flush(pool);
    } else if (pool->cache != NULL) {
        cache_spill(pool, cached_count(pool));
    }
}

size_t tarn_pool_trim(tarn_pool *pool)
{
    if (pool->mode == POOL_UNPOOLED) {
        return 0;
    }
    enter(pool);
    const size_t before = pool->books.footprint;
    leave(pool);
    if (pool->mode == POOL_SHARED) {
        pool_shared_trim(pool);
    }
    enter(pool);
    if (pool->cache != NULL) {
        cache_spill(pool, cached_count(pool));
    }
    pool_chunks_trim(pool, true);
    if (pool->slots == 0) {
        cache_drop(pool);
    } else if (pool->cache_size > pool->cache_first) {
        (void)cache_resize(pool, pool->cache_first);
    }
    /* Other threads may have taken more meanwhile. */
    const size_t after = pool->books.footprint;
    leave(pool);
    return before > after ? before - after : 0;
}

void tarn_pool_reset(tarn_pool *pool)
{
    base_record_reset(pool->record);
    if (pool->mode == POOL_UNPOOLED) {
        unpooled_free_all(pool);
        return;
    }
    if (pool->mode == POOL_SHARED) {
        pool_shared_forget(pool);
    }
    if (pool->cache != NULL) {
        stack_of(pool)->top = pool->cache + 1;
    }
    if (pool->is_watched) {
        pool_watch_open_with(pool, POOL_RED_ZONE);
    }
    pool_chunks_reset(pool);
    heap_books_take_all(&pool->books);
}

tarn_stats tarn_pool_stats(tarn_pool *pool)
{
    tarn_stats stats;
    if (pool->mode == POOL_UNPOOLED) {
        pool_unpooled_stats(pool->unpooled, &stats);
        stats.failures = pool->books.failures;
        return stats;
    }
    const size_t size = pool->options.size;
    const size_t kept = pool->mode == POOL_SHARED ? pool_shared_count(pool) : cached_count(pool);
    enter(pool);
    stats = pool->books;
    /* Threads go on meanwhile. */
    stats.blocks = pool->taken > kept ? pool->taken - kept : 0;
    stats.live = (size_t)stats.blocks * size;
    stats.largest_free = pool->slots > stats.blocks ? size : 0;
    if (pool->mode == POOL_CACHED || pool->mode == POOL_SHARED) {
        stats.peak_live = pool->peak_taken * size;
    }
    leave(pool);
    return stats;
}

static bool check_cache(tarn_pool *pool, char *fault, size_t fault_size)
{
    size_t done = 0;
    size_t undone = 0;
    const size_t count = cached_count(pool);
    void **const objects = pool->cache + 1;
    const bool good = count == 0 || pool_chunks_mark(pool, objects, count, true, &done);
    void *const culprit = good ? NULL : objects[done];
    (void)pool_chunks_mark(pool, objects, done, false, &undone);
    return good || heap_fault(fault, fault_size, "%p in the cache is no object, or was freed twice",
                              culprit);
}

bool tarn_pool_check(tarn_pool *pool, char *fault, size_t fault_size)
{
    char nowhere[1];
    if (fault == NULL || fault_size == 0) {
        fault = nowhere;
        fault_size = sizeof nowhere;
    }
    fault[0] = '\0';
    if (pool->mode == POOL_UNPOOLED) {
        return true;
    }
    enter(pool);
    bool good = pool_chunks_check(pool, fault, fault_size);
    if (good && pool->cache != NULL) {
        good = check_cache(pool, fault, fault_size);
    }
    if (good && pool->mode == POOL_SHARED && !pool_shared_check(pool)) {
        good = heap_fault(fault, fault_size,
                          "a thread's cache has what is no object, or was freed twice");
    }
    leave(pool);
    return good;
}

static bool visit(tarn_pool *pool, tarn_visitor *visitor, void *context)
{
    if (pool->mode == POOL_UNPOOLED) {
        return pool_unpooled_visit(pool->unpooled, visitor, context);
    }
    if (pool->mode == POOL_SHARED) {
        pool_shared_flush_all(pool);
    } else if (pool->cache != NULL) {
        cache_spill(pool, cached_count(pool));
    }
    for (const pool_chunk *chunk = pool->chunks; chunk != NULL; chunk = chunk->next) {
        for (size_t index = 0; index < chunk->touched; index++) {
            if (!base_bitmap_test(&chunk->map, index) &&
                !visitor(context, chunk->first + index * pool->slot_size, pool->options.size)) {
                return false;
            }
        }
    }
    return true;
}

void tarn_pool_visit(tarn_pool *pool, tarn_visitor *visitor, void *context)
{
    (void)visit(pool, visitor, context);
}

/* ------------------------------------------------------------------------------------------------
 * The pool as a heap.
 */
static tarn_pool *pool_of(tarn_heap *heap)
{
    return (tarn_pool *)heap;
}

static void *heap_alloc(tarn_heap *heap, size_t size, size_t alignment)
{
    tarn_pool *pool = pool_of(heap);
    if (size > pool->options.size || alignment > pool->alignment) {
        enter(pool);
        pool->books.failures++;
        leave(pool);
        return NULL;
    }
    /* A chunk of another pool, perhaps, that has blocks of its own. */
    return pool->mode == POOL_DIRECT ? direct_alloc(pool, false) : tarn_pool_alloc(pool);
}

static void heap_free(tarn_heap *heap, void *block, size_t size)
{
    tarn_pool *pool = pool_of(heap);
    TARN_CHECK(size <= pool->options.size, "wrong size given back with the block", heap->name,
               block);
    tarn_pool_free(pool, block);
}

static bool heap_resize(tarn_heap *heap, void *block, size_t old_size, size_t new_size)
{
    (void)block;
    (void)old_size;
    return new_size <= pool_of(heap)->options.size;
}

static size_t heap_trim(tarn_heap *heap)
{
    return tarn_pool_trim(pool_of(heap));
}

static void heap_stats(tarn_heap *heap, tarn_stats *stats)
{
    *stats = tarn_pool_stats(pool_of(heap));
}

static bool heap_check(tarn_heap *heap, char *fault, size_t fault_size)
{
    return tarn_pool_check(pool_of(heap), fault, fault_size);
}

static bool heap_visit(tarn_heap *heap, tarn_visitor *visitor, void *context)
{
    return visit(pool_of(heap), visitor, context);
}

static bool heap_reset(tarn_heap *heap)
{
    tarn_pool_reset(pool_of(heap));
    return true;
}

static const tarn_heap_ops pool_ops = {
    .alloc = heap_alloc,
    .free = heap_free,
    .resize = heap_resize,
    .trim = heap_trim,
    .stats = heap_stats,
    .check = heap_check,
    .visit = heap_visit,
    .reset = heap_reset,
};

/* ------------------------------------------------------------------------------------------------
 * Making and ending.
 */
static size_t natural_alignment(size_t size)
{
    const size_t divides = size & (~size + 1);
    return divides < _Alignof(max_align_t) ? divides : _Alignof(max_align_t);
}

/* The most objects whose chunk has at most so many bytes, but at least a few. */
static size_t objects_in(const tarn_pool *pool, size_t bytes)
{
    size_t count = bytes / pool->slot_size;
    while (count > OBJECTS_LEAST && pool_chunk_size(pool, count) > bytes) {
        const size_t over = (pool_chunk_size(pool, count) - bytes) / pool->slot_size + 1;
        count = over < count ? count - over : 0;
    }
    return count > OBJECTS_LEAST ? count : OBJECTS_LEAST;
}

/* Fills in the sizes that the options leave open. */
static tarn_status lay_out(tarn_pool *pool)
{
    tarn_pool_options *options = &pool->options;
    const size_t most = options->max_objects == 0 ? SIZE_MAX : options->max_objects;
    size_t slot_size = options->size;
    if (options->size == 0 || (options->alignment & (options->alignment - 1)) != 0) {
        return TARN_BAD_LAYOUT;
    }
    pool->alignment =
        options->alignment != 0 ? options->alignment : natural_alignment(options->size);
    if ((pool->is_watched && !base_checked_add(slot_size, POOL_RED_ZONE, &slot_size)) ||
        !base_checked_align_up(slot_size, pool->alignment, &pool->slot_size)) {
        return TARN_TOO_LARGE;
    }
    pool->inverse = pool->slot_size > 1 ? UINT64_MAX / pool->slot_size + 1 : 0;
    if (pool_chunk_size(pool, OBJECTS_LEAST) == 0) {
        return TARN_TOO_LARGE;
    }
    if (options->first_objects == 0) {
        options->first_objects = objects_in(pool, CHUNK_DEFAULT);
    }
    if (options->chunk_objects_max == 0) {
        options->chunk_objects_max = objects_in(pool, CHUNK_MAX_DEFAULT);
    }
    if (options->chunk_objects_max < options->first_objects) {
        options->chunk_objects_max = options->first_objects;
    }
    options->first_objects = smaller(options->first_objects, most);
    options->chunk_objects_max = smaller(options->chunk_objects_max, most);
    if (options->preallocate) {
        options->first_objects = most;
    }
    const size_t first_size = pool_chunk_size(pool, options->first_objects);
    const size_t largest_size = pool_chunk_size(pool, options->chunk_objects_max);
    if (first_size == 0 || largest_size == 0) {
        return TARN_TOO_LARGE;
    }
    const size_t cell = largest_size / CELLS_PER_CHUNK;
    pool->cell_shift = base_log2_floor(first_size > cell ? first_size : cell);
    pool->next_slots = options->first_objects;

    const size_t usual = options->threads == TARN_SHARED ? MAGAZINE_MOST : CACHE_MOST;
    size_t cache_size = options->cache_objects;
    if (cache_size == 0) {
        /* An eighth of the first chunk for the addresses. */
        cache_size = first_size / 8 / sizeof(void *);
        cache_size = cache_size > CACHE_LEAST ? smaller(cache_size, usual) : CACHE_LEAST;
    } else if (options->threads == TARN_SHARED) {
        cache_size = cache_size / 2 + cache_size % 2; /* two magazines */
    }
    if (options->max_objects != 0 && options->threads == TARN_SHARED) {
        /* What some threads keep at hand must leave the most for others. */
        cache_size = smaller(cache_size, options->max_objects / 32 + 1);
    }
    if (options->preallocate && options->threads == TARN_ALONE && options->cache_objects == 0 &&
        cache_most(pool, most) > cache_size) {
        cache_size = cache_most(pool, most);
    }
    pool->cache_size = smaller(smaller(cache_size, most), PTRDIFF_MAX / sizeof(void *) - 1);
    pool->cache_first = pool->cache_size;
    pool->batch = smaller(BATCH_FIRST, (pool->cache_size + 1) / 2);
    return TARN_OK;
}

static uint32_t mode_for(const tarn_pool *pool)
{
    const tarn_pool_options *options = &pool->options;
    if (!tarn_pooling()) {
        return POOL_UNPOOLED;
    }
    const bool sees_calls =
        options->checks || options->history || options->zero || options->poison || TARN_HARDENED;
    if (pool->is_watched || pool->record != 0) {
        return POOL_DIRECT;
    }
    if (options->threads != TARN_SHARED) {
        return sees_calls ? POOL_CHECKED : POOL_CACHED;
    }
    return sees_calls || options->cache_objects == 1 ? POOL_DIRECT : POOL_SHARED;
}

/* What the mode needs from the start. */
static tarn_status prepare(tarn_pool *pool)
{
    if (pool->mode == POOL_UNPOOLED) {
        pool->unpooled = pool_unpooled_create();
        return pool->unpooled != NULL ? TARN_OK : TARN_NO_MEMORY;
    }
    if (pool->mode == POOL_SHARED && !pool_shared_init(pool)) {
        return TARN_NO_MEMORY;
    }
    if (pool->options.preallocate) {
        if ((has_cache(pool) && !cache_make(pool)) ||
            (pool->mode == POOL_SHARED && !pool_shared_prepare(pool)) ||
            pool_chunks_reserve(pool, pool->options.max_objects) != TARN_OK) {
            return TARN_NO_MEMORY;
        }
    }
    return TARN_OK;
}

tarn_status tarn_pool_init(tarn_pool *pool, const tarn_pool_options *options)
{
    static const tarn_pool_options none;
    memset(pool, 0, sizeof *pool);
    pool->options = options != NULL ? *options : none;
    options = &pool->options;
    if (options->upstream == NULL) {
        pool->options.upstream = tarn_pages_heap();
    }
    if (options->name == NULL) {
        pool->options.name = "pool";
    }
    pool->heap = (tarn_heap){&pool_ops, options->name};
    pool->open = nothing;
    pool->hidden = nothing;
    pool->since = SIZE_MAX;
    pool->is_watched = heap_watch_is_on();
    pool->record = base_record_open(&pool->heap, pool->options.upstream, "pool", pool->heap.name);
    heap_lock_init(&pool->lock);
    heap_lock_init(&pool->depot_lock);
    if ((options->preallocate && options->max_objects == 0) ||
        (options->threads != TARN_ALONE && options->threads != TARN_SHARED) ||
        (is_constructed(pool) && (options->zero || options->poison))) {
        base_record_close(pool->record);
        return TARN_BAD_ARGUMENT;
    }
    pool->mode = mode_for(pool);
    tarn_status status = lay_out(pool);
    if (status == TARN_OK) {
        if (pool->is_watched) {
            pool_watch_open_with(pool, POOL_RED_ZONE);
        }
        status = prepare(pool);
        if (status != TARN_OK) {
            tarn_pool_deinit(pool);
        }
    }
    return status;
}

void tarn_pool_deinit(tarn_pool *pool)
{
    base_record_close(pool->record);
    if (pool->is_watched) {
        pool_watch_close(pool);
    }
    if (pool->mode == POOL_UNPOOLED) {
        if (pool->unpooled != NULL) {
            unpooled_free_all(pool);
            pool_unpooled_destroy(pool->unpooled);
            pool->unpooled = NULL;
        }
        return;
    }
    if (pool->mode == POOL_SHARED) {
        pool_shared_deinit(pool);
    }
    pool_chunks_end(pool);
    cache_drop(pool);
}

tarn_status tarn_pool_create(tarn_pool **pool, const tarn_pool_options *options)
{
    tarn_heap *upstream =
        options != NULL && options->upstream != NULL ? options->upstream : tarn_pages_heap();
    tarn_pool *made = tarn_heap_alloc(upstream, sizeof *made, 0);
    if (made == NULL) {
        return TARN_NO_MEMORY;
    }
    const tarn_status status = tarn_pool_init(made, options);
    if (status == TARN_OK) {
        *pool = made;
    } else {
        tarn_heap_free(upstream, made, sizeof *made);
    }
    return status;
}

void tarn_pool_destroy(tarn_pool *pool)
{
    if (pool != NULL) {
        tarn_heap *upstream = pool->options.upstream;
        tarn_pool_deinit(pool);
        tarn_heap_free(upstream, pool, sizeof *pool);
    }
}
