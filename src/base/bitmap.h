/* SPDX-License-Identifier: MIT */
#ifndef TARN_BASE_BITMAP_H
#define TARN_BASE_BITMAP_H

#include "base/bits.h"

/*
 * A bitmap that finds its set bits without a scan:
 *
 *     levels[2]    1                               a bit for each word below that is not 0
 *     levels[1]    1   0   1   1                   the same
 *     levels[0]    ....                            the bits
 *
 * Bits are opened in order, and are 0 then: words are not written before. So a map over fresh memory touches as much of
 * it as has been opened.
 *
 * Every function takes time in proportion to the levels, of which each has 64 times as many bits as the one above.
 */

enum { BASE_BITMAP_LEVELS = 6 };

typedef struct base_bitmap {
    uint64_t *levels[BASE_BITMAP_LEVELS];
    size_t opened;  /* bits */
    unsigned depth; /* levels in use, at least 1; the highest is one word */
} base_bitmap;

static inline size_t base_bitmap_words_for(size_t bits)
{
    return bits / 64 + (bits % 64 != 0);
}

/* Words of memory for a map of `count` bits, at least 1 and at most 2^36. */
static inline size_t base_bitmap_words(size_t count)
{
    size_t sum = 0;
    do {
        count = base_bitmap_words_for(count);
        sum += count;
    } while (count > 1);
    return sum;
}

/* A map of `count` bits over that much memory, which is not touched; no bit is open. */
static inline void base_bitmap_init(base_bitmap *map, uint64_t *memory, size_t count)
{
    map->opened = 0;
    map->depth = 0;
    do {
        count = base_bitmap_words_for(count);
        map->levels[map->depth++] = memory;
        memory += count;
    } while (count > 1);
}

/* Opens the bits up to `end`. */
static inline void base_bitmap_open(base_bitmap *map, size_t end)
{
    size_t from = map->opened;
    map->opened = end;
    for (unsigned level = 0; level < map->depth; level++) {
        from = base_bitmap_words_for(from);
        end = base_bitmap_words_for(end);
        for (size_t word = from; word < end; word++) {
            map->levels[level][word] = 0;
        }
    }
}

/* Closes all bits again. */
static inline void base_bitmap_close(base_bitmap *map)
{
    map->opened = 0;
}

static inline bool base_bitmap_test(const base_bitmap *map, size_t bit)
{
    return (map->levels[0][bit / 64] >> bit % 64 & 1) != 0;
}

/* A word of the bits is no longer 0. */
static inline void base_bitmap_note_used(base_bitmap *map, size_t word)
{
    for (unsigned level = 1; level < map->depth; level++, word /= 64) {
        uint64_t *above = &map->levels[level][word / 64];
        const uint64_t before = *above;
        *above = before | UINT64_C(1) << word % 64;
        if (before != 0) {
            return;
        }
    }
}

static inline void base_bitmap_set(base_bitmap *map, size_t bit)
{
    uint64_t *word = &map->levels[0][bit / 64];
    const uint64_t before = *word;
    *word = before | UINT64_C(1) << bit % 64;
    if (before == 0) {
        base_bitmap_note_used(map, bit / 64);
    }
}

/* A word of the bits has become 0. */
static inline void base_bitmap_note_empty(base_bitmap *map, size_t word)
{
    for (unsigned level = 1; level < map->depth; level++, word /= 64) {
        uint64_t *above = &map->levels[level][word / 64];
        *above &= ~(UINT64_C(1) << word % 64);
        if (*above != 0) {
            return;
        }
    }
}

static inline void base_bitmap_clear(base_bitmap *map, size_t bit)
{
    uint64_t *word = &map->levels[0][bit / 64];
    *word &= ~(UINT64_C(1) << bit % 64);
    if (*word == 0) {
        base_bitmap_note_empty(map, bit / 64);
    }
}

/* The first word of the bits that is not 0; there is one. */
static inline size_t base_bitmap_first_word(const base_bitmap *map)
{
    size_t at = 0;
    for (unsigned level = map->depth - 1; level > 0; level--) {
        at = at * 64 + base_ctz(map->levels[level][at]);
    }
    return at;
}

/* The first set bit at or after `from`, or `none`. */
static inline size_t base_bitmap_next(const base_bitmap *map, size_t from, size_t none)
{
    size_t end = map->opened;
    for (unsigned level = 0; level < map->depth && from < end; level++) {
        const uint64_t word = map->levels[level][from / 64] >> from % 64;
        if (word != 0) {
            from += base_ctz(word);
            while (level-- > 0) {
                from = from * 64 + base_ctz(map->levels[level][from]);
            }
            return from;
        }
        from = from / 64 + 1;
        end = base_bitmap_words_for(end);
    }
    return none;
}

#endif
