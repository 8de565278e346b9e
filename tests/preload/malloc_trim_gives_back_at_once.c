/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <malloc.h>
#include <pthread.h>

#define BLOCKS 400000

static void **blocks;

static void *allocate(void *context)
{
    const size_t size = (size_t)(uintptr_t)context;
    const size_t count = 100 * MIB / size < BLOCKS ? 100 * MIB / size : BLOCKS;
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL, "malloc(%zu)", size);
        memset(blocks[i], 1, size);
    }
    return (void *)(uintptr_t)count;
}

int main(void)
{
    blocks = outside_memory(BLOCKS * sizeof *blocks);
    memset(blocks, 1, BLOCKS * sizeof *blocks);
    malloc_trim(0);
    const size_t before = resident();
    const size_t sizes[] = {256, 3000, 20000, 50000, 700000, 5 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] * 2; i++) {
        /* Every second time the blocks come from a thread that ended. */
        void *context = (void *)(uintptr_t)sizes[i / 2];
        void *count = NULL;
        if (i % 2 == 0) {
            count = allocate(context);
        } else {
            pthread_t thread;
            CHECK(pthread_create(&thread, NULL, allocate, context) == 0, "pthread_create");
            pthread_join(thread, &count);
        }
        CHECK(resident() > before + 90 * MIB, "only %zu bytes resident", resident());
        for (size_t j = 0; j < (size_t)(uintptr_t)count; j++) {
            free(blocks[j]);
        }
        malloc_trim(0);
        const size_t now = resident();
        CHECK(now < before + 4 * MIB, "%zu KiB stay resident from blocks of %zu bytes",
              (now - before) / KIB, sizes[i / 2]);
    }
    /* 1 when memory went back, 0 when there was none to give. */
    void *block = malloc(20 * MIB);
    CHECK(block != NULL, "malloc");
    memset(block, 1, 20 * MIB);
    free(block);
    const int first = malloc_trim(0);
    const int second = malloc_trim(0);
    CHECK((first == 0 || first == 1) && second == 0, "malloc_trim gave %d, then %d", first, second);
    return 0;
}
