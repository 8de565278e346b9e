/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "os/os.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

size_t os_page_size(void)
{
    static _Atomic(size_t) page_size;
    size_t size = atomic_load_explicit(&page_size, memory_order_relaxed);
    if (base_unlikely(size == 0)) {
        /* The auxiliary vector is there before libc is ready, unlike sysconf. */
        size = getauxval(AT_PAGESZ);
        atomic_store_explicit(&page_size, size, memory_order_relaxed);
    }
    return size;
}

/* Every caller promises that errno stays as it was. */
static void *map_anywhere(void *hint, size_t size, int flags)
{
    const int saved = errno;
    void *start =
        mmap(hint, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    errno = saved;
    return start == MAP_FAILED ? NULL : start;
}

void os_pages_unmap(void *start, size_t size)
{
    const int saved = errno;
    if (munmap(start, size) != 0) {
        /* The kernel refuses when the split passes its limit of mappings. The pages at least go back. */
        (void)madvise(start, size, MADV_DONTNEED);
    }
    errno = saved;
}

void *os_pages_map(size_t size, size_t alignment)
{
    /* The kernel fills address space downwards, and takes a hint where it is free: just below what was mapped last it
     * most often is, and aligned at once. */
    static _Atomic(uintptr_t) last;
    const uintptr_t below = atomic_load_explicit(&last, memory_order_relaxed);
    const uintptr_t hint = below > size ? (below - size) & ~(uintptr_t)(alignment - 1) : 0;
    unsigned char *start = map_anywhere((void *)hint, size, 0);
    atomic_store_explicit(&last, (uintptr_t)start, memory_order_relaxed);
    if (start == NULL || ((uintptr_t)start & (alignment - 1)) == 0) {
        return start;
    }
    os_pages_unmap(start, size);
    if (size > SIZE_MAX - alignment) {
        return NULL;
    }
    start = map_anywhere(NULL, size + alignment, 0);
    if (start == NULL) {
        return NULL;
    }
    const size_t before = (size_t)(-(uintptr_t)start & (alignment - 1));
    if (before > 0) {
        os_pages_unmap(start, before);
    }
    if (before < alignment) {
        os_pages_unmap(start + before + size, alignment - before);
    }
    return start + before;
}

void *os_pages_map_near(uintptr_t hint, size_t size)
{
    return map_anywhere((void *)hint, size, 0);
}

bool os_pages_purge(void *start, size_t size)
{
    const int saved = errno;
    const bool purged = madvise(start, size, MADV_DONTNEED) == 0;
    errno = saved;
    return purged;
}

bool os_pages_protect(void *start, size_t size, bool accessible)
{
    const int saved = errno;
    const bool done = mprotect(start, size, accessible ? PROT_READ | PROT_WRITE : PROT_NONE) == 0;
    errno = saved;
    return done;
}

bool os_pages_resize(void *start, size_t old_size, size_t new_size)
{
    const int saved = errno;
    const bool done = mremap(start, old_size, new_size, 0) != MAP_FAILED;
    errno = saved;
    return done;
}

void *os_pages_remap(void *start, size_t old_size, size_t new_size, size_t alignment)
{
    if (os_pages_resize(start, old_size, new_size)) {
        return start;
    }
    void *target = os_pages_map(new_size, alignment);
    if (target != NULL && !os_pages_move_to(start, old_size, target, new_size)) {
        os_pages_unmap(target, new_size);
        target = NULL;
    }
    return target;
}

/* Kernels before 6.12 unmap the target before they find that they cannot move: it is mapped again. */
static bool move_onto(void *from, size_t old_size, void *to, size_t new_size, int flags)
{
    const int saved = errno;
    const bool done =
        mremap(from, old_size, new_size, MREMAP_MAYMOVE | MREMAP_FIXED | flags, to) != MAP_FAILED;
    if (!done && mmap(to, new_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                      -1, 0) == MAP_FAILED) {
        base_fatal("lost pages in a failed mremap", NULL, to);
    }
    errno = saved;
    return done;
}

bool os_pages_move_to(void *from, size_t old_size, void *to, size_t new_size)
{
    return move_onto(from, old_size, to, new_size, 0);
}

bool os_pages_move(void *from, void *to, size_t size)
{
    /* The flag keeps the old place mapped, but came with Linux 5.7. */
    return move_onto(from, size, to, size, MREMAP_DONTUNMAP);
}

uint64_t os_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t os_random(void)
{
    static _Atomic(uint64_t) calls;
    uint64_t seed = 0;
    /* The kernel puts 16 random bytes on the stack of every process; reading them costs no system call. */
    const void *bytes = (const void *)getauxval(AT_RANDOM);
    if (bytes != NULL) {
        /* They start at any address. */
        uint64_t words[2];
        memcpy(words, bytes, sizeof words);
        seed = words[0] ^ (words[1] << 1);
    }
    seed ^= (uint64_t)(uintptr_t)&calls << 16;
    seed += (atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) + 1) * 0x9E3779B97F4A7C15u;
    /* The finaliser of splitmix64 (Steele, Lea and Flood 2014). */
    seed = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9u;
    seed = (seed ^ (seed >> 27)) * 0x94D049BB133111EBu;
    return seed ^ (seed >> 31);
}

void os_write(int descriptor, const char *text, size_t size)
{
    const int saved = errno;
    while (size > 0) {
        const ssize_t written = write(descriptor, text, size);
        if (written > 0) {
            text += written;
            size -= (size_t)written;
        } else if (errno != EINTR) {
            break;
        }
    }
    errno = saved;
}

void os_wait(_Atomic(uint32_t) *word, uint32_t expected, uint64_t milliseconds)
{
    const int saved = errno;
    const struct timespec span = {.tv_sec = (time_t)(milliseconds / 1000),
                                  .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected,
            milliseconds == UINT64_MAX ? NULL : &span, NULL, 0);
    errno = saved;
}

void os_wake(_Atomic(uint32_t) *word, int count)
{
    const int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
    errno = saved;
}

/* The three-state lock of Drepper, "Futexes Are Tricky", section 6, with a short spin before the sleep. */
void os_lock_slow(os_lock *lock)
{
    for (int spins = 0; spins < 100; spins++) {
        if (atomic_load_explicit(&lock->state, memory_order_relaxed) == 0 && os_lock_try(lock)) {
            return;
        }
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    }
    while (atomic_exchange_explicit(&lock->state, 2, memory_order_acquire) != 0) {
        os_wait(&lock->state, 2, UINT64_MAX);
    }
}

void os_unlock_slow(os_lock *lock)
{
    os_wake(&lock->state, 1);
}
