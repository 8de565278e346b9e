/* SPDX-License-Identifier: MIT */
#include "heap/watch.h"
#include "pool/arena.h"

#include <string.h>

/*
 *     first                                    chunk (the current one)             last
 *     [ lead | blocks ...      | descr. ] ---> [ blocks ...  |  free | descr. ] ---> [ free | descr. ]
 *                                                            ^ at    ^ end           spare
 *
 * A chunk's descriptor is at its end. Spare chunks were in use before a reset or a release. A block
 * that no longer fits into the current chunk goes to the nearest spare one that has room for it,
 * which moves to the front of the others, or to a new one.
 *
 * Invariant: `before` of each chunk is the sum of the rooms of those before it; the current chunk
 * is among them; at is a multiple of the grain, and no further than end.
 */

/* Bytes of descriptor: with what a chunk's room is a multiple of the alignment. */
#define DESCRIPTOR base_align_up(sizeof(tarn_arena_chunk), POOL_ARENA_ALIGN)

/* The need of earlier cycles loses this part of what it is above that of the latest; chunks are
 * kept for so much more than the need, so that what cycles in a rhythm need stays. */
#define DECAY 16
#define SLACK 4

#define POISON 0xdd

typedef struct tarn_arena_chunk tarn_arena_chunk;

static uint64_t chunk_code(const tarn_arena_chunk *chunk)
{
    return pool_arena_code(chunk, (uintptr_t)chunk->next, (uintptr_t)chunk->start, chunk->size,
                           chunk->before);
}

static void seal(tarn_arena_chunk *chunk)
{
    chunk->code = chunk_code(chunk);
}

bool pool_arena_chunk_is_good(const tarn_arena_chunk *chunk)
{
    return chunk->code == chunk_code(chunk);
}

static void expect_good(const tarn_arena *arena, const tarn_arena_chunk *chunk)
{
    TARN_CHECK(pool_arena_chunk_is_good(chunk), "the end of a chunk was overwritten",
               arena->heap.name, chunk);
}

/* ------------------------------------------------------------------------------------------------
 * One chunk
 */
static bool is_buffer(const tarn_arena *arena, const tarn_arena_chunk *chunk)
{
    return arena->buffer.start != NULL && chunk->start == (unsigned char *)arena->buffer.start;
}

/* Writes the descriptor of the memory and puts the chunk behind `previous` (NULL: first). */
static tarn_arena_chunk *add_chunk(tarn_arena *arena, tarn_memory memory,
                                   tarn_arena_chunk *previous)
{
    unsigned char *start = memory.start;
    const uintptr_t end = base_align_down((uintptr_t)start + memory.size, POOL_ARENA_ALIGN);
    tarn_arena_chunk *chunk =
        (tarn_arena_chunk *)(void *)(start + (end - (uintptr_t)start) - DESCRIPTOR);
    *chunk = (tarn_arena_chunk){.start = start, .size = memory.size};
    if (previous != NULL) {
        chunk->next = previous->next;
        previous->next = chunk;
        seal(previous);
    } else {
        arena->first = chunk;
    }
    if (chunk->next == NULL) {
        arena->last = chunk;
    }
    POOL_ARENA_PUBLISH(arena->chunk_count, arena->chunk_count + 1);
    if (arena->is_watched) {
        heap_watch_hide(pool_arena_chunk_blocks(chunk), pool_arena_chunk_room(chunk));
    }
    return chunk;
}

/* Counts the rooms again from `chunk` on, which comes after `previous`. */
static void count_rooms(tarn_arena *arena, tarn_arena_chunk *previous, tarn_arena_chunk *chunk)
{
    size_t before = previous == NULL ? 0 : previous->before + pool_arena_chunk_room(previous);
    for (; chunk != NULL; chunk = chunk->next) {
        chunk->before = before;
        before += pool_arena_chunk_room(chunk);
        seal(chunk);
        if (chunk->next == NULL) {
            arena->last = chunk;
        }
    }
}

/* Blocks are cut from `at` in `chunk` from now on. */
static void go_to(tarn_arena *arena, tarn_arena_chunk *chunk, unsigned char *at)
{
    *pool_arena_place(arena) = (tarn_arena_place){at, (unsigned char *)chunk};
    arena->chunk = chunk;
    arena->floor = at;
}

static unsigned char *start_in(const tarn_arena *arena, const tarn_arena_chunk *chunk)
{
    return pool_arena_chunk_blocks(chunk) + (chunk == arena->first ? arena->lead : 0);
}

