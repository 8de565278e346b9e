/* SPDX-License-Identifier: MIT */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

/*
 * What every workload shares: random numbers by seed, blocks that are written and read back as
 * programs do, a checksum, and the two lines that bench/run reads.
 *
 * A workload prints the same checksum on every allocator. Sums made by several threads are added
 * up, so the order in which the threads run leaves no mark.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
#define WORK_CAST(type, value) static_cast<type>(value)
#else
#define WORK_CAST(type, value) ((type)(value))
#endif

typedef struct work_random {
    uint64_t state;
} work_random;

/* Spreads every bit of `value` over the whole word (Steele, Lea and Flood, "Fast Splittable
 * Pseudorandom Number Generators", 2014: the finalizer of SplitMix). */
static inline uint64_t work_mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static inline uint64_t work_next(work_random *random)
{
    random->state += 0x9e3779b97f4a7c15u;
    return work_mix(random->state);
}

/* A number from 0 to below - 1; `below` is less than 2^32. */
static inline uint32_t work_below(work_random *random, uint32_t below)
{
    return WORK_CAST(uint32_t, ((work_next(random) >> 32) * below) >> 32);
}

/* A number from `low` to `high`, each as likely as the next. */
static inline uint32_t work_between(work_random *random, uint32_t low, uint32_t high)
{
    return low + work_below(random, high - low + 1);
}

/* A size from `low` to `high`, each doubling as likely as the next: small ones are many, as in
 * real programs. */
static inline uint32_t work_size(work_random *random, uint32_t low, uint32_t high)
{
    uint32_t doublings = 0;
    while ((high >> (doublings + 1)) >= low) {
        doublings++;
    }
    const uint32_t base = low << work_below(random, doublings + 1);
    const uint32_t top = base * 2 - 1 < high ? base * 2 - 1 : high;
    return work_between(random, base, top);
}

static inline void work_fail(const char *what)
{
    fprintf(stderr, "workload: %s\n", what);
    exit(EXIT_FAILURE);
}

/* Keeps the compiler from knowing what becomes of `block`, so that no allocation is optimized
 * away. */
static inline void work_escape(void *block)
{
    __asm__ volatile("" : : "g"(block) : "memory");
}

static inline void *work_got(void *block)
{
    if (block == NULL) {
        work_fail("out of memory");
    }
    work_escape(block);
    return block;
}

/* Writes the whole block: a stamp at its start, as far as it fits, and bytes made of the stamp
 * after it. */
static inline void work_write(void *block, size_t size, uint64_t stamp)
{
    memset(block, WORK_CAST(int, stamp & 0xff), size);
    memcpy(block, &stamp, size < sizeof stamp ? size : sizeof stamp);
}

/* Reads the stamp back, and ends the program if the block's last byte is not what work_write left
 * there. */
static inline uint64_t work_read(const void *block, size_t size)
{
    uint64_t stamp = 0;
    memcpy(&stamp, block, size < sizeof stamp ? size : sizeof stamp);
    if (size > sizeof stamp) {
        unsigned char last;
        memcpy(&last, WORK_CAST(const unsigned char *, block) + size - 1, 1);
        if (last != (stamp & 0xff)) {
            work_fail("a block did not keep what was written to it");
        }
    }
    return stamp;
}

/* The two lines that bench/run reads. */
static inline void work_report(uint64_t ops, uint64_t checksum)
{
    printf("ops %llu\nchecksum %016llx\n", WORK_CAST(unsigned long long, ops),
           WORK_CAST(unsigned long long, checksum));
}

/* The seed: the program's argument at `index`, or 1. */
static inline uint64_t work_seed(int argc, char **argv, int index)
{
    return argc > index ? strtoull(argv[index], NULL, 0) : 1;
}

#endif
