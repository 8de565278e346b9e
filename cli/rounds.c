/* SPDX-License-Identifier: MIT */
#include "rounds.h"

#include "cli.h"
#include "environment.h"
#include "signals.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 *             lane 0 (tarn)   lane 1 (system)   lane 2
 *   warm-up      .               .                .         not measured, not shown
 *   round 0      1 shown         2                3
 *   round 1      3               1                2         each round begins one lane further
 */

char **cli_rounds_environment(const cli_rounds_plan *plan, const cli_allocator *allocator)
{
    char **environment = cli_environment_with(NULL, "LD_PRELOAD",
                                              cli_allocator_preload(plan->allocators, allocator));
    if (plan->with_stats && allocator == &plan->allocators->items[0]) {
        const char *conf = getenv("TARN_CONF");
        const bool has_conf = conf != NULL && conf[0] != '\0';
        environment = cli_environment_with(environment, "TARN_CONF",
                                           has_conf ? cli_format("%s,stats:1", conf) : "stats:1");
    }
    return environment;
}

/* What a run needs beside its lane. */
typedef struct run_stage {
    const cli_rounds_plan *plan;
    char **environments[CLI_ALLOCATORS_MAX];
    cli_input input;
    cli_reference reference;
    int signals;
} run_stage;

static void record(cli_lane *lane, const cli_outcome *outcome, const cli_output *output,
                   const cli_output *errors)
{
    if (lane->count == 0) {
        lane->output = *output;
    } else if (!cli_output_is_same(output, &lane->output)) {
        lane->output_varies = true;
    }
    const bool has_failed = cli_outcome_exit(outcome) != 0;
    if (has_failed && lane->failure == lane->count && errors->show < 0) {
        lane->last_words = cli_output_tail(errors);
    }
    lane->failure += lane->failure == lane->count && !has_failed;
    lane->outcomes[lane->count++] = *outcome;
}

/* The only run of its program: everything is its own. */
static cli_outcome run_alone(cli_rounds *rounds, const run_stage *stage)
{
    const cli_launch launch = {
        .program = stage->plan->program,
        .environment = stage->environments[0],
        .input = -1,
        .output_to = stage->plan->shown_output,
    };
    const cli_outcome outcome = cli_child_run(&launch, stage->signals);
    if (outcome.exec_error == 0) {
        record(&rounds->lanes[0], &outcome, &(cli_output){.show = -1}, &(cli_output){.show = 1});
    }
    return outcome;
}

static cli_outcome run_among_others(cli_rounds *rounds, run_stage *stage, size_t lane,
                                    bool is_measured)
{
    const bool is_reference = is_measured && lane == 0 && rounds->lanes[0].count == 0;
    cli_output output = {.show = is_reference ? stage->plan->shown_output : -1};
    cli_output errors = {.show = is_reference ? STDERR_FILENO : -1};
    if (is_reference) {
        output.store = &stage->reference;
    } else if (is_measured) {
        output.reference = &stage->reference;
    }
    const cli_launch launch = {
        .program = stage->plan->program,
        .environment = stage->environments[lane],
        .input = stage->input.descriptor,
        .output_to = -1,
        .output = &output,
        .errors = &errors,
    };
    cli_input_rewind(&stage->input);
    const cli_outcome outcome = cli_child_run(&launch, stage->signals);
    if (is_measured && outcome.exec_error == 0) {
        record(&rounds->lanes[lane], &outcome, &output, &errors);
    }
    return outcome;
}

/* A server ends well when it is asked by Ctrl-C, and then the next allocator has its turn; any
 * other end is the user's wish to end it all. */
static bool ends_rounds(const cli_outcome *outcome)
{
    return outcome->asked != 0 && (outcome->asked != SIGINT || cli_outcome_exit(outcome) != 0);
}

static void show_progress(const cli_rounds *rounds, size_t done, size_t lane, bool is_measured)
{
    const cli_rounds_plan *plan = rounds->plan;
    const size_t total = (plan->runs + plan->warmup) * rounds->lane_count;
    cli_progress("run %zu of %zu: %s on %s%s", done + 1, total, plan->program->argv[0],
                 rounds->lanes[lane].allocator->name, is_measured ? "" : " (warm-up)");
}

