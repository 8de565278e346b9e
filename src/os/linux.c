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
#include <sys/stat.h>
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

void os_pages_are_dense(void *start, size_t size)
{
    const int saved = errno;
    /* Refused where the kernel has no large pages: then there is nothing to gain. */
    (void)madvise(start, size, MADV_HUGEPAGE);
    errno = saved;
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

uint64_t os_clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
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

/* The program's descriptor, for a thread that has a table of its own without it. */
static int reopen(int descriptor)
{
    char path[] = "/proc/self/fd/0";
    path[sizeof path - 2] = (char)('0' + descriptor);
    return descriptor <= 9 ? open(path, O_WRONLY | O_CLOEXEC) : -1;
}

void os_write(int descriptor, const char *text, size_t size)
{
    const int saved = errno;
    int other = -1;
    while (size > 0) {
        const ssize_t written = write(other >= 0 ? other : descriptor, text, size);
        if (written > 0) {
            text += written;
            size -= (size_t)written;
        } else if (errno == EBADF && other < 0) {
            other = reopen(descriptor);
            if (other < 0) {
                break;
            }
        } else if (errno != EINTR) {
            break;
        }
    }
    if (other >= 0) {
        (void)close(other);
    }
    errno = saved;
}

static void wait_on(_Atomic(uint32_t) *word, int operation, uint32_t expected,
                    uint64_t milliseconds)
{
    const int saved = errno;
    const struct timespec span = {.tv_sec = (time_t)(milliseconds / 1000),
                                  .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    syscall(SYS_futex, word, operation, expected, milliseconds == UINT64_MAX ? NULL : &span, NULL,
            0);
    errno = saved;
}

static void wake_on(_Atomic(uint32_t) *word, int operation, int count)
{
    const int saved = errno;
    syscall(SYS_futex, word, operation, count, NULL, NULL, 0);
    errno = saved;
}

void os_wait(_Atomic(uint32_t) *word, uint32_t expected, uint64_t milliseconds)
{
    wait_on(word, FUTEX_WAIT_PRIVATE, expected, milliseconds);
}

void os_wake(_Atomic(uint32_t) *word, int count)
{
    wake_on(word, FUTEX_WAKE_PRIVATE, count);
}

/* The three-state lock of Drepper, "Futexes Are Tricky", section 6, with a short spin before the sleep. */
static void lock_slow(os_lock *lock, int wait_operation)
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
        wait_on(&lock->state, wait_operation, 2, UINT64_MAX);
    }
}

void os_lock_slow(os_lock *lock)
{
    lock_slow(lock, FUTEX_WAIT_PRIVATE);
}

void os_unlock_slow(os_lock *lock)
{
    os_wake(&lock->state, 1);
}

void os_shared_lock_slow(os_lock *lock)
{
    lock_slow(lock, FUTEX_WAIT);
}

void os_shared_unlock_slow(os_lock *lock)
{
    wake_on(&lock->state, FUTEX_WAKE, 1);
}

/* ---- files ---- */

static int open_file(const char *path, int flags, int *descriptor)
{
    const int saved = errno;
    int error = 0;
    do {
        *descriptor = open(path, flags | O_CLOEXEC, S_IRUSR | S_IWUSR);
        error = *descriptor >= 0 ? 0 : errno;
    } while (error == EINTR);
    errno = saved;
    return error;
}

int os_file_open(const char *path, int *descriptor)
{
    return open_file(path, O_RDONLY, descriptor);
}

int os_file_create(const char *path, int *descriptor)
{
    return open_file(path, O_WRONLY | O_CREAT | O_EXCL, descriptor);
}

int os_file_read(int descriptor, void *bytes, size_t size, size_t *got)
{
    const int saved = errno;
    int error = 0;
    *got = 0;
    while (*got < size && error == 0) {
        const ssize_t count = read(descriptor, (char *)bytes + *got, size - *got);
        if (count == 0) {
            break;
        }
        if (count > 0) {
            *got += (size_t)count;
        } else if (errno != EINTR) {
            error = errno;
        }
    }
    errno = saved;
    return error;
}

int os_file_write(int descriptor, const void *bytes, size_t size)
{
    const int saved = errno;
    int error = 0;
    for (size_t done = 0; done < size && error == 0;) {
        const ssize_t count = write(descriptor, (const char *)bytes + done, size - done);
        if (count > 0) {
            done += (size_t)count;
        } else if (count == 0) {
            error = EIO;
        } else if (errno != EINTR) {
            error = errno;
        }
    }
    errno = saved;
    return error;
}

int os_file_read_at(int descriptor, void *bytes, size_t size, uint64_t offset, size_t *got)
{
    const int saved = errno;
    int error = 0;
    *got = 0;
    while (*got < size && error == 0) {
        const ssize_t count =
            pread(descriptor, (char *)bytes + *got, size - *got, (off_t)(offset + *got));
        if (count == 0) {
            break;
        }
        if (count > 0) {
            *got += (size_t)count;
        } else if (errno != EINTR) {
            error = errno;
        }
    }
    errno = saved;
    return error;
}

int os_file_write_at(int descriptor, const void *bytes, size_t size, uint64_t offset)
{
    const int saved = errno;
    int error = 0;
    for (size_t done = 0; done < size && error == 0;) {
        const ssize_t count =
            pwrite(descriptor, (const char *)bytes + done, size - done, (off_t)(offset + done));
        if (count > 0) {
            done += (size_t)count;
        } else if (count == 0) {
            error = EIO;
        } else if (errno != EINTR) {
            error = errno;
        }
    }
    errno = saved;
    return error;
}

int os_file_sync(int descriptor)
{
    const int saved = errno;
    /* What cannot be synchronised, such as a pipe, has no medium. */
    const int error =
        fsync(descriptor) == 0 || errno == EINVAL || errno == EROFS || errno == ENOTSUP ? 0 : errno;
    errno = saved;
    return error;
}

int os_file_close(int descriptor)
{
    const int saved = errno;
    /* Linux has released the descriptor even when it says that it was interrupted. */
    const int error = close(descriptor) == 0 || errno == EINTR ? 0 : errno;
    errno = saved;
    return error;
}

int os_file_duplicate(int descriptor, int *copy)
{
    const int saved = errno;
    *copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    const int error = *copy >= 0 ? 0 : errno;
    errno = saved;
    return error;
}

/* A rename is on the medium when the folder is. */
static int sync_folder_of(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const size_t length = slash == NULL ? 0 : (size_t)(slash - path);
    if (length >= sizeof folder) {
        return ENAMETOOLONG;
    }
    if (slash == NULL) {
        folder[0] = '.';
        folder[1] = '\0';
    } else {
        memcpy(folder, path, length);
        folder[length] = '\0';
        if (length == 0) {
            folder[0] = '/';
            folder[1] = '\0';
        }
    }
    int descriptor = -1;
    int error = open_file(folder, O_RDONLY | O_DIRECTORY, &descriptor);
    if (error != 0) {
        return error;
    }
    error = os_file_sync(descriptor);
    const int close_error = os_file_close(descriptor);
    return error != 0 ? error : close_error;
}

int os_file_replace(const char *path, const char *with)
{
    const int saved = errno;
    const int error = rename(with, path) == 0 ? 0 : errno;
    errno = saved;
    return error != 0 ? error : sync_folder_of(path);
}

int os_file_remove(const char *path)
{
    const int saved = errno;
    const int error = unlink(path) == 0 ? 0 : errno;
    errno = saved;
    return error;
}

const char *os_error_text(int error)
{
    const char *text = strerrordesc_np(error);
    return text != NULL ? text : "unknown error";
}
