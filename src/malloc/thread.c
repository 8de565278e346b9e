/* SPDX-License-Identifier: MIT */
#include "malloc/core.h"

#include <pthread.h>

/*
 * A thread gets a cache with its first allocation and gives it back when it ends; the next thread gets the same
 * one. Caches are never unmapped, so a slot that is sent to one whose thread has ended is not lost: whoever
 * has the cache next, or the scavenger, sends it on.
 *
 * Invariant, under idle_lock: a cache is on the idle list exactly when no thread has it, and then it owns no span.
 * Locks are taken in this order: idle_lock, caches, late_heap, central, page heaps, the map, memory for books.
 */

#define NIL4 &nil_span, &nil_span, &nil_span, &nil_span
#define NIL16 NIL4, NIL4, NIL4, NIL4
#define NIL64 NIL16, NIL16, NIL16, NIL16
#define NIL256 NIL64, NIL64, NIL64, NIL64

_Static_assert(TABLE_COUNT == 65 && OWN_COUNT == 256, "thread_self is initialised in full");

_Thread_local thread_state thread_self = {.table = {NIL64, &nil_span}, .own = {NIL256}};

malloc_heap late_heap;
_Atomic(bool) thread_has_orphans;

static os_lock idle_lock;
static malloc_heap *idle_heaps;
static _Atomic(malloc_heap *) known_heaps; /* every cache ever made; only grows */
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

/* The cache waits for the next thread; idle_lock is held. */
static void put_idle(malloc_heap *heap)
{
    heap->in_use = false;
    heap->next = idle_heaps;
    idle_heaps = heap;
    heaps_in_use--;
}

static void thread_end(void *value)
{
    malloc_heap *heap = value;
    os_lock_take(&heap->lock);
    heap_abandon_all(heap);
    os_lock_release(&heap->lock);
    thread_self.heap = NULL;
    thread_self.ended = true;
    leave_tables();
    os_lock_take(&idle_lock);
    put_idle(heap);
    const bool is_last = heaps_in_use == 0;
    os_lock_release(&idle_lock);
    if (is_last) {
        scavenger_end();
    } else {
        scavenger_notice(&process_pages);
    }
}

static malloc_heap *make_heap(void)
{
    malloc_heap *heap = meta_take(sizeof *heap);
    if (heap != NULL) {
        heap_init(heap, HEAP_THREAD, &process_pages);
        heap->next_known = atomic_load_explicit(&known_heaps, memory_order_relaxed);
        atomic_store_explicit(&known_heaps, heap, memory_order_release);
    }
    return heap;
}

malloc_heap *thread_heap(void)
{
    if (thread_self.heap != NULL || thread_self.ended) {
        return thread_self.heap;
    }
    os_lock_take(&idle_lock);
    if (!is_ready) {
        malloc_prepare();
        has_end_key = pthread_key_create(&end_key, thread_end) == 0;
        is_ready = true;
    }
    malloc_heap *heap = idle_heaps;
    if (heap != NULL) {
        idle_heaps = heap->next;
    } else {
        heap = make_heap();
    }
    if (heap != NULL) {
        heap->in_use = true;
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

static malloc_heap *first_known(void)
{
    return atomic_load_explicit(&known_heaps, memory_order_acquire);
}

size_t thread_scavenge(uint64_t age)
{
    size_t given = 0;
    for (malloc_heap *heap = first_known(); heap != NULL; heap = heap->next_known) {
        given += heap_scavenge(heap, age);
    }
    return given;
}

bool thread_has_work(void)
{
    for (malloc_heap *heap = first_known(); heap != NULL; heap = heap->next_known) {
        if (heap_has_work(heap)) {
            return true;
        }
    }
    return false;
}

uint64_t thread_count(void)
{
    return heaps_in_use;
}

void thread_adopt_orphans(void)
{
    os_lock_take(&idle_lock);
    for (malloc_heap *heap = first_known(); heap != NULL; heap = heap->next_known) {
        if (heap->is_orphan) {
            heap->is_orphan = false;
            os_lock_take(&heap->lock);
            heap_abandon_all(heap);
            os_lock_release(&heap->lock);
            put_idle(heap);
        }
    }
    atomic_store_explicit(&thread_has_orphans, false, memory_order_relaxed);
    os_lock_release(&idle_lock);
}

void thread_lock_all(void)
{
    os_lock_take(&idle_lock);
    for (malloc_heap *heap = first_known(); heap != NULL; heap = heap->next_known) {
        os_lock_take(&heap->lock);
    }
    os_lock_take(&late_heap.lock);
    os_lock_take(&central.lock);
}

void thread_unlock_all(bool child)
{
    os_lock_release(&central.lock);
    os_lock_release(&late_heap.lock);
    for (malloc_heap *heap = first_known(); heap != NULL; heap = heap->next_known) {
        if (child && heap->in_use && heap != thread_self.heap) {
            /* The fork caught its thread between two stores at worst, which loses one slot. */
            heap->is_orphan = true;
            atomic_store_explicit(&thread_has_orphans, true, memory_order_relaxed);
        }
        os_lock_release(&heap->lock);
    }
    os_lock_release(&idle_lock);
}