static void run_rounds(cli_rounds *rounds, run_stage *stage)
{
    const cli_rounds_plan *plan = rounds->plan;
    const size_t total = (plan->runs + plan->warmup) * rounds->lane_count;
    for (size_t done = 0; done < total; done++) {
        const size_t round = done / rounds->lane_count;
        const bool is_measured = round >= plan->warmup;
        const size_t turn = is_measured ? round - plan->warmup : 0;
        const size_t lane = (done + turn) % rounds->lane_count;
        rounds->asked = cli_signals_pass(stage->signals, 0);
        if (rounds->asked != 0) {
            return;
        }
        show_progress(rounds, done, lane, is_measured);
        const cli_outcome outcome = run_among_others(rounds, stage, lane, is_measured);
        rounds->exec_error = outcome.exec_error;
        rounds->asked = ends_rounds(&outcome) ? outcome.asked : 0;
        if (rounds->exec_error != 0 || rounds->asked != 0) {
            return;
        }
    }
}

void cli_rounds_run(cli_rounds *rounds, const cli_rounds_plan *plan, int signals)
{
    run_stage stage = {.plan = plan, .signals = signals};
    *rounds = (cli_rounds){.plan = plan, .lane_count = plan->allocators->count};
    for (size_t i = 0; i < rounds->lane_count; i++) {
        const cli_allocator *allocator = &plan->allocators->items[i];
        rounds->lanes[i].allocator = allocator;
        rounds->lanes[i].outcomes = cli_alloc(plan->runs * sizeof(cli_outcome));
        stage.environments[i] = cli_rounds_environment(plan, allocator);
    }
    rounds->is_compared = plan->runs + plan->warmup > 1 || rounds->lane_count > 1;
    if (!rounds->is_compared) {
        const cli_outcome outcome = run_alone(rounds, &stage);
        rounds->exec_error = outcome.exec_error;
        rounds->asked = outcome.asked;
        return;
    }
    stage.input = cli_input_open();
    const int descriptor = cli_temporary_file();
    stage.reference.file = descriptor >= 0 ? fdopen(descriptor, "r+") : NULL;
    run_rounds(rounds, &stage);
    cli_progress_wipe();
    if (stage.reference.file != NULL) {
        fclose(stage.reference.file);
    }
}

/* -------------------------------------------------------------------------------------------------
 * Figures.
 */
double cli_wall(const cli_outcome *outcome)
{
    return outcome->wall;
}

double cli_user(const cli_outcome *outcome)
{
    return outcome->user;
}

double cli_system(const cli_outcome *outcome)
{
    return outcome->system;
}

double cli_processor(const cli_outcome *outcome)
{
    return outcome->user + outcome->system;
}

double cli_peak(const cli_outcome *outcome)
{
    return (double)outcome->peak;
}

double cli_minor_faults(const cli_outcome *outcome)
{
    return (double)outcome->minor_faults;
}

double cli_major_faults(const cli_outcome *outcome)
{
    return (double)outcome->major_faults;
}

cli_sample cli_lane_sample(const cli_lane *lane, cli_figure *figure)
{
    double *values = cli_alloc(lane->count * sizeof *values);
    for (size_t i = 0; i < lane->count; i++) {
        values[i] = figure(&lane->outcomes[i]);
    }
    return cli_sample_of(values, lane->count);
}

const cli_outcome *cli_lane_outcome(const cli_lane *lane)
{
    return &lane->outcomes[lane->failure < lane->count ? lane->failure : 0];
}

const cli_lane *cli_rounds_base(const cli_rounds *rounds)
{
    for (size_t i = 0; i < rounds->lane_count; i++) {
        const cli_lane *lane = &rounds->lanes[i];
        if (lane->allocator->library == NULL && lane->count > 0) {
            return lane;
        }
    }
    return NULL;
}

bool cli_lane_agrees(const cli_rounds *rounds, const cli_lane *lane)
{
    return cli_output_is_same(&lane->output, &rounds->lanes[0].output) && !lane->output_varies;
}

bool cli_rounds_vary(const cli_rounds *rounds)
{
    for (size_t i = 0; i < rounds->lane_count; i++) {
        if (rounds->lanes[i].output_varies) {
            return true;
        }
    }
    return false;
}
