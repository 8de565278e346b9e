/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

/* C23: free_sized with what malloc, calloc or realloc was asked for; free_aligned_sized with what aligned_alloc was.
 * No right size may be taken for a wrong one, also where a request is rounded up or shrank in place. */

int main(void)
{
    free_sized_function *free_sized = find_free_sized();
    free_aligned_sized_function *free_aligned_sized = find_free_aligned_sized();
    free_sized(NULL, 0);
    free_sized(NULL, 1000);
    free_aligned_sized(NULL, 16, 1000);
    for (size_t size = 0; size < 20 * MIB; size += size < 40000 ? 1 : size / 9) {
        free_sized(malloc(size), size);
        free_sized(calloc(1, size), size);
        free_sized(realloc(NULL, size), size);
        if (size % 7 == 0) {
            void *block = realloc(malloc(size + size / 8 + 5), size + 1);
            CHECK(block != NULL, "realloc");
            free_sized(block, size + 1);
            block = realloc(malloc(size + 1), size + size / 8 + 5);
            CHECK(block != NULL, "realloc");
            free_sized(block, size + size / 8 + 5);
            block = realloc(malloc(size + 1), size / 3 + 1);
            CHECK(block != NULL, "realloc");
            free_sized(block, size / 3 + 1);
        }
        if (size % 61 == 0 || size > 40000) {
            for (size_t alignment = 1; alignment <= MIB; alignment *= 2) {
                void *block = aligned_alloc(alignment, size);
                CHECK(block != NULL, "aligned_alloc(%zu, %zu)", alignment, size);
                free_aligned_sized(block, alignment, size);
            }
        }
    }
    /* They do free. */
    for (int i = 0; i < 2000; i++) {
        void *block = malloc(MIB);
        CHECK(block != NULL, "malloc");
        memset(block, 1, MIB);
        free_sized(block, MIB);
        block = aligned_alloc(4096, 30000);
        CHECK(block != NULL, "aligned_alloc");
        memset(block, 1, 30000);
        free_aligned_sized(block, 4096, 30000);
    }
    CHECK(resident() < 256 * MIB, "%zu KiB are resident", resident() / KIB);
    return 0;
}
