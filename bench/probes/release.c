/* SPDX-License-Identifier: MIT */

/*
 * A million blocks of 16 to 512 bytes, freed, and then not one more call:
 * `release all|thread|tenth`.
 *
 * all     the thread that allocated them frees them all
 * thread  another thread frees them all; the one that allocated them never calls again
 * tenth   nine of ten, chosen at random, are freed
 *
 * Prints resident memory when they are all there, when they have just been freed, and after a
 * quarter, a half and a whole second; with `tenth` also the memory of the pages that hold a byte
 * of a live block: what no allocator could give back. The probe's own tables come from the kernel
 * and are gone by then.
 */

#include "../workloads/work.h"
#include "resident.h"

#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

enum { BLOCKS = 1000000, SIZE_LOW = 16, SIZE_HIGH = 512, PAGES_SEEN = 1 << 20 };

struct block {
    void *start;
    uint32_t size;
    uint32_t live;
};

static struct block *blocks;

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        work_fail("out of memory");
    }
    return memory;
}

/* Shuffled, so that freeing goes in random order. */
static void fill(work_random *random)
{
    for (uint32_t i = 0; i < BLOCKS; i++) {
        const uint32_t size = work_between(random, SIZE_LOW, SIZE_HIGH);
        void *start = work_got(malloc(size));
        work_write(start, size, i);
        const uint32_t j = work_below(random, i + 1);
        blocks[i] = blocks[j];
        blocks[j] = (struct block){start, size, 1};
    }
}

static void drop(uint32_t from)
{
    for (uint32_t i = from; i < BLOCKS; i++) {
        free(blocks[i].start);
        blocks[i].live = 0;
    }
}

static void *drop_all(void *unused)
{
    drop(0);
    return unused;
}

/* KiB of the pages that hold a byte of a live block; also the live bytes. */
static size_t live_pages_kib(size_t *live)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t *seen = map(PAGES_SEEN * sizeof *seen);
    size_t pages = 0;
    *live = 0;
    for (uint32_t i = 0; i < BLOCKS; i++) {
        if (!blocks[i].live) {
            continue;
        }
        *live += blocks[i].size;
        const uintptr_t start = (uintptr_t)blocks[i].start;
        for (uintptr_t at = start / page; at <= (start + blocks[i].size - 1) / page; at++) {
            size_t slot = work_mix(at) % PAGES_SEEN;
            while (seen[slot] != 0 && seen[slot] != at) {
                slot = (slot + 1) % PAGES_SEEN;
            }
            pages += seen[slot] == 0;
            seen[slot] = at;
        }
    }
    munmap(seen, PAGES_SEEN * sizeof *seen);
    return pages * page / 1024;
}

static void wait_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&time, &time) != 0) {
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    work_random random = {work_mix(work_seed(argc, argv, 2))};
    blocks = map(BLOCKS * sizeof *blocks);
    fill(&random);
    const long full = resident_kib();
    size_t live = 0;
    size_t pages = 0;
    if (strcmp(mode, "all") == 0) {
        drop(0);
    } else if (strcmp(mode, "thread") == 0) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, drop_all, NULL) != 0) {
            work_fail("cannot start a thread");
        }
        pthread_join(thread, NULL);
    } else if (strcmp(mode, "tenth") == 0) {
        drop(BLOCKS / 10);
        pages = live_pages_kib(&live);
    } else {
        work_fail("usage: release all|thread|tenth [SEED]");
    }
    munmap(blocks, BLOCKS * sizeof *blocks);
    long after[4];
    after[0] = resident_kib();
    for (size_t i = 1; i < 4; i++) {
        wait_ms(i == 3 ? 500 : 250);
        after[i] = resident_kib();
    }
    printf(
        "full_kib %ld\nafter_0_kib %ld\nafter_250_kib %ld\nafter_500_kib %ld\nafter_1000_kib %ld\n",
        full, after[0], after[1], after[2], after[3]);
    printf("live_kib %zu\nlive_pages_kib %zu\n", live / 1024, pages);
    return EXIT_SUCCESS;
}
