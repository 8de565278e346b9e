/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "os/os.h"

#include "base/text.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * Who a process is to others, and the lock that says who holds it.
 *
 *     holder    0                   free
 *               number              held
 *               number | SLEEPERS   held, and whoever releases it has to wake somebody
 *
 * Who was woken or inherited it keeps SLEEPERS, since there may be others. A process that sleeps looks from time to time
 * whether the holder still lives: a wake that it would get will not come from a dead one.
 */

#define SLEEPERS (UINT32_C(1) << 31)
#define STRANGER (SLEEPERS - 1) /* of another realm: above every number that the kernel gives */
#define LOOK_MS 50              /* between two looks at the holder */
#define SPINS 100

static _Atomic(uint32_t) known_id;

static void forget_id(void)
{
    atomic_store_explicit(&known_id, 0, memory_order_relaxed);
}

uint32_t os_process_id(void)
{
    uint32_t id = atomic_load_explicit(&known_id, memory_order_relaxed);
    if (id == 0) {
        static _Atomic(uint32_t) has_handler;
        id = (uint32_t)getpid();
        /* Without the handler a forked child would take itself for its parent: then each call asks. */
        if (atomic_exchange_explicit(&has_handler, 1, memory_order_relaxed) != 0 ||
            pthread_atfork(NULL, NULL, forget_id) == 0) {
            atomic_store_explicit(&known_id, id, memory_order_relaxed);
        } else {
            atomic_store_explicit(&has_handler, 0, memory_order_relaxed);
        }
    }
    return id;
}

uint64_t os_process_realm(void)
{
    const int saved = errno;
    struct stat about;
    const bool is_known = stat("/proc/self/ns/pid", &about) == 0;
    errno = saved;
    return is_known ? (uint64_t)about.st_ino : 0;
}

uint32_t os_process_mark(bool is_peer)
{
    return is_peer ? os_process_id() : STRANGER;
}

/* What /proc says, for kernels before 5.3: no such process, or one that has ended and that nobody has waited for. */
static bool is_gone_by_proc(uint32_t id)
{
    char bytes[64];
    char stat_bytes[512];
    size_t got = 0;
    int descriptor = -1;
    if (kill((pid_t)id, 0) != 0) {
        return errno == ESRCH;
    }
    base_text path = base_text_in(bytes, sizeof bytes);
    base_text_add(&path, "/proc/");
    base_text_add_number(&path, id, 10);
    base_text_add(&path, "/stat");
    if (os_file_open(bytes, &descriptor) != 0) {
        return false;
    }
    const int error = os_file_read(descriptor, stat_bytes, sizeof stat_bytes - 1, &got);
    (void)os_file_close(descriptor);
    stat_bytes[got] = '\0';
    /* "number (name) state ...", and the name may have anything in it. Field 20 is the count of threads: where the first
     * one has ended, the process looks like a zombie while the others live. */
    const char *end = error == 0 ? strrchr(stat_bytes, ')') : NULL;
    if (end == NULL || end[1] != ' ' || (end[2] != 'Z' && end[2] != 'X')) {
        return false;
    }
    const char *field = end + 1;
    for (unsigned number = 3; field != NULL && number < 20; number++) {
        field = strchr(field + 1, ' ');
    }
    return field != NULL && (field[1] == '0' || (field[1] == '1' && field[2] == ' '));
}

/* True if the process has ended for certain, also if nobody has waited for it yet. */
static bool is_gone(uint32_t id)
{
    if (id == STRANGER || id == os_process_id()) {
        return false;
    }
    const int descriptor = (int)syscall(SYS_pidfd_open, (pid_t)id, 0);
    if (descriptor < 0) {
        return errno == ESRCH || is_gone_by_proc(id);
    }
    struct pollfd end = {.fd = descriptor, .events = POLLIN};
    const bool has_ended = poll(&end, 1, 0) == 1;
    (void)close(descriptor);
    return has_ended;
}

static void sleep_on(os_process_lock *lock, uint32_t holder, uint64_t milliseconds)
{
    const struct timespec span = {.tv_nsec = (long)milliseconds * 1000000};
    syscall(SYS_futex, &lock->holder, FUTEX_WAIT, holder, &span, NULL, 0);
}

static bool try_to_take(os_process_lock *lock, uint32_t from, uint32_t mark)
{
    return atomic_compare_exchange_strong_explicit(&lock->holder, &from, mark, memory_order_acquire,
                                                   memory_order_relaxed);
}

static os_lock_outcome wait_for(os_process_lock *lock, bool is_peer, uint64_t milliseconds)
{
    const uint32_t mark = os_process_mark(is_peer);
    for (int spins = 0; spins < SPINS; spins++) {
        if (atomic_load_explicit(&lock->holder, memory_order_relaxed) == 0 &&
            try_to_take(lock, 0, mark)) {
            return OS_LOCK_TAKEN;
        }
    }
    for (uint64_t waited = 0;; waited += LOOK_MS) {
        const uint64_t start = os_clock_us();
        uint32_t holder = atomic_load_explicit(&lock->holder, memory_order_relaxed);
        while (os_clock_us() - start < (uint64_t)LOOK_MS * 1000) {
            if (holder == 0) {
                if (try_to_take(lock, 0, mark | SLEEPERS)) {
                    return OS_LOCK_TAKEN;
                }
            } else if ((holder & SLEEPERS) != 0 ||
                       atomic_compare_exchange_strong_explicit(
                           &lock->holder, &holder, holder | SLEEPERS, memory_order_relaxed,
                           memory_order_relaxed)) {
                sleep_on(lock, holder | SLEEPERS, LOOK_MS);
            }
            holder = atomic_load_explicit(&lock->holder, memory_order_relaxed);
        }
        if (is_peer && holder != 0 && is_gone(holder & ~SLEEPERS) &&
            try_to_take(lock, holder, mark | SLEEPERS)) {
            return OS_LOCK_INHERITED;
        }
        if (waited >= milliseconds) {
            return OS_LOCK_LATE;
        }
    }
}

os_lock_outcome os_process_lock_slow(os_process_lock *lock, bool is_peer, uint64_t milliseconds)
{
    const int saved = errno;
    const os_lock_outcome outcome = wait_for(lock, is_peer, milliseconds);
    errno = saved;
    return outcome;
}

void os_process_unlock_slow(os_process_lock *lock)
{
    const int saved = errno;
    syscall(SYS_futex, &lock->holder, FUTEX_WAKE, 1, NULL, NULL, 0);
    errno = saved;
}
