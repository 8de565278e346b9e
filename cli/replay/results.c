/* SPDX-License-Identifier: MIT */
#include "results.h"

#include "cli.h"
#include "table.h"
#include "units.h"

#include <inttypes.h>
#include <unistd.h>

/* The table on the terminal. */

static double mean_footprint(const replay_job *job)
{
    double sum = 0;
    uint64_t before = 0;
    for (size_t i = 0; i < job->moment_count; i++) {
        const uint64_t after = job->tape.points[i].after;
        sum += (double)job->moments[i].footprint * (double)(after - before);
        before = after;
    }
    return before > 0 ? sum / (double)before : 0;
}

bool replay_saving_of(const replay_results *results, replay_saving *saving)
{
    if (results->still == NULL || results->still->status != REPLAY_OK ||
        results->compacted->status != REPLAY_OK) {
        return false;
    }
    const replay_job *without = results->still->shape.job;
    const replay_job *with = results->compacted->shape.job;
    *saving = (replay_saving){
        .peak_without = without->peak_footprint,
        .peak_with = with->peak_footprint,
        .end_without = without->at_end.footprint,
        .end_with = with->at_end.footprint,
        .mean_without = mean_footprint(without),
        .mean_with = mean_footprint(with),
    };
    return true;
}

static const char *bytes_text(uint64_t bytes)
{
    return bytes == REPLAY_UNKNOWN ? "-" : cli_bytes_text(bytes);
}

static const char *part_text(double part)
{
    return part < 0 ? "-" : cli_format("%.1f %%", part * 100);
}

/* Below a microsecond in nanoseconds. */
static const char *ns_text(double ns)
{
    return ns < 999.5 ? cli_format(ns < 99.95 ? "%.1f ns" : "%.0f ns", ns)
                      : cli_seconds_text(ns * 1e-9);
}

static const char *rate_text(double rate)
{
    return rate >= 1e6 ? cli_format("%.1f M/s", rate / 1e6) : cli_format("%.0f k/s", rate / 1e3);
}

static void fill_header(cli_cell *cells)
{
    static const char *const titles[] = {"allocator", "footprint", "of live",   "resident",
                                         "external",  "internal",  "mean",      "99 %",
                                         "99.9 %",    "longest",   "operations"};
    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++) {
        cells[i] = (cli_cell){titles[i], CLI_STRONG};
    }
}

/* Figures of a column in which the least is best. */
enum { FOOTPRINT, RESIDENT, MEAN, P99, P999, LONGEST, FIGURES };

static double figure_of(const replay_run *run, unsigned figure)
{
    const replay_job *job = run->shape.job;
    switch (figure) {
    case FOOTPRINT:
        return job->peak_footprint == REPLAY_UNKNOWN ? -1 : (double)job->peak_footprint;
    case RESIDENT:
        return (double)job->peak_resident;
    case MEAN:
        return replay_run_mean_ns(run);
    case P99:
        return replay_run_part_ns(run, 0.99);
    case P999:
        return replay_run_part_ns(run, 0.999);
    default:
        return (double)job->times.most * job->tick_ns;
    }
}

static bool is_best(const replay_results *results, const replay_run *run, unsigned figure)
{
    const double value = figure_of(run, figure);
    bool is_best = value >= 0;
    for (size_t i = 0; i < results->count; i++) {
        const replay_run *other = &results->runs[i];
        if (other->status == REPLAY_OK && figure_of(other, figure) >= 0) {
            is_best = is_best && value <= figure_of(other, figure);
        }
    }
    return is_best;
}

static cli_style style_of(const replay_results *results, const replay_run *run, unsigned figure)
{
    return is_best(results, run, figure) ? CLI_GOOD : CLI_PLAIN;
}

static void fill_row(const replay_results *results, const replay_run *run, cli_cell *cells)
{
    const replay_job *job = run->shape.job;
    const double live = (double)results->tape->peak_live;
    cells[0] = (cli_cell){run->name, run->rank == 1 ? CLI_STRONG : CLI_PLAIN};
    cells[1] = (cli_cell){bytes_text(job->peak_footprint), style_of(results, run, FOOTPRINT)};
    cells[2].text = job->peak_footprint == REPLAY_UNKNOWN
                        ? "-"
                        : cli_ratio_text((double)job->peak_footprint, live);
    cells[3] = (cli_cell){bytes_text(job->peak_resident), style_of(results, run, RESIDENT)};
    cells[4].text = part_text(replay_moment_external(&job->at_peak));
    cells[5].text = part_text(replay_moment_internal(&job->at_peak));
    cells[6] = (cli_cell){ns_text(figure_of(run, MEAN)), style_of(results, run, MEAN)};
    cells[7] = (cli_cell){ns_text(figure_of(run, P99)), style_of(results, run, P99)};
    cells[8] = (cli_cell){ns_text(figure_of(run, P999)), style_of(results, run, P999)};
    cells[9] = (cli_cell){ns_text(figure_of(run, LONGEST)), style_of(results, run, LONGEST)};
    cells[10].text = rate_text(replay_run_events_per_second(run));
}

