/* SPDX-License-Identifier: MIT */
#include "sample.h"

#include <stdlib.h>

static int compare(const void *left, const void *right)
{
    const double a = *(const double *)left;
    const double b = *(const double *)right;
    return (a > b) - (a < b);
}

cli_sample cli_sample_of(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    const double middle = values[count / 2];
    return (cli_sample){
        .median = count % 2 != 0 ? middle : (values[count / 2 - 1] + middle) / 2,
        .least = values[0],
        .most = values[count - 1],
    };
}
