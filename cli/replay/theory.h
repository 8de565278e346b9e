/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPLAY_THEORY_H
#define TARN_CLI_REPLAY_THEORY_H

/*
 * What no allocator can beat, what one that knows the future can do, and what it takes to serve not
 * this order of requests alone but every one with as many live bytes and no larger block.
 */

#include "tape.h"

/* A place for each block of the tape, known before the first is asked for. */
typedef struct replay_plan {
    bool is_there;
    const char *reason; /* where there is none */
    uint64_t height;    /* bytes */
    uint64_t lower_bound;
    uint64_t buffers; /* blocks; one that is resized counts for each size */
    bool is_optimal;
    const char *method;
} replay_plan;

typedef struct replay_theory {
    replay_plan plan;
    uint64_t largest; /* request, bytes */
    bool has_robson;
    uint64_t robson; /* bytes less than which no allocator that cannot move blocks is safe with */
    bool has_first_fit;
    const char *no_first_fit; /* why, where it is not there */
    uint64_t first_fit;       /* bytes that suffice a region by first fit */
    uint64_t first_fit_live;  /* peak of live bytes, in whole partitions, that they are of */
} replay_theory;

/* `deadline_ms` is for the plan; 0: none is made. `signals` is the descriptor of
 * cli_signals_catch(); when one of them asks this command to end, or `is_interrupted` says that
 * one has, there is no plan, and `is_interrupted` is set. */
replay_theory replay_theory_of(const replay_tape *tape, uint64_t deadline_ms, int signals,
                               bool *is_interrupted);

#endif
