/* SPDX-License-Identifier: MIT */
#include "base/bits.h"
#include "heap/books.h"
#include "heap/ledger.h"
#include "pool/twolevel.h"

#include <string.h>

/*
 * What an instance says of itself. An open one counts nothing when a block comes or goes: how many
 * blocks of a size there are is known from when they were cut, how many are free is counted here,
 * and the rest is in use.
 */

static tarn_twolevel *twolevel_of(tarn_heap *heap)
{
    return (tarn_twolevel *)(void *)heap;
}

/* Free blocks of each list, in all instances that may be looked at. */
static void count_free(tarn_twolevel *twolevel, size_t *free)
{
    const tarn_twolevel_store *store = twolevel->store;
    for (unsigned list = 0; list < TARN_TWOLEVEL_LISTS; list++) {
        free[list] = 0;
        for (tarn_twolevel *it = twolevel; it != NULL; it = pool_twolevel_after(twolevel, it)) {
            free[list] +=
                pool_twolevel_length(store, pool_twolevel_lists(it)[list], store->blocks[list]);
        }
        if (free[list] > store->blocks[list]) {
            /* A ring; check will tell. */
            free[list] = store->blocks[list];
        }
    }
}

/* The largest size that a list serves without going upstream. */
static size_t largest_free(tarn_twolevel *twolevel)
{
    const tarn_twolevel_store *store = twolevel->store;
    size_t largest = base_align_down((size_t)(store->high - store->low), TARN_TWOLEVEL_STEP);
    if (store->fresh_count > 0) {
        largest = TARN_TWOLEVEL_MAX;
    }
    for (unsigned list = 0; list < TARN_TWOLEVEL_LISTS; list++) {
        if (pool_twolevel_lists(twolevel)[list] != NULL && pool_twolevel_bytes(list) > largest) {
            largest = pool_twolevel_bytes(list);
        }
    }
    largest = largest < TARN_TWOLEVEL_MAX ? largest : TARN_TWOLEVEL_MAX;
    return largest > store->gap ? largest - store->gap : 0;
}

void pool_twolevel_stats(tarn_heap *heap, tarn_stats *stats)
{
    tarn_twolevel *twolevel = twolevel_of(heap);
    const tarn_twolevel_store *store = twolevel->store;
    pool_twolevel_lock(twolevel);
    *stats = store->books;
    stats->largest_free = largest_free(twolevel);
    if (!store->has_checks && !store->is_malloc) {
        size_t free[TARN_TWOLEVEL_LISTS];
        count_free(twolevel, free);
        for (unsigned list = 0; list < TARN_TWOLEVEL_LISTS; list++) {
            const size_t live = store->blocks[list] - free[list];
            stats->live += live * pool_twolevel_bytes(list);
            stats->blocks += live;
        }
        stats->peak_live = 0;
        stats->allocs = 0;
        stats->frees = 0;
    }
    pool_twolevel_unlock(twolevel);
}

tarn_stats tarn_twolevel_stats(tarn_twolevel *twolevel)
{
    tarn_stats stats;
    pool_twolevel_stats(&twolevel->heap, &stats);
    return stats;
}

void tarn_twolevel_list_stats(tarn_twolevel *twolevel,
                              tarn_twolevel_list lists[TARN_TWOLEVEL_LISTS])
{
    const tarn_twolevel_store *store = twolevel->store;
    size_t free[TARN_TWOLEVEL_LISTS];
    pool_twolevel_lock(twolevel);
    count_free(twolevel, free);
    for (unsigned list = 0; list < TARN_TWOLEVEL_LISTS; list++) {
        lists[list] = (tarn_twolevel_list){
            .size = pool_twolevel_bytes(list),
            .free = free[list],
            .live = store->blocks[list] - free[list],
            .bytes = store->blocks[list] * pool_twolevel_bytes(list),
        };
    }
    pool_twolevel_unlock(twolevel);
}

/* ------------------------------------------------------------------------------------------------
 * Check.
 */
typedef struct fault_text {
    char *text;
    size_t size;
} fault_text;

/* The free blocks of one list: each in a chunk, where its size is cut, and no more than there
 * are. */
static bool check_list(tarn_twolevel *twolevel, unsigned list, size_t *count, fault_text fault)
{
    tarn_twolevel_store *store = twolevel->store;
    const size_t bytes = pool_twolevel_bytes(list);
    const size_t alignment = bytes % TWOLEVEL_ALIGNMENT == 0 ? TWOLEVEL_ALIGNMENT : 8;
    *count = 0;
    for (tarn_twolevel *it = twolevel; it != NULL; it = pool_twolevel_after(twolevel, it)) {
        const void *block = pool_twolevel_lists(it)[list];
        for (; block != NULL; block = pool_twolevel_next(store, block)) {
            tarn_twolevel_chunk *chunk = pool_twolevel_chunk_of(store, block);
            if (chunk == NULL || !base_is_aligned(block, alignment) ||
                chunk->size - (size_t)((uintptr_t)block - (uintptr_t)chunk->start) < bytes) {
                return heap_fault(fault.text, fault.size,
                                  "the links of the list of %zu bytes lead to %p", bytes, block);
            }
            if (++*count > store->blocks[list]) {
                return heap_fault(fault.text, fault.size,
                                  "the list of %zu bytes has more blocks than were cut", bytes);
            }
            if (store->has_checks && !pool_twolevel_map_is_free(store, block, list)) {
                return heap_fault(fault.text, fault.size,
                                  "block %p of the list of %zu bytes was written to", block, bytes);
            }
            chunk->free += bytes;
        }
    }
    return true;
}

