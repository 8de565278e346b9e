/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPLAY_TICKS_H
#define TARN_CLI_REPLAY_TICKS_H

/*
 * Ticks: the finest clock of the machine, in units of its own. On x86 it is the time stamp counter,
 * which runs at one rate on every processor of the last fifteen years; elsewhere the kernel's
 * monotonic clock.
 */

#include <stdint.h>
#include <time.h>

static inline uint64_t replay_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#if defined(__x86_64__)

/* The fences keep what is measured between two readings. */
static inline uint64_t replay_ticks(void)
{
    uint32_t low;
    uint32_t high;
    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

#else

static inline uint64_t replay_ticks(void)
{
    return replay_now_ns();
}

#endif

/* Ticks that two readings take with nothing between them. */
static inline uint64_t replay_ticks_cost(void)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 10000; i++) {
        const uint64_t from = replay_ticks();
        const uint64_t cost = replay_ticks() - from;
        least = cost < least ? cost : least;
    }
    return least;
}

/* Nanoseconds in a tick, by comparison with the kernel's clock. Takes 10 ms. */
static inline double replay_tick_ns(void)
{
    const uint64_t from_ns = replay_now_ns();
    const uint64_t from = replay_ticks();
    uint64_t to_ns;
    do {
        to_ns = replay_now_ns();
    } while (to_ns - from_ns < 10000000u);
    return (double)(to_ns - from_ns) / (double)(replay_ticks() - from);
}

#endif
