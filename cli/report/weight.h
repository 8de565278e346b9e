/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_WEIGHT_H
#define TARN_CLI_REPORT_WEIGHT_H

/*
 * What a block whose stack is known stands for: itself, or, where only some stacks were recorded,
 * the blocks of about its size whose stacks were not.
 *
 * The chance of a stack grows with the size of the request, and how exactly depends on what was
 * asked for before. But every block is in the trace: so for each class of sizes, a quarter of a
 * power of two, it is known how many blocks there were and how many have a stack, and each of these
 * stands for as many as there are for each. So the sums over all stacks are exact for each class
 * that has any stack, and what is estimated is only who had how much of them.
 */

#include <stddef.h>
#include <stdint.h>

enum { REPORT_WEIGHT_CLASSES = 256 };

typedef struct report_weight {
    uint64_t count;
    uint64_t bytes;
} report_weight;

/* All zero: every stack was recorded, and a block stands for itself. */
typedef struct report_weights {
    uint64_t sample_bytes; /* 0: all were recorded */
    uint64_t seen[REPORT_WEIGHT_CLASSES];
    uint64_t seen_bytes[REPORT_WEIGHT_CLASSES];
    uint64_t sampled[REPORT_WEIGHT_CLASSES];
    uint64_t sampled_bytes[REPORT_WEIGHT_CLASSES];
} report_weights;

/* A block was given, with a stack or without. */
void report_weights_count(report_weights *weights, uint64_t size, int has_stack);

/* When all have been counted: the weight of a block with a stack. `serial` is a number of the block's
 * own; the same size and serial always have the same weight, so that what was added when a block was
 * given can be taken away when it is freed. */
report_weight report_weight_of(const report_weights *weights, uint64_t size, uint64_t serial);

/* Before that: about as much. */
report_weight report_weight_guess(const report_weights *weights, uint64_t size);

#endif
