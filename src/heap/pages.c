/* SPDX-License-Identifier: MIT */
#include "base/bits.h"
#include "base/check.h"
#include "heap/books.h"
#include "heap/ledger.h"
#include "heap/lock.h"
#include "heap/watch.h"
#include "os/os.h"
#include "tarn/heaps.h"

#include <pthread.h>

/*
 *     block              block + size      whole pages
 *     [ the user's bytes ][ hidden from the user ]
 *
 * Invariant: the ledger has a record for each mapping that holds a block, and the footprint is
 * those mappings and the ledger's own.
 */

static tarn_pages *pages_of(tarn_heap *heap)
{
    return (tarn_pages *)heap;
}

/* The size of the mapping; sizes are at most PTRDIFF_MAX, so that it cannot overflow. */
static size_t mapping_size(size_t size)
{
    return base_align_up(size, os_page_size());
}

/* Makes room in the ledger for one more block; false when the kernel has no page for it. */
static bool prepare_record(tarn_pages *pages)
{
    if (!heap_ledger_is_full(&pages->ledger)) {
        return true;
    }
    const size_t needed = heap_ledger_next_size(&pages->ledger);
    if (needed > PTRDIFF_MAX) {
        return false;
    }
    const size_t size = mapping_size(needed);
    void *start = os_pages_map(size, os_page_size());
    if (start == NULL) {
        return false;
    }
    heap_watch_show(start, size);
    const tarn_memory old = heap_ledger_house(&pages->ledger, (tarn_memory){start, size});
    heap_books_hold(&pages->books, size);
    if (old.start != NULL) {
        os_pages_unmap(old.start, old.size);
        pages->books.footprint -= old.size;
    }
    return true;
}

/* The record of a block that the user names. What is wrong with the name is misuse. */
static heap_ledger_entry *record_of(tarn_pages *pages, void *block, size_t size)
{
    heap_ledger_entry *record = heap_ledger_find(&pages->ledger, block);
    TARN_CHECK(record != NULL, "not a block of this heap, or freed already", pages->heap.name,
               block);
    TARN_CHECK(record->size == size, "wrong size given back with the block", pages->heap.name,
               block);
    return record;
}

static void *map_block(tarn_pages *pages, size_t size, size_t alignment)
{
    const size_t page_size = os_page_size();
    const size_t mapped = mapping_size(size);
    if (!prepare_record(pages)) {
        return NULL;
    }
    void *block = os_pages_map(mapped, alignment < page_size ? page_size : alignment);
    if (block == NULL) {
        return NULL;
    }
    heap_ledger_add(&pages->ledger, block, size);
    heap_books_give(&pages->books, size);
    heap_books_hold(&pages->books, mapped);
    heap_watch_add_root(block, mapped);
    heap_watch_hide(block, mapped);
    heap_watch_give(block, size);
    return block;
}

static void unmap_block(void *block, size_t size)
{
    const size_t mapped = mapping_size(size);
    heap_watch_remove_root(block, mapped);
    heap_watch_take(block, size);
    heap_watch_show(block, mapped);
    os_pages_unmap(block, mapped);
}

static void *pages_alloc(tarn_heap *heap, size_t size, size_t alignment)
{
    tarn_pages *pages = pages_of(heap);
    heap_lock_take(&pages->lock);
    void *block = map_block(pages, size, alignment);
    if (block == NULL) {
        pages->books.failures++;
    }
    heap_lock_release(&pages->lock);
    return block;
}

static void *pages_alloc_zeroed(tarn_heap *heap, size_t size, size_t alignment)
{
    void *block = pages_alloc(heap, size, alignment);
    if (block != NULL) {
        heap_watch_show(block, size);
    }
    return block;
}

static void pages_free(tarn_heap *heap, void *block, size_t size)
{
    tarn_pages *pages = pages_of(heap);
    const size_t mapped = mapping_size(size);
    heap_lock_take(&pages->lock);
    heap_ledger_remove(&pages->ledger, record_of(pages, block, size));
    heap_books_take(&pages->books, size);
    pages->books.footprint -= mapped;
    unmap_block(block, size);
    heap_lock_release(&pages->lock);
}

