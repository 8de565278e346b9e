/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPLAY_THEORY_H
#define TARN_CLI_REPLAY_THEORY_H

/*
 * What no allocator can beat, and what one that knows the future can do.
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
    bool has_robson;
    uint64_t robson;  /* bytes that suffice a region by first fit, whatever the order of requests */
    uint64_t largest; /* request, bytes */
} replay_theory;

/* `deadline_ms` is for the plan; 0: none is made. `signals` ends planning as the deadline does. */
replay_theory replay_theory_of(const replay_tape *tape, uint64_t deadline_ms, int signals);

#endif
