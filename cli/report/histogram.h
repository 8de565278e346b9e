/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_HISTOGRAM_H
#define TARN_CLI_REPORT_HISTOGRAM_H

/* Blocks by class and bin of time: how many, and their bytes. */

#include <stddef.h>
#include <stdint.h>

enum { REPORT_CLASSES_MAX = 64 };

/* To be made by report_histogram_sizes() or report_histogram_lifetimes(). */
typedef struct report_histogram {
    /* The value from which on the next class is; of the last class UINT64_MAX. */
    uint64_t bounds[REPORT_CLASSES_MAX];
    size_t classes;
    size_t bins;
    double *counts; /* by bin, and by class in each */
    double *bytes;
} report_histogram;

/* Classes of sizes: powers of two, and what is larger. */
void report_histogram_sizes(report_histogram *histogram, size_t bins);

/* Classes of lifetimes in nanoseconds: 1, 3, 10... until they are beyond `duration`, and one for
 * blocks that are never freed, whose lifetime is UINT64_MAX. */
void report_histogram_lifetimes(report_histogram *histogram, size_t bins, uint64_t duration);
void report_histogram_free(report_histogram *histogram);

void report_histogram_add(report_histogram *histogram, size_t bin, uint64_t value, uint64_t bytes);

/* Makes one bin of each two; their count is even. */
void report_histogram_halve(report_histogram *histogram);

#endif
