/* SPDX-License-Identifier: MIT */
#ifndef TARN_OVERLAY_RACE_H
#define TARN_OVERLAY_RACE_H

#include "overlay/control.h"
#include "overlay/greedy.h"
#include "overlay/improve.h"
#include "overlay/problem.h"
#include "overlay/search.h"

/*
 * Threads race for better plans and better bounds, each with methods in an order of its own. What
 * is known is kept for each component:
 *
 *     bound <= height of the best possible plan <= height of the best plan so far
 */

/* What is known of a component; guarded by the lock. */
typedef struct overlay_standing {
    int64_t bound;
    int64_t height; /* INT64_MAX without a plan */
} overlay_standing;

typedef struct overlay_race {
    const overlay_problem *problem;
    tarn_overlay_goal goal;
    int64_t capacity; /* in the problem's unit; INT64_MAX: none */
    atomic_bool must_stop;

    os_lock lock;
    overlay_standing *standings;
    int64_t *offsets;         /* the best plan of each component */
    _Atomic(uint32_t) events; /* plans and bounds found so far */
    bool is_infeasible;       /* proven: guarded by the lock */
    bool is_over;             /* the question is answered: guarded by the lock */
} overlay_race;

/* What one thread works with. */
typedef struct overlay_runner {
    overlay_race *race;
    overlay_control control;
    overlay_greedy *greedy;
    overlay_improve *improve; /* NULL: the problem has no neighbours */
    overlay_search *search;   /* NULL: the problem is too large for it */
    uint64_t random;
    uint32_t number; /* of the thread */
    uint32_t *order;
    uint32_t *ranks;
    double *keys[4];
    int64_t *offsets;
    uint32_t *rounds; /* of each component */
    double *reaches;  /* of each: where between bound and plan to aim at, from 0 to 1 */
    uint64_t plans;
} overlay_runner;

/* False when upstream refuses. The race's problem, goal and capacity are set. */
bool overlay_race_init(overlay_race *race, overlay_memory *memory);
bool overlay_runner_init(overlay_runner *runner, overlay_race *race, uint32_t number, uint64_t seed,
                         overlay_memory *memory);

/* Plans every component once. False when it had to stop before. */
bool overlay_runner_start(overlay_runner *runner);

/* Works until the race is over or has to stop. */
void overlay_runner_work(overlay_runner *runner);

#endif
