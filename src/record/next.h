/* SPDX-License-Identifier: MIT */
#ifndef TARN_RECORD_NEXT_H
#define TARN_RECORD_NEXT_H

/*
 * The allocator that is recorded: the next library's names. NULL where it has none.
 */

#include <stdbool.h>
#include <stddef.h>

typedef struct record_next {
    void *(*malloc)(size_t size);
    void *(*calloc)(size_t count, size_t size);
    void *(*realloc)(void *block, size_t size);
    void (*free)(void *block);
    void *(*aligned_alloc)(size_t alignment, size_t size);
    int (*posix_memalign)(void **result, size_t alignment, size_t size);
    void *(*memalign)(size_t alignment, size_t size);
    void *(*valloc)(size_t size);
    void *(*pvalloc)(size_t size);
    void (*free_sized)(void *block, size_t size);
    void (*free_aligned_sized)(void *block, size_t alignment, size_t size);
} record_next;

extern record_next next;

/* How often all of it was filled: what was found out before is no longer so. */
extern _Atomic(unsigned) record_searches;

/* Fills all of it. */
void record_find_next(void);

/* attach.c: a function of the next allocator, by name; NULL: it has none. In a program that began without the
 * recorder those of libtarn-malloc that the program's own calls do not reach. */
void *record_next_symbol(const char *name);

/* True once the next allocator is known, which the first call sees to; false only inside of that. */
bool record_has_next(void);

#endif
