/* SPDX-License-Identifier: MIT */
#include "space/wide.h"

#include "base/bits.h"

/*
 * Each loop is written once, as an inline function, and compiled twice: for the processor that the build is for, and for
 * one with AVX2, if it has it. This file alone is compiled to be unrolled and made wide.
 */

#define WIDE_SIZE                                                                                  \
    32 /* bytes of a register: from an aligned start on, no store crosses a cache line */
#define WIDE_LOOP static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define WIDE_CODE static __attribute__((target("avx2"), noinline))
static inline bool is_wide(void)
{
    return __builtin_cpu_supports("avx2") != 0;
}
#else
#define WIDE_CODE static __attribute__((noinline))
static inline bool is_wide(void)
{
    return false;
}
#endif

/* ---- entries ---- */

WIDE_LOOP void fill_loop(uint64_t *entries, uint64_t count, uint64_t entry, uint64_t step)
{
    for (; count > 0 && !base_is_aligned(entries, WIDE_SIZE); count--) {
        *entries++ = entry;
        entry += step;
    }
    if (count == 0) {
        return;
    }
    uint64_t *wide = __builtin_assume_aligned(entries, WIDE_SIZE);
    for (uint64_t i = 0; i < count; i++) {
        wide[i] = entry;
        entry += step;
    }
}

WIDE_CODE void fill_wide(uint64_t *entries, uint64_t count, uint64_t entry, uint64_t step)
{
    fill_loop(entries, count, entry, step);
}

WIDE_CODE void clear_wide(uint64_t *entries, uint64_t count)
{
    fill_loop(entries, count, 0, 0);
}

void wide_fill(uint64_t *entries, uint64_t count, uint64_t entry, uint64_t step)
{
    if (count > 1 && is_wide()) {
        fill_wide(entries, count, entry, step);
    } else {
        fill_loop(entries, count, entry, step);
    }
}

void wide_clear(uint64_t *entries, uint64_t count)
{
    if (count > 1 && is_wide()) {
        clear_wide(entries, count);
    } else {
        fill_loop(entries, count, 0, 0);
    }
}

/* ---- counts ---- */

/* Adds `more` to each count. True if of one of them, plus `looked_at`, nothing is left but the lowest and the highest bit:
 * all counts are seen without a branch. */
WIDE_LOOP bool change_loop(uint32_t *counts, uint32_t count, uint32_t more, uint32_t looked_at)
{
    uint32_t least = UINT32_MAX;
    for (; count > 0 && !base_is_aligned(counts, WIDE_SIZE); count--) {
        const uint32_t middle = (*counts + looked_at) & (WIDE_COUNT_MAX - 1);
        least = middle < least ? middle : least;
        *counts++ += more;
    }
    if (count == 0) {
        return least == 0;
    }
    uint32_t *wide = __builtin_assume_aligned(counts, WIDE_SIZE);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t middle = (wide[i] + looked_at) & (WIDE_COUNT_MAX - 1);
        least = middle < least ? middle : least;
        wide[i] += more;
    }
    return least == 0;
}

WIDE_CODE bool add_wide(uint32_t *counts, uint32_t count)
{
    return change_loop(counts, count, 1, 1);
}

WIDE_CODE bool subtract_wide(uint32_t *counts, uint32_t count)
{
    return change_loop(counts, count, UINT32_MAX, 0);
}

bool wide_add(uint32_t *counts, uint32_t count)
{
    return count > 1 && is_wide() ? add_wide(counts, count) : change_loop(counts, count, 1, 1);
}

bool wide_subtract(uint32_t *counts, uint32_t count)
{
    return count > 1 && is_wide() ? subtract_wide(counts, count)
                                  : change_loop(counts, count, UINT32_MAX, 0);
}