struct tarn_arena_chunk *pool_arena_chunk_of(const tarn_arena *arena, const void *address)
{
    for (tarn_arena_chunk *chunk = arena->first; chunk != NULL; chunk = chunk->next) {
        const unsigned char *end = chunk == arena->chunk ? pool_arena_const_place(arena)->at
                                                         : (const unsigned char *)chunk;
        if ((uintptr_t)address >= (uintptr_t)start_in(arena, chunk) &&
            (uintptr_t)address < (uintptr_t)end) {
            return chunk;
        }
        if (chunk == arena->chunk) {
            break;
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------
 * What is held from upstream. Limits are of whole trees, so this is done under the tree's lock.
 */
tarn_arena *pool_arena_above(const tarn_arena *arena)
{
    /* What comes out of the parent is held by the parent already. */
    return arena->parent == NULL || arena->upstream == &arena->parent->heap ? NULL : arena->parent;
}

/* Bytes that may still be held; at most SIZE_MAX. */
static size_t room_under_limits(const tarn_arena *arena)
{
    size_t room = SIZE_MAX;
    for (const tarn_arena *one = arena; one != NULL; one = pool_arena_above(one)) {
        if (one->limit != 0) {
            const size_t left = one->limit > one->tree_held ? one->limit - one->tree_held : 0;
            room = left < room ? left : room;
        }
    }
    return room;
}

bool pool_arena_hold(tarn_arena *arena, size_t size)
{
    pool_arena_lock_tree(arena);
    const bool fits = size <= room_under_limits(arena);
    if (fits) {
        for (tarn_arena *one = arena; one != NULL; one = pool_arena_above(one)) {
            one->tree_held += size;
        }
    }
    pool_arena_unlock_tree(arena);
    if (fits) {
        POOL_ARENA_PUBLISH(arena->held, arena->held + size);
        if (arena->held > arena->peak_held) {
            arena->peak_held = arena->held;
        }
    }
    return fits;
}

void pool_arena_unhold(tarn_arena *arena, size_t size)
{
    pool_arena_lock_tree(arena);
    for (tarn_arena *one = arena; one != NULL; one = pool_arena_above(one)) {
        one->tree_held -= size;
    }
    pool_arena_unlock_tree(arena);
    POOL_ARENA_PUBLISH(arena->held, arena->held - size);
}

void pool_arena_publish(tarn_arena *arena)
{
    POOL_ARENA_PUBLISH(arena->used_then, pool_arena_used(arena));
    pool_arena_note_peak(arena);
}

/* ------------------------------------------------------------------------------------------------
 * New chunks
 */

/* True if tarn_arena_fits() can add any size, and some alignments, to the addresses: no chunk of a
 * program that runs under a system is elsewhere. */
static bool is_low(uintptr_t start, size_t size)
{
#if UINTPTR_MAX > UINT32_MAX
    const uintptr_t most = PTRDIFF_MAX - (uintptr_t)0xffff;
#else
    const uintptr_t most = UINTPTR_MAX;
#endif
    return start <= most && size <= most - start;
}

/* A chunk of `size` bytes from upstream, in no list yet. The start is NULL if there is no
 * memory. */
static tarn_memory take_memory(tarn_arena *arena, size_t size)
{
    const tarn_memory none = {NULL, 0};
    if (!pool_arena_hold(arena, size)) {
        return none;
    }
    unsigned char *start = arena->zero
                               ? tarn_heap_calloc(arena->upstream, 1, size, POOL_ARENA_ALIGN)
                               : tarn_heap_alloc(arena->upstream, size, POOL_ARENA_ALIGN);
    if (start != NULL && !is_low((uintptr_t)start, size)) {
        tarn_heap_free(arena->upstream, start, size);
        start = NULL;
    }
    if (start == NULL) {
        pool_arena_unhold(arena, size);
        return none;
    }
    return (tarn_memory){start, size};
}

/* A chunk with room for `room` bytes, and for more if there is memory for it. */
static tarn_memory take_chunk_memory(tarn_arena *arena, size_t room)
{
    size_t least;
    if (!base_checked_add(room, DESCRIPTOR + POOL_ARENA_ALIGN - 1, &least) || least > PTRDIFF_MAX) {
        return (tarn_memory){NULL, 0};
    }
    least = base_align_down(least, POOL_ARENA_ALIGN);
    size_t size = arena->chunk_size;
    while (size < least && size < arena->chunk_size_max) {
        size = size > arena->chunk_size_max / 2 ? arena->chunk_size_max : size * 2;
    }
    pool_arena_lock_tree(arena);
    const size_t allowed = base_align_down(room_under_limits(arena), POOL_ARENA_ALIGN);
    pool_arena_unlock_tree(arena);
    const size_t wanted = size;
    size = size > allowed ? allowed : size;
    size = size < least ? least : size;
    tarn_memory memory = take_memory(arena, size);
    if (memory.start != NULL && size == wanted) {
        arena->chunk_size = size > arena->chunk_size_max / 2 ? arena->chunk_size_max : size * 2;
    }
    /* Upstream may still have something smaller. */
    while (memory.start == NULL && size > least) {
        size = base_align_down(size / 2, POOL_ARENA_ALIGN);
        size = size < least ? least : size;
        memory = take_memory(arena, size);
    }
    return memory;
}

bool pool_arena_take_first(tarn_arena *arena, size_t lead)
{
    const tarn_memory memory = take_chunk_memory(arena, lead + POOL_ARENA_ALIGN);
    if (memory.start == NULL) {
        return false;
    }
    tarn_arena_chunk *chunk = add_chunk(arena, memory, NULL);
    seal(chunk);
    arena->lead = lead;
    go_to(arena, chunk, start_in(arena, chunk));
    return true;
}

bool pool_arena_use_buffer(tarn_arena *arena, size_t lead)
{
    const uintptr_t start = (uintptr_t)arena->buffer.start;
    const size_t size = arena->buffer.size;
    if (start == 0 || size < DESCRIPTOR + 2 * POOL_ARENA_ALIGN || size > PTRDIFF_MAX ||
        !is_low(start, size)) {
        return false;
    }
    const size_t skipped = base_align_up(start, POOL_ARENA_ALIGN) - start;
    const size_t lost = (start + size) - base_align_down(start + size, POOL_ARENA_ALIGN);
    if (size - skipped - lost < DESCRIPTOR + POOL_ARENA_ALIGN + arena->gap ||
        size - skipped - lost - DESCRIPTOR - POOL_ARENA_ALIGN - arena->gap < lead) {
        return false;
    }
    if (arena->zero) {
        memset(arena->buffer.start, 0, size);
    }
    tarn_arena_chunk *chunk = add_chunk(arena, arena->buffer, NULL);
    seal(chunk);
    arena->lead = lead;
    go_to(arena, chunk, start_in(arena, chunk));
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * Cutting
 */
void *pool_arena_cut(tarn_arena *arena, size_t size, size_t alignment)
{
    tarn_arena_place *place = pool_arena_place(arena);
    const size_t room = (size_t)(place->end - place->at);
    const size_t pad = ((size_t)0 - (uintptr_t)place->at) & (alignment - 1);
    /* Room and padding are multiples of the grain, so the rounded size fits if the size does. */
    if (pad > room || size > room - pad || pool_arena_taken(arena, size) > room - pad) {
        return NULL;
    }
    unsigned char *block = place->at + pad;
    place->at = block + pool_arena_taken(arena, size);
    return block;
}

/* Moves the first spare chunk with so much room to the front of the spare ones. False if there is
 * none. */
static bool bring_spare(tarn_arena *arena, size_t room)
{
    tarn_arena_chunk *previous = arena->chunk;
    tarn_arena_chunk *chunk = previous == NULL ? NULL : previous->next;
    tarn_arena_chunk *nearest = chunk;
    while (chunk != NULL) {
        expect_good(arena, chunk);
        if (pool_arena_chunk_room(chunk) >= room) {
            break;
        }
        previous = chunk;
        chunk = chunk->next;
    }
    if (chunk != NULL && chunk != nearest) {
        previous->next = chunk->next;
        chunk->next = nearest;
        arena->chunk->next = chunk;
        count_rooms(arena, arena->chunk, chunk);
        seal(arena->chunk);
    }
    return chunk != NULL;
}

void *pool_arena_take(tarn_arena *arena, size_t size, size_t alignment)
{
    void *block = pool_arena_cut(arena, size, alignment);
    if (block != NULL) {
        return block;
    }
    /* A chunk is aligned well enough for all but large alignments. */
    size_t room = base_align_up(size, POOL_ARENA_GRAIN) + arena->gap;
    if (alignment > POOL_ARENA_ALIGN &&
        !base_checked_add(room, alignment - POOL_ARENA_ALIGN, &room)) {
        return NULL;
    }
    if (arena->chunk != NULL) {
        expect_good(arena, arena->chunk);
    }
    if (!bring_spare(arena, room)) {
        if (arena->fixed) {
            return NULL;
        }
        const tarn_memory memory = take_chunk_memory(arena, room);
        if (memory.start == NULL) {
            return NULL;
        }
        count_rooms(arena, arena->chunk, add_chunk(arena, memory, arena->chunk));
    }
    tarn_arena_chunk *next = arena->chunk == NULL ? arena->first : arena->chunk->next;
    go_to(arena, next, start_in(arena, next));
    pool_arena_publish(arena);
    return pool_arena_cut(arena, size, alignment);
}

/* ------------------------------------------------------------------------------------------------
 * Going back
 */
size_t pool_arena_drop_chunks(tarn_arena *arena, tarn_arena_chunk *previous)
{
    tarn_arena_chunk *chunk = previous == NULL ? arena->first : previous->next;
    if (previous != NULL) {
        previous->next = NULL;
        seal(previous);
    } else {
        arena->first = NULL;
        arena->chunk = NULL;
    }
    arena->last = previous;
    size_t dropped = 0;
    while (chunk != NULL) {
        expect_good(arena, chunk);
        tarn_arena_chunk *next = chunk->next;
        const tarn_memory memory = {chunk->start, chunk->size};
        POOL_ARENA_PUBLISH(arena->chunk_count, arena->chunk_count - 1);
        if (arena->is_watched) {
            heap_watch_show(memory.start, memory.size);
        }
        if (!is_buffer(arena, chunk)) {
            dropped += memory.size;
            tarn_heap_free(arena->upstream, memory.start, memory.size);
        }
        chunk = next;
    }
    if (dropped > 0) {
        pool_arena_unhold(arena, dropped);
        /* Chunks grow again from what is left. */
        const size_t size = previous == NULL || is_buffer(arena, previous) ? arena->chunk_size_min
                                                                           : previous->size * 2;
        arena->chunk_size = size < arena->chunk_size_min   ? arena->chunk_size_min
                            : size > arena->chunk_size_max ? arena->chunk_size_max
                                                           : size;
    }
    return dropped;
}

/* Notes that a cycle needed `peak` bytes of chunks, of which `freed` are free now. Returns for how
 * many bytes chunks are to be kept. */
static size_t learn_need(tarn_arena *arena, size_t peak, size_t freed, bool is_reset)
{
    if (peak > arena->cycle_peak) {
        arena->cycle_peak = peak;
    }
    if (is_reset) {
        peak = arena->cycle_peak;
        arena->cycle_peak = 0;
    }
    if (peak > arena->need) {
        /* More than ever may be once and never again: of that only a chunk's worth is kept. */
        const size_t burst = peak < arena->chunk_size_max ? peak : arena->chunk_size_max;
        const size_t keep = burst < arena->need ? arena->need : burst;
        arena->need = peak;
        arena->released = 0;
        return keep;
    }
    /* A cycle may have many small scopes, and each is less than all of it. So releases count by
     * what they free: nothing is forgotten before as much as that was used again. */
    arena->released += freed;
    if (is_reset || arena->released >= arena->need / DECAY) {
        arena->need -= (arena->need - peak) / DECAY;
        arena->released = 0;
    }
    return arena->need;
}

/* Chunks that the cycles before did not need go. */
static void settle(tarn_arena *arena, size_t keep)
{
    keep += keep / SLACK;
    if (arena->last == arena->chunk || arena->last->before < keep) {
        return;
    }
    tarn_arena_chunk *chunk = arena->chunk;
    while (chunk->next != NULL) {
        expect_good(arena, chunk->next);
        if (chunk->next->before >= keep) {
            pool_arena_drop_chunks(arena, chunk);
            return;
        }
        chunk = chunk->next;
    }
}

void pool_arena_wipe(const tarn_arena *arena, unsigned char *from, const unsigned char *to)
{
    const size_t size = (size_t)(to - from);
    if (arena->is_watched && (arena->zero || arena->poison)) {
        heap_watch_show(from, size);
    }
    if (arena->zero) {
        memset(from, 0, size);
    } else if (arena->poison) {
        memset(from, POISON, size);
    }
    if (arena->is_watched) {
        heap_watch_hide(from, size);
    }
}

void pool_arena_rewind(tarn_arena *arena, tarn_arena_chunk *chunk, unsigned char *at, bool is_reset)
{
    if (arena->chunk == NULL) {
        return;
    }
    pool_arena_publish(arena);
    const size_t peak = pool_arena_position(arena);
    if (chunk == NULL) {
        chunk = arena->first;
        at = start_in(arena, chunk);
    }
    if (arena->wipes) {
        unsigned char *from = at;
        for (tarn_arena_chunk *one = chunk; one != arena->chunk; one = one->next) {
            expect_good(arena, one);
            pool_arena_wipe(arena, from, (unsigned char *)one);
            from = pool_arena_chunk_blocks(one->next);
        }
        pool_arena_wipe(arena, from, pool_arena_place(arena)->at);
    }
    expect_good(arena, chunk);
    go_to(arena, chunk, at);
    settle(arena, learn_need(arena, peak, peak - pool_arena_position(arena), is_reset));
    pool_arena_publish(arena);
}
