/* SPDX-License-Identifier: MIT */
#include "base/record.h"
#include "heap/books.h"
#include "pool/arena.h"
#include "pool/watch.h"

#include <string.h>

/*
 *     ledger   block, size -> record        newest -> record -> record -> record     by number, in the order of age
 *
 * An open arena has records of its large blocks, a closed one of every block. They are away from
 * the blocks, so whatever a program frees can be looked up without reading memory that may not be
 * there.
 *
 * Invariant: the serials fall from the newest on; the records of a closed arena that are not free
 * are its live blocks.
 */

/* Memory of the records of a closed arena is not upstream's: that serves the program the same way
 * whether somebody watches or not. Not the system heap's, unless the blocks are: leak checkers take
 * what lies in pages for known. */
static tarn_heap *books_heap(const tarn_arena *arena)
{
    if (arena->is_unpooled) {
        return tarn_system_heap();
    }
    return arena->is_closed ? tarn_pages_heap() : arena->upstream;
}

/* ------------------------------------------------------------------------------------------------
 * The ledger and the order of age
 */
pool_arena_record *pool_arena_record_of(const tarn_arena *arena, const void *block)
{
    return heap_ledger_find(&arena->ledger, block);
}

pool_arena_record *pool_arena_record_at(const tarn_arena *arena, uint32_t link)
{
    return link == 0 ? NULL : heap_ledger_at(&arena->ledger, link - 1);
}

static size_t give_back_books(tarn_arena *arena, tarn_memory memory)
{
    tarn_heap_free(books_heap(arena), memory.start, memory.size);
    if (memory.start == NULL || arena->is_closed) {
        return 0;
    }
    pool_arena_unhold(arena, memory.size);
    return memory.size;
}

/* Room for one more record. False: no memory. */
static bool has_record_room(tarn_arena *arena)
{
    if (!heap_ledger_is_full(&arena->ledger)) {
        return true;
    }
    const size_t size = heap_ledger_next_size(&arena->ledger);
    if (size > PTRDIFF_MAX || (!arena->is_closed && !pool_arena_hold(arena, size))) {
        return false;
    }
    void *memory = tarn_heap_alloc(books_heap(arena), size, 0);
    if (memory == NULL) {
        if (!arena->is_closed) {
            pool_arena_unhold(arena, size);
        }
        return false;
    }
    (void)give_back_books(arena, heap_ledger_house(&arena->ledger, (tarn_memory){memory, size}));
    return true;
}

/* A record of the block, the newest one. There is room for it. */
static pool_arena_record *add_record(tarn_arena *arena, void *block, size_t size, size_t alignment,
                                     pool_arena_kind kind)
{
    pool_arena_record *record = heap_ledger_add(&arena->ledger, block, size);
    const uint32_t link = heap_ledger_number(&arena->ledger, record) + 1;
    pool_arena_record *older = pool_arena_record_at(arena, arena->newest);
    record->serial = ++arena->serial;
    record->older = arena->newest;
    record->newer = 0;
    record->kind = (uint8_t)kind;
    record->alignment_log2 = (uint8_t)base_log2_floor(alignment);
    record->is_named = false;
    record->is_free = false;
    if (older != NULL) {
        older->newer = link;
    }
    arena->newest = link;
    return record;
}

static void remove_record(tarn_arena *arena, pool_arena_record *record)
{
    pool_arena_record *older = pool_arena_record_at(arena, record->older);
    pool_arena_record *newer = pool_arena_record_at(arena, record->newer);
    if (older != NULL) {
        older->newer = record->newer;
    }
    if (newer != NULL) {
        newer->older = record->older;
    } else {
        arena->newest = record->older;
    }
    heap_ledger_remove(&arena->ledger, record);
}

size_t pool_arena_end_records(tarn_arena *arena)
{
    return give_back_books(arena, heap_ledger_empty(&arena->ledger));
}

/* ------------------------------------------------------------------------------------------------
 * Blocks that have memory of their own: large ones, and those of the system heap
 */
static tarn_heap *source_of(const tarn_arena *arena, pool_arena_kind kind)
{
    return kind == POOL_ARENA_SYSTEM ? tarn_system_heap() : arena->upstream;
}

