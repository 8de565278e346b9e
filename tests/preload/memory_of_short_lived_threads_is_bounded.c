/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <pthread.h>

/*
 * 100,000 threads come and go, and others free what they leave: the blocks of a thread pass through a ring, from
 * which two further threads and later threads themselves free them. What dead threads held must serve
 * the living.
 */

#define THREADS 100000
#define AT_ONCE 8
#define BLOCKS 24
#define RING 4096
#define LIVE_MAX ((size_t)RING * 700)

static void *ring[RING];
static _Atomic(bool) done;

static void put(size_t place, void *block)
{
    free(__atomic_exchange_n(&ring[place], block, __ATOMIC_ACQ_REL));
}

static void *short_life(void *context)
{
    uint64_t state = (uint64_t)(uintptr_t)context;
    for (int i = 0; i < BLOCKS; i++) {
        const size_t size = random_between(&state, 1, 1400);
        unsigned char *block = malloc(size);
        CHECK(block != NULL, "malloc");
        block[0] = 1;
        block[size - 1] = 1;
        put(random_between(&state, 0, RING - 1), block);
    }
    return NULL;
}

/* Only ever frees what others allocated. */
static void *freer(void *context)
{
    uint64_t state = (uint64_t)(uintptr_t)context;
    while (!done) {
        for (int i = 0; i < 500; i++) {
            put(random_between(&state, 0, RING - 1), NULL);
        }
        sleep_ms(1);
    }
    return NULL;
}

int main(void)
{
    pthread_attr_t attributes;
    CHECK(pthread_attr_init(&attributes) == 0, "pthread_attr_init");
    CHECK(pthread_attr_setstacksize(&attributes, 64 * KIB) == 0, "pthread_attr_setstacksize");
    pthread_t freers[2];
    for (size_t i = 0; i < 2; i++) {
        CHECK(pthread_create(&freers[i], NULL, freer, (void *)(i + 1)) == 0, "pthread_create");
    }
    size_t most = 0;
    for (size_t i = 0; i < THREADS; i += AT_ONCE) {
        pthread_t threads[AT_ONCE];
        for (size_t j = 0; j < AT_ONCE; j++) {
            CHECK(pthread_create(&threads[j], &attributes, short_life, (void *)(i + j)) == 0,
                  "thread number %zu", i + j);
        }
        for (size_t j = 0; j < AT_ONCE; j++) {
            pthread_join(threads[j], NULL);
        }
        if (i % (AT_ONCE * 500) == 0 && resident() > most) {
            most = resident();
        }
    }
    done = true;
    for (size_t i = 0; i < 2; i++) {
        pthread_join(freers[i], NULL);
    }
    dprintf(STDOUT_FILENO, "at most %zu KiB resident\n", most / KIB);
    CHECK(most < LIVE_MAX * 3 / 2 + 16 * MIB, "%zu bytes resident, %zu live at most", most,
          LIVE_MAX);
    CHECK(address_space() < 512 * MIB, "%zu bytes of address space", address_space());
    return 0;
}
