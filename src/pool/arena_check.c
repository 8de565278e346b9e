/* SPDX-License-Identifier: MIT */
#include "heap/books.h"
#include "heap/watch.h"
#include "pool/arena.h"

/*
 * What an arena tells about itself.
 */

size_t tarn_arena_used(const tarn_arena *arena)
{
    return pool_arena_used(arena);
}

size_t tarn_arena_room(const tarn_arena *arena)
{
    const tarn_arena_place *place = pool_arena_const_place(arena);
    const size_t room = (size_t)(place->end - place->at);
    if (arena->is_unpooled) {
        return 0;
    }
    return room > arena->gap ? room - arena->gap : 0;
}

bool tarn_arena_owns(const tarn_arena *arena, const void *address)
{
    pool_arena_expect_live(arena);
    if (pool_arena_chunk_of(arena, address) != NULL) {
        return true;
    }
    for (const pool_arena_record *record = pool_arena_record_at(arena, arena->newest);
         record != NULL; record = pool_arena_record_at(arena, record->older)) {
        if (record->kind != POOL_ARENA_CHUNK &&
            (uintptr_t)address - (uintptr_t)record->entry.block < record->entry.size) {
            return true;
        }
    }
    return false;
}

size_t tarn_arena_trim(tarn_arena *arena)
{
    pool_arena_expect_live(arena);
    size_t trimmed = 0;
    struct tarn_arena_chunk *chunk = arena->chunk;
    tarn_arena_place *place = pool_arena_place(arena);
    if (chunk != NULL && chunk == arena->first && arena->lead == 0 &&
        place->at == pool_arena_chunk_blocks(chunk) && arena->buffer.start == NULL) {
        /* Nothing at all is in use. */
        trimmed = pool_arena_drop_chunks(arena, NULL);
        *place = (tarn_arena_place){pool_arena_nowhere, pool_arena_nowhere};
    } else if (chunk != NULL) {
        trimmed = pool_arena_drop_chunks(arena, chunk);
    }
    if (arena->ledger.count == 0) {
        trimmed += pool_arena_end_records(arena);
    }
    arena->need = pool_arena_position(arena);
    arena->cycle_peak = 0;
    arena->released = 0;
    pool_arena_publish(arena);
    return trimmed;
}

/* ------------------------------------------------------------------------------------------------
 * Stats
 */

/* The room of the current chunk, or of a spare one. */
static size_t largest_free(const tarn_arena *arena)
{
    size_t largest = tarn_arena_room(arena);
    if (arena->chunk == NULL || arena->is_unpooled) {
        return largest;
    }
    for (const struct tarn_arena_chunk *chunk = arena->chunk->next; chunk != NULL;
         chunk = chunk->next) {
        size_t room = pool_arena_chunk_room(chunk) - arena->gap;
        /* Larger ones are large, whatever is spare. */
        room = room > arena->large_min && !arena->fixed ? arena->large_min : room;
        largest = room > largest ? room : largest;
    }
    return largest;
}

tarn_stats tarn_arena_stats(const tarn_arena *arena)
{
    pool_arena_expect_live(arena);
    tarn_stats stats = arena->books;
    if (!arena->is_closed) {
        stats.live = tarn_arena_used(arena);
        stats.peak_live = stats.live > arena->peak_used ? stats.live : arena->peak_used;
    }
    const size_t buffer = arena->buffer.start != NULL ? arena->buffer.size : 0;
    stats.footprint = arena->held + buffer;
    stats.peak_footprint = arena->peak_held + buffer;
    stats.largest_free = largest_free(arena);
    stats.failures = arena->failures;
    return stats;
}

/* ------------------------------------------------------------------------------------------------
 * Check. Links are looked at before they are followed.
 */
static bool check_chunks(const tarn_arena *arena, char *fault, size_t fault_size)
{
    size_t before = 0;
    size_t held = 0;
    size_t count = 0;
    bool has_current = arena->chunk == NULL;
    const struct tarn_arena_chunk *last = NULL;
    for (const struct tarn_arena_chunk *chunk = arena->first; chunk != NULL; chunk = chunk->next) {
        if (!pool_arena_chunk_is_good(chunk)) {
            return heap_fault(fault, fault_size, "the end of chunk %zu, at %p, was overwritten",
                              count, (const void *)chunk);
        }
        if (chunk->before != before) {
            return heap_fault(fault, fault_size, "%zu bytes are before chunk %zu, not %zu", before,
                              count, chunk->before);
        }
        before += pool_arena_chunk_room(chunk);
        held += chunk->start == (unsigned char *)arena->buffer.start ? 0 : chunk->size;
        has_current = has_current || chunk == arena->chunk;
        last = chunk;
        count++;
    }
    if (!has_current || last != arena->last || count != arena->chunk_count) {
        return heap_fault(fault, fault_size,
                          "the list of chunks has %zu of %zu, or not the current", count,
                          arena->chunk_count);
    }
    if (arena->chunk != NULL) {
        const tarn_arena_place *place = pool_arena_const_place(arena);
        const unsigned char *first = pool_arena_chunk_blocks(arena->chunk);
        if (place->end != (const unsigned char *)arena->chunk || place->at < first ||
            place->at > place->end || !base_is_aligned(place->at, POOL_ARENA_GRAIN) ||
            arena->floor < first || arena->floor > place->at) {
            return heap_fault(fault, fault_size, "blocks are cut at %p, outside of the chunk",
                              (const void *)place->at);
        }
    }
    if (arena->is_closed && arena->place.at != arena->place.end) {
        return heap_fault(fault, fault_size, "a closed arena has room inline");
    }
    const size_t books = arena->is_closed ? 0 : arena->ledger.memory.size;
    if (held + arena->large_bytes + books != arena->held) {
        return heap_fault(fault, fault_size, "%zu bytes are held but the books have %zu",
                          held + arena->large_bytes + books, arena->held);
    }
    return true;
}

