/* SPDX-License-Identifier: MIT */
#ifndef TARN_SPACE_WIDE_H
#define TARN_SPACE_WIDE_H

/*
 * Loops over many entries or counts, by the widest registers that the processor has: what mapping a thousand pages takes.
 */

#include <stdbool.h>
#include <stdint.h>

/* The bits of a count that are references; the highest one is something else's. */
#define WIDE_COUNT_MAX ((UINT32_C(1) << 31) - 1)

void wide_clear(uint64_t *entries, uint64_t count);

/* The first is `entry`, each next one `step` more. */
void wide_fill(uint64_t *entries, uint64_t count, uint64_t entry, uint64_t step);

/* One more for each count; true if one of them was 0 or WIDE_COUNT_MAX. */
bool wide_add(uint32_t *counts, uint32_t count);

/* One less for each count; true if one of them was 0 or 1. */
bool wide_subtract(uint32_t *counts, uint32_t count);

#endif
