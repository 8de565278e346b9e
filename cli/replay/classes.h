/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPLAY_CLASSES_H
#define TARN_CLI_REPLAY_CLASSES_H

/*
 * Classes of sizes: each multiple of 16 up to 128 bytes, and eight for each power of two above, so
 * that a block is at most an eighth larger than what was asked for. They say how many partitions of
 * which size a trace needs, and which pools.
 */

#include <stddef.h>
#include <stdint.h>

enum {
    REPLAY_CLASS_STEP = 16,
    REPLAY_CLASS_EQUAL = 8, /* classes up to 128 bytes */
    REPLAY_CLASS_COUNT = REPLAY_CLASS_EQUAL + (48 - 7) * 8
};

/* The class of `size`, which is below 2^48. */
static inline unsigned replay_class_of(uint64_t size)
{
    if (size <= (uint64_t)REPLAY_CLASS_STEP * REPLAY_CLASS_EQUAL) {
        return size == 0 ? 0 : (unsigned)((size - 1) / REPLAY_CLASS_STEP);
    }
    const unsigned log2 = 63u - (unsigned)__builtin_clzll(size - 1);
    return REPLAY_CLASS_EQUAL + (log2 - 7) * 8 + (unsigned)((size - 1) >> (log2 - 3) & 7);
}

/* Bytes of the largest size of the class. */
static inline uint64_t replay_class_size(unsigned number)
{
    if (number < REPLAY_CLASS_EQUAL) {
        return (uint64_t)(number + 1) * REPLAY_CLASS_STEP;
    }
    const unsigned log2 = 7 + (number - REPLAY_CLASS_EQUAL) / 8;
    const uint64_t steps = 8 + (number - REPLAY_CLASS_EQUAL) % 8 + 1;
    return steps << (log2 - 3);
}

#endif
