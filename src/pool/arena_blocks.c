/* SPDX-License-Identifier: MIT */
#include "pool/arena.h"

#include <string.h>

/*
 * What the inline functions leave over: the end of a chunk, sizes that are none, alignments that
 * are none, and everything of a closed arena. And the arena as a heap.
 */

#define NATURAL_ALIGNMENT(size) ((size) % 16 == 0 ? POOL_ARENA_ALIGN : POOL_ARENA_GRAIN)

/* ------------------------------------------------------------------------------------------------
 * Alloc
 */
static void *take_open(tarn_arena *arena, size_t size, size_t alignment, unsigned how)
{
    const bool zeroed = (how & POOL_ARENA_ZEROED) != 0;
    void *block = pool_arena_cut(arena, size, alignment);
    if (block == NULL && size > arena->large_min && !arena->fixed) {
        return pool_arena_take_large(arena, size, alignment, zeroed);
    }
    if (block == NULL) {
        block = pool_arena_take(arena, size, alignment);
    }
    if (block != NULL && zeroed && !arena->zero) {
        memset(block, 0, size);
    }
    return block;
}

void *pool_arena_alloc(tarn_arena *arena, size_t size, size_t alignment, unsigned how)
{
    pool_arena_expect_live(arena);
    size = pool_arena_served(size);
    alignment = alignment == 0 ? POOL_ARENA_ALIGN : alignment;
    if (size > PTRDIFF_MAX - 2 * POOL_ARENA_GAP || !base_is_power_of_two(alignment)) {
        arena->failures++;
        return NULL;
    }
    alignment = alignment < POOL_ARENA_GRAIN ? POOL_ARENA_GRAIN : alignment;
    for (;;) {
        void *block = arena->is_closed ? pool_arena_take_recorded(arena, size, alignment, how)
                                       : take_open(arena, size, alignment, how);
        if (block != NULL) {
            return block;
        }
        if (arena->on_no_memory == NULL || !arena->on_no_memory(arena->context, size)) {
            arena->failures++;
            return NULL;
        }
    }
}

void *tarn_arena_alloc_more(tarn_arena *arena, size_t size)
{
    return pool_arena_alloc(arena, size, NATURAL_ALIGNMENT(size), POOL_ARENA_NAMED);
}

void *tarn_arena_alloc_aligned_more(tarn_arena *arena, size_t size, size_t alignment)
{
    return pool_arena_alloc(arena, size, alignment, POOL_ARENA_NAMED);
}

void *tarn_arena_alloc_zeroed_more(tarn_arena *arena, size_t size)
{
    return pool_arena_alloc(arena, size, NATURAL_ALIGNMENT(size),
                            POOL_ARENA_NAMED | POOL_ARENA_ZEROED);
}

/* ------------------------------------------------------------------------------------------------
 * Free
 */

/* The record of a large block that has `size` bytes, or NULL if it was cut from a chunk. Only
 * blocks of at least that size can be large, so most never look. */
static pool_arena_record *expect_large(const tarn_arena *arena, void *block, size_t size)
{
    if (size <= arena->large_min) {
        return NULL;
    }
    pool_arena_record *record = pool_arena_record_of(arena, block);
    if (record == NULL) {
        TARN_CHECK(pool_arena_chunk_of(arena, block) != NULL,
                   "not a block of this arena, or freed already", arena->heap.name, block);
        return NULL;
    }
    TARN_CHECK(record->entry.size == size, "wrong size given back with the block", arena->heap.name,
               block);
    return record;
}

/* True if the block of an open arena is the newest in its chunk, so that its end may move. */
static bool is_last(const tarn_arena *arena, const unsigned char *block, size_t size)
{
    return (uintptr_t)block >= (uintptr_t)arena->floor &&
           (uintptr_t)block + base_align_up(size, POOL_ARENA_GRAIN) == (uintptr_t)arena->place.at;
}

/* Blocks end at `at` from now on. */
static void go_back(tarn_arena *arena, unsigned char *at)
{
    pool_arena_note_peak(arena);
    if (arena->wipes) {
        pool_arena_wipe(arena, at, arena->place.at);
    }
    arena->place.at = at;
}

