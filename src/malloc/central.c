/* SPDX-License-Identifier: MIT */
#include "malloc/core.h"

/*
 * Central: spans that no thread owns. They come from threads that ended, and any thread adopts them before it asks the
 * page heap for a new one. What central has had for some time loses its wholly free pages to the kernel.
 *
 * Invariant, under the lock: a span in a queue has a free slot, linked or on a page given back.
 */

malloc_heap central = {
    .interface = {.name = "malloc"}, .kind = HEAP_CENTRAL, .pages = &process_pages};

/* Looked at without the lock: a class that has no span here must cost nothing. */
static _Atomic(uint8_t) waiting[CLASS_COUNT];
static _Atomic(uint32_t)
    unpurged; /* spans that came since central_purge last saw all of them, a count */

void central_note(unsigned class_index)
{
    atomic_store_explicit(&waiting[class_index], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&unpurged, 1, memory_order_relaxed);
}

bool central_has_work(void)
{
    return atomic_load_explicit(&unpurged, memory_order_relaxed) != 0 || heap_has_mail(&central);
}

void central_leave(malloc_span *span)
{
    os_lock_take(&central.lock);
    count_add(&central.span_count, 1);
    span->since = os_clock_ms();
    /* From here on others send its slots to central, where they wait for the lock. */
    atomic_store_explicit(&span->owner, &central, memory_order_release);
    if (span->state == SPAN_FULL) {
        span_queue_append(&central.full, span);
    } else {
        span->state = SPAN_PARTIAL;
        span_queue_append(&central.partial[span->class_index], span);
        central_note(span->class_index);
    }
    os_lock_release(&central.lock);
}

malloc_span *central_adopt(malloc_heap *heap, unsigned class_index)
{
    if (atomic_load_explicit(&waiting[class_index], memory_order_relaxed) == 0 &&
        !heap_has_mail(&central)) {
        return NULL;
    }
    os_lock_take(&central.lock);
    heap_collect(&central);
    malloc_span *span = central.partial[class_index].first;
    if (span != NULL) {
        span_queue_remove(&central.partial[class_index], span);
        count_add(&central.span_count, (uint64_t)-1);
        atomic_store_explicit(&span->owner, heap, memory_order_release);
    }
    if (central.partial[class_index].first == NULL) {
        atomic_store_explicit(&waiting[class_index], 0, memory_order_relaxed);
    }
    os_lock_release(&central.lock);
    return span;
}

/* The first span of the class that is due; the lock is held. */
static malloc_span *due_span(unsigned class_index, uint64_t now, uint64_t age)
{
    malloc_span *span = central.partial[class_index].first;
    while (span != NULL && (span->since == SINCE_PURGED || now - span->since < age)) {
        span = span->next;
    }
    return span;
}

size_t central_purge(uint64_t age)
{
    size_t given = 0;
    const uint64_t now = os_clock_ms();
    os_lock_take(&central.lock);
    heap_collect(&central);
    atomic_store_explicit(&unpurged, 0, memory_order_relaxed);
    for (unsigned index = 0; index < CLASS_COUNT; index++) {
        malloc_span *span = NULL;
        while ((span = due_span(index, now, age)) != NULL) {
            span->since = SINCE_PURGED;
            /* To the end, so that the search for the next one that is due finds it early. */
            span_queue_remove(&central.partial[index], span);
            span_queue_append(&central.partial[index], span);
            given += span_purge(span);
            /* A thread that wants a span gets its turn between two. */
            os_lock_release(&central.lock);
            os_lock_take(&central.lock);
        }
        for (span = central.partial[index].first; span != NULL; span = span->next) {
            if (span->since != SINCE_PURGED) {
                atomic_fetch_add_explicit(&unpurged, 1, memory_order_relaxed);
                break;
            }
        }
    }
    os_lock_release(&central.lock);
    return given;
}
