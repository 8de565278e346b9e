/* SPDX-License-Identifier: MIT */
#ifndef TARN_HEAP_RECORD_H
#define TARN_HEAP_RECORD_H

/*
 * Tells `tarn record` about a pool and its blocks, where a program that uses the library is recorded.
 *
 * The recorder is a library that is preloaded; its functions are weak symbols, NULL where it is not
 * there. So a pool asks once, when it is made, and a pool whose number is 0 says nothing: that costs
 * nothing where the pool's fast path is not taken by recorded pools in any case.
 *
 * In a freestanding build nobody listens.
 */

#include "base/check.h"
#include "base/freestanding.h"
#include "tarn/heap.h"

#include <stddef.h>
#include <stdint.h>

/* The numbers are those of traces. */
enum {
    HEAP_RECORD_ALLOC = 11,
    HEAP_RECORD_FREE = 12,
    HEAP_RECORD_RESET = 13,
    HEAP_RECORD_CLOSE = 14
};

#if !TARN_FREESTANDING
uint32_t tarn_record_open(const void *heap, const void *upstream, const char *kind,
                          const char *name) __attribute__((weak));
void tarn_record_note(uint32_t number, unsigned what, const void *block, size_t size,
                      size_t alignment) __attribute__((weak));
#endif

/* The number of a pool that is made, or 0: nobody records. */
static inline uint32_t heap_record_open(const tarn_heap *heap, const tarn_heap *upstream,
                                        const char *kind)
{
#if TARN_FREESTANDING
    (void)heap;
    (void)upstream;
    (void)kind;
    return 0;
#else
    return tarn_record_open != NULL ? tarn_record_open(heap, upstream, kind, heap->name) : 0;
#endif
}

static inline void heap_record_note(uint32_t number, unsigned what, const void *block, size_t size,
                                    size_t alignment)
{
#if !TARN_FREESTANDING
    if (base_unlikely(number != 0)) {
        tarn_record_note(number, what, block, size, alignment);
    }
#endif
    (void)number;
    (void)what;
    (void)block;
    (void)size;
    (void)alignment;
}

/* A block was given; NULL: could not be. */
static inline void heap_record_alloc(uint32_t number, const void *block, size_t size,
                                     size_t alignment)
{
    heap_record_note(number, HEAP_RECORD_ALLOC, block, size, alignment);
}

/* A block is about to be taken back. */
static inline void heap_record_free(uint32_t number, const void *block)
{
    heap_record_note(number, HEAP_RECORD_FREE, block, 0, 0);
}

/* All blocks are about to be taken back. */
static inline void heap_record_reset(uint32_t number)
{
    heap_record_note(number, HEAP_RECORD_RESET, NULL, 0, 0);
}

/* The pool is about to end. */
static inline void heap_record_close(uint32_t number)
{
    heap_record_note(number, HEAP_RECORD_CLOSE, NULL, 0, 0);
}

#endif
