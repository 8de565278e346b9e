/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPLAY_RUN_H
#define TARN_CLI_REPLAY_RUN_H

/*
 * Runs: a tape on one allocator, in two passes, each in a process of its own: speed, then shape.
 * Regions are searched for their smallest range before. What else the machine does can only slow an
 * allocator down, so as long as there is time the speed pass is repeated, in rounds over all of
 * them, and the fastest counts.
 */

#include "launch.h"

typedef struct replay_run {
    const char *name;
    const char *kind; /* "region", "pool", "malloc", "library" */
    const char *about;
    const char *preload; /* LD_PRELOAD of its processes; NULL: none */
    bool is_region;
    replay_status status; /* REPLAY_UNFINISHED: it crashed */
    const char *error;    /* NULL: none */
    uint64_t range;       /* of a region, bytes */
    replay_launch speed;  /* the fastest of its samples */
    unsigned samples;     /* speed passes that came to their end */
    double slowest_ns;    /* the largest mean among them */
    uint64_t pass_ns;     /* that the last of them took with all that belongs to it */
    replay_launch shape;
    unsigned rank; /* from 1 on; 0: none */
} replay_run;

typedef struct replay_choice {
    replay_order order;
    uint64_t timeout_ms; /* of a pass */
    uint64_t search_ms;  /* of a region's search, after which the best so far has to do */
    uint64_t repeat_ms;  /* of all repetitions of speed passes together; 0: none */
} replay_choice;

/* Does all of them, one after the other, but for the searches, which go two at a time. False if
 * a signal asked this command to end: then the runs that had ended are good, and the others say
 * so. */
bool replay_runs_do(replay_run *runs, size_t count, const replay_tape *tape,
                    const replay_choice *choice, int signals);

/* One pass of the strategy `name`. The launch is the caller's to free. */
replay_end replay_pass_do(replay_launch *launch, const char *name, const char *preload,
                          const replay_tape *tape, const replay_job *settings, uint64_t timeout_ms,
                          int signals);

/* Figures of a run that is REPLAY_OK. */
double replay_run_mean_ns(const replay_run *run);
double replay_run_spread_ns(const replay_run *run); /* of the means; negative: there is but one */
double replay_run_events_per_second(const replay_run *run);
double replay_run_part_ns(const replay_run *run, double part);

/* 0 to 1; negative where it is not known. */
double replay_moment_external(const replay_moment *moment);
double replay_moment_internal(const replay_moment *moment);

typedef enum replay_rank {
    REPLAY_BY_FOOTPRINT,
    REPLAY_BY_RESIDENT,
    REPLAY_BY_TIME,
    REPLAY_BY_P99
} replay_rank;

/* Puts the runs in order, the best first, and numbers those that are REPLAY_OK. */
void replay_runs_rank(replay_run *runs, size_t count, replay_rank by);

#endif
