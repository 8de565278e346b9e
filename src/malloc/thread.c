/* SPDX-License-Identifier: MIT */
#include "malloc/core.h"

#include <pthread.h>

/*
 * A thread gets a cache with its first allocation and gives it back when it ends; the next thread gets the same
 * one. Caches are never unmapped, so a slot that is sent to one whose thread has ended is not lost: whoever
 * has the cache next, or the scavenger, sends it on.
 *
 * Invariant, under idle_lock: a cache is on the idle list exactly when no thread has it, and then it owns no span.
 */

#define NIL4 &nil_span, &nil_span, &nil_span, &nil_span
#define NIL16 NIL4, NIL4, NIL4, NIL4
#define NIL64 NIL16, NIL16, NIL16, NIL16
#define NIL128 NIL64, NIL64

_Static_assert(TABLE_COUNT == 129 && OWN_COUNT == 256, "thread_self is initialised in full");

_Thread_local thread_state thread_self = {.table = {NIL128, &nil_span}, .own = {NIL128, NIL128}};

malloc_heap late_heap;

static os_lock idle_lock;
static malloc_heap *idle_heaps;
static uint64_t heaps_in_use;
static pthread_key_t end_key;
static bool has_end_key;
static bool is_ready;

static void leave_tables(void)
{
    for (unsigned index = 0; index < TABLE_COUNT; index++) {
        thread_self.table[index] = &nil_span;
    }
    for (unsigned index = 0; index < OWN_COUNT; index++) {
        thread_self.own[index] = &nil_span;
    }
}

static void thread_end(void *value)
{
    malloc_heap *heap = value;
    heap_abandon_all(heap);
    thread_self.heap = NULL;
    thread_self.ended = true;
    leave_tables();
    os_lock_take(&idle_lock);
    heap->next = idle_heaps;
    idle_heaps = heap;
    heaps_in_use--;
    os_lock_release(&idle_lock);
    /* What was sent between the first look and now. */
    thread_drain_idle();
    scavenger_notice();
}

static void prepare(void)
{
    if (is_ready) {
        return;
    }
    heap_init(&central, HEAP_CENTRAL, &process_pages);
    heap_init(&late_heap, HEAP_OWN, &process_pages);
    has_end_key = pthread_key_create(&end_key, thread_end) == 0;
    is_ready = true;
}

malloc_heap *thread_heap(void)
{
    if (thread_self.heap != NULL || thread_self.ended) {
        return thread_self.heap;
    }
    os_lock_take(&idle_lock);
    prepare();
    malloc_heap *heap = idle_heaps;
    if (heap != NULL) {
        idle_heaps = heap->next;
    } else {
        heap = meta_take(sizeof *heap);
        if (heap != NULL) {
            heap_init(heap, HEAP_THREAD, &process_pages);
        }
    }
    if (heap != NULL) {
        heaps_in_use++;
    }
    os_lock_release(&idle_lock);
    if (heap == NULL) {
        return NULL;
    }
    thread_self.heap = heap;
    if (has_end_key) {
        /* May allocate, which works by now. */
        (void)pthread_setspecific(end_key, heap);
    }
    return heap;
}

void thread_drain_idle(void)
{
    os_lock_take(&idle_lock);
    for (malloc_heap *heap = idle_heaps; heap != NULL; heap = heap->next) {
        heap_collect(heap);
    }
    os_lock_release(&idle_lock);
}

uint64_t thread_count(void)
{
    os_lock_take(&idle_lock);
    const uint64_t count = heaps_in_use;
    os_lock_release(&idle_lock);
    return count;
}

void thread_fork(bool before)
{
    if (before) {
        os_lock_take(&idle_lock);
        os_lock_take(&late_heap.lock);
        os_lock_take(&central.lock);
    } else {
        os_lock_release(&central.lock);
        os_lock_release(&late_heap.lock);
        os_lock_release(&idle_lock);
    }
}