/* Keeps the books of a block whose mapping the kernel has resized, perhaps moved. */
static void note_resize(tarn_pages *pages, heap_ledger_entry *record, void *new_block,
                        size_t new_size)
{
    void *old_block = record->block;
    const size_t old_size = record->size;
    heap_books_resize(&pages->books, old_size, new_size);
    pages->books.footprint -= mapping_size(old_size);
    heap_books_hold(&pages->books, mapping_size(new_size));
    if (new_block == old_block) {
        record->size = new_size;
    } else {
        heap_ledger_remove(&pages->ledger, record);
        heap_ledger_add(&pages->ledger, new_block, new_size);
    }
    heap_watch_remove_root(old_block, mapping_size(old_size));
    heap_watch_add_root(new_block, mapping_size(new_size));
    /* What a mapping lost is nobody's: the tools must not keep it hidden from its next owner. */
    heap_watch_resize(old_block, old_size, new_block, new_size);
    if (new_block != old_block || mapping_size(new_size) < mapping_size(old_size)) {
        const size_t kept = new_block == old_block ? mapping_size(new_size) : 0;
        heap_watch_show((unsigned char *)old_block + kept, mapping_size(old_size) - kept);
    }
    heap_watch_hide((unsigned char *)new_block + new_size, mapping_size(new_size) - new_size);
}

static bool pages_resize(tarn_heap *heap, void *block, size_t old_size, size_t new_size)
{
    tarn_pages *pages = pages_of(heap);
    const size_t old_mapped = mapping_size(old_size);
    const size_t new_mapped = mapping_size(new_size);
    heap_lock_take(&pages->lock);
    heap_ledger_entry *record = record_of(pages, block, old_size);
    const bool done = old_mapped == new_mapped || os_pages_resize(block, old_mapped, new_mapped);
    if (done) {
        note_resize(pages, record, block, new_size);
    }
    heap_lock_release(&pages->lock);
    return done;
}

static void *pages_move(tarn_heap *heap, void *block, size_t old_size, size_t new_size,
                        size_t alignment)
{
    tarn_pages *pages = pages_of(heap);
    const size_t page_size = os_page_size();
    heap_lock_take(&pages->lock);
    heap_ledger_entry *record = record_of(pages, block, old_size);
    void *moved = os_pages_remap(block, mapping_size(old_size), mapping_size(new_size),
                                 alignment < page_size ? page_size : alignment);
    if (moved != NULL) {
        note_resize(pages, record, moved, new_size);
    }
    heap_lock_release(&pages->lock);
    return moved;
}

static size_t pages_trim(tarn_heap *heap)
{
    tarn_pages *pages = pages_of(heap);
    tarn_memory books = {0};
    heap_lock_take(&pages->lock);
    if (pages->ledger.count == 0) {
        books = heap_ledger_empty(&pages->ledger);
    }
    if (books.start != NULL) {
        os_pages_unmap(books.start, books.size);
        pages->books.footprint -= books.size;
    }
    heap_lock_release(&pages->lock);
    return books.size;
}

static void pages_stats(tarn_heap *heap, tarn_stats *stats)
{
    tarn_pages *pages = pages_of(heap);
    heap_lock_take(&pages->lock);
    *stats = pages->books;
    heap_lock_release(&pages->lock);
}

static bool check_books(tarn_pages *pages, char *fault, size_t fault_size)
{
    if (!heap_ledger_check(&pages->ledger, fault, fault_size)) {
        return false;
    }
    size_t live = 0;
    size_t footprint = pages->ledger.memory.size;
    for (uint32_t number = 0; number < pages->ledger.touched; number++) {
        const heap_ledger_entry *record = heap_ledger_at(&pages->ledger, number);
        if (record != NULL) {
            live += record->size;
            footprint += mapping_size(record->size);
        }
    }
    if (pages->ledger.count != pages->books.blocks) {
        return heap_fault(fault, fault_size, "the ledger has %u blocks but the books have %llu",
                          (unsigned)pages->ledger.count, (unsigned long long)pages->books.blocks);
    }
    if (live != pages->books.live) {
        return heap_fault(fault, fault_size, "the blocks have %zu bytes but the books have %zu",
                          live, pages->books.live);
    }
    if (footprint != pages->books.footprint) {
        return heap_fault(fault, fault_size, "the mappings have %zu bytes but the books have %zu",
                          footprint, pages->books.footprint);
    }
    return true;
}

