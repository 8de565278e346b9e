/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_ROUNDS_H
#define TARN_CLI_ROUNDS_H

/*
 * Rounds: in each, a program runs once on every allocator.
 *
 * The first allocator, Tarn's, is first in the first round; each round after begins with the next
 * one, so that no allocator always has the machine in the state that the same neighbour left. Where
 * a program runs once in all, nothing stands between it and the terminal; where it runs more often,
 * its output is shown once and compared.
 */

#include "allocator.h"
#include "child.h"
#include "input.h"
#include "output.h"
#include "program.h"
#include "sample.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct cli_rounds_plan {
    const cli_program *program;
    const cli_allocators *allocators;
    size_t runs;   /* measured rounds, at least 1 */
    size_t warmup; /* rounds before them that are not measured */
    bool with_stats;
    int shown_output; /* descriptor for the program's standard output */
} cli_rounds_plan;

/* The runs on one allocator. */
typedef struct cli_lane {
    const cli_allocator *allocator;
    size_t count;           /* runs that were measured */
    cli_outcome *outcomes;  /* of each */
    size_t failure;         /* the first of them that did not exit with 0; `count` when all did */
    cli_output output;      /* standard output of the first */
    bool output_varies;     /* a later one wrote something else */
    const char *last_words; /* end of standard error of the first that failed; NULL: it was shown */
} cli_lane;

typedef struct cli_rounds {
    const cli_rounds_plan *plan;
    bool is_compared; /* outputs were looked at: the program ran more than once */
    size_t lane_count;
    cli_lane lanes[CLI_ALLOCATORS_MAX];
    int exec_error; /* errno of a program that could not be started, or 0 */
    int asked;      /* the signal that ended the rounds early, or 0 */
} cli_rounds;

/* Runs the plan. Needs cli_signals_catch()'s descriptor. */
void cli_rounds_run(cli_rounds *rounds, const cli_rounds_plan *plan, int signals);

/* The environment of a run on `allocator`. */
char **cli_rounds_environment(const cli_rounds_plan *plan, const cli_allocator *allocator);

/* A figure of an outcome, and its sample over the runs of a lane that has any. */
typedef double cli_figure(const cli_outcome *outcome);
double cli_wall(const cli_outcome *outcome);
double cli_user(const cli_outcome *outcome);
double cli_system(const cli_outcome *outcome);
double cli_processor(const cli_outcome *outcome); /* user and system */
double cli_peak(const cli_outcome *outcome);
double cli_minor_faults(const cli_outcome *outcome);
double cli_major_faults(const cli_outcome *outcome);
cli_sample cli_lane_sample(const cli_lane *lane, cli_figure *figure);

/* The outcome that stands for a lane: its first failure, else its first run. The lane has a run. */
const cli_outcome *cli_lane_outcome(const cli_lane *lane);

/* The lane of the system's malloc if it has a run; NULL without one. */
const cli_lane *cli_rounds_base(const cli_rounds *rounds);

/* True if standard output of the lane's runs was the same as that of Tarn's. */
bool cli_lane_agrees(const cli_rounds *rounds, const cli_lane *lane);

/* True if some allocator's own runs wrote different things, which makes a comparison between
 * allocators void. */
bool cli_rounds_vary(const cli_rounds *rounds);

/* rounds_table.c: for people, to standard error. */
void cli_rounds_print_table(const cli_rounds *rounds);

/* What went wrong in the runs, one line each, to standard error. */
void cli_rounds_print_faults(const cli_rounds *rounds);

/* rounds_json.c: the format is described in tarn(1). */
void cli_rounds_write_json(const cli_rounds *rounds, FILE *file);

#endif
