/* SPDX-License-Identifier: MIT */
#include "histogram.h"

#include "memory.h"

#include <stdlib.h>

enum { SMALLEST_SIZE = 8, LARGEST_SIZE_LOG2 = 26 };

#define SHORTEST_LIFETIME UINT64_C(100000)

static void make_arrays(report_histogram *histogram, size_t bins)
{
    histogram->bins = bins;
    histogram->counts = report_zeroed(bins * histogram->classes, sizeof(double));
    histogram->bytes = report_zeroed(bins * histogram->classes, sizeof(double));
}

void report_histogram_sizes(report_histogram *histogram, size_t bins)
{
    *histogram = (report_histogram){0};
    for (uint64_t bound = SMALLEST_SIZE; bound <= UINT64_C(1) << LARGEST_SIZE_LOG2; bound *= 2) {
        histogram->bounds[histogram->classes++] = bound;
    }
    histogram->bounds[histogram->classes++] = UINT64_MAX;
    make_arrays(histogram, bins);
}

void report_histogram_lifetimes(report_histogram *histogram, size_t bins, uint64_t duration)
{
    *histogram = (report_histogram){0};
    uint64_t decade = SHORTEST_LIFETIME;
    uint64_t bound = decade;
    histogram->bounds[histogram->classes++] = bound;
    while (bound <= duration && decade < UINT64_C(1000000000000000000)) {
        if (bound == decade) {
            bound = decade * 3;
        } else {
            decade *= 10;
            bound = decade;
        }
        histogram->bounds[histogram->classes++] = bound;
    }
    histogram->bounds[histogram->classes++] = UINT64_MAX;
    make_arrays(histogram, bins);
}

void report_histogram_free(report_histogram *histogram)
{
    free(histogram->counts);
    free(histogram->bytes);
    *histogram = (report_histogram){0};
}

void report_histogram_add(report_histogram *histogram, size_t bin, uint64_t value, uint64_t bytes)
{
    size_t low = 0;
    size_t high = histogram->classes - 1;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (value < histogram->bounds[middle]) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    histogram->counts[bin * histogram->classes + low]++;
    histogram->bytes[bin * histogram->classes + low] += (double)bytes;
}

void report_histogram_halve(report_histogram *histogram)
{
    const size_t classes = histogram->classes;
    for (size_t bin = 0; bin < histogram->bins; bin++) {
        for (size_t class = 0; class < classes; class ++) {
            const size_t from = bin * classes + class;
            const size_t to = bin / 2 * classes + class;
            /* The first of two takes the place; nothing that is still to be read stands there. */
            if (bin % 2 == 0) {
                histogram->counts[to] = histogram->counts[from];
                histogram->bytes[to] = histogram->bytes[from];
            } else {
                histogram->counts[to] += histogram->counts[from];
                histogram->bytes[to] += histogram->bytes[from];
            }
        }
    }
    histogram->bins /= 2;
}
