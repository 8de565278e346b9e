/* SPDX-License-Identifier: MIT */
#ifndef BENCH_WORKS_H
#define BENCH_WORKS_H

/*
 * What the driver measures, one function for each kind of work. Each prints lines "name value".
 */

#include "life.h"
#include "subject.h"

#include <stddef.h>
#include <stdint.h>

/* The bytes that blocks of a crowd have. */
enum { CROWD_LOW = 16, CROWD_HIGH = 64 };

typedef struct bench_plan {
    bench_subject subject;
    life_draw draw;
    void *memory; /* every page touched already, unless the subject has no use for it */
    size_t size;
    size_t alignment; /* that blocks must have */
    double load;
    uint64_t ops;
    uint32_t replays;
    uint32_t count; /* of free partitions */
    uint64_t seed;
} bench_plan;

/* Time of operations while the load stays where it is. */
void work_steady(const bench_plan *plan);

/* The same operations and nothing else, for counting instructions. */
void work_plain(const bench_plan *plan);

/* The load that is reached before the first failure, fresh and aged. */
void work_load(const bench_plan *plan);

/* How the free memory falls to pieces while the range ages. */
void work_curve(const bench_plan *plan);

/* Time of operations among many free partitions. */
void work_crowd(const bench_plan *plan);

#endif