/* What the block takes of its source. */
static size_t total_of(const tarn_arena *arena, size_t size, pool_arena_kind kind)
{
    return kind == POOL_ARENA_SYSTEM ? size : size + arena->gap;
}

static void count_large(tarn_arena *arena, size_t old_total, size_t new_total)
{
    pool_arena_publish(arena); /* the peak may be now */
    arena->large_bytes = arena->large_bytes - old_total + new_total;
    POOL_ARENA_PUBLISH(arena->large_count,
                       arena->large_count + (old_total == 0) - (new_total == 0));
    pool_arena_publish(arena);
}

/* The block and its record. */
static pool_arena_record *take_own(tarn_arena *arena, size_t size, size_t alignment,
                                   pool_arena_kind kind, bool zeroed)
{
    const size_t total = total_of(arena, size, kind);
    alignment = alignment < POOL_ARENA_ALIGN ? POOL_ARENA_ALIGN : alignment;
    if (!has_record_room(arena) || !pool_arena_hold(arena, total)) {
        return NULL;
    }
    tarn_heap *source = source_of(arena, kind);
    void *block = zeroed || arena->zero ? tarn_heap_calloc(source, 1, total, alignment)
                                        : tarn_heap_alloc(source, total, alignment);
    if (block == NULL) {
        pool_arena_unhold(arena, total);
        return NULL;
    }
    if (arena->is_watched && total > size) {
        heap_watch_hide((unsigned char *)block + size, total - size);
    }
    count_large(arena, 0, total);
    return add_record(arena, block, size, alignment, kind);
}

static void free_own(tarn_arena *arena, pool_arena_record *record)
{
    void *block = record->entry.block;
    const size_t total = total_of(arena, record->entry.size, record->kind);
    tarn_heap *source = source_of(arena, record->kind);
    if (arena->is_watched) {
        if (record->is_named) {
            pool_watch_take(arena, block, record->entry.size);
        }
        heap_watch_show(block, total);
    }
    remove_record(arena, record);
    tarn_heap_free(source, block, total);
    pool_arena_unhold(arena, total);
    count_large(arena, total, 0);
}

void *pool_arena_take_large(tarn_arena *arena, size_t size, size_t alignment, bool zeroed)
{
    const pool_arena_record *record = take_own(arena, size, alignment, POOL_ARENA_LARGE, zeroed);
    return record == NULL ? NULL : record->entry.block;
}

void pool_arena_free_large(tarn_arena *arena, pool_arena_record *record)
{
    free_own(arena, record);
}

/* Bytes that the block lost are upstream's again. */
static void watch_resized_large(const tarn_arena *arena, const pool_arena_record *record,
                                size_t new_size)
{
    unsigned char *block = record->entry.block;
    const size_t old_size = record->entry.size;
    if (new_size > old_size) {
        heap_watch_give(block + old_size, new_size - old_size);
    }
    heap_watch_hide(block + new_size, arena->gap);
    if (record->is_named && new_size != old_size) {
        pool_watch_rename(arena, block, block, new_size);
    }
}

bool pool_arena_resize_large(tarn_arena *arena, pool_arena_record *record, size_t new_size)
{
    const size_t old_size = record->entry.size;
    const size_t old_total = old_size + arena->gap;
    const size_t new_total = new_size + arena->gap;
    if (new_size <= arena->large_min || new_total > PTRDIFF_MAX) {
        return false;
    }
    unsigned char *block = record->entry.block;
    if (new_total > old_total && !pool_arena_hold(arena, new_total - old_total)) {
        return false;
    }
    if (arena->is_watched) {
        heap_watch_show(block + old_size, arena->gap);
    }
    const bool is_resized = tarn_heap_resize(arena->upstream, block, old_total, new_total);
    if (arena->is_watched) {
        watch_resized_large(arena, record, is_resized ? new_size : old_size);
    }
    if (is_resized ? new_total < old_total : new_total > old_total) {
        pool_arena_unhold(arena, is_resized ? old_total - new_total : new_total - old_total);
    }
    if (!is_resized) {
        return false;
    }
    count_large(arena, old_total, new_total);
    record->entry.size = new_size;
    return true;
}

