/* SPDX-License-Identifier: MIT */

/*
 * One thread allocates, another frees: `relay steady|burst`.
 *
 * steady  both run at once, a bounded ring between them
 * burst   the first fills the ring, then the second empties it, and so on; each burst has blocks of
 *         other sizes, so what one burst has freed must serve the next
 *
 * Prints blocks per second, the peak of live bytes (asked for and not yet freed) and of resident
 * memory, seen from inside as often as the work allows.
 */

#include "../workloads/work.h"
#include "resident.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

enum {
    RING = 1 << 17,
    PUBLISH = 128, /* blocks that are passed on at a time */
    LOOK = 1 << 14,
    STEADY_BLOCKS = 6000000,
    BURSTS = 24
};

/* The counters on cache lines of their own: each is written by one thread. */
static struct ring {
    _Alignas(64) atomic_size_t put;   /* blocks ever put */
    _Alignas(64) atomic_size_t taken; /* blocks ever taken */
    atomic_size_t taken_bytes;
    _Alignas(64) void *blocks[RING];
    uint32_t sizes[RING];
} ring;

static size_t total;    /* blocks to relay */
static size_t slack;    /* room, or blocks, that a side waits for before it goes on */
static uint64_t stamps; /* sum of what the consumer has read */
static long peak_resident;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void look(void)
{
    const long kib = resident_kib_soon();
    if (kib > peak_resident) {
        peak_resident = kib;
    }
}

static void *consume(void *unused)
{
    size_t bytes = 0;
    for (size_t taken = 0; taken < total;) {
        const size_t put = atomic_load_explicit(&ring.put, memory_order_acquire);
        if (put - taken < slack && put < total) {
            sched_yield();
            continue;
        }
        for (; taken < put; taken++) {
            const uint32_t size = ring.sizes[taken % RING];
            stamps += work_read(ring.blocks[taken % RING], size);
            free(ring.blocks[taken % RING]);
            bytes += size;
            if ((taken + 1) % PUBLISH == 0 || taken + 1 == put) {
                atomic_store_explicit(&ring.taken_bytes, bytes, memory_order_relaxed);
                atomic_store_explicit(&ring.taken, taken + 1, memory_order_release);
            }
        }
    }
    return unused;
}

/* Sizes of the burst that the block belongs to: each burst spans two doublings, from small to
 * large and over again. */
static uint32_t draw_size(work_random *random, size_t block, int bursts)
{
    if (!bursts) {
        return work_size(random, 16, 1024);
    }
    const uint32_t low = 16u << (block / RING % 5);
    return work_size(random, low, low * 4 - 1);
}

/* Returns the peak of live bytes. */
static size_t produce(uint64_t seed, int bursts)
{
    work_random random = {work_mix(seed)};
    size_t bytes = 0;
    size_t peak = 0;
    for (size_t put = 0; put < total;) {
        const size_t taken = atomic_load_explicit(&ring.taken, memory_order_acquire);
        if (RING - (put - taken) < slack) {
            sched_yield();
            continue;
        }
        const size_t end = put + slack < total ? put + slack : total;
        for (; put < end; put++) {
            const uint32_t size = draw_size(&random, put, bursts);
            void *block = work_got(malloc(size));
            work_write(block, size, work_next(&random));
            ring.blocks[put % RING] = block;
            ring.sizes[put % RING] = size;
            bytes += size;
            if (put % LOOK == 0) {
                look();
            }
        }
        const size_t live = bytes - atomic_load_explicit(&ring.taken_bytes, memory_order_relaxed);
        peak = live > peak ? live : peak;
        if (bursts) {
            look();
        }
        atomic_store_explicit(&ring.put, put, memory_order_release);
    }
    return peak;
}

int main(int argc, char **argv)
{
    const int bursts = argc > 1 && strcmp(argv[1], "burst") == 0;
    if (!bursts && (argc < 2 || strcmp(argv[1], "steady") != 0)) {
        work_fail("usage: relay steady|burst [SEED]");
    }
    total = bursts ? (size_t)BURSTS * RING : STEADY_BLOCKS;
    slack = bursts ? RING : PUBLISH;
    const double start = seconds();
    pthread_t consumer;
    if (pthread_create(&consumer, NULL, consume, NULL) != 0) {
        work_fail("cannot start a thread");
    }
    const size_t peak = produce(work_seed(argc, argv, 2), bursts);
    pthread_join(consumer, NULL);
    const double elapsed = seconds() - start;
    look();
    printf("blocks_per_second %.0f\nlive_peak_kib %zu\nresident_peak_kib %ld\n",
           (double)total / elapsed, peak / 1024, peak_resident);
    work_report(total * 2, stamps);
    return EXIT_SUCCESS;
}
