/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_WEIGHT_H
#define TARN_CLI_REPORT_WEIGHT_H

/*
 * What a block whose stack is known stands for: itself, or, where only some stacks were recorded,
 * as many blocks of its size as there are for each one whose stack is.
 */

#include <stdint.h>

typedef struct report_weight {
    uint64_t count;
    uint64_t bytes;
} report_weight;

/* `sample_bytes` is 0 where every stack was recorded. The same arguments always have the same
 * weight, so that what was added when a block was given can be taken away when it is freed. */
report_weight report_weight_of(uint64_t sample_bytes, uint64_t size);

#endif
