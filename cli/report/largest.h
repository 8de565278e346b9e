/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_LARGEST_H
#define TARN_CLI_REPORT_LARGEST_H

/* The blocks that took most of a program's memory and time: those with the largest product of size
 * and lifetime. */

#include "raster.h"

#include <stdbool.h>

typedef struct report_rect {
    report_paint block;
    double area; /* bytes times nanoseconds */
    bool is_leaked;
} report_rect;

/* To be made by report_largest_init(). */
typedef struct report_largest {
    report_rect *all; /* a heap, the smallest first */
    size_t count;
    size_t room;
    size_t most; /* that are kept */
} report_largest;

void report_largest_init(report_largest *largest, size_t most);
void report_largest_free(report_largest *largest);

/* Logarithmic, or constant for what is small. */
void report_largest_add(report_largest *largest, const report_paint *block, bool is_leaked);

#endif
