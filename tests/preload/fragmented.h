/* SPDX-License-Identifier: MIT */
#ifndef TARN_TESTS_FRAGMENTED_H
#define TARN_TESTS_FRAGMENTED_H

/*
 * A heap that is worth compacting: many small blocks, of which one in ten is left, at random. What is known of them is
 * outside of the heap.
 */

#include "preload_test.h"

#define FRAGMENTED_LOW 16 /* bytes */
#define FRAGMENTED_HIGH 512

typedef struct fragment {
    unsigned char *block; /* NULL: freed */
    size_t size;
    uint64_t tag;
} fragment;

static inline fragment *fragmented_make(size_t count, uint64_t *random)
{
    fragment *fragments = outside_memory(count * sizeof *fragments);
    for (size_t i = 0; i < count; i++) {
        const size_t size = random_between(random, FRAGMENTED_LOW, FRAGMENTED_HIGH);
        fragments[i] = (fragment){malloc(size), size, random_next(random)};
        CHECK(fragments[i].block != NULL, "malloc(%zu)", size);
        fill(fragments[i].block, size, fragments[i].tag);
    }
    for (size_t i = 0; i < count; i++) {
        if (random_between(random, 0, 9) != 0) {
            free(fragments[i].block);
            fragments[i].block = NULL;
        }
    }
    return fragments;
}

/* Checks what is left, and writes it anew. */
static inline void fragmented_check(fragment *fragments, size_t count, const char *when)
{
    for (size_t i = 0; i < count; i++) {
        fragment *one = &fragments[i];
        if (one->block != NULL) {
            CHECK(is_filled(one->block, one->size, one->tag), "%s: %zu bytes at %p changed", when,
                  one->size, (void *)one->block);
            one->tag++;
            fill(one->block, one->size, one->tag);
        }
    }
}

static inline void fragmented_drop(fragment *fragments, size_t count)
{
    fragmented_check(fragments, count, "at the end");
    for (size_t i = 0; i < count; i++) {
        CHECK(fragments[i].block == NULL ||
                  is_filled(fragments[i].block, fragments[i].size, fragments[i].tag),
              "%zu bytes at %p changed at once", fragments[i].size, (void *)fragments[i].block);
        free(fragments[i].block);
    }
    munmap(fragments, count * sizeof *fragments);
}

#endif
