/* SPDX-License-Identifier: MIT */
#include "run.h"

#include "cli.h"
#include "histogram.h"
#include "strategy.h"
#include "ticks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEARCHES_AT_ONCE = 2, SAMPLES_MAX = 3 };

static void name_job(replay_job *job, const char *name)
{
    snprintf(job->strategy, sizeof job->strategy, "%s", name);
}

/* What a pass that did not come to a good end leaves with its run. */
static void keep_fault(replay_run *run, replay_end end, const replay_job *job)
{
    run->status = end == REPLAY_ENDED         ? job->status
                  : end == REPLAY_INTERRUPTED ? REPLAY_STOPPED
                                              : REPLAY_UNFINISHED;
    run->error = end == REPLAY_INTERRUPTED ? "interrupted" : cli_copy(job->error);
}

/* -------------------------------------------------------------------------------------------------
 * Searches.
 */
typedef struct run_search {
    replay_run *run;
    replay_launch launch;
} run_search;

static void start_search(run_search *search, replay_run *run, const replay_tape *tape,
                         const replay_choice *choice)
{
    search->run = run;
    replay_launch_create(&search->launch, tape);
    name_job(search->launch.job, run->name);
    search->launch.job->pass = REPLAY_SEARCH;
    search->launch.job->search_ms = choice->search_ms;
    replay_launch_start(&search->launch, NULL, choice->timeout_ms);
    cli_progress("searching the smallest range of %s", run->name);
}

static void end_search(run_search *search, replay_end end)
{
    const replay_job *job = search->launch.job;
    if (end == REPLAY_ENDED && job->status == REPLAY_OK) {
        search->run->range = job->found;
        search->run->about = cli_format("%s; %llu tries to find the range", search->run->about,
                                        (unsigned long long)job->tries);
    } else {
        keep_fault(search->run, end, job);
    }
    replay_launch_free(&search->launch);
}

