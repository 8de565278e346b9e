/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#define SLOTS 200
#define STEPS 40000

static size_t random_size(uint64_t *state)
{
    /* Most small, some across the borders of large and huge. */
    const size_t shift = random_between(state, 0, 99) < 97 ? random_between(state, 0, 16)
                                                           : random_between(state, 16, 24);
    return random_between(state, 1, (size_t)1 << shift);
}

/* Checking the whole of every huge block would take the whole time. */
static void check_ends(const unsigned char *block, size_t size, uint64_t tag)
{
    if (size <= 128 * KIB) {
        CHECK(is_filled(block, size, tag), "%zu bytes at %p changed", size, (const void *)block);
        return;
    }
    for (size_t i = 0; i < size; i += i < 4096 || i > size - 4096 ? 1
                                      : i + 4099 > size           ? 7
                                                                  : 4093) {
        CHECK(block[i] == pattern_byte(tag, i), "byte %zu of %zu at %p changed", i, size,
              (const void *)block);
    }
}

int main(void)
{
    static unsigned char *blocks[SLOTS];
    static size_t sizes[SLOTS];
    uint64_t state = random_seed();
    for (int step = 0; step < STEPS; step++) {
        const size_t slot = random_between(&state, 0, SLOTS - 1);
        const size_t size = random_size(&state);
        const size_t kept = size < sizes[slot] ? size : sizes[slot];
        unsigned char *block = random_between(&state, 0, 1) == 0
                                   ? realloc(blocks[slot], size)
                                   : reallocarray(blocks[slot], 1, size);
        CHECK(block != NULL, "realloc to %zu", size);
        check_ends(block, kept, slot);
        for (size_t i = kept; i < size; i++) {
            block[i] = pattern_byte(slot, i);
        }
        blocks[slot] = block;
        sizes[slot] = size;
        if (random_between(&state, 0, 15) == 0) {
            check_ends(blocks[slot], sizes[slot], slot);
            free(blocks[slot]);
            blocks[slot] = NULL;
            sizes[slot] = 0;
        }
    }
    for (size_t i = 0; i < SLOTS; i++) {
        check_ends(blocks[i], sizes[i], i);
        free(blocks[i]);
    }

    /* Growth by little steps, as of a string that is appended to. */
    unsigned char *text = NULL;
    for (size_t size = 1; size < 3 * MIB; size += size / 11 + 1) {
        text = realloc(text, size);
        CHECK(text != NULL, "realloc to %zu", size);
        text[size - 1] = (unsigned char)size;
        CHECK(text[0] == 1, "the first byte is lost at %zu", size);
    }
    for (size_t size = 3 * MIB; size > 0; size -= size / 9 + 1) {
        text = realloc(text, size);
        CHECK(text != NULL && text[0] == 1, "shrinking to %zu", size);
    }
    free(text);
    return 0;
}
