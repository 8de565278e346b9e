/* SPDX-License-Identifier: MIT */
#include "results.h"

#include "cli.h"
#include "json.h"

/* The results as JSON: docs/replay.md says what each field is. */

static void put_bytes(cli_json *json, const char *key, uint64_t bytes)
{
    if (bytes == REPLAY_UNKNOWN) {
        cli_json_null(json, key);
    } else {
        cli_json_count(json, key, bytes);
    }
}

/* Null where it is negative: not known. */
static void put_figure(cli_json *json, const char *key, double figure)
{
    if (figure < 0) {
        cli_json_null(json, key);
    } else {
        cli_json_number(json, key, figure);
    }
}

/* -------------------------------------------------------------------------------------------------
 * Theory.
 */
static void put_plan(cli_json *json, const replay_plan *plan)
{
    if (!plan->is_there) {
        cli_json_null(json, "static_plan");
        cli_json_text(json, "no_static_plan_because", plan->reason);
        return;
    }
    cli_json_open(json, "static_plan", '{');
    cli_json_count(json, "height", plan->height);
    cli_json_count(json, "lower_bound", plan->lower_bound);
    cli_json_count(json, "buffers", plan->buffers);
    cli_json_bool(json, "is_optimal", plan->is_optimal);
    cli_json_text(json, "method", plan->method);
    cli_json_close(json, '}');
}

static void put_robson(cli_json *json, const replay_theory *theory)
{
    if (!theory->has_robson) {
        cli_json_null(json, "robson");
        return;
    }
    cli_json_open(json, "robson", '{');
    cli_json_count(json, "bytes", theory->robson);
    cli_json_count(json, "largest", theory->largest);
    cli_json_text(json, "text",
                  "no allocator that cannot move blocks promises less for every order of requests "
                  "with as many live bytes and no larger block");
    cli_json_close(json, '}');
}

static void put_first_fit(cli_json *json, const replay_theory *theory)
{
    if (!theory->has_first_fit) {
        cli_json_null(json, "first_fit");
        cli_json_text(json, "no_first_fit_because", theory->no_first_fit);
        return;
    }
    cli_json_open(json, "first_fit", '{');
    cli_json_count(json, "bytes", theory->first_fit);
    cli_json_count(json, "largest", theory->largest);
    cli_json_count(json, "live_in_partitions", theory->first_fit_live);
    cli_json_text(json, "text",
                  "a range of so many bytes, beside its books, suffices first fit for every order "
                  "of requests with as many live bytes in whole partitions and no larger block");
    cli_json_close(json, '}');
}

static void put_theory(cli_json *json, const replay_results *results)
{
    cli_json_open(json, "theory", '{');
    cli_json_count(json, "peak_live", results->tape->peak_live);
    put_plan(json, &results->theory.plan);
    put_robson(json, &results->theory);
    put_first_fit(json, &results->theory);
    cli_json_close(json, '}');
}

/* -------------------------------------------------------------------------------------------------
 * Runs.
 */
static const char *status_text(const replay_run *run)
{
    switch (run->status) {
    case REPLAY_OK:
        return "ok";
    case REPLAY_FAILED:
        return "failed";
    case REPLAY_UNSUPPORTED:
        return "unsupported";
    case REPLAY_STOPPED:
        return "interrupted";
    case REPLAY_NOT_RUN:
        return "not run";
    case REPLAY_UNFINISHED:
        break;
    }
    return "crashed";
}

static const char *order_text(replay_order order)
{
    return order == REPLAY_EXACT ? "exact" : order == REPLAY_PARALLEL ? "parallel" : "one thread";
}

typedef enum curve_column { EVENT, TIME, LIVE, FOOTPRINT, RESIDENT } curve_column;

static void put_column(cli_json *json, const char *key, const replay_job *job, curve_column column)
{
    cli_json_open(json, key, '[');
    for (size_t i = 0; i < job->moment_count; i++) {
        const replay_point *point = &job->tape.points[i];
        const replay_moment *moment = &job->moments[i];
        const uint64_t values[] = {point->after, point->time_ns, point->live, moment->footprint,
                                   moment->resident};
        put_bytes(json, NULL, values[column]);
    }
    cli_json_close(json, ']');
}

static void put_curve(cli_json *json, const replay_job *job)
{
    cli_json_open(json, "curve", '{');
    put_column(json, "event", job, EVENT);
    put_column(json, "time_ns", job, TIME);
    put_column(json, "live", job, LIVE);
    put_column(json, "footprint", job, FOOTPRINT);
    put_column(json, "resident", job, RESIDENT);
    cli_json_close(json, '}');
}

