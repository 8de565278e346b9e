/* SPDX-License-Identifier: MIT */
#include "malloc/fast.h"

#include "base/bits.h"
#include "malloc/compact.h"

#include <errno.h>
#include <string.h>

/*
 * The slow paths behind malloc_fast and free_fast, and the functions of the public header.
 */

#define POOL "malloc"
#define SENT_MAX 32

static malloc_span *span_of(uintptr_t entry)
{
    return (malloc_span *)entry;
}

_Noreturn void malloc_misuse(uintptr_t entry, const void *block)
{
    /* The start of a freed run or mapping, or anything in a unit whose last slot was freed. */
    const char *what = page_heap_is_free(entry, (uintptr_t)block) ? "double free" : "not a block";
    base_fatal(what, POOL, block);
}

static void *out_of_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

/* ---- taking ---- */

/* A thread past its end, whose cache is gone. */
static void *take_late(unsigned class_index)
{
    os_lock_take(&late_heap.lock);
    void *slot = heap_take(&late_heap, class_index);
    os_lock_release(&late_heap.lock);
    return slot;
}

static void *take_small(unsigned class_index)
{
    if (base_unlikely(atomic_load_explicit(&thread_has_orphans, memory_order_relaxed))) {
        thread_adopt_orphans();
    }
    malloc_heap *heap = thread_heap();
    if (heap != NULL) {
        return heap_take(heap, class_index);
    }
    return thread_self.ended ? take_late(class_index) : NULL;
}

static void *take_small_or_trim(unsigned class_index)
{
    void *slot = take_small(class_index);
    if (slot == NULL) {
        /* Slots and pages may wait elsewhere: with central, in caches of ended threads, dirty. */
        (void)scavenger_trim();
        slot = take_small(class_index);
    }
    scavenger_prepare();
    return slot != NULL ? slot : out_of_memory();
}

static void *take_large(size_t size, size_t alignment, bool *clean)
{
    if (size > BLOCK_MAX || alignment > BLOCK_MAX) {
        return out_of_memory();
    }
    void *block = page_heap_take(&process_pages, size, alignment, clean);
    if (block == NULL) {
        (void)scavenger_trim();
        block = page_heap_take(&process_pages, size, alignment, clean);
    }
    scavenger_prepare();
    return block != NULL ? block : out_of_memory();
}

void *malloc_slow(size_t size)
{
    if (size <= SMALL_MAX) {
        return take_small_or_trim(class_of(size));
    }
    bool clean = false;
    return take_large(size, os_page_size(), &clean);
}

void *malloc_aligned(size_t alignment, size_t size)
{
    if (size > PTRDIFF_MAX) {
        return out_of_memory();
    }
    const size_t request = class_request(alignment, size);
    if (base_likely(request <= SMALL_MAX)) {
        return malloc_fast(request);
    }
    bool clean = false;
    return take_large(size == 0 ? 1 : size, alignment, &clean);
}

void *tarn_malloc(size_t size)
{
    return malloc_fast(size);
}

void *tarn_calloc(size_t count, size_t size)
{
    size_t bytes = 0;
    if (!base_checked_mul(count, size, &bytes)) {
        return out_of_memory();
    }
    if (bytes <= SMALL_MAX) {
        void *block = malloc_fast(bytes);
        return block != NULL ? memset(block, 0, bytes) : NULL;
    }
    bool clean = false;
    void *block = take_large(bytes, os_page_size(), &clean);
    return block == NULL || clean ? block : memset(block, 0, bytes);
}

void *tarn_aligned_alloc(size_t alignment, size_t size)
{
    if (!base_is_power_of_two(alignment)) {
        errno = EINVAL;
        return NULL;
    }
    return malloc_aligned(alignment, size);
}

/* ---- giving ---- */

static void free_large(uintptr_t entry, void *block)
{
    if (entry == 0 || !page_heap_is_block(entry, (uintptr_t)block)) {
        malloc_misuse(entry, block);
    }
    page_heap *pages = page_heap_of(entry);
    const size_t size = page_heap_size(entry, (uintptr_t)block);
    if (!page_heap_give(entry, (uintptr_t)block)) {
        base_fatal("double free", POOL, block);
    }
    if (pages->heap != NULL) {
        heaps_note_free(pages->heap, block, size);
    }
    scavenger_notice(pages);
}

/* The cache to send from. A thread that frees its first slots now may be about to end, past the point where it could
 * give a cache back: it gets one when it goes on freeing. */
static malloc_heap *sender(void)
{
    if (base_unlikely(thread_self.heap == NULL) && ++thread_self.sent > SENT_MAX) {
        return thread_heap();
    }
    return thread_self.heap;
}

