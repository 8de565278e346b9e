/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * An allocator in a library that does wrong for requests of certain sizes, and is glibc's for all
 * others. Sizes from ORDERED on have to come one larger than the last, odd ones from one thread and
 * even ones from another.
 */

enum {
    OVERLAPS = 77701, /* two such blocks share their memory */
    ABORTS,
    HANGS,
    REFUSES,
    EXITS,
    MISALIGNS,
    SPOILS,  /* writes over the end of itself */
    FORGETS, /* a realloc to this size loses the contents */
    SHIFTS,  /* is not aligned as malloc's blocks are; never given back */
    SHOUTS,  /* writes until nobody takes it, then aborts; exits when all is taken */
    ORDERED = 88800,
    ORDERED_END = 89999
};

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);
extern void *__libc_memalign(size_t alignment, size_t size);

static unsigned char shared[OVERLAPS + 1];
static size_t last = ORDERED - 1;
static pthread_t threads[2];

static void expect_order(size_t size)
{
    const pthread_t self = pthread_self();
    if (size != last + 1 || (threads[size % 2] != 0 && threads[size % 2] != self) ||
        threads[1 - size % 2] == self) {
        static const char line[] = "out of order\n";
        const ssize_t done = write(STDERR_FILENO, line, sizeof line - 1);
        (void)done;
        abort();
    }
    threads[size % 2] = self;
    last = size;
}

static void *spoiled(size_t size)
{
    unsigned char *block = __libc_malloc(size);
    /* One who comes late and writes where it may not. */
    static unsigned char *victim;
    if (victim != NULL) {
        memset(victim, 0, size);
    }
    victim = block;
    return block;
}

static void shout(void)
{
    static char line[4096];
    memset(line, 'x', sizeof line);
    memcpy(line, "help!\n", 6);
    for (int i = 0; i < 256; i++) {
        if (write(STDERR_FILENO, line, sizeof line) < 0) {
            abort();
        }
    }
    _exit(4);
}

void *malloc(size_t size)
{
    if (size >= ORDERED && size <= ORDERED_END) {
        expect_order(size);
    }
    switch (size) {
    case OVERLAPS:
        return shared;
    case ABORTS:
        abort();
    case HANGS:
        for (;;) {
            pause();
        }
    case REFUSES:
        errno = ENOMEM;
        return NULL;
    case EXITS:
        _exit(3);
    case SPOILS:
        return spoiled(size);
    case SHIFTS:
        return (unsigned char *)__libc_malloc(size + 8) + 8;
    case SHOUTS:
        shout();
        return NULL;
    default:
        return __libc_malloc(size);
    }
}

void *calloc(size_t count, size_t size)
{
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    unsigned char *moved = __libc_realloc(block, size + 8);
    if (size == SHIFTS) {
        memmove(moved + 8, moved, size);
        return moved + 8;
    }
    if (size == FORGETS) {
        memset(moved, 0, size);
    }
    return moved;
}

void free(void *block)
{
    if (block != shared) {
        __libc_free(block);
    }
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    unsigned char *aligned = __libc_memalign(alignment, size + 16);
    *block = size == MISALIGNS ? aligned + 16 : aligned;
    return 0;
}
