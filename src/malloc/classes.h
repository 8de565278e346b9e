/* SPDX-License-Identifier: MIT */
#ifndef TARN_MALLOC_CLASSES_H
#define TARN_MALLOC_CLASSES_H

/*
 * Size classes: 8, then every 16 bytes to 128, then eight steps to each doubling, so that at most one byte in
 * nine of a slot is waste above 128.
 */

#include <stddef.h>
#include <stdint.h>

#define SMALL_MAX ((size_t)32768)   /* the largest slot */
#define TABLE_MAX ((size_t)1024)    /* the largest request that the thread's table serves at once */
#define TABLE_COUNT (TABLE_MAX / 8 + 1)
#define CLASS_COUNT 73
#define CLASS_EXACT 9 /* classes up to 128 bytes */

/* The class of a request of 1 … SMALL_MAX bytes; 0 is served as 1. */
static inline unsigned class_of(size_t size)
{
    if (size <= 128) {
        return size <= 8 ? 0 : (unsigned)((size + 15) / 16);
    }
    const unsigned log = 63u - (unsigned)__builtin_clzll((unsigned long long)(size - 1));
    return CLASS_EXACT + (log - 7) * 8 + (unsigned)(((size - 1) >> (log - 3)) & 7);
}

/* Bytes of a slot of the class. */
static inline uint32_t class_size(unsigned index)
{
    if (index < CLASS_EXACT) {
        return index == 0 ? 8 : index * 16;
    }
    const unsigned step = index - CLASS_EXACT;
    return (step % 8 + 9) << (step / 8 + 4);
}

/* The smallest class whose slots hold `size` bytes and all stand at multiples of `alignment`, a power of two: slots
 * start at the base of a unit. CLASS_COUNT when there is none. */
static inline unsigned class_aligned(size_t alignment, size_t size)
{
    if (size > SMALL_MAX || alignment > SMALL_MAX) {
        return CLASS_COUNT;
    }
    const size_t need = ((size == 0 ? 1 : size) + alignment - 1) & ~(alignment - 1);
    unsigned index = need <= SMALL_MAX ? class_of(need) : CLASS_COUNT;
    while (index < CLASS_COUNT && class_size(index) % alignment != 0) {
        index++;
    }
    return index;
}

#endif
