/* SPDX-License-Identifier: MIT */
#include "cli/report/weight.h"

#include <math.h>

/*
 * The recorder takes the stack of the request that ends a distance of bytes, and each distance is
 * drawn evenly from half of `bytes` to one and a half. For a request that comes at no special time,
 * what is left of the distance has the density (1 - F(r)) / bytes, F being the distribution of the
 * distances; the chance of a stack is its integral up to the size.
 */
static double chance(double bytes, double size)
{
    if (size <= bytes / 2) {
        return size / bytes;
    }
    if (size >= bytes * 1.5) {
        return 1;
    }
    const double short_of = bytes * 1.5 - size;
    return 1 - short_of * short_of / (2 * bytes * bytes);
}

report_weight report_weight_of(uint64_t sample_bytes, uint64_t size)
{
    if (sample_bytes == 0 || size >= sample_bytes * 2) {
        return (report_weight){.count = 1, .bytes = size};
    }
    const double stands_for = 1 / chance((double)sample_bytes, size != 0 ? (double)size : 1);
    return (report_weight){
        .count = (uint64_t)llround(stands_for),
        .bytes = (uint64_t)llround(stands_for * (double)size),
    };
}
