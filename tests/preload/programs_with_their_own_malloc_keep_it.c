/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <pthread.h>

/* A program's own malloc comes before a preloaded one, for libc as well. The library must neither take over half
 * of it nor free through libc's names what it allocated itself. */

static unsigned char pool[64 * MIB] __attribute__((aligned(16)));
static _Atomic(size_t) used;
static _Atomic(size_t) frees;

void *malloc(size_t size)
{
    const size_t room = (size + 31) & ~(size_t)15;
    const size_t at = __atomic_fetch_add(&used, room, __ATOMIC_RELAXED);
    if (at + room > sizeof pool) {
        errno = ENOMEM;
        return NULL;
    }
    memcpy(pool + at, &size, sizeof size);
    return pool + at + 16;
}

void free(void *block)
{
    if (block != NULL) {
        CHECK((unsigned char *)block >= pool && (unsigned char *)block < pool + sizeof pool,
              "%p was never this malloc's", block);
        frees++;
    }
}

void *calloc(size_t count, size_t size)
{
    return malloc(count * size); /* the pool is zero and nothing is used twice */
}

void *realloc(void *block, size_t size)
{
    void *moved = malloc(size);
    if (moved != NULL && block != NULL) {
        size_t old_size;
        memcpy(&old_size, (unsigned char *)block - 16, sizeof old_size);
        memcpy(moved, block, old_size < size ? old_size : size);
    }
    free(block);
    return moved;
}

static void *work(void *context)
{
    for (int i = 0; i < 1000; i++) {
        free(malloc(100));
    }
    return context;
}

int main(void)
{
    CHECK(used > 0 || frees == 0, "frees before the first malloc");
    char *copy = strdup("hello");
    CHECK((unsigned char *)copy >= pool && (unsigned char *)copy < pool + sizeof pool,
          "strdup took from elsewhere");
    free(copy);
    FILE *stream = fopen("/proc/self/maps", "r");
    char *line = NULL;
    size_t room = 0;
    CHECK(stream != NULL && getline(&line, &room, stream) > 0, "getline");
    free(line);
    fclose(stream);
    pthread_t threads[8];
    for (size_t i = 0; i < 8; i++) {
        CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0, "pthread_create");
    }
    for (size_t i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(frees >= 8000, "%zu frees", (size_t)frees);
    return 0;
}
