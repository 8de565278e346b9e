/* SPDX-License-Identifier: MIT */
#ifndef TARN_SPACE_WIDE_H
#define TARN_SPACE_WIDE_H

/*
 * Loops over many entries or counts, by the widest registers that the processor has. WIDE(name, body) would hide what it
 * does; so each loop is written once, as an inline function, and compiled twice:
 *
 *     WIDE_LOOP void fill_loop(...) { ... }
 *     WIDE_CODE static void fill_wide(...) { fill_loop(...); }
 *     ... if (wide_is_there()) { fill_wide(...); } else { fill_loop(...); }
 */

#include <stdbool.h>

#define WIDE_SIZE                                                                                  \
    32 /* bytes of such a register: from an aligned start on, no store crosses a cache line */
#define WIDE_LOOP static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define WIDE_CODE __attribute__((target("avx2"), noinline))
static inline bool wide_is_there(void)
{
    return __builtin_cpu_supports("avx2") != 0;
}
#else
#define WIDE_CODE __attribute__((noinline))
static inline bool wide_is_there(void)
{
    return false;
}
#endif

#endif
