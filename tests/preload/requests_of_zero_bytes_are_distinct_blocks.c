/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <malloc.h>

#define COUNT 800

static int by_address(const void *left, const void *right)
{
    const uintptr_t a = *(const uintptr_t *)left;
    const uintptr_t b = *(const uintptr_t *)right;
    return (a > b) - (a < b);
}

int main(void)
{
    static void *blocks[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        void *block = NULL;
        switch (i % 8) {
        case 0:
            block = malloc(opaque_size(0));
            break;
        case 1:
            block = calloc(opaque_size(0), 8);
            break;
        case 2:
            block = calloc(8, opaque_size(0));
            break;
        case 3:
            block = aligned_alloc(64, opaque_size(0));
            break;
        case 4:
            block = memalign(32, opaque_size(0));
            break;
        case 5:
            CHECK(posix_memalign(&block, 128, opaque_size(0)) == 0, "posix_memalign of nothing");
            break;
        case 6:
            block = valloc(opaque_size(0));
            break;
        default:
            block = pvalloc(opaque_size(0));
            break;
        }
        CHECK(block != NULL, "kind %zu gave NULL for nothing", i % 8);
        blocks[i] = block;
    }
    qsort(blocks, COUNT, sizeof blocks[0], by_address);
    for (size_t i = 1; i < COUNT; i++) {
        CHECK(blocks[i] != blocks[i - 1], "%p twice", blocks[i]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        free(blocks[i]);
    }
    return 0;
}
