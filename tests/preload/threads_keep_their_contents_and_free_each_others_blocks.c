/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <malloc.h>
#include <pthread.h>

/* Threads take a block out of a random slot of a shared table, check what the one who filled it promised, free or
 * resize it, and put another one there. */

#define THREADS 8
#define SLOTS 1024
#define STEPS 60000

struct slot {
    pthread_mutex_t mutex;
    unsigned char *block;
    size_t size;
    uint64_t tag;
};

static struct slot slots[SLOTS];
static uint64_t seed;

static unsigned char *allocate(uint64_t *state, size_t size)
{
    void *block = NULL;
    switch (random_between(state, 0, 5)) {
    case 0:
        block = calloc(1, size);
        CHECK(block != NULL && is_zero(block, size), "calloc(1, %zu)", size);
        return block;
    case 1:
        block = aligned_alloc((size_t)8 << random_between(state, 0, 10), size);
        CHECK(block != NULL, "aligned_alloc of %zu", size);
        return block;
    case 2:
        CHECK(posix_memalign(&block, (size_t)16 << random_between(state, 0, 8), size) == 0,
              "posix_memalign of %zu", size);
        return block;
    default:
        block = malloc(size);
        CHECK(block != NULL, "malloc(%zu)", size);
        return block;
    }
}

static void *work(void *context)
{
    uint64_t state = seed + (uint64_t)(uintptr_t)context * 7919;
    free_sized_function *free_sized = find_free_sized();
    for (int step = 0; step < STEPS; step++) {
        struct slot *slot = &slots[random_between(&state, 0, SLOTS - 1)];
        const size_t shift = random_between(&state, 0, 99) < 98 ? random_between(&state, 2, 12)
                                                                : random_between(&state, 12, 20);
        const size_t size = random_between(&state, 1, (size_t)1 << shift);
        unsigned char *fresh = allocate(&state, size);
        CHECK(malloc_usable_size(fresh) >= size, "room of %zu", size);
        const uint64_t tag = random_next(&state);
        fill(fresh, size, tag);

        pthread_mutex_lock(&slot->mutex);
        unsigned char *old = slot->block;
        const size_t old_size = slot->size;
        const uint64_t old_tag = slot->tag;
        slot->block = fresh;
        slot->size = size;
        slot->tag = tag;
        pthread_mutex_unlock(&slot->mutex);
        if (old == NULL) {
            continue;
        }
        CHECK(is_filled(old, old_size, old_tag), "%zu bytes at %p changed", old_size, (void *)old);
        if (random_between(&state, 0, 3) == 0) {
            const size_t grown = old_size + random_between(&state, 0, old_size);
            old = realloc(old, grown);
            CHECK(old != NULL && is_filled(old, old_size, old_tag), "realloc from %zu to %zu",
                  old_size, grown);
            free(old);
        } else {
            memset(old, 0xdd, old_size);
            free(old);
        }
        /* malloc's blocks may go back with their size. */
        void *sized = malloc(size);
        CHECK(sized != NULL, "malloc(%zu)", size);
        free_sized(sized, size);
    }
    return NULL;
}

int main(void)
{
    seed = random_seed();
    for (size_t i = 0; i < SLOTS; i++) {
        pthread_mutex_init(&slots[i].mutex, NULL);
    }
    /* Twice, so that the second threads meet what the first ones left behind. */
    for (int round = 0; round < 2; round++) {
        pthread_t threads[THREADS];
        for (size_t i = 0; i < THREADS; i++) {
            CHECK(pthread_create(&threads[i], NULL, work, (void *)(i + 1)) == 0, "pthread_create");
        }
        for (size_t i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
        }
    }
    for (size_t i = 0; i < SLOTS; i++) {
        CHECK(slots[i].block == NULL || is_filled(slots[i].block, slots[i].size, slots[i].tag),
              "slot %zu changed", i);
        free(slots[i].block);
    }
    return 0;
}