void tarn_arena_free(tarn_arena *arena, void *block, size_t size)
{
    pool_arena_expect_live(arena);
    if (block == NULL) {
        return;
    }
    size = pool_arena_served(size);
    TARN_CHECK(size <= PTRDIFF_MAX, "wrong size given back with the block", arena->heap.name,
               block);
    if (arena->is_closed) {
        pool_arena_free_recorded(arena, block, size);
        return;
    }
    pool_arena_record *record = expect_large(arena, block, size);
    if (record != NULL) {
        pool_arena_free_large(arena, record);
    } else if (is_last(arena, block, size)) {
        go_back(arena, block);
    } else if (arena->poison && !arena->zero) {
        pool_arena_wipe(arena, block, (unsigned char *)block + size);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Resize
 */
static bool resize(tarn_arena *arena, void *block, size_t old_size, size_t new_size)
{
    if (arena->is_closed) {
        return pool_arena_resize_recorded(arena, block, old_size, new_size);
    }
    pool_arena_record *record = expect_large(arena, block, old_size);
    if (record != NULL) {
        return pool_arena_resize_large(arena, record, new_size);
    }
    unsigned char *start = block;
    if (!is_last(arena, start, old_size)) {
        return new_size <= base_align_up(old_size, POOL_ARENA_GRAIN);
    }
    if (new_size > (size_t)(arena->place.end - start)) {
        return false;
    }
    unsigned char *at = start + base_align_up(new_size, POOL_ARENA_GRAIN);
    if (at < arena->place.at) {
        go_back(arena, at);
    }
    arena->place.at = at;
    return true;
}

/* True with both sizes as they are served, or false if nothing can have them. */
static bool are_sizes(const tarn_arena *arena, const void *block, size_t *old_size,
                      size_t *new_size)
{
    *old_size = pool_arena_served(*old_size);
    *new_size = pool_arena_served(*new_size);
    TARN_CHECK(*old_size <= PTRDIFF_MAX, "wrong size given back with the block", arena->heap.name,
               block);
    return *new_size <= PTRDIFF_MAX - 2 * POOL_ARENA_GAP;
}

bool tarn_arena_resize(tarn_arena *arena, void *block, size_t old_size, size_t new_size)
{
    pool_arena_expect_live(arena);
    return block != NULL && are_sizes(arena, block, &old_size, &new_size) &&
           resize(arena, block, old_size, new_size);
}

/* Elsewhere, with its contents. */
static void *move_block(tarn_arena *arena, void *block, size_t old_size, size_t new_size,
                        size_t alignment, unsigned how)
{
    pool_arena_record *record = pool_arena_record_of(arena, block);
    if (record != NULL) {
        void *moved = pool_arena_move(arena, record, new_size, alignment);
        if (moved != NULL) {
            return moved;
        }
    }
    void *copy = pool_arena_alloc(arena, new_size, alignment, how);
    if (copy != NULL) {
        memcpy(copy, block, old_size < new_size ? old_size : new_size);
        tarn_arena_free(arena, block, old_size);
    }
    return copy;
}

static void *realloc_to(tarn_arena *arena, void *block, size_t old_size, size_t new_size,
                        size_t alignment)
{
    if (!are_sizes(arena, block, &old_size, &new_size) || !base_is_power_of_two(alignment)) {
        arena->failures++;
        return NULL;
    }
    if (base_is_aligned(block, alignment) && resize(arena, block, old_size, new_size)) {
        return block;
    }
    return move_block(arena, block, old_size, new_size, alignment, POOL_ARENA_NAMED);
}

void *tarn_arena_realloc(tarn_arena *arena, void *block, size_t old_size, size_t new_size)
{
    pool_arena_expect_live(arena);
    if (block == NULL) {
        return tarn_arena_alloc(arena, new_size);
    }
    /* Whoever needs 16 has sizes that are multiples of it, and so has a block that is aligned. */
    if (!are_sizes(arena, block, &old_size, &new_size)) {
        arena->failures++;
        return NULL;
    }
    if (resize(arena, block, old_size, new_size)) {
        return block;
    }
    const size_t alignment = old_size % 16 == 0 || new_size % 16 == 0 ? POOL_ARENA_ALIGN : 0;
    return move_block(arena, block, old_size, new_size,
                      alignment != 0 ? alignment : POOL_ARENA_GRAIN, POOL_ARENA_NAMED);
}

void *tarn_arena_realloc_aligned(tarn_arena *arena, void *block, size_t old_size, size_t new_size,
                                 size_t alignment)
{
    pool_arena_expect_live(arena);
    if (block == NULL) {
        return tarn_arena_alloc_aligned(arena, new_size, alignment);
    }
    return realloc_to(arena, block, old_size, new_size,
                      alignment == 0 ? POOL_ARENA_ALIGN : alignment);
}

/* ------------------------------------------------------------------------------------------------
 * As a heap. What is allocated here may be another pool's chunk, so Valgrind does not know it
 * by name.
 */
static void *heap_alloc(tarn_heap *heap, size_t size, size_t alignment)
{
    return pool_arena_alloc((tarn_arena *)heap, size, alignment, 0);
}

static void *heap_alloc_zeroed(tarn_heap *heap, size_t size, size_t alignment)
{
    return pool_arena_alloc((tarn_arena *)heap, size, alignment, POOL_ARENA_ZEROED);
}

static void heap_free(tarn_heap *heap, void *block, size_t size)
{
    tarn_arena_free((tarn_arena *)heap, block, size);
}

static bool heap_resize(tarn_heap *heap, void *block, size_t old_size, size_t new_size)
{
    return tarn_arena_resize((tarn_arena *)heap, block, old_size, new_size);
}

static void *heap_move(tarn_heap *heap, void *block, size_t old_size, size_t new_size,
                       size_t alignment)
{
    tarn_arena *arena = (tarn_arena *)heap;
    pool_arena_record *record =
        arena->is_closed || old_size > arena->large_min ? pool_arena_record_of(arena, block) : NULL;
    return record == NULL ? NULL : pool_arena_move(arena, record, new_size, alignment);
}

static size_t heap_trim(tarn_heap *heap)
{
    return tarn_arena_trim((tarn_arena *)heap);
}

static void heap_stats(tarn_heap *heap, tarn_stats *stats)
{
    *stats = tarn_arena_stats((tarn_arena *)heap);
}

static bool heap_check(tarn_heap *heap, char *fault, size_t fault_size)
{
    return tarn_arena_check((tarn_arena *)heap, fault, fault_size);
}

static bool heap_reset(tarn_heap *heap)
{
    tarn_arena_reset((tarn_arena *)heap);
    return true;
}

/* The oldest first: to the end of the list, and back. */
static bool heap_visit(tarn_heap *heap, tarn_visitor *visitor, void *context)
{
    const tarn_arena *arena = (const tarn_arena *)heap;
    const pool_arena_record *record = pool_arena_record_at(arena, arena->newest);
    while (record != NULL && record->older != 0) {
        record = pool_arena_record_at(arena, record->older);
    }
    while (record != NULL) {
        if (!record->is_free && !visitor(context, record->entry.block, record->entry.size)) {
            return false;
        }
        record = pool_arena_record_at(arena, record->newer);
    }
    return true;
}

tarn_status tarn_arena_visit(const tarn_arena *arena, tarn_visitor *visitor, void *context)
{
    pool_arena_expect_live(arena);
    if (!arena->is_closed) {
        return TARN_UNSUPPORTED;
    }
    (void)heap_visit((tarn_heap *)&arena->heap, visitor, context);
    return TARN_OK;
}

#define COMMON_OPS                                                                                 \
    .alloc = heap_alloc, .alloc_zeroed = heap_alloc_zeroed, .free = heap_free,                     \
    .resize = heap_resize, .move = heap_move, .trim = heap_trim, .stats = heap_stats,              \
    .check = heap_check, .reset = heap_reset

const tarn_heap_ops pool_arena_ops = {COMMON_OPS};
const tarn_heap_ops pool_arena_closed_ops = {COMMON_OPS, .visit = heap_visit};