void *pool_arena_move(tarn_arena *arena, pool_arena_record *record, size_t new_size,
                      size_t alignment)
{
    const pool_arena_kind kind = record->kind;
    const size_t old_size = record->entry.size;
    if (kind == POOL_ARENA_CHUNK || (kind == POOL_ARENA_LARGE && new_size <= arena->large_min) ||
        new_size > PTRDIFF_MAX - arena->gap) {
        return NULL;
    }
    alignment = alignment < POOL_ARENA_ALIGN ? POOL_ARENA_ALIGN : alignment;
    const size_t old_total = total_of(arena, old_size, kind);
    const size_t new_total = total_of(arena, new_size, kind);
    tarn_heap *source = source_of(arena, kind);
    void *block = record->entry.block;
    if (arena->is_watched || source->ops->move == NULL || arena->zero) {
        return NULL; /* a copy does as well, and tools see it */
    }
    if (!pool_arena_hold(arena, new_total)) {
        return NULL;
    }
    void *moved = source->ops->move(source, block, old_total, new_total, alignment);
    if (moved == NULL) {
        pool_arena_unhold(arena, new_total);
        return NULL;
    }
    remove_record(arena, record);
    pool_arena_unhold(arena, old_total);
    count_large(arena, old_total, new_total);
    (void)add_record(arena, moved, new_size, alignment, kind);
    if (arena->is_closed) {
        heap_books_resize(&arena->books, old_size, new_size);
        base_record_free(arena->record, block);
        base_record_alloc(arena->record, moved, new_size, alignment);
    }
    return moved;
}

/* ------------------------------------------------------------------------------------------------
 * Closed arenas
 */
static bool is_named(const tarn_arena *arena, const void *block, pool_arena_kind kind, unsigned how)
{
    if (!arena->is_watched || (how & POOL_ARENA_NAMED) == 0 || kind == POOL_ARENA_SYSTEM) {
        return false;
    }
    /* The buffer may be a block of another pool that Valgrind knows. */
    const uintptr_t offset = (uintptr_t)block - (uintptr_t)arena->buffer.start;
    return arena->buffer.start == NULL || offset >= arena->buffer.size;
}

static void show(const tarn_arena *arena, pool_arena_record *record, bool is_zero)
{
    if (record->is_named) {
        pool_watch_give(arena, record->entry.block, record->entry.size);
    } else {
        heap_watch_give(record->entry.block, record->entry.size);
    }
    if (is_zero) {
        heap_watch_show(record->entry.block, record->entry.size);
    }
}

static void hide(const tarn_arena *arena, const pool_arena_record *record)
{
    if (record->is_named) {
        pool_watch_take(arena, record->entry.block, record->entry.size);
    } else {
        heap_watch_take(record->entry.block, record->entry.size);
    }
}

void *pool_arena_take_recorded(tarn_arena *arena, size_t size, size_t alignment, unsigned how)
{
    const bool zeroed = arena->zero || (how & POOL_ARENA_ZEROED) != 0;
    pool_arena_record *record = NULL;
    if (arena->is_unpooled) {
        record = take_own(arena, size, alignment, POOL_ARENA_SYSTEM, zeroed);
    } else if (has_record_room(arena)) {
        void *block = pool_arena_cut(arena, size, alignment);
        if (block == NULL && size > arena->large_min && !arena->fixed) {
            record = take_own(arena, size, alignment, POOL_ARENA_LARGE, zeroed);
        } else {
            block = block != NULL ? block : pool_arena_take(arena, size, alignment);
            record =
                block == NULL ? NULL : add_record(arena, block, size, alignment, POOL_ARENA_CHUNK);
        }
    }
    if (record == NULL) {
        return NULL;
    }
    if (arena->is_watched && record->kind != POOL_ARENA_SYSTEM) {
        record->is_named = is_named(arena, record->entry.block, record->kind, how);
        show(arena, record, zeroed);
    }
    if (zeroed && record->kind == POOL_ARENA_CHUNK && !arena->zero) {
        memset(record->entry.block, 0, size);
    }
    heap_books_give(&arena->books, size);
    base_record_alloc(arena->record, record->entry.block, size, alignment);
    return record->entry.block;
}

