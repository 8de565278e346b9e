/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "malloc/compact.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>

/*
 * The scavenger: a helper thread that is made when the process first holds enough to be worth one, by a call that
 * takes memory. It sleeps until frees have left enough to give back; then it looks at caches four times in every
 * decay period and at pages twice, and a page goes back at the second look that finds it free. When looks
 * find nothing left to do it sleeps again. It ends when no thread is left that ever allocated: a process whose main
 * thread called pthread_exit ends with its last thread, and must not wait for this one.
 *
 * With background:0, or where no thread can be made, frees themselves look at the clock.
 */

#define WAKE_BYTES ((size_t)1 << 20) /* dirty bytes that are worth waking the helper for */
#define WAKE_SPANS (WAKE_BYTES / UNIT_SIZE)
#define STACK_BYTES ((size_t)128 << 10)
#define BLIND_BYTES ((size_t)64 << 10)  /* dirty bytes worth a look at the clock */
#define COMPACT_WORTH ((size_t)1 << 20) /* bytes that make a pass worth another one soon */
#define COMPACT_DELAYS 4
#define VAIN_PASSES 6
#define COMPACT_REST 9 /* times as long as a pass took is nothing done */
#define COMPACT_PAUSE_MS_MAX 8000
#define IDLE_LOOKS 4 /* in a row without work before the helper sleeps */

typedef enum helper_state {
    HELPER_NONE,
    HELPER_RUNS,
    HELPER_SLEEPS,
    HELPER_ENDS, /* it was told to, and will */
    HELPER_FAILED
} helper_state;

_Atomic(bool) scavenger_is_worth;
static _Atomic(uint32_t) helper; /* helper_state; the helper sleeps on it */
static os_lock helper_lock;
static _Atomic(uint64_t) last_look; /* os_clock_ms; for who looks without the helper */
static _Atomic(uint32_t) never;     /* what the helper waits on between looks: nobody wakes it */

static uint64_t tick_ms(void)
{
    const uint64_t tick = (uint64_t)malloc_conf.decay_ms / 4;
    return tick == 0 ? 1 : tick;
}

static void purge_own(void *context, malloc_heap *heap)
{
    size_t *given = context;
    *given += page_heap_purge(heap->pages, 0);
}

/* Windows that were sealed by a fork take memory as they are written to, and are looked at until a few passes found
 * nothing. */
static _Atomic(unsigned) vain_passes;

static bool has_compact_work(void)
{
    return atomic_load_explicit(&compact_is_due, memory_order_relaxed) ||
           (compact_frames_have_sealed() &&
            atomic_load_explicit(&vain_passes, memory_order_relaxed) < VAIN_PASSES);
}

/* A pass that finds little puts the next one off. */
static void compact_when_due(void)
{
    static _Atomic(uint64_t) next_pass; /* os_clock_ms */
    static _Atomic(unsigned) delays;    /* doublings of the time between passes */
    const uint64_t now = os_clock_ms();
    uint64_t due = atomic_load_explicit(&next_pass, memory_order_relaxed);
    if (!has_compact_work() || now < due ||
        !atomic_compare_exchange_strong_explicit(&next_pass, &due, now + COMPACT_PAUSE_MS_MAX,
                                                 memory_order_relaxed, memory_order_relaxed)) {
        return;
    }
    const bool is_due = atomic_load_explicit(&compact_is_due, memory_order_relaxed);
    const size_t given = compact_pass(!is_due);
    const unsigned vain = atomic_load_explicit(&vain_passes, memory_order_relaxed);
    atomic_store_explicit(&vain_passes, is_due || given > 0 ? 0 : vain + 1, memory_order_relaxed);
    const uint64_t took = os_clock_ms() - now;
    unsigned slower = atomic_load_explicit(&delays, memory_order_relaxed);
    slower = given >= COMPACT_WORTH ? 0 : slower + (slower < COMPACT_DELAYS);
    atomic_store_explicit(&delays, slower, memory_order_relaxed);
    uint64_t pause = (uint64_t)malloc_conf.decay_ms << slower;
    pause = pause < COMPACT_PAUSE_MS_MAX ? pause : COMPACT_PAUSE_MS_MAX;
    pause = pause > took * COMPACT_REST ? pause : took * COMPACT_REST;
    atomic_store_explicit(&next_pass, now + pause, memory_order_relaxed);
}

static void look(void)
{
    static _Atomic(unsigned) looks;
    size_t given = 0;
    (void)thread_scavenge((uint64_t)malloc_conf.decay_ms / 2);
    (void)central_purge((uint64_t)malloc_conf.decay_ms / 2);
    if (atomic_fetch_add_explicit(&looks, 1, memory_order_relaxed) % 2 == 0) {
        (void)page_heap_purge(&process_pages, 0);
        heaps_visit(purge_own, &given);
    }
    compact_when_due();
}

static void add_dirty(void *context, malloc_heap *heap)
{
    size_t *dirty = context;
    *dirty += atomic_load_explicit(&heap->pages->dirty, memory_order_relaxed);
}

static bool has_work(void)
{
    size_t dirty = atomic_load_explicit(&process_pages.dirty, memory_order_relaxed);
    if (dirty != 0 || central_has_work() || thread_has_work() || has_compact_work()) {
        return true;
    }
    heaps_visit(add_dirty, &dirty);
    return dirty != 0;
}

