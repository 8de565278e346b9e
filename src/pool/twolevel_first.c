/* SPDX-License-Identifier: MIT */
#include "base/bits.h"
#include "base/check.h"
#include "heap/books.h"
#include "heap/ledger.h"
#include "pool/twolevel.h"

/*
 * The first level: blocks of upstream, as they are. The ledger knows them, so that they can be
 * freed all at once, and so that what is wrong with a block is found before upstream gets it.
 *
 * Threads that share a store take them from the system heap, which needs no lock; the ledger would.
 *
 * A *stray* is a block of a size that the lists serve, of an alignment that they do not. While
 * there are none, a size tells the level.
 *
 * Invariant: except in a family the ledger has a record for each block of the first level, and the
 * books count them.
 */

static bool is_stray(const tarn_twolevel_store *store, size_t size)
{
    return !pool_twolevel_is_large(store, size);
}

static void count_strays(tarn_twolevel_store *store, size_t size, size_t count)
{
    if (is_stray(store, size)) {
        (void)__atomic_fetch_add(&store->strays, count, __ATOMIC_RELAXED);
    }
}

/* Makes room in the ledger for one more block. */
static bool prepare_record(tarn_twolevel_store *store)
{
    if (!heap_ledger_is_full(&store->ledger)) {
        return true;
    }
    const size_t size = heap_ledger_next_size(&store->ledger);
    void *start = size <= PTRDIFF_MAX ? tarn_heap_alloc(store->upstream, size, 0) : NULL;
    if (start == NULL) {
        return false;
    }
    pool_twolevel_hold(store, size);
    const tarn_memory old = heap_ledger_house(&store->ledger, (tarn_memory){start, size});
    if (old.start != NULL) {
        pool_twolevel_let_go(store, old.start, old.size);
    }
    return true;
}

/* The record of a block that the user names. What is wrong with the name is misuse. */
static heap_ledger_entry *record_of(const tarn_twolevel_store *store, const void *block,
                                    size_t size)
{
    heap_ledger_entry *record = heap_ledger_find(&store->ledger, block);
    TARN_CHECK(record != NULL || pool_twolevel_chunk_of(store, block) == NULL,
               "wrong size given back with the block", store->name, block);
    TARN_CHECK(record != NULL, "not a block of this heap, or freed already", store->name, block);
    TARN_CHECK(record->size == size, "wrong size given back with the block", store->name, block);
    return record;
}

void *pool_twolevel_first_alloc(tarn_twolevel_store *store, size_t size, size_t alignment,
                                bool zeroed)
{
    const bool has_ledger = !pool_twolevel_is_family(store);
    if (has_ledger && !prepare_record(store)) {
        return NULL;
    }
    void *block = zeroed ? tarn_heap_calloc(store->upstream, 1, size, alignment)
                         : tarn_heap_alloc(store->upstream, size, alignment);
    if (block == NULL) {
        return NULL;
    }
    if (has_ledger) {
        heap_ledger_add(&store->ledger, block, size);
        heap_books_give(&store->books, size);
        pool_twolevel_hold(store, size);
    }
    count_strays(store, size, 1);
    return block;
}

void pool_twolevel_first_free(tarn_twolevel_store *store, void *block, size_t size)
{
    if (pool_twolevel_is_family(store)) {
        tarn_heap_free(store->upstream, block, size);
    } else {
        heap_ledger_remove(&store->ledger, record_of(store, block, size));
        heap_books_take(&store->books, size);
        pool_twolevel_let_go(store, block, size);
    }
    count_strays(store, size, (size_t)0 - 1);
}

/* Of two sizes, one is a stray's and the other is not: then the level would not be told any
 * more. */
static bool crosses(const tarn_twolevel_store *store, size_t old_size, size_t new_size)
{
    return is_stray(store, old_size) != is_stray(store, new_size);
}

static void note_resize(tarn_twolevel_store *store, void *old_block, void *block, size_t old_size,
                        size_t new_size)
{
    heap_ledger_entry *record = heap_ledger_find(&store->ledger, old_block);
    if (block == old_block) {
        record->size = new_size;
    } else {
        /* The record that becomes vacant serves the new address. */
        heap_ledger_remove(&store->ledger, record);
        heap_ledger_add(&store->ledger, block, new_size);
    }
    heap_books_resize(&store->books, old_size, new_size);
    store->books.footprint -= old_size;
    pool_twolevel_hold(store, new_size);
}

bool pool_twolevel_first_resize(tarn_twolevel_store *store, void *block, size_t old_size,
                                size_t new_size)
{
    const bool has_ledger = !pool_twolevel_is_family(store);
    if (has_ledger) {
        (void)record_of(store, block, old_size);
    }
    if (crosses(store, old_size, new_size) ||
        !tarn_heap_resize(store->upstream, block, old_size, new_size)) {
        return false;
    }
    if (has_ledger) {
        note_resize(store, block, block, old_size, new_size);
    }
    return true;
}

void *pool_twolevel_first_realloc(tarn_twolevel_store *store, void *block, size_t old_size,
                                  size_t new_size, size_t alignment)
{
    const bool has_ledger = !pool_twolevel_is_family(store);
    if (has_ledger) {
        (void)record_of(store, block, old_size);
    }
    void *moved = crosses(store, old_size, new_size)
                      ? NULL
                      : tarn_heap_realloc(store->upstream, block, old_size, new_size, alignment);
    if (moved != NULL && has_ledger) {
        note_resize(store, block, moved, old_size, new_size);
    }
    return moved;
}

void pool_twolevel_first_reset(tarn_twolevel_store *store)
{
    for (uint32_t number = 0; number < store->ledger.touched; number++) {
        const heap_ledger_entry *record = heap_ledger_at(&store->ledger, number);
        if (record != NULL) {
            pool_twolevel_let_go(store, record->block, record->size);
        }
    }
    const tarn_memory memory = heap_ledger_empty(&store->ledger);
    if (memory.start != NULL) {
        pool_twolevel_let_go(store, memory.start, memory.size);
    }
    store->strays = 0;
}
