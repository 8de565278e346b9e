/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "json.h"
#include "rounds.h"
#include "signals.h"

#include "tarn/base.h"

#include <math.h>

/* Grows by one whenever the meaning of a field changes; new fields leave it as it is. */
enum { FORMAT_VERSION = 1 };

typedef struct field {
    const char *name;
    cli_figure *figure;
    bool is_count; /* whole in each run */
} field;

static const field fields[] = {
    {"wall_seconds", cli_wall, false},        {"cpu_seconds", cli_processor, false},
    {"user_seconds", cli_user, false},        {"system_seconds", cli_system, false},
    {"peak_resident_bytes", cli_peak, true},  {"minor_faults", cli_minor_faults, true},
    {"major_faults", cli_major_faults, true},
};

enum { FIELD_COUNT = sizeof fields / sizeof fields[0] };

static void write_end(cli_json *json, const cli_outcome *outcome)
{
    cli_json_int(json, "exit_status", cli_outcome_exit(outcome));
    cli_json_text(json, "signal",
                  outcome->signal != 0 ? cli_format("SIG%s", cli_signal_name(outcome->signal))
                                       : NULL);
}

static void write_run(cli_json *json, const cli_outcome *outcome)
{
    cli_json_open(json, NULL, '{');
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const double value = fields[i].figure(outcome);
        if (fields[i].is_count) {
            cli_json_count(json, fields[i].name, (uint64_t)value);
        } else {
            cli_json_number(json, fields[i].name, value);
        }
    }
    write_end(json, outcome);
    cli_json_close(json, '}');
}

static void write_samples(cli_json *json, const cli_rounds *rounds, const cli_lane *lane)
{
    const cli_lane *base = cli_rounds_base(rounds);
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const cli_sample sample = cli_lane_sample(lane, fields[i].figure);
        cli_json_open(json, fields[i].name, '{');
        cli_json_number(json, "median", sample.median);
        cli_json_number(json, "least", sample.least);
        cli_json_number(json, "most", sample.most);
        if (base != NULL) {
            const double of_base = cli_lane_sample(base, fields[i].figure).median;
            cli_json_number(json, "ratio", of_base > 0 ? sample.median / of_base : (double)NAN);
        }
        cli_json_close(json, '}');
    }
}

static void write_output(cli_json *json, const cli_rounds *rounds, const cli_lane *lane)
{
    if (!rounds->is_compared) {
        cli_json_null(json, "stdout");
        return;
    }
    cli_json_open(json, "stdout", '{');
    cli_json_count(json, "bytes", lane->output.size);
    cli_json_bool(json, "same_as_first",
                  cli_output_is_same(&lane->output, &rounds->lanes[0].output));
    cli_json_bool(json, "same_in_every_run", !lane->output_varies);
    cli_json_close(json, '}');
}

static void write_lane(cli_json *json, const cli_rounds *rounds, const cli_lane *lane)
{
    cli_json_open(json, NULL, '{');
    cli_json_text(json, "name", lane->allocator->name);
    cli_json_text(json, "library", lane->allocator->library);
    if (lane->count > 0) {
        write_samples(json, rounds, lane);
        write_end(json, cli_lane_outcome(lane));
        write_output(json, rounds, lane);
    }
    cli_json_open(json, "runs", '[');
    for (size_t i = 0; i < lane->count; i++) {
        write_run(json, &lane->outcomes[i]);
    }
    cli_json_close(json, ']');
    cli_json_close(json, '}');
}

void cli_rounds_write_json(const cli_rounds *rounds, FILE *file)
{
    const cli_rounds_plan *plan = rounds->plan;
    cli_json json = {.file = file};
    cli_json_open(&json, NULL, '{');
    cli_json_text(&json, "format", "tarn-run");
    cli_json_int(&json, "version", FORMAT_VERSION);
    cli_json_text(
        &json, "tarn",
        cli_format("%d.%d.%d", TARN_VERSION_MAJOR, TARN_VERSION_MINOR, TARN_VERSION_PATCH));
    cli_json_open(&json, "program", '[');
    for (size_t i = 0; plan->program->argv[i] != NULL; i++) {
        cli_json_text(&json, NULL, plan->program->argv[i]);
    }
    cli_json_close(&json, ']');
    cli_json_text(&json, "path", plan->program->path);
    cli_json_count(&json, "runs", plan->runs);
    cli_json_count(&json, "warmup", plan->warmup);
    cli_json_text(&json, "not_reached_because", plan->program->unreached);
    cli_json_text(&json, "own_allocator", plan->program->allocator);
    cli_json_text(&json, "interrupted_by",
                  rounds->asked != 0 ? cli_format("SIG%s", cli_signal_name(rounds->asked)) : NULL);
    cli_json_open(&json, "allocators", '[');
    for (size_t i = 0; i < rounds->lane_count; i++) {
        write_lane(&json, rounds, &rounds->lanes[i]);
    }
    cli_json_close(&json, ']');
    cli_json_close(&json, '}');
}