/* What a stranger may get wrong about a block. */
static pool_arena_record *expect_record(const tarn_arena *arena, void *block, size_t size)
{
    const char *name = arena->heap.name;
    pool_arena_record *record = pool_arena_record_of(arena, block);
    TARN_CHECK(record != NULL, "not a block of this arena, or freed already", name, block);
    TARN_CHECK(!record->is_free, "double free", name, block);
    TARN_CHECK(record->entry.size == size, "wrong size given back with the block", name, block);
    return record;
}

/* True if the block is the newest in its chunk, so that its end may move. */
static bool is_last(tarn_arena *arena, const pool_arena_record *record)
{
    const unsigned char *block = record->entry.block;
    return (uintptr_t)block >= (uintptr_t)arena->floor &&
           block + pool_arena_taken(arena, record->entry.size) == pool_arena_place(arena)->at;
}

void pool_arena_free_recorded(tarn_arena *arena, void *block, size_t size)
{
    pool_arena_record *record = expect_record(arena, block, size);
    base_record_free(arena->record, block);
    heap_books_take(&arena->books, size);
    if (record->kind != POOL_ARENA_CHUNK) {
        free_own(arena, record);
        return;
    }
    if (arena->is_watched) {
        hide(arena, record);
    }
    tarn_arena_place *place = pool_arena_place(arena);
    if (is_last(arena, record)) {
        pool_arena_note_peak(arena);
        remove_record(arena, record);
        pool_arena_wipe(arena, block, place->at);
        place->at = block;
        return;
    }
    record->is_free = true;
    if (arena->poison && !arena->zero) {
        pool_arena_wipe(arena, block, (unsigned char *)block + size);
    }
}

bool pool_arena_resize_recorded(tarn_arena *arena, void *block, size_t old_size, size_t new_size)
{
    pool_arena_record *record = expect_record(arena, block, old_size);
    if (record->kind == POOL_ARENA_SYSTEM) {
        return false;
    }
    if (record->kind == POOL_ARENA_LARGE) {
        if (!pool_arena_resize_large(arena, record, new_size)) {
            return false;
        }
    } else {
        tarn_arena_place *place = pool_arena_place(arena);
        unsigned char *start = block;
        if (is_last(arena, record)) {
            const size_t room = (size_t)(place->end - start);
            if (new_size > room || pool_arena_taken(arena, new_size) > room) {
                return false;
            }
            pool_arena_note_peak(arena);
            unsigned char *at = start + pool_arena_taken(arena, new_size);
            if (new_size < old_size) {
                pool_arena_wipe(arena, start + new_size, place->at);
            }
            place->at = at;
        } else if (base_align_up(old_size, POOL_ARENA_GRAIN) < new_size) {
            return false;
        } else if (new_size < old_size && (arena->zero || arena->poison)) {
            pool_arena_wipe(arena, start + new_size, start + old_size);
        }
        if (arena->is_watched) {
            heap_watch_resize(block, old_size, block, new_size);
            if (record->is_named) {
                pool_watch_rename(arena, block, block, new_size);
            }
            if (arena->zero && new_size > old_size) {
                heap_watch_show(start + old_size, new_size - old_size);
            }
        }
        record->entry.size = new_size;
    }
    heap_books_resize(&arena->books, old_size, new_size);
    base_record_free(arena->record, block);
    base_record_alloc(arena->record, block, new_size, 0);
    return true;
}

void pool_arena_free_records(tarn_arena *arena, uint64_t serial)
{
    pool_arena_record *record;
    while ((record = pool_arena_record_at(arena, arena->newest)) != NULL &&
           record->serial > serial) {
        if (arena->is_closed && !record->is_free) {
            heap_books_take(&arena->books, record->entry.size);
            /* A reset is one event. */
            base_record_free(serial != 0 ? arena->record : 0, record->entry.block);
        }
        if (record->kind != POOL_ARENA_CHUNK) {
            free_own(arena, record);
        } else {
            if (arena->is_watched && !record->is_free) {
                hide(arena, record);
            }
            remove_record(arena, record);
        }
    }
}
