/* SPDX-License-Identifier: MIT */
#ifndef TARN_TESTS_PRELOAD_TEST_H
#define TARN_TESTS_PRELOAD_TEST_H

/*
 * What the programs of this folder share. They run with LD_PRELOAD=libtarn-malloc.so and know nothing of Tarn but
 * the contracts of C, POSIX and glibc's manual; nothing here allocates, except where a test says so itself.
 *
 * A program passes by exit status 0, and is skipped by SKIPPED.
 */

#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE before the first header"
#endif

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SKIPPED 77
#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

/* Ends the test unless the condition holds; what follows it is a printf format that tells the values. */
#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            const int check_errno_ = errno;                                                        \
            dprintf(STDERR_FILENO, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                 \
            dprintf(STDERR_FILENO, __VA_ARGS__);                                                   \
            dprintf(STDERR_FILENO, " (errno %d)\n", check_errno_);                                 \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* Hides a value from the optimiser, which would otherwise know that a size is too large or a block unused. */
static inline size_t opaque_size(size_t size)
{
    __asm__ volatile("" : "+r"(size));
    return size;
}

static inline void *opaque(void *pointer)
{
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

/* splitmix64: small, and the same everywhere for a seed. */
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

static inline size_t random_between(uint64_t *state, size_t low, size_t high)
{
    return low + (size_t)(random_next(state) % (high - low + 1));
}

/* TEST_SEED repeats a run; otherwise each run has its own. The seed is printed. */
static inline uint64_t random_seed(void)
{
    const char *given = getenv("TEST_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t seed = given != NULL
                              ? strtoull(given, NULL, 0)
                              : (uint64_t)now.tv_sec * 1000000007U + (uint64_t)now.tv_nsec;
    dprintf(STDOUT_FILENO, "TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* A block's contents are a function of `tag`, so that any block can be checked from its tag alone. */
static inline unsigned char pattern_byte(uint64_t tag, size_t index)
{
    return (unsigned char)((tag * 167 + index * 13 + (index >> 8)) & 0xff);
}

static inline void fill(void *block, size_t size, uint64_t tag)
{
    unsigned char *bytes = block;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = pattern_byte(tag, i);
    }
}

static inline bool is_filled(const void *block, size_t size, uint64_t tag)
{
    const unsigned char *bytes = block;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != pattern_byte(tag, i)) {
            return false;
        }
    }
    return true;
}

static inline bool is_zero(const void *block, size_t size)
{
    const unsigned char *bytes = block;
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* Reads "KEY: 123 kB" of a file of /proc; in bytes. */
static inline size_t proc_bytes(const char *path, const char *key)
{
    char text[4096];
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(file >= 0, "cannot open %s", path);
    size_t length = 0;
    for (;;) {
        const ssize_t got = read(file, text + length, sizeof text - 1 - length);
        if (got <= 0) {
            break;
        }
        length += (size_t)got;
    }
    close(file);
    text[length] = '\0';
    const char *line = strstr(text, key);
    CHECK(line != NULL, "no %s in %s", key, path);
    return strtoull(line + strlen(key), NULL, 10) * KIB;
}

/* smaps_rollup counts the page tables' own entries; the counters of /proc/self/status lag behind. */
static inline size_t resident(void)
{
    return proc_bytes("/proc/self/smaps_rollup", "\nRss:");
}

static inline size_t address_space(void)
{
    return proc_bytes("/proc/self/status", "\nVmSize:");
}

static inline size_t peak_resident(void)
{
    return proc_bytes("/proc/self/status", "\nVmHWM:");
}

static inline double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static inline void sleep_ms(long milliseconds)
{
    struct timespec rest = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR) {
    }
}

/* Waits for the child and ends the test unless it exited with 0. */
static inline void expect_child_passes(pid_t child, const char *what)
{
    int status = 0;
    CHECK(child > 0, "cannot fork for %s", what);
    while (waitpid(child, &status, 0) < 0) {
        CHECK(errno == EINTR, "lost the child of %s", what);
    }
    CHECK(!WIFSIGNALED(status), "%s died by signal %d", what, WTERMSIG(status));
    CHECK(WEXITSTATUS(status) == 0, "%s exited with %d", what, WEXITSTATUS(status));
}

static inline void limit_address_space(size_t bytes)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0, "getrlimit");
    limit.rlim_cur = bytes;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit to %zu", bytes);
}

static inline void unlimit_address_space(void)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0, "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
}

/* Zeroed memory that the allocator under test knows nothing of; goes back by munmap. */
static inline void *outside_memory(size_t size)
{
    void *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(start != MAP_FAILED, "mmap of %zu", size);
    return start;
}

/* C23's, which glibc's headers do not have yet; found at run time. */
typedef void free_sized_function(void *block, size_t size);
typedef void free_aligned_sized_function(void *block, size_t alignment, size_t size);

static inline free_sized_function *find_free_sized(void)
{
    free_sized_function *function = NULL;
    void *found = dlsym(RTLD_DEFAULT, "free_sized");
    CHECK(found != NULL, "no free_sized");
    memcpy(&function, &found, sizeof function);
    return function;
}

static inline free_aligned_sized_function *find_free_aligned_sized(void)
{
    free_aligned_sized_function *function = NULL;
    void *found = dlsym(RTLD_DEFAULT, "free_aligned_sized");
    CHECK(found != NULL, "no free_aligned_sized");
    memcpy(&function, &found, sizeof function);
    return function;
}

#endif
