/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_CURVE_H
#define TARN_CLI_REPORT_CURVE_H

/* Live bytes and what goes with them, in many equal steps of time. */

#include <stddef.h>
#include <stdint.h>

/* To be made by report_curve_init(). The arrays have a value for each step. */
typedef struct report_curve {
    size_t steps;
    uint64_t width;   /* nanoseconds */
    double *live_min; /* bytes, within the step */
    double *live_max;
    double *live; /* at its end */
    double *blocks;
    double *footprint;
    uint32_t *allocs;
    uint32_t *frees;
    size_t open; /* private: the step that time is in */
} report_curve;

void report_curve_init(report_curve *curve, size_t steps, uint64_t width);
void report_curve_free(report_curve *curve);

/* Time goes on to `time`, nothing having changed until then; UINT64_MAX: to the end. */
void report_curve_advance(report_curve *curve, uint64_t time);

/* What is there now. */
void report_curve_note(report_curve *curve, uint64_t live, uint64_t blocks, uint64_t footprint);

/* An event gave this many blocks and took that many back. */
void report_curve_count(report_curve *curve, unsigned allocs, unsigned frees);

#endif
