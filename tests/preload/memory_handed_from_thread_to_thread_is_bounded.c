/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

/* One thread allocates, another frees, for ever: resident memory stays within one and a half times the live
 * peak and 8 MiB. Once with little alive, once with much, once with larger blocks. */

#define RING 65536

static void *ring[RING];
static _Atomic(size_t) produced;
static _Atomic(size_t) consumed;
static _Atomic(size_t) live;
static _Atomic(size_t) peak;
static size_t sizes[RING];
static size_t depth;
static size_t largest;
static size_t total;

static void *produce(void *context)
{
    uint64_t state = 1;
    for (size_t i = 0; i < total; i++) {
        while (i - consumed >= depth) {
            sched_yield();
        }
        const size_t size = random_between(&state, 16, largest);
        unsigned char *block = malloc(size);
        CHECK(block != NULL, "malloc");
        memset(block, 1, size);
        const size_t now = atomic_fetch_add(&live, size) + size;
        if (now > peak) {
            peak = now;
        }
        ring[i % RING] = block;
        sizes[i % RING] = size;
        produced = i + 1;
    }
    return context;
}

static void *consume(void *context)
{
    for (size_t i = 0; i < total; i++) {
        while (produced == i) {
            sched_yield();
        }
        const size_t size = sizes[i % RING];
        free(ring[i % RING]);
        live -= size;
        consumed = i + 1;
    }
    return context;
}

static void run(size_t of_depth, size_t of_largest, size_t of_total)
{
    depth = of_depth;
    largest = of_largest;
    total = of_total;
    produced = 0;
    consumed = 0;
    peak = 0;
    live = 0;
    pthread_t producer;
    pthread_t consumer;
    CHECK(pthread_create(&producer, NULL, produce, NULL) == 0, "pthread_create");
    CHECK(pthread_create(&consumer, NULL, consume, NULL) == 0, "pthread_create");
    pthread_join(producer, NULL);
    pthread_join(consumer, NULL);
}

static void expect_bounded(size_t of_depth, size_t of_largest, size_t of_total)
{
    const pid_t child = fork();
    if (child == 0) {
        run(of_depth, of_largest, of_total);
        const size_t bound = peak + peak / 2 + 8 * MIB;
        dprintf(STDOUT_FILENO, "blocks to %zu bytes: live peak %zu KiB, resident peak %zu KiB\n",
                of_largest, peak / KIB, peak_resident() / KIB);
        CHECK(peak_resident() <= bound, "resident peak %zu KiB, allowed %zu KiB",
              peak_resident() / KIB, bound / KIB);
        exit(0);
    }
    expect_child_passes(child, "producer and consumer");
}

int main(void)
{
    expect_bounded(100, 1000, 1000000);
    expect_bounded(RING - 1, 1000, 1000000);
    expect_bounded(5000, 10000, 300000);
    expect_bounded(100, 200000, 20000);
    expect_bounded(8, 4 * MIB, 300);
    return 0;
}