static bool pages_check(tarn_heap *heap, char *fault, size_t fault_size)
{
    tarn_pages *pages = pages_of(heap);
    heap_lock_take(&pages->lock);
    const bool balances = check_books(pages, fault, fault_size);
    heap_lock_release(&pages->lock);
    return balances;
}

static bool pages_visit(tarn_heap *heap, tarn_visitor *visitor, void *context)
{
    tarn_pages *pages = pages_of(heap);
    bool goes_on = true;
    heap_lock_take(&pages->lock);
    for (uint32_t number = 0; goes_on && number < pages->ledger.touched; number++) {
        const heap_ledger_entry *record = heap_ledger_at(&pages->ledger, number);
        if (record != NULL) {
            goes_on = visitor(context, record->block, record->size);
        }
    }
    heap_lock_release(&pages->lock);
    return goes_on;
}

static bool pages_reset(tarn_heap *heap)
{
    tarn_pages *pages = pages_of(heap);
    heap_lock_take(&pages->lock);
    for (uint32_t number = 0; number < pages->ledger.touched; number++) {
        const heap_ledger_entry *record = heap_ledger_at(&pages->ledger, number);
        if (record != NULL) {
            unmap_block(record->block, record->size);
        }
    }
    const tarn_memory books = heap_ledger_empty(&pages->ledger);
    if (books.start != NULL) {
        os_pages_unmap(books.start, books.size);
    }
    heap_books_take_all(&pages->books);
    pages->books.footprint = 0;
    heap_lock_release(&pages->lock);
    return true;
}

static const tarn_heap_ops pages_ops = {
    .alloc = pages_alloc,
    .free = pages_free,
    .resize = pages_resize,
    .move = pages_move,
    .trim = pages_trim,
    .stats = pages_stats,
    .check = pages_check,
    .visit = pages_visit,
    .reset = pages_reset,
    .alloc_zeroed = pages_alloc_zeroed,
};

/* The process-wide heap has no reset: nobody can know that all its blocks are theirs. */
static const tarn_heap_ops shared_ops = {
    .alloc = pages_alloc,
    .free = pages_free,
    .resize = pages_resize,
    .move = pages_move,
    .trim = pages_trim,
    .stats = pages_stats,
    .check = pages_check,
    .visit = pages_visit,
    .alloc_zeroed = pages_alloc_zeroed,
};

static tarn_pages shared = {
    .heap = {.ops = &shared_ops, .name = "pages"},
    .ledger = {.record_size = sizeof(heap_ledger_entry)},
};

/* A child forked while another thread is inside would find the heap locked for ever. */
static void before_fork(void)
{
    heap_lock_take(&shared.lock);
}

static void after_fork(void)
{
    heap_lock_release(&shared.lock);
}

static void care_for_forks(void)
{
    (void)pthread_atfork(before_fork, after_fork, after_fork);
}

tarn_heap *tarn_pages_heap(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, care_for_forks);
    return &shared.heap;
}

tarn_status tarn_pages_init(tarn_pages *pages, const tarn_pages_options *options)
{
    const bool is_named = options != NULL && options->name != NULL;
    *pages = (tarn_pages){.heap = {.ops = &pages_ops, .name = is_named ? options->name : "pages"}};
    heap_ledger_init(&pages->ledger, sizeof(heap_ledger_entry));
    heap_lock_init(&pages->lock);
    return TARN_OK;
}

void tarn_pages_deinit(tarn_pages *pages)
{
    pages_reset(&pages->heap);
}