static void free_slot(malloc_span *span, void *block)
{
    if (!span_is_slot(span, (uintptr_t)block)) {
        base_fatal("not a block", POOL, block);
    }
    malloc_heap *owner = atomic_load_explicit(&span->owner, memory_order_acquire);
    TARN_CHECK(owner != NULL, "not a block", POOL, block);
    if (base_unlikely(malloc_conf.compact) && compact_keeps(span, block)) {
        base_fatal("double free", POOL, block);
    }
    if (owner == thread_self.heap) {
        heap_give_own(owner, span, block);
        scavenger_notice(owner->pages);
    } else if (owner->kind == HEAP_THREAD) {
        heap_check_free(owner, span, block);
        heap_send(sender(), span, block);
        scavenger_notice_sent(owner);
    } else {
        if (owner->kind == HEAP_OWN && owner != &late_heap) {
            heaps_note_free(owner, block, span->slot_size);
        }
        heap_give_locked(owner, span, block);
        scavenger_notice(owner->pages);
    }
}

void free_slow(void *block)
{
    if (block == NULL) {
        return;
    }
    const uintptr_t entry = map_get((uintptr_t)block);
    if (entry != 0 && (entry & 3) == MAP_SPAN) {
        free_slot(span_of(entry), block);
    } else {
        free_large(entry, block);
    }
}

void free_marked(malloc_span *span, void *block)
{
    malloc_heap *heap = thread_self.heap;
    os_lock_take(&heap->lock);
    TARN_CHECK(span->state != SPAN_DRAINED, "double free", POOL, block);
    heap_give(heap, span, block);
    os_lock_release(&heap->lock);
    scavenger_notice(heap->pages);
}

void tarn_free(void *block)
{
    free_fast(block);
}

/* Bytes that the block has room for; anything that is no live block is misuse. */
static size_t size_of(const void *block, uintptr_t *entry)
{
    const uintptr_t address = (uintptr_t)block;
    *entry = map_get(address);
    if (*entry != 0 && (*entry & 3) == MAP_SPAN) {
        const malloc_span *span = span_of(*entry);
        if (!span_is_slot(span, address)) {
            base_fatal("not a block", POOL, block);
        }
        return span->slot_size;
    }
    if (*entry == 0 || !page_heap_is_block(*entry, address)) {
        malloc_misuse(*entry, block);
    }
    return page_heap_size(*entry, address);
}

size_t tarn_malloc_usable_size(const void *block)
{
    uintptr_t entry = 0;
    return block == NULL ? 0 : size_of(block, &entry);
}

/* True if realloc leaves a block of `size` in a slot with so much room: until less than half is used. */
static bool stays(size_t room, size_t size)
{
    return size <= room && (size > room / 2 || room <= 32);
}

void malloc_free_sized(void *block, size_t alignment, size_t size)
{
    if (block == NULL) {
        return;
    }
    uintptr_t entry = 0;
    const size_t room = size_of(block, &entry);
    bool fits = false;
    if ((entry & 3) == MAP_SPAN) {
        const unsigned class_index = span_of(entry)->class_index;
        const size_t request = class_request(alignment, size);
        fits = (request <= SMALL_MAX && class_of(request) == class_index) || stays(room, size);
    } else {
        /* A run may have been taken for its alignment alone. */
        fits = size <= room && (room - size < UNIT_SIZE || alignment > 16);
    }
    if (!fits) {
        base_fatal("wrong size in sized free", POOL, block);
    }
    free_fast(block);
}

void tarn_free_sized(void *block, size_t size)
{
    malloc_free_sized(block, 1, size);
}

/* ---- resizing ---- */

static void *realloc_by_copy(void *block, size_t room, size_t size)
{
    void *moved = malloc_fast(size);
    if (moved != NULL) {
        memcpy(moved, block, room < size ? room : size);
        free_fast(block);
    }
    return moved;
}

void *tarn_realloc(void *block, size_t size)
{
    if (block == NULL) {
        return malloc_fast(size);
    }
    if (size == 0) {
        free_fast(block);
        return NULL;
    }
    if (size > BLOCK_MAX) {
        return out_of_memory();
    }
    uintptr_t entry = 0;
    const size_t room = size_of(block, &entry);
    if ((entry & 3) == MAP_SPAN) {
        if (stays(room, size)) {
            return block;
        }
        return realloc_by_copy(block, room, size);
    }
    if (size > SMALL_MAX && page_heap_resize(entry, (uintptr_t)block, size)) {
        return block;
    }
    if (size > room) {
        void *moved = page_heap_move(entry, (uintptr_t)block, size);
        if (moved != NULL) {
            return moved;
        }
    }
    return realloc_by_copy(block, room, size);
}

void *tarn_reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes = 0;
    if (!base_checked_mul(count, size, &bytes)) {
        return out_of_memory();
    }
    return tarn_realloc(block, bytes);
}

size_t tarn_malloc_trim(void)
{
    return scavenger_trim();
}
