/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <malloc.h>

#define SMALL_MAX (32 * KIB)

static void check_block(unsigned char *block, size_t size, const char *who)
{
    CHECK(block != NULL, "%s(%zu)", who, size);
    const size_t alignment = size <= 8 ? 8 : 16;
    CHECK((uintptr_t)block % alignment == 0, "%s(%zu) at %p", who, size, (void *)block);
    const size_t room = malloc_usable_size(block);
    CHECK(room >= size, "%s(%zu) has room for %zu", who, size, room);
    /* At most an eighth is waste, above 128 bytes. */
    CHECK(size <= 128 || room - size <= room / 8, "%s(%zu) wastes %zu", who, size, room - size);
}

/* All of the room is the program's to write, and nobody else's. */
static void check_room(size_t size)
{
    unsigned char *blocks[3];
    size_t rooms[3];
    for (size_t i = 0; i < 3; i++) {
        blocks[i] = malloc(size);
        check_block(blocks[i], size, "malloc");
        rooms[i] = malloc_usable_size(blocks[i]);
        fill(blocks[i], rooms[i], size + i);
    }
    for (size_t i = 0; i < 3; i++) {
        CHECK(is_filled(blocks[i], rooms[i], size + i), "blocks of %zu bytes overlap", size);
        CHECK(malloc_usable_size(blocks[i]) == rooms[i], "the room of %zu bytes changed", size);
        free(blocks[i]);
    }
}

int main(void)
{
    for (size_t size = 0; size <= SMALL_MAX + 10; size += size < 1100 ? 1 : 61) {
        check_room(size);
        unsigned char *block = calloc(1, size);
        check_block(block, size, "calloc");
        block = realloc(block, size + 1);
        check_block(block, size + 1, "realloc");
        free(block);
    }
    for (size_t size = SMALL_MAX; size < 3 * MIB; size += size / 7 + 4001) {
        check_room(size);
    }
    for (size_t power = 64 * KIB; power <= 64 * MIB; power *= 2) {
        check_room(power - 1);
        check_room(power);
        check_room(power + 1);
    }
    CHECK(malloc_usable_size(NULL) == 0, "the room of NULL is %zu", malloc_usable_size(NULL));
    return 0;
}
