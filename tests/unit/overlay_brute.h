/* SPDX-License-Identifier: MIT */
#ifndef TARN_TESTS_OVERLAY_BRUTE_H
#define TARN_TESTS_OVERLAY_BRUTE_H

/*
 * Overlays by brute force, for a few buffers with small sizes and times: what the verifier and the
 * planner are held against. Nothing here knows how they work.
 */

#include "tarn/overlay.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OVERLAY_BRUTE_BUFFERS = 8, OVERLAY_BRUTE_GAPS = 2 };

/* A small problem. Times are from 0 to 31. */
typedef struct overlay_small {
    tarn_overlay_buffer buffers[OVERLAY_BRUTE_BUFFERS];
    tarn_overlay_gap gaps[OVERLAY_BRUTE_BUFFERS][OVERLAY_BRUTE_GAPS];
    size_t count;
} overlay_small;

/* What a random problem may have. */
typedef struct overlay_kind {
    size_t count_max; /* buffers */
    int64_t size_max;
    bool has_gaps;
    bool has_windows;
    bool has_alignments;
    bool has_fixed;
} overlay_kind;

/* The next of a sequence of numbers. */
uint64_t overlay_brute_random(uint64_t *state);

/* A problem that keeps the planner's contract. The gaps are in the problem, which must not be
 * copied. */
void overlay_brute_fill(overlay_small *problem, const overlay_kind *kind, uint64_t *state);

/* Whether no byte is used by two buffers at a time, and each is where it may be, within `capacity`
 * (0: none). */
bool overlay_brute_holds(const tarn_overlay_buffer *buffers, size_t count, const int64_t *offsets,
                         int64_t capacity);

/* The least height of all plans up to `limit`, or -1 when there is none that low. */
int64_t overlay_brute_least(const tarn_overlay_buffer *buffers, size_t count, int64_t limit);

#endif
