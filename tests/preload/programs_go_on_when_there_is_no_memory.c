/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <malloc.h>
#include <pthread.h>

/* With no address space left every call says NULL and ENOMEM, keeps the old block, and recovers by itself. Threads
 * that never allocated before meet it too, at their first call. */

#define THREADS 4
#define BLOCKS 200

static pthread_barrier_t barrier;
static unsigned refused;

static void expect_refused(void)
{
    const size_t size = opaque_size(64 * MIB);
    void *pointer = &refused;
    errno = 0;
    CHECK(malloc(size) == NULL && errno == ENOMEM, "malloc");
    errno = 0;
    CHECK(calloc(1, size) == NULL && errno == ENOMEM, "calloc");
    errno = 0;
    CHECK(realloc(NULL, size) == NULL && errno == ENOMEM, "realloc");
    errno = 0;
    CHECK(reallocarray(NULL, size, 1) == NULL && errno == ENOMEM, "reallocarray");
    errno = 0;
    CHECK(aligned_alloc(64, size) == NULL && errno == ENOMEM, "aligned_alloc");
    errno = 0;
    CHECK(memalign(64, size) == NULL && errno == ENOMEM, "memalign");
    errno = 0;
    CHECK(valloc(size) == NULL && errno == ENOMEM, "valloc");
    errno = 0;
    CHECK(pvalloc(size) == NULL && errno == ENOMEM, "pvalloc");
    CHECK(posix_memalign(&pointer, 64, size) == ENOMEM && pointer == &refused, "posix_memalign");
    /* The room to find that alignment in may be too much; the page itself may be had all the same. */
    errno = 0;
    void *aligned = aligned_alloc(GIB, 100);
    CHECK(aligned == NULL ? errno == ENOMEM : (uintptr_t)aligned % GIB == 0,
          "aligned_alloc(1 GiB, 100) gave %p", aligned);
    free(aligned);
}

static void expect_old_block_kept(size_t size)
{
    unsigned char *block = malloc(size);
    CHECK(block != NULL, "malloc(%zu)", size);
    fill(block, size, size);
    limit_address_space(address_space() + MIB / 2);
    const size_t larger[] = {opaque_size(size + 64 * MIB), opaque_size(size * 2 + 32 * MIB)};
    for (size_t i = 0; i < 2; i++) {
        errno = 0;
        CHECK(realloc(opaque(block), larger[i]) == NULL && errno == ENOMEM, "realloc %zu to %zu",
              size, larger[i]);
        errno = 0;
        CHECK(reallocarray(opaque(block), larger[i], 1) == NULL && errno == ENOMEM,
              "reallocarray %zu to %zu", size, larger[i]);
        CHECK(is_filled(block, size, size), "a refused realloc touched the block of %zu", size);
        CHECK(malloc_usable_size(block) >= size, "a refused realloc changed the room");
    }
    expect_refused();
    /* Smaller can always be had. */
    block = realloc(block, size / 2 + 1);
    CHECK(block != NULL, "realloc %zu to half", size);
    CHECK(is_filled(block, size / 2 + 1, size), "shrinking changed the block of %zu", size);
    unlimit_address_space();
    block = realloc(block, size + 64 * MIB);
    CHECK(block != NULL && is_filled(block, size / 2 + 1, size),
          "realloc of %zu once there is memory", size);
    free(block);
}

static void *first_call(void *context)
{
    void *blocks[BLOCKS];
    uint64_t state = (uint64_t)(uintptr_t)context;
    pthread_barrier_wait(&barrier);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < BLOCKS; i++) {
            const size_t size = random_between(&state, 1, 30000);
            errno = 0;
            blocks[i] = i % 3 == 0   ? calloc(1, size)
                        : i % 3 == 1 ? malloc(size)
                                     : memalign(256, size);
            if (blocks[i] == NULL) {
                CHECK(errno == ENOMEM, "a thread's first call");
                CHECK(round == 0, "no %zu bytes though there is memory again", size);
                __atomic_add_fetch(&refused, 1, __ATOMIC_RELAXED);
            } else {
                memset(blocks[i], 1, size);
            }
        }
        for (size_t i = 0; i < BLOCKS; i++) {
            free(blocks[i]);
        }
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void expect_threads_served_late(void)
{
    pthread_t threads[THREADS];
    CHECK(pthread_barrier_init(&barrier, NULL, THREADS + 1) == 0, "pthread_barrier_init");
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, first_call, (void *)(i + 1)) == 0,
              "pthread_create");
    }
    sleep_ms(100);
    limit_address_space(address_space());
    void *list = NULL;
    for (size_t size = MIB; size >= 16; size /= 2) {
        void **block;
        while ((block = malloc(size)) != NULL) {
            *block = list;
            list = block;
        }
    }
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    CHECK(refused > 0, "threads found memory where there is none");
    while (list != NULL) {
        void **block = list;
        list = *block;
        free(block);
    }
    unlimit_address_space();
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

int main(void)
{
    const size_t sizes[] = {16, 100, 5000, 32768, 40000, 200000, MIB, 5 * MIB, 70 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        expect_old_block_kept(sizes[i]);
    }
    expect_threads_served_late();
    return 0;
}
