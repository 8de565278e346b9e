/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

/* A large calloc touches nothing, and realloc moves its pages, not its bytes: resident memory stays what the
 * program touched itself. */

#define SLACK (8 * MIB)

int main(void)
{
    const size_t before = resident();
    unsigned char *block = calloc(2, GIB);
    CHECK(block != NULL, "calloc of 2 GiB");
    CHECK(resident() < before + SLACK, "calloc touched %zu bytes", resident() - before);
    for (size_t i = 0; i < 2 * GIB; i += 64 * MIB) {
        CHECK(block[i] == 0, "byte %zu is not zero", i);
        block[i] = (unsigned char)(i / (64 * MIB) + 1);
    }
    block[2 * GIB - 1] = 77;
    const double start = seconds_now();
    for (size_t size = 4 * GIB; size <= 16 * GIB; size *= 2) {
        /* Something in the way, so that it has to move. */
        unsigned char *other = malloc(64 * MIB);
        CHECK(other != NULL, "malloc");
        block = realloc(block, size);
        CHECK(block != NULL, "realloc to %zu", size);
        CHECK(resident() < before + SLACK, "realloc to %zu touched %zu bytes", size,
              resident() - before);
        CHECK(peak_resident() < before + 2 * SLACK, "realloc to %zu touched %zu bytes for a moment",
              size, peak_resident() - before);
        block[size - 1] = 1;
        free(other);
    }
    CHECK(seconds_now() - start < 1.0, "realloc took %.1f s", seconds_now() - start);
    for (size_t i = 0; i < 2 * GIB; i += 64 * MIB) {
        CHECK(block[i] == (unsigned char)(i / (64 * MIB) + 1), "byte %zu changed", i);
    }
    CHECK(block[2 * GIB - 1] == 77, "the last byte changed");
    /* Shrinking gives the tail back. */
    memset(block + GIB, 1, 64 * MIB);
    block = realloc(block, GIB);
    CHECK(block != NULL && block[64 * MIB] == 2, "realloc to 1 GiB");
    CHECK(resident() < before + SLACK, "shrinking kept %zu bytes", resident() - before);
    CHECK(address_space() < 3 * GIB, "shrinking kept %zu bytes of address space", address_space());
    free(block);
    CHECK(address_space() < GIB, "free kept %zu bytes of address space", address_space());

    /* Down to the small and up again. */
    block = malloc(300 * MIB);
    CHECK(block != NULL, "malloc");
    fill(block, 100, 5);
    block = realloc(block, 100);
    CHECK(block != NULL && is_filled(block, 100, 5), "realloc from 300 MiB to 100 bytes");
    block = realloc(block, 300 * MIB);
    CHECK(block != NULL && is_filled(block, 100, 5), "realloc from 100 bytes to 300 MiB");
    free(block);
    return 0;
}
