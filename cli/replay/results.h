/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPLAY_RESULTS_H
#define TARN_CLI_REPLAY_RESULTS_H

/*
 * What a replay found out, as a table and as JSON.
 */

#include "run.h"
#include "theory.h"

#include <stdio.h>

typedef struct replay_results {
    const char *trace;   /* its path */
    const char *command; /* that was recorded; "" if the trace does not say */
    const replay_tape *tape;
    replay_theory theory;
    const replay_run *runs; /* in order */
    size_t count;
    /* Of the movable heap without compaction and with it; NULL: not asked for. */
    const replay_run *still;
    const replay_run *compacted;
} replay_results;

/* What compaction saved, from the moments of both. */
typedef struct replay_saving {
    uint64_t peak_without; /* bytes, the footprint's; here and below */
    uint64_t peak_with;
    uint64_t end_without;
    uint64_t end_with;
    double mean_without;
    double mean_with;
} replay_saving;

/* False if one of the two runs did not come to its end. */
bool replay_saving_of(const replay_results *results, replay_saving *saving);

void replay_results_print(const replay_results *results, FILE *file);
void replay_results_json(const replay_results *results, FILE *file);

#endif