static bool check_records(const tarn_arena *arena, char *fault, size_t fault_size)
{
    if (!heap_ledger_check(&arena->ledger, fault, fault_size)) {
        return false;
    }
    size_t live = 0;
    size_t large = 0;
    uint64_t blocks = 0;
    uint32_t count = 0;
    uint64_t newer = arena->serial + 1;
    for (const pool_arena_record *record = pool_arena_record_at(arena, arena->newest);
         record != NULL; record = pool_arena_record_at(arena, record->older)) {
        if (record->serial >= newer || count++ == arena->ledger.count) {
            return heap_fault(fault, fault_size, "the record of block %p is out of order",
                              record->entry.block);
        }
        newer = record->serial;
        live += record->is_free ? 0 : record->entry.size;
        blocks += record->is_free ? 0 : 1;
        if (record->kind != POOL_ARENA_CHUNK) {
            large += record->entry.size + (record->kind == POOL_ARENA_LARGE ? arena->gap : 0);
        } else if (pool_arena_chunk_of(arena, record->entry.block) == NULL) {
            return heap_fault(fault, fault_size, "block %p is in no chunk", record->entry.block);
        }
    }
    if (count != arena->ledger.count || large != arena->large_bytes) {
        return heap_fault(fault, fault_size, "%u records are in order of %u, with %zu of %zu bytes",
                          count, arena->ledger.count, large, arena->large_bytes);
    }
    if (arena->is_closed && (live != arena->books.live || blocks != arena->books.blocks)) {
        return heap_fault(fault, fault_size, "%zu bytes are live but the books have %zu", live,
                          arena->books.live);
    }
    return true;
}

static bool check_cleanups(const tarn_arena *arena, char *fault, size_t fault_size)
{
    const tarn_arena_cleanup *newer = NULL;
    for (const tarn_arena_cleanup *cleanup = arena->cleanups; cleanup != NULL;
         cleanup = cleanup->older) {
        if (!pool_arena_cleanup_is_good(cleanup) || cleanup->newer != newer ||
            cleanup->serial == 0 ||
            cleanup->serial > (newer != NULL ? newer->serial - 1 : arena->serial)) {
            return heap_fault(fault, fault_size, "the cleanup at %p was overwritten",
                              (const void *)cleanup);
        }
        newer = cleanup;
    }
    for (const tarn_arena_cleanup *vacant = arena->vacant; vacant != NULL; vacant = vacant->newer) {
        if (!pool_arena_cleanup_is_good(vacant) || vacant->serial != 0) {
            return heap_fault(fault, fault_size, "the cancelled cleanup at %p was overwritten",
                              (const void *)vacant);
        }
    }
    return true;
}

static bool check_children(const tarn_arena *arena, char *fault, size_t fault_size)
{
    bool is_good = true;
    pool_arena_lock_tree(arena);
    const tarn_arena *younger = NULL;
    for (const tarn_arena *child = arena->youngest; child != NULL && is_good;
         child = child->older) {
        is_good = child->state == POOL_ARENA_LIVE && child->parent == arena &&
                  child->root == arena->root && child->younger == younger &&
                  child->order <= (younger != NULL ? younger->order - 1 : arena->serial);
        younger = child;
    }
    is_good = is_good && arena->eldest == younger;
    pool_arena_unlock_tree(arena);
    return is_good ||
           heap_fault(fault, fault_size, "the list of children leads to %p", (const void *)younger);
}

bool tarn_arena_check(const tarn_arena *arena, char *fault, size_t fault_size)
{
    char nowhere[1];
    if (fault == NULL || fault_size == 0) {
        fault = nowhere;
        fault_size = sizeof nowhere;
    }
    fault[0] = '\0';
    if (arena->state != POOL_ARENA_LIVE) {
        return heap_fault(fault, fault_size, "the arena has ended");
    }
    return check_chunks(arena, fault, fault_size) && check_records(arena, fault, fault_size) &&
           check_cleanups(arena, fault, fault_size) && check_children(arena, fault, fault_size);
}
