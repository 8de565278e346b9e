/* SPDX-License-Identifier: MIT */
#include "malloc/compact.h"

#include <pthread.h>
#include <unistd.h>

/*
 * What happens before main, at exit and around fork. The allocator works without any of it; before main only
 * the options are the built-in ones.
 *
 * A child has one thread. Locks are held across the fork, so that what they guard is whole in the child. What the
 * lock of a cache does not guard changes by one store, so the caches of threads that the child does not have are
 * whole as well, and what they hold goes to central.
 */

/* glibc's own lock of all streams, which its fork takes after our handlers. A thread that holds it may wait for a
 * stream whose owner waits for one of our locks; so it comes before ours. */
extern void io_list_lock(void) __asm__("_IO_list_lock") __attribute__((weak));
extern void io_list_unlock(void) __asm__("_IO_list_unlock") __attribute__((weak));
extern void io_list_reset(void) __asm__("_IO_list_resetlock") __attribute__((weak));

static void fork_all(bool before, bool child)
{
    if (before) {
        scavenger_fork(true, child);
        heaps_fork(true);
        thread_lock_all();
        compact_fork(true, child);
        page_heap_fork(&process_pages, true);
        map_fork(true);
        meta_fork(true);
    } else {
        meta_fork(false);
        map_fork(false);
        page_heap_fork(&process_pages, false);
        compact_fork(false, child);
        thread_unlock_all(child);
        heaps_fork(false);
        scavenger_fork(false, child);
    }
}

static void before_fork(void)
{
    if (io_list_lock != NULL) {
        io_list_lock();
    }
    fork_all(true, false);
}

static void in_parent(void)
{
    fork_all(false, false);
    if (io_list_unlock != NULL) {
        io_list_unlock();
    }
}

/* The lock's owner by number is the parent's thread; glibc makes it new only if it took it itself. */
static void in_child(void)
{
    if (io_list_reset != NULL) {
        io_list_reset();
    }
    fork_all(false, true);
}

void malloc_prepare(void)
{
    heap_init(&central, HEAP_CENTRAL, &process_pages);
    heap_init(&late_heap, HEAP_OWN, &process_pages);
}

static void write_error(void *context, const char *text, size_t size)
{
    (void)context;
    os_write(STDERR_FILENO, text, size);
}

/* Before the constructors of the program and of every library that may allocate, as far as the linker lets. */
__attribute__((constructor(101))) static void start(void)
{
    options_load();
    (void)pthread_atfork(before_fork, in_parent, in_child);
}

__attribute__((destructor(101))) static void finish(void)
{
    if (malloc_conf.stats) {
        tarn_malloc_report(TARN_MALLOC_TABLE, write_error, NULL);
    }
}
