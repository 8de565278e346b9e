/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_EXTENTS_H
#define TARN_CLI_REPORT_EXTENTS_H

/*
 * The addresses that a program's blocks ever had, with what lies between them left out: an address
 * becomes a distance in a range without the gaps.
 *
 * Gaps shorter than a mebibyte are kept, so that what lies near stays near; longer ones too where
 * the extents would become too many.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct report_extent {
    uint64_t start;
    uint64_t end;
    uint64_t place; /* of `start`; after report_extents_fold() */
} report_extent;

/* All zero: empty. */
typedef struct report_extents {
    report_extent *all; /* by address; no two touch */
    size_t count;
    size_t room;
    size_t last;  /* the one that was found last */
    uint64_t gap; /* the longest that is kept */
} report_extents;

void report_extents_free(report_extents *extents);

/* Adds [start, start + size). Logarithmic, but for an extent that is new. */
void report_extents_add(report_extents *extents, uint64_t start, uint64_t size);

/* Closes the gaps; nothing is added after that. Extents begin and end at multiples of `page`, a
 * power of two. */
void report_extents_fold(report_extents *extents, uint64_t page);

/* The distance of an address that was added. */
uint64_t report_extents_place(report_extents *extents, uint64_t address);

/* Bytes of the whole range. */
uint64_t report_extents_size(const report_extents *extents);

#endif
