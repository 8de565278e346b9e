/* SPDX-License-Identifier: MIT */
#ifndef TARN_TESTS_REGION_REFERENCE_H
#define TARN_TESTS_REGION_REFERENCE_H

#include "tarn/region.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What every policy of tarn/region.h chooses, by looking at every partition: an array of all of them in
 * the order of addresses, and nothing clever. A region must choose the same.
 *
 * Everything is in granules. A partition is named by its start, a block by where it begins, which with
 * fixed and single partitions may be behind the start of its partition.
 */

#define REFERENCE_NONE UINT32_MAX

typedef struct reference_partition {
    int64_t place;  /* free: its order in the list of its group */
    uint32_t start; /* granules, as the rest */
    uint32_t size;
    uint32_t skip; /* used: what is before its block */
    bool is_free;
} reference_partition;

typedef struct region_reference {
    /* Set these before reference_open(). */
    tarn_region_policy policy;
    uint32_t granules;     /* of the range */
    uint32_t smallest;     /* what is left of a partition must have so many to be one */
    size_t granule;        /* bytes */
    size_t tag;            /* bytes that a block has less than its partition */
    uintptr_t address;     /* of a block that begins at granule 0 */
    uint32_t exact;        /* best fit: partitions of fewer granules have a list for each size */
    uint32_t steps;        /* segregated fit: into which each power of two of sizes is cut */
    size_t partition_size; /* fixed partitions: as in tarn_region_options, in bytes */
    const size_t *sizes;
    size_t size_count;

    /* What it has. */
    reference_partition *partitions;
    uint32_t count;
    uint32_t capacity;
    uint32_t rover;
    uint64_t used; /* granules of used partitions */
} region_reference;

void reference_open(region_reference *reference);
void reference_close(region_reference *reference);
void reference_reset(region_reference *reference);

/* Where the new block begins, or REFERENCE_NONE. */
uint32_t reference_alloc(region_reference *reference, size_t size, size_t alignment);
void reference_free(region_reference *reference, uint32_t block);
bool reference_resize(region_reference *reference, uint32_t block, size_t size);

/* Bytes. */
size_t reference_room(const region_reference *reference, uint32_t block);
size_t reference_largest(const region_reference *reference);
size_t reference_room_of(const region_reference *reference, const reference_partition *partition);

#endif
