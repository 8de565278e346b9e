/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_NUMBERS_H
#define TARN_CLI_REPORT_NUMBERS_H

/*
 * From any number to a small one, as from those of a trace, which may be as large as they like, to
 * places of an array. A hash table with linear probing; constant time on average. No memory is the
 * end of the process.
 */

#include <stddef.h>
#include <stdint.h>

/* No value. */
#define REPORT_NONE UINT32_MAX

/* All zero: empty. Private. */
typedef struct report_numbers {
    uint64_t *keys;
    uint32_t *values; /* REPORT_NONE: the place is empty */
    size_t mask;      /* places, less one; 0: none yet */
    size_t count;
} report_numbers;

void report_numbers_free(report_numbers *numbers);

/* The value of `key`; REPORT_NONE if it has none. */
uint32_t report_numbers_find(const report_numbers *numbers, uint64_t key);

/* Where the value of `key` is, to be changed to any but REPORT_NONE at once; that is what a new key
 * has. The place is good until the next call. */
uint32_t *report_numbers_at(report_numbers *numbers, uint64_t key);

#endif
