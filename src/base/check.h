/* SPDX-License-Identifier: MIT */
#ifndef TARN_BASE_CHECK_H
#define TARN_BASE_CHECK_H

/*
 * Where proven misuse ends: one line, no allocation, then the fatal handler, then abort.
 */

#include <stdint.h>

#define base_likely(condition) __builtin_expect(!!(condition), 1)
#define base_unlikely(condition) __builtin_expect(!!(condition), 0)

/* Writes "tarn: WHAT (POOL, block 0xPOINTER)" to the fatal handler and aborts. `pool` may be NULL. */
_Noreturn void base_fatal(const char *what, const char *pool, const void *pointer)
    __attribute__((cold, noinline));

/* Misuse that is cheap to prove is checked in every build. */
#define TARN_CHECK(condition, what, pool, pointer)                                                 \
    do {                                                                                           \
        if (base_unlikely(!(condition))) {                                                         \
            base_fatal((what), (pool), (pointer));                                                 \
        }                                                                                          \
    } while (0)

#endif
