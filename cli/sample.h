/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_SAMPLE_H
#define TARN_CLI_SAMPLE_H

/* The middle and the ends of a few measurements. */

#include <stddef.h>

typedef struct cli_sample {
    double median; /* of an even count: the mean of the middle two */
    double least;
    double most;
} cli_sample;

/* `values` are put in order; `count` is at least 1. */
cli_sample cli_sample_of(double *values, size_t count);

#endif
