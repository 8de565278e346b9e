/* SPDX-License-Identifier: MIT */

/*
 * Takes and gives blocks in a loop, to be counted by callgrind: `instructions same|batch COUNT`.
 *
 * same   COUNT times one block of 16 bytes, given back at once
 * batch  COUNT batches of 1,000 blocks of 8 to 1024 random bytes, given back in random order
 *
 * Built twice. In `instructions`, take and give are malloc and free; in `instructions_nothing`
 * they are two functions of the same signatures that do nothing (probes/nothing/nothing.c), in a
 * shared library as the allocator is. What the second counts is the loop, the calls and the PLT,
 * which are so taken off the first.
 */

#include "../workloads/work.h"

#ifdef PROBE_NOTHING
void *nothing_take(size_t size);
void nothing_give(void *block);
#define take nothing_take
#define give nothing_give
#else
#define take malloc
#define give free
#endif

enum { BATCH = 1000, TABLES = 16, SIZE_LOW = 8, SIZE_HIGH = 1024 };

static void run_same(unsigned long count)
{
    for (unsigned long i = 0; i < count; i++) {
        void *block = take(16);
        work_escape(block);
        give(block);
    }
}

static void run_batch(unsigned long count)
{
    static uint32_t sizes[TABLES][BATCH];
    static uint32_t order[TABLES][BATCH];
    static void *blocks[BATCH];
    work_random random = {work_mix(1)};
    for (uint32_t table = 0; table < TABLES; table++) {
        for (uint32_t i = 0; i < BATCH; i++) {
            sizes[table][i] = work_between(&random, SIZE_LOW, SIZE_HIGH);
            const uint32_t j = work_below(&random, i + 1);
            order[table][i] = order[table][j];
            order[table][j] = i;
        }
    }
    for (unsigned long i = 0; i < count; i++) {
        const uint32_t *size = sizes[i % TABLES];
        const uint32_t *which = order[i / TABLES % TABLES];
        for (size_t j = 0; j < BATCH; j++) {
            blocks[j] = take(size[j]);
        }
        work_escape(blocks);
        for (size_t j = 0; j < BATCH; j++) {
            give(blocks[which[j]]);
        }
    }
}

int main(int argc, char **argv)
{
    const unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
    if (count > 0 && strcmp(argv[1], "same") == 0) {
        run_same(count);
    } else if (count > 0 && strcmp(argv[1], "batch") == 0) {
        run_batch(count);
    } else {
        work_fail("usage: instructions same|batch COUNT");
    }
    return EXIT_SUCCESS;
}
