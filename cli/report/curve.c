/* SPDX-License-Identifier: MIT */
#include "curve.h"

#include "memory.h"

#include <stdlib.h>

void report_curve_init(report_curve *curve, size_t steps, uint64_t width)
{
    *curve = (report_curve){
        .steps = steps,
        .width = width,
        .live_min = report_zeroed(steps, sizeof(double)),
        .live_max = report_zeroed(steps, sizeof(double)),
        .live = report_zeroed(steps, sizeof(double)),
        .blocks = report_zeroed(steps, sizeof(double)),
        .footprint = report_zeroed(steps, sizeof(double)),
        .allocs = report_zeroed(steps, sizeof(uint32_t)),
        .frees = report_zeroed(steps, sizeof(uint32_t)),
    };
}

void report_curve_free(report_curve *curve)
{
    free(curve->live_min);
    free(curve->live_max);
    free(curve->live);
    free(curve->blocks);
    free(curve->footprint);
    free(curve->allocs);
    free(curve->frees);
    *curve = (report_curve){0};
}

void report_curve_advance(report_curve *curve, uint64_t time)
{
    const uint64_t step = time / curve->width;
    while (curve->open < step && curve->open + 1 < curve->steps) {
        const size_t from = curve->open++;
        curve->live[curve->open] = curve->live[from];
        curve->live_min[curve->open] = curve->live[from];
        curve->live_max[curve->open] = curve->live[from];
        curve->blocks[curve->open] = curve->blocks[from];
        curve->footprint[curve->open] = curve->footprint[from];
    }
}

void report_curve_note(report_curve *curve, uint64_t live, uint64_t blocks, uint64_t footprint)
{
    const size_t at = curve->open;
    const double bytes = (double)live;
    curve->live[at] = bytes;
    curve->live_min[at] = bytes < curve->live_min[at] ? bytes : curve->live_min[at];
    curve->live_max[at] = bytes > curve->live_max[at] ? bytes : curve->live_max[at];
    curve->blocks[at] = (double)blocks;
    curve->footprint[at] = (double)footprint;
}

void report_curve_count(report_curve *curve, unsigned allocs, unsigned frees)
{
    curve->allocs[curve->open] += allocs;
    curve->frees[curve->open] += frees;
}
