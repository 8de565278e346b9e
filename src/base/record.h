/* SPDX-License-Identifier: MIT */
#ifndef TARN_BASE_RECORD_H
#define TARN_BASE_RECORD_H

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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers are those of traces. */
enum {
    BASE_RECORD_ALLOC = 11,
    BASE_RECORD_FREE = 12,
    BASE_RECORD_RESET = 13,
    BASE_RECORD_CLOSE = 14
};

#if !TARN_FREESTANDING
uint32_t tarn_record_open(const void *heap, const void *upstream, const char *kind,
                          const char *name) __attribute__((weak));
void tarn_record_note(uint32_t number, unsigned what, const void *block, size_t size,
                      size_t alignment) __attribute__((weak));
#endif

/* True where a recorder is preloaded. */
static inline bool base_record_is_there(void)
{
#if TARN_FREESTANDING
    return false;
#else
    return tarn_record_open != NULL;
#endif
}

/* The number of a pool that is made, or 0: nobody records. `name` must outlive the pool. */
static inline uint32_t base_record_open(const void *heap, const void *upstream, const char *kind,
                                        const char *name)
{
#if TARN_FREESTANDING
    (void)heap;
    (void)upstream;
    (void)kind;
    (void)name;
    return 0;
#else
    return tarn_record_open != NULL ? tarn_record_open(heap, upstream, kind, name) : 0;
#endif
}

static inline void base_record_note(uint32_t number, unsigned what, const void *block, size_t size,
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
static inline void base_record_alloc(uint32_t number, const void *block, size_t size,
                                     size_t alignment)
{
    base_record_note(number, BASE_RECORD_ALLOC, block, size, alignment);
}

/* A block is about to be taken back. */
static inline void base_record_free(uint32_t number, const void *block)
{
    base_record_note(number, BASE_RECORD_FREE, block, 0, 0);
}

/* All blocks are about to be taken back. */
static inline void base_record_reset(uint32_t number)
{
    base_record_note(number, BASE_RECORD_RESET, NULL, 0, 0);
}

/* The pool is about to end. */
static inline void base_record_close(uint32_t number)
{
    base_record_note(number, BASE_RECORD_CLOSE, NULL, 0, 0);
}

#endif