static bool search_all(replay_run *runs, size_t count, const replay_tape *tape,
                       const replay_choice *choice, int signals)
{
    run_search searches[SEARCHES_AT_ONCE];
    replay_launch *launches[SEARCHES_AT_ONCE] = {&searches[0].launch, &searches[1].launch};
    size_t active = 0;
    for (size_t next = 0; next < count || active > 0;) {
        if (next < count && !runs[next].is_region) {
            next++;
        } else if (next < count && active < SEARCHES_AT_ONCE) {
            start_search(&searches[active++], &runs[next++], tape, choice);
        } else {
            size_t ended;
            const replay_end end = replay_launch_wait(launches, active, signals, &ended);
            if (end == REPLAY_INTERRUPTED) {
                for (size_t i = 0; i < active; i++) {
                    end_search(&searches[i], end);
                }
                return false;
            }
            end_search(&searches[ended], end);
            searches[ended] = searches[--active];
        }
    }
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * Passes.
 */
replay_end replay_pass_do(replay_launch *launch, const char *name, const char *preload,
                          const replay_tape *tape, const replay_job *settings, uint64_t timeout_ms,
                          int signals)
{
    replay_launch_create(launch, tape);
    name_job(launch->job, name);
    launch->job->pass = settings->pass;
    launch->job->order = settings->order;
    launch->job->range = settings->range;
    replay_launch_start(launch, preload, timeout_ms);
    size_t ended;
    return replay_launch_wait(&(replay_launch *){launch}, 1, signals, &ended);
}

static replay_end do_pass(replay_run *run, replay_launch *launch, replay_pass pass,
                          const replay_tape *tape, const replay_choice *choice, int signals)
{
    replay_job *settings = cli_alloc(sizeof *settings);
    settings->pass = pass;
    settings->order = choice->order;
    settings->range = run->range;
    cli_progress("%s: %s", run->name, pass == REPLAY_SPEED ? "speed" : "shape");
    return replay_pass_do(launch, run->name, run->preload, tape, settings, choice->timeout_ms,
                          signals);
}

static bool is_good(replay_end end, const replay_launch *launch)
{
    return end == REPLAY_ENDED && launch->job->status == REPLAY_OK;
}

/* False if the run has ended with it. */
static bool do_first(replay_run *run, replay_pass pass, const replay_tape *tape,
                     const replay_choice *choice, int signals)
{
    replay_launch *launch = pass == REPLAY_SPEED ? &run->speed : &run->shape;
    const uint64_t from_ns = replay_now_ns();
    const replay_end end = do_pass(run, launch, pass, tape, choice, signals);
    if (!is_good(end, launch)) {
        keep_fault(run, end, launch->job);
        return false;
    }
    if (pass == REPLAY_SPEED) {
        run->samples = 1;
        run->slowest_ns = replay_run_mean_ns(run);
        run->pass_ns = replay_now_ns() - from_ns;
    }
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * Repetitions of the speed pass.
 */
static void keep_sample(replay_run *run, replay_launch *launch)
{
    replay_launch kept = run->speed;
    const double before_ns = replay_run_mean_ns(run);
    run->speed = *launch;
    const double now_ns = replay_run_mean_ns(run);
    if (now_ns < before_ns) {
        *launch = kept;
    } else {
        run->speed = kept;
    }
    run->slowest_ns = now_ns > run->slowest_ns ? now_ns : run->slowest_ns;
    run->samples++;
}

/* False if a signal asked this command to end; the run then is as good as it was. */
static bool repeat(replay_run *run, const replay_tape *tape, const replay_choice *choice,
                   int signals)
{
    replay_launch launch;
    const uint64_t from_ns = replay_now_ns();
    const replay_end end = do_pass(run, &launch, REPLAY_SPEED, tape, choice, signals);
    if (is_good(end, &launch)) {
        keep_sample(run, &launch);
        run->pass_ns = replay_now_ns() - from_ns;
    } else if (end != REPLAY_INTERRUPTED) {
        keep_fault(run, end, launch.job);
    }
    replay_launch_free(&launch);
    return end != REPLAY_INTERRUPTED;
}

/* By what the last passes took. */
static uint64_t round_ns(const replay_run *runs, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += runs[i].status == REPLAY_OK ? runs[i].pass_ns : 0;
    }
    return sum;
}

/* Whole rounds alone, so that all have as many samples. */
static bool repeat_all(replay_run *runs, size_t count, const replay_tape *tape,
                       const replay_choice *choice, int signals)
{
    const uint64_t deadline_ns = replay_now_ns() + choice->repeat_ms * 1000000;
    for (unsigned round = 1; round < SAMPLES_MAX; round++) {
        if (replay_now_ns() + round_ns(runs, count) > deadline_ns) {
            break;
        }
        for (size_t i = 0; i < count; i++) {
            if (runs[i].status == REPLAY_OK && !repeat(&runs[i], tape, choice, signals)) {
                return false;
            }
        }
    }
    return true;
}

bool replay_runs_do(replay_run *runs, size_t count, const replay_tape *tape,
                    const replay_choice *choice, int signals)
{
    bool goes_on = search_all(runs, count, tape, choice, signals);
    for (size_t i = 0; i < count; i++) {
        replay_run *run = &runs[i];
        if (!goes_on && run->error == NULL) {
            run->error = "not come to";
            run->status = REPLAY_NOT_RUN;
        }
        if (run->error == NULL && do_first(run, REPLAY_SPEED, tape, choice, signals) &&
            do_first(run, REPLAY_SHAPE, tape, choice, signals)) {
            run->status = REPLAY_OK;
        }
        goes_on = goes_on && run->status != REPLAY_STOPPED;
    }
    goes_on = goes_on && repeat_all(runs, count, tape, choice, signals);
    cli_progress_wipe();
    return goes_on;
}

/* -------------------------------------------------------------------------------------------------
 * Figures.
 */
double replay_run_mean_ns(const replay_run *run)
{
    const replay_job *job = run->speed.job;
    return job->done > 0 ? (double)job->busy_ns / (double)job->done : 0;
}

double replay_run_spread_ns(const replay_run *run)
{
    return run->samples > 1 ? run->slowest_ns - replay_run_mean_ns(run) : -1;
}

double replay_run_events_per_second(const replay_run *run)
{
    const replay_job *job = run->speed.job;
    const uint64_t ns = job->wall_ns != 0 ? job->wall_ns : job->busy_ns;
    return ns > 0 ? (double)job->done * 1e9 / (double)ns : 0;
}

double replay_run_part_ns(const replay_run *run, double part)
{
    const replay_job *job = run->shape.job;
    return replay_histogram_part(&job->times, part) * job->tick_ns;
}

static double part_lost(uint64_t inner, uint64_t outer)
{
    if (inner == REPLAY_UNKNOWN || outer == REPLAY_UNKNOWN) {
        return -1;
    }
    return inner < outer ? 1 - (double)inner / (double)outer : 0;
}

double replay_moment_external(const replay_moment *moment)
{
    return part_lost(moment->handed, moment->footprint);
}

double replay_moment_internal(const replay_moment *moment)
{
    return part_lost(moment->live, moment->handed);
}

/* -------------------------------------------------------------------------------------------------
 * Ranks.
 */
static replay_rank ranked_by;

static double memory_of(const replay_run *run, bool is_resident)
{
    const replay_job *job = run->shape.job;
    return (double)(is_resident || job->peak_footprint == REPLAY_UNKNOWN ? job->peak_resident
                                                                         : job->peak_footprint);
}

static double key_of(const replay_run *run)
{
    switch (ranked_by) {
    case REPLAY_BY_TIME:
        return replay_run_mean_ns(run);
    case REPLAY_BY_P99:
        return replay_run_part_ns(run, 0.99);
    case REPLAY_BY_RESIDENT:
        return memory_of(run, true);
    case REPLAY_BY_FOOTPRINT:
        break;
    }
    return memory_of(run, false);
}

static int compare(double a, double b)
{
    return (a > b) - (a < b);
}

static int compare_runs(const void *left, const void *right)
{
    const replay_run *a = left;
    const replay_run *b = right;
    if (a->status != REPLAY_OK || b->status != REPLAY_OK) {
        return (b->status == REPLAY_OK) - (a->status == REPLAY_OK);
    }
    const int by_key = compare(key_of(a), key_of(b));
    return by_key != 0 ? by_key : compare(replay_run_mean_ns(a), replay_run_mean_ns(b));
}

void replay_runs_rank(replay_run *runs, size_t count, replay_rank by)
{
    ranked_by = by;
    qsort(runs, count, sizeof *runs, compare_runs);
    for (size_t i = 0; i < count; i++) {
        runs[i].rank = runs[i].status == REPLAY_OK ? (unsigned)i + 1 : 0;
    }
}
