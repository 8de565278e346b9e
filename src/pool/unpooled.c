/* SPDX-License-Identifier: MIT */
#include "pool/unpooled.h"

#include "heap/books.h"
#include "heap/ledger.h"
#include "heap/lock.h"
#include "tarn/heaps.h"

/*
 * Invariant, under the lock: the ledger has a record for each block of the system heap that was
 * given and not taken back.
 */

struct pool_unpooled {
    uint32_t lock;
    tarn_ledger ledger;
    tarn_stats books;
};

pool_unpooled *pool_unpooled_create(void)
{
    pool_unpooled *list = tarn_heap_alloc(tarn_system_heap(), sizeof *list, 0);
    if (list != NULL) {
        *list = (pool_unpooled){0};
        heap_lock_init(&list->lock);
        heap_ledger_init(&list->ledger, sizeof(heap_ledger_entry));
    }
    return list;
}

static void give_back(tarn_memory memory)
{
    tarn_heap_free(tarn_system_heap(), memory.start, memory.size);
}

void pool_unpooled_destroy(pool_unpooled *list)
{
    if (list != NULL) {
        pool_unpooled_free_all(list);
        tarn_heap_free(tarn_system_heap(), list, sizeof *list);
    }
}

static bool prepare_record(pool_unpooled *list)
{
    if (!heap_ledger_is_full(&list->ledger)) {
        return true;
    }
    const size_t size = heap_ledger_next_size(&list->ledger);
    void *start = tarn_heap_alloc(tarn_system_heap(), size, 0);
    if (start == NULL) {
        return false;
    }
    give_back(heap_ledger_house(&list->ledger, (tarn_memory){start, size}));
    return true;
}

void *pool_unpooled_alloc(pool_unpooled *list, size_t size, size_t alignment)
{
    heap_lock_take(&list->lock);
    void *block =
        prepare_record(list) ? tarn_heap_alloc(tarn_system_heap(), size, alignment) : NULL;
    if (block != NULL) {
        heap_ledger_add(&list->ledger, block, size);
        heap_books_give(&list->books, size);
        heap_books_hold(&list->books, size);
    } else {
        list->books.failures++;
    }
    heap_lock_release(&list->lock);
    return block;
}

bool pool_unpooled_free(pool_unpooled *list, void *block)
{
    heap_lock_take(&list->lock);
    heap_ledger_entry *record = heap_ledger_find(&list->ledger, block);
    size_t size = 0;
    if (record != NULL) {
        size = record->size;
        heap_ledger_remove(&list->ledger, record);
        heap_books_take(&list->books, size);
        list->books.footprint -= size;
    }
    heap_lock_release(&list->lock);
    if (record == NULL) {
        return false;
    }
    tarn_heap_free(tarn_system_heap(), block, size);
    return true;
}

void pool_unpooled_undo(pool_unpooled *list, void *block)
{
    (void)pool_unpooled_free(list, block);
    heap_lock_take(&list->lock);
    list->books.allocs--;
    list->books.frees--;
    heap_lock_release(&list->lock);
}

size_t pool_unpooled_size(pool_unpooled *list, const void *block)
{
    heap_lock_take(&list->lock);
    const heap_ledger_entry *record = heap_ledger_find(&list->ledger, block);
    const size_t size = record != NULL ? record->size : 0;
    heap_lock_release(&list->lock);
    return size;
}

void pool_unpooled_free_all(pool_unpooled *list)
{
    heap_lock_take(&list->lock);
    for (uint32_t number = 0; number < list->ledger.touched; number++) {
        const heap_ledger_entry *record = heap_ledger_at(&list->ledger, number);
        if (record != NULL) {
            tarn_heap_free(tarn_system_heap(), record->block, record->size);
        }
    }
    heap_books_take_all(&list->books);
    list->books.footprint = 0;
    give_back(heap_ledger_empty(&list->ledger));
    heap_lock_release(&list->lock);
}

bool pool_unpooled_visit(pool_unpooled *list, tarn_visitor *visitor, void *context)
{
    bool goes_on = true;
    heap_lock_take(&list->lock);
    for (uint32_t number = 0; goes_on && number < list->ledger.touched; number++) {
        const heap_ledger_entry *record = heap_ledger_at(&list->ledger, number);
        if (record != NULL) {
            goes_on = visitor(context, record->block, record->size);
        }
    }
    heap_lock_release(&list->lock);
    return goes_on;
}

void pool_unpooled_stats(pool_unpooled *list, tarn_stats *stats)
{
    heap_lock_take(&list->lock);
    *stats = list->books;
    heap_lock_release(&list->lock);
}
