/* SPDX-License-Identifier: MIT */
#ifndef TARN_MOVABLE_IMAGE_H
#define TARN_MOVABLE_IMAGE_H

/*
 * What an image begins with, and its checksums; see image.c.
 */

#include "movable/core.h"

#define IMAGE_PIECE_WORDS 2048
#define IMAGE_MAGIC UINT64_C(0x65676d496e726154) /* "TarnImge" where bytes are little-endian */
#define IMAGE_ORDER UINT32_C(0x01020304)

typedef struct image_preface {
    uint64_t magic;
    uint32_t order;
    uint32_t version;
    uint32_t word_size;
    uint32_t alignment; /* of the most aligned block, bytes */
    uint32_t first;     /* FIRST_PLACE */
    uint32_t end;
    uint32_t count;
    uint32_t generation;
    uint64_t root;
    uint64_t reserved; /* 0 */
    uint64_t hash;     /* of the words before */
} image_preface;

#define IMAGE_PREFACE_WORDS (sizeof(image_preface) / sizeof(movable_word))

/* Every step is a bijection of the state, and of the word: a change of one word always changes the hash. */
static inline uint64_t image_hash(uint64_t seed, const movable_word *words, size_t count)
{
    uint64_t hash = seed;
    for (size_t i = 0; i < count; i++) {
        hash = (hash ^ words[i]) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 32;
    }
    return hash;
}

static inline uint64_t image_preface_hash(const image_preface *preface)
{
    return image_hash(IMAGE_MAGIC, (const movable_word *)(const void *)preface,
                      IMAGE_PREFACE_WORDS - 1);
}

#endif