/* Free bytes of no chunk are more than it has, and all that was cut makes up all chunks. */
static bool check_sums(const tarn_twolevel_store *store, fault_text fault)
{
    size_t cut = (size_t)(store->high - store->low);
    size_t held = 0;
    for (size_t i = 0; i < store->chunk_count; i++) {
        const tarn_twolevel_chunk *chunk = &store->chunks[i];
        if (chunk->free > chunk->size) {
            return heap_fault(fault.text, fault.size,
                              "chunk %p of %zu bytes has %zu free ones: a block was freed twice",
                              (void *)chunk->start, chunk->size, chunk->free);
        }
        if (i > 0 && (uintptr_t)chunk->start <= (uintptr_t)store->chunks[i - 1].start) {
            return heap_fault(fault.text, fault.size, "chunk %p is not in order",
                              (void *)chunk->start);
        }
        held += chunk->size;
        if (pool_twolevel_is_fresh(store, i)) {
            cut += chunk->size;
        }
    }
    for (unsigned list = 0; list < TARN_TWOLEVEL_LISTS; list++) {
        cut += store->blocks[list] * pool_twolevel_bytes(list);
    }
    if (store->fresh_count > store->chunk_count) {
        return heap_fault(fault.text, fault.size, "%zu of %zu chunks are fresh", store->fresh_count,
                          store->chunk_count);
    }
    if (held != store->held || cut != held) {
        return heap_fault(fault.text, fault.size,
                          "the chunks have %zu bytes, their parts %zu, and the books %zu", held,
                          cut, store->held);
    }
    return true;
}

static bool check_rest(const tarn_twolevel_store *store, fault_text fault)
{
    if (store->low == store->high) {
        return true;
    }
    tarn_twolevel_chunk *chunk = pool_twolevel_chunk_of(store, store->low);
    if (chunk == NULL || !base_is_aligned(store->low, TWOLEVEL_ALIGNMENT) ||
        store->high < store->low || store->high > chunk->start + chunk->size) {
        return heap_fault(fault.text, fault.size, "the rest is not part of a chunk: %p to %p",
                          (void *)store->low, (void *)store->high);
    }
    chunk->free += (size_t)(store->high - store->low);
    return true;
}

/* The first level, and what the books say of it. */
static bool check_first(const tarn_twolevel_store *store, fault_text fault)
{
    size_t live = 0;
    size_t footprint = store->ledger.memory.size + store->chunk_capacity * sizeof *store->chunks;
    if (!heap_ledger_check(&store->ledger, fault.text, fault.size)) {
        return false;
    }
    for (uint32_t number = 0; number < store->ledger.touched; number++) {
        const heap_ledger_entry *record = heap_ledger_at(&store->ledger, number);
        live += record != NULL ? record->size : 0;
    }
    footprint += live;
    for (size_t i = 0; i < store->chunk_count; i++) {
        footprint += store->chunks[i].size + pool_twolevel_map_size(store, store->chunks[i].size);
    }
    if (footprint != store->books.footprint) {
        return heap_fault(fault.text, fault.size, "%zu bytes are held but the books have %zu",
                          footprint, store->books.footprint);
    }
    if (!store->has_checks &&
        (live != store->books.live || store->ledger.count != store->books.blocks)) {
        return heap_fault(fault.text, fault.size,
                          "the first level has %u blocks of %zu bytes but the books have %llu of "
                          "%zu",
                          (unsigned)store->ledger.count, live,
                          (unsigned long long)store->books.blocks, store->books.live);
    }
    return true;
}

static bool check_all(tarn_twolevel *twolevel, fault_text fault)
{
    const tarn_twolevel_store *store = twolevel->store;
    size_t free[TARN_TWOLEVEL_LISTS];
    for (size_t i = 0; i < store->chunk_count; i++) {
        store->chunks[i].free = 0;
    }
    for (unsigned list = 0; list < TARN_TWOLEVEL_LISTS; list++) {
        if (!check_list(twolevel, list, &free[list], fault)) {
            return false;
        }
    }
    if (!check_rest(store, fault) || !check_sums(store, fault) || !check_first(store, fault)) {
        return false;
    }
    return !store->has_checks || pool_twolevel_map_check(store, free, fault.text, fault.size);
}

bool pool_twolevel_check(tarn_heap *heap, char *fault, size_t fault_size)
{
    tarn_twolevel *twolevel = twolevel_of(heap);
    pool_twolevel_lock(twolevel);
    const bool balances = check_all(twolevel, (fault_text){fault, fault_size});
    pool_twolevel_unlock(twolevel);
    return balances;
}

bool tarn_twolevel_check(tarn_twolevel *twolevel, char *fault, size_t fault_size)
{
    return tarn_heap_check(&twolevel->heap, fault, fault_size);
}

/* ------------------------------------------------------------------------------------------------
 * Visit.
 */
bool pool_twolevel_visit(tarn_heap *heap, tarn_visitor *visitor, void *context)
{
    tarn_twolevel *twolevel = twolevel_of(heap);
    const tarn_twolevel_store *store = twolevel->store;
    pool_twolevel_lock(twolevel);
    bool goes_on = !store->has_checks || pool_twolevel_map_visit(store, visitor, context);
    for (uint32_t number = 0; goes_on && number < store->ledger.touched; number++) {
        const heap_ledger_entry *record = heap_ledger_at(&store->ledger, number);
        if (record != NULL) {
            goes_on = visitor(context, record->block, record->size);
        }
    }
    pool_twolevel_unlock(twolevel);
    return goes_on;
}

tarn_status tarn_twolevel_visit(tarn_twolevel *twolevel, tarn_visitor *visitor, void *context)
{
    return tarn_heap_visit(&twolevel->heap, visitor, context);
}
