/* SPDX-License-Identifier: MIT */
#ifndef BENCH_LIFE_H
#define BENCH_LIFE_H

/*
 * Life: blocks of random sizes that come and go at random in one range.
 *
 * While fewer bytes than the target are live the next step allocates a block, else it frees one of
 * the live ones, each as likely as the next. When an allocation fails, the next step frees. So the
 * load stays at the target, and where an allocator cannot reach it, at what it can do.
 *
 * The load is the bytes asked for that are live, divided by the bytes of the range.
 */

#include "../workloads/work.h"
#include "subject.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum life_sizes {
    LIFE_UNIFORM,  /* each number of bytes as likely as the next */
    LIFE_POWER_LAW /* density in proportion to size to the power of -exponent */
} life_sizes;

enum { LIFE_QUANTILES = 1 << 16 };

/* Sizes are drawn from their quantiles, so that a draw costs the same for every distribution. */
typedef struct life_draw {
    uint32_t sizes[LIFE_QUANTILES];
} life_draw;

/* One step. A block keeps its slot from its allocation until it is freed. */
typedef struct life_step {
    uint32_t slot;
    uint32_t size; /* 0: the block is freed */
} life_step;

typedef struct life_block {
    void *block;
    uint32_t size;
    uint32_t slot;
} life_block;

typedef struct bench_life {
    const bench_subject *subject;
    const life_draw *draw;
    void *heap;
    work_random random;
    size_t live;   /* bytes */
    size_t target; /* bytes */
    uint64_t failures;
    bool has_failed; /* the last step was an allocation that failed */
    life_block *blocks;
    size_t count;
    uint32_t *vacant; /* slots that are free again */
    size_t vacant_count;
    uint32_t slot_count; /* slots ever used */
    size_t room;         /* of `blocks` and of `vacant` */
    /* Where a block may lie, for subjects whose blocks are addresses. */
    uintptr_t start, end;
    size_t alignment;
} bench_life;

void life_draw_init(life_draw *draw, life_sizes sizes, uint32_t low, uint32_t high,
                    double exponent);

/* Begins with an empty range. */
void life_init(bench_life *life, const bench_subject *subject, const life_draw *draw, void *memory,
               size_t size, size_t alignment, uint64_t seed);
void life_deinit(bench_life *life);

/* Allocates one block; false if the subject could not. */
bool life_alloc(bench_life *life, life_step *step);

/* Frees a random block; there must be one. */
void life_free(bench_life *life, life_step *step);

/* One of the two, as above. */
void life_go(bench_life *life, life_step *step);

/* Allocates until the target is reached or an allocation fails. */
void life_fill(bench_life *life);

#endif