static void put_figures(cli_json *json, const replay_run *run)
{
    const replay_job *job = run->shape.job;
    cli_json_number(json, "events_per_second", replay_run_events_per_second(run));
    cli_json_open(json, "ns", '{');
    cli_json_number(json, "mean", replay_run_mean_ns(run));
    put_figure(json, "mean_spread", replay_run_spread_ns(run));
    cli_json_number(json, "p50", replay_run_part_ns(run, 0.5));
    cli_json_number(json, "p99", replay_run_part_ns(run, 0.99));
    cli_json_number(json, "p99_9", replay_run_part_ns(run, 0.999));
    cli_json_number(json, "max", (double)job->times.most * job->tick_ns);
    cli_json_close(json, '}');
    put_bytes(json, "peak_footprint", job->peak_footprint);
    put_bytes(json, "peak_resident", job->peak_resident);
    put_bytes(json, "end_footprint", job->at_end.footprint);
    put_bytes(json, "end_resident", job->at_end.resident);
    cli_json_open(json, "fragmentation", '{');
    put_figure(json, "external_peak", replay_moment_external(&job->at_peak));
    put_figure(json, "internal_peak", replay_moment_internal(&job->at_peak));
    put_figure(json, "external_end", replay_moment_external(&job->at_end));
    put_figure(json, "internal_end", replay_moment_internal(&job->at_end));
    cli_json_close(json, '}');
    cli_json_count(json, "failures", job->failures);
    cli_json_count(json, "rank", run->rank);
    put_curve(json, job);
}

/* A run that did not come to its end has the same fields, without values. */
static void put_no_figures(cli_json *json, const replay_run *run)
{
    static const char *const times[] = {"mean", "mean_spread", "p50", "p99", "p99_9", "max"};
    static const char *const bytes[] = {"peak_footprint", "peak_resident", "end_footprint",
                                        "end_resident"};
    static const char *const parts[] = {"external_peak", "internal_peak", "external_end",
                                        "internal_end"};
    cli_json_null(json, "events_per_second");
    cli_json_open(json, "ns", '{');
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        cli_json_null(json, times[i]);
    }
    cli_json_close(json, '}');
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        cli_json_null(json, bytes[i]);
    }
    cli_json_open(json, "fragmentation", '{');
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        cli_json_null(json, parts[i]);
    }
    cli_json_close(json, '}');
    cli_json_count(json, "failures", run->speed.job != NULL ? run->speed.job->failures : 0);
    cli_json_null(json, "rank");
    cli_json_null(json, "curve");
}

static void put_run(cli_json *json, const replay_run *run)
{
    cli_json_open(json, NULL, '{');
    cli_json_text(json, "name", run->name);
    cli_json_text(json, "kind", run->kind);
    cli_json_text(json, "about", run->about);
    cli_json_text(json, "order",
                  run->speed.job != NULL ? order_text(run->speed.job->played) : NULL);
    cli_json_text(json, "status", status_text(run));
    cli_json_text(json, "error", run->error);
    if (run->status == REPLAY_OK) {
        put_figures(json, run);
    } else {
        put_no_figures(json, run);
    }
    cli_json_close(json, '}');
}

static void put_movable(cli_json *json, const replay_results *results)
{
    replay_saving saving;
    if (!replay_saving_of(results, &saving)) {
        cli_json_null(json, "movable");
        return;
    }
    const replay_compaction *done = &results->compacted->shape.job->compaction;
    cli_json_open(json, "movable", '{');
    cli_json_count(json, "peak_footprint", saving.peak_with);
    cli_json_count(json, "end_footprint", saving.end_with);
    cli_json_number(json, "mean_footprint", saving.mean_with);
    cli_json_count(json, "without", saving.peak_without);
    cli_json_count(json, "end_without", saving.end_without);
    cli_json_number(json, "mean_without", saving.mean_without);
    cli_json_count(json, "bytes_moved", done->bytes_moved);
    cli_json_count(json, "blocks_moved", done->blocks_moved);
    cli_json_count(json, "passes", done->passes);
    cli_json_count(json, "longest_us", done->longest_us);
    cli_json_int(json, "saved", (int64_t)saving.peak_without - (int64_t)saving.peak_with);
    cli_json_close(json, '}');
}

void replay_results_json(const replay_results *results, FILE *file)
{
    cli_json json = {.file = file};
    cli_json_open(&json, NULL, '{');
    cli_json_text(&json, "format", "tarn-replay");
    cli_json_count(&json, "version", 1);
    cli_json_text(&json, "trace", results->trace);
    cli_json_text(&json, "command", results->command);
    cli_json_count(&json, "events", results->tape->count);
    cli_json_count(&json, "allocations", results->tape->allocations);
    cli_json_count(&json, "threads", results->tape->threads);
    cli_json_count(&json, "live_end", results->tape->live_end);
    cli_json_count(&json, "blocks_end", results->tape->blocks_end);
    put_theory(&json, results);
    cli_json_open(&json, "runs", '[');
    for (size_t i = 0; i < results->count; i++) {
        put_run(&json, &results->runs[i]);
    }
    cli_json_close(&json, ']');
    put_movable(&json, results);
    cli_json_close(&json, '}');
}
