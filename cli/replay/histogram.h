/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPLAY_HISTOGRAM_H
#define TARN_CLI_REPLAY_HISTOGRAM_H

/*
 * Times, counted in bars of which each is at most a 32nd wide, so that a percentile is exact to 3
 * %.
 */

#include "job.h"

/* Values below this have a bar of their own. */
enum { REPLAY_EXACT_BARS = 2 * REPLAY_STEPS };

static inline unsigned replay_bar_of(uint64_t value)
{
    if (value < (uint64_t)REPLAY_EXACT_BARS) {
        return (unsigned)value;
    }
    const unsigned log2 = 63u - (unsigned)__builtin_clzll(value);
    const unsigned bar = (log2 - 5) * REPLAY_STEPS + (unsigned)(value >> (log2 - 5));
    return bar < REPLAY_BARS ? bar : REPLAY_BARS - 1;
}

/* The middle of the bar. */
static inline double replay_bar_value(unsigned bar)
{
    if (bar < (unsigned)REPLAY_EXACT_BARS) {
        return bar;
    }
    const unsigned shift = bar / REPLAY_STEPS - 1;
    const double low = (double)((uint64_t)(bar % REPLAY_STEPS + REPLAY_STEPS) << shift);
    return low + (double)((uint64_t)1 << shift) / 2;
}

static inline void replay_histogram_add(replay_histogram *histogram, uint64_t value)
{
    histogram->bars[replay_bar_of(value)]++;
    histogram->count++;
    histogram->most = value > histogram->most ? value : histogram->most;
}

/* The value that `part` of all are at most, 0 < part <= 1; 0 if there is none. */
static inline double replay_histogram_part(const replay_histogram *histogram, double part)
{
    const double wanted = part * (double)histogram->count;
    uint64_t seen = 0;
    for (unsigned i = 0; i < REPLAY_BARS; i++) {
        seen += histogram->bars[i];
        if (seen > 0 && (double)seen >= wanted) {
            /* The middle of the last bar may lie above all that is in it. */
            const double value = replay_bar_value(i);
            return value < (double)histogram->most ? value : (double)histogram->most;
        }
    }
    return 0;
}

#endif