static void wake_helper(void)
{
    uint32_t expected = HELPER_SLEEPS;
    if (atomic_compare_exchange_strong(&helper, &expected, HELPER_RUNS)) {
        os_wake(&helper, 1);
    }
}

static void sleep_for_work(void)
{
    uint32_t expected = HELPER_RUNS;
    if (!atomic_compare_exchange_strong(&helper, &expected, HELPER_SLEEPS)) {
        return;
    }
    /* What came before that found a helper that runs. */
    if (has_work()) {
        wake_helper();
    }
    while (atomic_load(&helper) == HELPER_SLEEPS) {
        os_wait(&helper, HELPER_SLEEPS, UINT64_MAX);
    }
}

static void *helper_main(void *unused)
{
    (void)unused;
    unsigned idle = 0;
    if (malloc_conf.compact) {
        compact_adopt_thread();
    }
    while (atomic_load(&helper) != HELPER_ENDS) {
        if (idle == IDLE_LOOKS) {
            sleep_for_work();
            idle = 0;
        } else {
            os_wait(&never, 0, tick_ms());
            look();
            idle = has_work() ? 0 : idle + 1;
        }
    }
    atomic_store(&helper, HELPER_NONE);
    return NULL;
}

void scavenger_end(void)
{
    uint32_t state = atomic_load(&helper);
    while ((state == HELPER_RUNS || state == HELPER_SLEEPS) &&
           !atomic_compare_exchange_weak(&helper, &state, HELPER_ENDS)) {
    }
    os_wake(&helper, 1);
}

static void start_helper(void)
{
    uint32_t expected = HELPER_NONE;
    if (!atomic_compare_exchange_strong(&helper, &expected, HELPER_RUNS)) {
        return;
    }
    const int saved = errno;
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    /* A fault is not sent to anybody else; and compaction asks whether a thread would end by one. */
    sigdelset(&all, SIGSEGV);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = false;
    if (pthread_attr_init(&attributes) == 0) {
        (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
        (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        started = pthread_create(&thread, &attributes, helper_main, NULL) == 0;
        (void)pthread_attr_destroy(&attributes);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!started) {
        atomic_store_explicit(&helper, HELPER_FAILED, memory_order_relaxed);
    }
    errno = saved;
}

/* Without a helper, frees pay for the look when it is due. */
static void look_when_due(void)
{
    const uint64_t now = os_clock_ms();
    uint64_t last = atomic_load_explicit(&last_look, memory_order_relaxed);
    if (now - last >= tick_ms() &&
        atomic_compare_exchange_strong_explicit(&last_look, &last, now, memory_order_relaxed,
                                                memory_order_relaxed)) {
        look();
    }
}

/* True when spans with few slots in use wait for a look, the calling thread's or central's. */
static bool has_sparse_work(void)
{
    return atomic_load_explicit(&compact_is_due, memory_order_relaxed) || central_has_work() ||
           (thread_self.heap != NULL && heap_has_work(thread_self.heap));
}

void scavenger_notice(page_heap *pages)
{
    const size_t dirty = atomic_load_explicit(&pages->dirty, memory_order_relaxed);
    const uint32_t state = atomic_load_explicit(&helper, memory_order_relaxed);
    if (state == HELPER_RUNS || malloc_conf.decay_ms < 0) {
        return;
    }
    if (malloc_conf.decay_ms == 0) {
        if (dirty != 0) {
            (void)page_heap_purge(pages, SIZE_MAX);
        }
    } else if (state == HELPER_SLEEPS) {
        if (dirty >= WAKE_BYTES || has_sparse_work()) {
            wake_helper();
        }
    } else if ((state == HELPER_FAILED || !malloc_conf.background) &&
               (dirty >= BLIND_BYTES || has_sparse_work())) {
        look_when_due();
    }
}

void scavenger_notice_sent(const malloc_heap *owner)
{
    if (atomic_load_explicit(&helper, memory_order_relaxed) == HELPER_SLEEPS &&
        atomic_load_explicit(&owner->span_count, memory_order_relaxed) >= WAKE_SPANS) {
        wake_helper();
    }
}

void scavenger_prepare(void)
{
    if (base_unlikely(atomic_load_explicit(&scavenger_is_worth, memory_order_relaxed)) &&
        atomic_load_explicit(&helper, memory_order_relaxed) == HELPER_NONE &&
        malloc_conf.background && malloc_conf.decay_ms > 0) {
        start_helper();
    }
}

static void trim_own(void *context, malloc_heap *heap)
{
    size_t *given = context;
    *given += page_heap_purge(heap->pages, SIZE_MAX);
}

size_t scavenger_trim(void)
{
    size_t given = 0;
    if (thread_self.heap != NULL) {
        given += heap_trim_own(thread_self.heap);
    }
    given += thread_scavenge(0);
    given += central_purge(0);
    given += compact_pass(true);
    given += page_heap_purge(&process_pages, SIZE_MAX);
    heaps_visit(trim_own, &given);
    return given;
}

void scavenger_fork(bool before, bool child)
{
    if (before) {
        os_lock_take(&helper_lock);
        return;
    }
    atomic_store_explicit(&vain_passes, 0, memory_order_relaxed);
    if (child) {
        /* Threads do not survive a fork. */
        atomic_store_explicit(&helper, HELPER_NONE, memory_order_relaxed);
    }
    os_lock_release(&helper_lock);
}
