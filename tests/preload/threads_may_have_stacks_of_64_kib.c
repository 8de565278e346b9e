/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <pthread.h>

/* Static TLS is taken from each thread's stack, and so is what a call needs: neither may be large. */

#define THREADS 200

static pthread_barrier_t barrier;

static void *work(void *context)
{
    uint64_t state = (uint64_t)(uintptr_t)context;
    void *blocks[100] = {0};
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 3000; i++) {
        const size_t slot = random_between(&state, 0, 99);
        free(blocks[slot]);
        const size_t size = random_between(&state, 1, (size_t)1 << random_between(&state, 0, 20));
        blocks[slot] = i % 3 == 0   ? aligned_alloc(4096, size)
                       : i % 3 == 1 ? calloc(1, size)
                                    : realloc(NULL, size);
        CHECK(blocks[slot] != NULL, "%zu bytes", size);
    }
    for (size_t i = 0; i < 100; i++) {
        free(blocks[i]);
    }
    /* All are alive at once, and end together. */
    pthread_barrier_wait(&barrier);
    return NULL;
}

static void run(size_t stack_size, size_t count)
{
    pthread_attr_t attributes;
    pthread_t threads[THREADS];
    CHECK(pthread_attr_init(&attributes) == 0, "pthread_attr_init");
    CHECK(pthread_attr_setstacksize(&attributes, stack_size) == 0, "stacks of %zu", stack_size);
    CHECK(pthread_barrier_init(&barrier, NULL, (unsigned)count) == 0, "pthread_barrier_init");
    for (size_t i = 0; i < count; i++) {
        CHECK(pthread_create(&threads[i], &attributes, work, (void *)i) == 0, "pthread_create");
    }
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_attr_destroy(&attributes);
}

int main(void)
{
    run(64 * KIB, THREADS);
    /* The least that POSIX has, where glibc's own calls barely fit. */
    run((size_t)sysconf(_SC_THREAD_STACK_MIN), 20);
    return 0;
}
