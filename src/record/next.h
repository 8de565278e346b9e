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

/* True once the next allocator is known, which the first call sees to; false only inside of that. */
bool record_has_next(void);

#endif
