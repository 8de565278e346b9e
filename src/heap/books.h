/* SPDX-License-Identifier: MIT */
#ifndef TARN_HEAP_BOOKS_H
#define TARN_HEAP_BOOKS_H

/*
 * How every heap keeps its tarn_stats, and how it words what a check found.
 */

#include "tarn/heap.h"

#include <stdarg.h>
#include <stdio.h>

/* Blocks of `size` bytes asked for. */
static inline void heap_books_give(tarn_stats *books, size_t size)
{
    books->live += size;
    if (books->live > books->peak_live) {
        books->peak_live = books->live;
    }
    books->blocks++;
    books->allocs++;
}

static inline void heap_books_take(tarn_stats *books, size_t size)
{
    books->live -= size;
    books->blocks--;
    books->frees++;
}

/* A block that changes its size is neither an alloc nor a free. */
static inline void heap_books_resize(tarn_stats *books, size_t old_size, size_t new_size)
{
    books->live = books->live - old_size + new_size;
    if (books->live > books->peak_live) {
        books->peak_live = books->live;
    }
}

static inline void heap_books_take_all(tarn_stats *books)
{
    books->live = 0;
    books->frees += books->blocks;
    books->blocks = 0;
}

/* Bytes held from upstream. */
static inline void heap_books_hold(tarn_stats *books, size_t size)
{
    books->footprint += size;
    if (books->footprint > books->peak_footprint) {
        books->peak_footprint = books->footprint;
    }
}

/* Words a fault for check, which reports it by returning what this returns: false. */
__attribute__((format(printf, 3, 4))) static inline bool heap_fault(char *fault, size_t fault_size,
                                                                    const char *format, ...)
{
    va_list values;
    va_start(values, format);
    (void)vsnprintf(fault, fault_size, format, values);
    va_end(values);
    return false;
}

#endif
