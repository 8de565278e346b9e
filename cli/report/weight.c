/* SPDX-License-Identifier: MIT */
#include "weight.h"

#include <math.h>

/* Sizes below 8 have classes of their own; then come four for each power of two. */
static size_t class_of(uint64_t size)
{
    if (size < 8) {
        return (size_t)size;
    }
    const unsigned log2 = 63 - (unsigned)__builtin_clzll(size);
    return 8 + (size_t)(log2 - 3) * 4 + (size_t)(size >> (log2 - 2) & 3);
}

void report_weights_count(report_weights *weights, uint64_t size, int has_stack)
{
    const size_t class = class_of(size);
    weights->seen[class]++;
    weights->seen_bytes[class] += size;
    if (has_stack) {
        weights->sampled[class]++;
        weights->sampled_bytes[class] += size;
    }
}

/* From 0 to 1, a different one for each number. */
static double fraction_of(uint64_t serial)
{
    uint64_t hash = serial * UINT64_C(0x9E3779B97F4A7C15);
    hash = (hash ^ hash >> 32) * UINT64_C(0xBF58476D1CE4E5B9);
    return (double)(hash >> 11) / (double)(UINT64_C(1) << 53);
}

report_weight report_weight_of(const report_weights *weights, uint64_t size, uint64_t serial)
{
    if (weights->sample_bytes == 0) {
        return (report_weight){.count = 1, .bytes = size};
    }
    const size_t class = class_of(size);
    if (weights->sampled[class] == weights->seen[class]) {
        return (report_weight){.count = 1, .bytes = size};
    }
    const double blocks = (double)weights->seen[class] / (double)weights->sampled[class];
    const double bytes =
        size != 0 ? (double)weights->seen_bytes[class] / (double)weights->sampled_bytes[class] : 0;
    /* Counts are whole: the part of one that is over falls to as many blocks as it is large. */
    return (report_weight){
        .count = (uint64_t)(blocks + fraction_of(serial)),
        .bytes = (uint64_t)llround(bytes * (double)size),
    };
}

report_weight report_weight_guess(const report_weights *weights, uint64_t size)
{
    if (size >= weights->sample_bytes) {
        return (report_weight){.count = 1, .bytes = size};
    }
    return (report_weight){
        .count = weights->sample_bytes / (size != 0 ? size : 1),
        .bytes = weights->sample_bytes,
    };
}