static void print_table(const replay_results *results, FILE *file)
{
    cli_table table = {
        .column_count = 11,
        .is_left = {true},
        .drop_order = {[9] = 1, [10] = 2, [8] = 3, [2] = 4, [5] = 5, [4] = 6, [7] = 7, [3] = 8},
        .is_first_whole = true,
    };
    size_t rows = 0;
    fill_header(cli_table_add(&table));
    for (size_t i = 0; i < results->count; i++) {
        if (results->runs[i].status == REPLAY_OK) {
            fill_row(results, &results->runs[i], cli_table_add(&table));
            rows++;
        }
    }
    if (rows > 0) {
        cli_table_print(&table, file, isatty(fileno(file)) ? cli_columns() : 0);
    }
    for (size_t i = 0; i < results->count; i++) {
        const replay_run *run = &results->runs[i];
        if (run->status != REPLAY_OK) {
            fprintf(file, "%s: %s\n", run->name, run->error);
        }
    }
}

static void print_bytes(const replay_results *results, FILE *file, const char *what, uint64_t bytes,
                        const char *about)
{
    fprintf(file, "%-18s %8s  %5s  %s\n", what, bytes_text(bytes),
            cli_ratio_text((double)bytes, (double)results->tape->peak_live), about);
}

static void print_bounds(const replay_results *results, FILE *file)
{
    const replay_theory *theory = &results->theory;
    const char *largest = bytes_text(theory->largest);
    if (theory->has_robson) {
        print_bytes(results, file, "Robson's bound", theory->robson,
                    cli_format("no allocator that cannot move blocks promises less, for as many "
                               "live bytes and blocks of at most %s",
                               largest));
    }
    if (theory->has_first_fit) {
        print_bytes(results, file, "first fit at worst", theory->first_fit,
                    cli_format("enough for every order of requests with %s in whole partitions",
                               bytes_text(theory->first_fit_live)));
    } else {
        fprintf(file, "%-18s %8s         %s\n", "first fit at worst", "-", theory->no_first_fit);
    }
}

static void print_theory(const replay_results *results, FILE *file)
{
    const replay_plan *plan = &results->theory.plan;
    fprintf(file, "\n%-18s %8s         what no allocator is below\n", "live at most",
            bytes_text(results->tape->peak_live));
    if (plan->is_there) {
        print_bytes(results, file, "static plan", plan->height,
                    cli_format("%s%s", plan->method, plan->is_optimal ? "; none is lower" : ""));
    } else {
        fprintf(file, "%-18s %8s         %s\n", "static plan", "-", plan->reason);
    }
    print_bounds(results, file);
}

static void print_saving(const replay_results *results, FILE *file)
{
    replay_saving saving;
    if (results->still == NULL) {
        return;
    }
    if (!replay_saving_of(results, &saving)) {
        const replay_run *failed =
            results->still->status != REPLAY_OK ? results->still : results->compacted;
        fprintf(file, "\nwhat if blocks could move: %s\n", failed->error);
        return;
    }
    const replay_compaction *done = &results->compacted->shape.job->compaction;
    fprintf(file, "\nwhat if blocks could move   not compacted  compacted\n");
    fprintf(file, "footprint at most           %13s  %9s\n", bytes_text(saving.peak_without),
            bytes_text(saving.peak_with));
    fprintf(file, "footprint on average        %13s  %9s\n",
            bytes_text((uint64_t)saving.mean_without), bytes_text((uint64_t)saving.mean_with));
    fprintf(file, "footprint at the end        %13s  %9s\n", bytes_text(saving.end_without),
            bytes_text(saving.end_with));
    fprintf(file, "moved: %s in %" PRIu64 " blocks, %" PRIu64 " passes, the longest %s\n",
            bytes_text(done->bytes_moved), done->blocks_moved, done->passes,
            ns_text((double)done->longest_us * 1e3));
}

void replay_results_print(const replay_results *results, FILE *file)
{
    print_table(results, file);
    print_theory(results, file);
    print_saving(results, file);
}
