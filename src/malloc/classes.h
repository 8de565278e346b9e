/* SPDX-License-Identifier: MIT */
#ifndef TARN_MALLOC_CLASSES_H
#define TARN_MALLOC_CLASSES_H

/*
 * Size classes: every 16 bytes to 128, then eight steps to each doubling, so that at most one byte in nine of a slot is
 * waste above 128. Every size is a multiple of 16, and of every smaller power of two that its requests are multiples
 * of.
 */

#include <stddef.h>
#include <stdint.h>

#define SMALL_MAX ((size_t)32768) /* the largest slot */
#define TABLE_MAX ((size_t)1024)  /* the largest request that the thread's table serves at once */
#define TABLE_COUNT (TABLE_MAX / 16 + 1)
#define CLASS_COUNT 72
#define CLASS_EXACT 8 /* classes up to 128 bytes */

/* The class of a request of 1 … SMALL_MAX bytes; 0 is served as 1. */
static inline unsigned class_of(size_t size)
{
    if (size <= 128) {
        return size == 0 ? 0 : (unsigned)((size - 1) / 16);
    }
    const unsigned log = 63u - (unsigned)__builtin_clzll((unsigned long long)(size - 1));
    return CLASS_EXACT + (log - 7) * 8 + (unsigned)(((size - 1) >> (log - 3)) & 7);
}

/* Bytes of a slot of the class. */
static inline uint32_t class_size(unsigned index)
{
    if (index < CLASS_EXACT) {
        return (index + 1) * 16;
    }
    const unsigned step = index - CLASS_EXACT;
    return (step % 8 + 9) << (step / 8 + 4);
}

/* The request whose class has room for `size` bytes in slots that all stand at multiples of `alignment`, a power of
 * two: slots start at the base of a unit, and a class that a multiple of `alignment` falls in is itself a multiple,
 * its step being either a multiple or a divisor of it. More than SMALL_MAX when there is none. */
static inline size_t class_request(size_t alignment, size_t size)
{
    if (size > SMALL_MAX || alignment > SMALL_MAX) {
        return SMALL_MAX + 1;
    }
    return ((size == 0 ? 1 : size) + alignment - 1) & ~(alignment - 1);
}

#endif
