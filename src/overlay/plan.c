/* SPDX-License-Identifier: MIT */
#include "overlay/race.h"
#include "tarn/heaps.h"

#include <pthread.h>
#include <string.h>

/*
 * The call: checks, prepares, makes the first plan, lets the threads race, and puts the answer
 * together.
 */

enum { THREADS_MAX = 64 };

static const uint64_t PROGRESS_EVERY_US = 100000;

/* What the calling thread knows besides. */
typedef struct task {
    const tarn_overlay_options *options;
    overlay_memory memory;
    overlay_problem problem;
    overlay_race race;
    overlay_runner *runners;
    uint64_t started_us;
    uint64_t last_us; /* when progress was told last */
    uint32_t last_events;
    bool is_cancelled;
} task;

static int64_t whole_height(task *call, bool *has_plan)
{
    int64_t height = 0;
    *has_plan = true;
    for (uint32_t c = 0; c < call->problem.component_count; c++) {
        const int64_t part = call->race.standings[c].height;
        if (part == INT64_MAX || part > call->race.capacity) {
            *has_plan = false;
            return 0;
        }
        height = part > height ? part : height;
    }
    height *= call->problem.unit;
    return height > call->problem.idle_height ? height : call->problem.idle_height;
}

static int64_t whole_bound(const task *call)
{
    int64_t bound = 0;
    for (uint32_t c = 0; c < call->problem.component_count; c++) {
        const int64_t part = call->race.standings[c].bound;
        bound = part > bound ? part : bound;
    }
    bound *= call->problem.unit;
    return bound > call->problem.idle_height ? bound : call->problem.idle_height;
}

static uint64_t steps_of_all(const task *call)
{
    /* Of the other threads only what they did before they ended is known. */
    return call->runners[0].control.steps;
}

/* Tells the caller how far it is; called by the calling thread alone. */
static void tell_progress(void *context)
{
    task *call = context;
    if (call->options->progress == NULL) {
        return;
    }
    const uint64_t now = os_clock_us();
    const uint32_t events = atomic_load_explicit(&call->race.events, memory_order_relaxed);
    if (events == call->last_events && now - call->last_us < PROGRESS_EVERY_US) {
        return;
    }
    call->last_us = now;
    call->last_events = events;
    tarn_overlay_progress progress = {.steps = steps_of_all(call),
                                      .elapsed_ms = (now - call->started_us) / 1000};
    os_lock_take(&call->race.lock);
    progress.height = whole_height(call, &progress.has_plan);
    progress.lower_bound = whole_bound(call);
    os_lock_release(&call->race.lock);
    if (!call->options->progress(call->options->context, &progress)) {
        call->is_cancelled = true;
        atomic_store_explicit(&call->race.must_stop, true, memory_order_relaxed);
    }
}

static void *run_thread(void *runner)
{
    overlay_runner_work(runner);
    return NULL;
}

/* Lets the other threads work, too. One that cannot be started is done without. */
static void race(task *call, unsigned threads)
{
    pthread_t handles[THREADS_MAX];
    unsigned started = 1;
    while (started < threads &&
           pthread_create(&handles[started], NULL, run_thread, &call->runners[started]) == 0) {
        started++;
    }
    overlay_runner_work(&call->runners[0]);
    if (call->runners[0].control.is_over) {
        /* Its time is over, or its steps are: so are those of the others. */
        atomic_store_explicit(&call->race.must_stop, true, memory_order_relaxed);
    }
    for (unsigned t = 1; t < started; t++) {
        pthread_join(handles[t], NULL);
    }
}

/* Fixed buffers that collide make every plan impossible. */
static tarn_status check_fixed(task *call, const tarn_overlay_buffer *buffers, size_t count)
{
    size_t fixed = 0;
    for (size_t i = 0; i < count; i++) {
        fixed += buffers[i].is_fixed;
    }
    if (fixed < 2) {
        return TARN_OK;
    }
    tarn_overlay_buffer *some = overlay_take(&call->memory, fixed, sizeof *some);
    int64_t *offsets = overlay_take(&call->memory, fixed, sizeof *offsets);
    if (some == NULL || offsets == NULL) {
        return TARN_NO_MEMORY;
    }
    fixed = 0;
    for (size_t i = 0; i < count; i++) {
        if (buffers[i].is_fixed) {
            offsets[fixed] = buffers[i].offset;
            some[fixed++] = buffers[i];
        }
    }
    const tarn_status status =
        tarn_overlay_verify(some, fixed, offsets, 0, call->memory.upstream, NULL, NULL);
    overlay_give_back(&call->memory, some, fixed, sizeof *some);
    overlay_give_back(&call->memory, offsets, fixed, sizeof *offsets);
    return status;
}

static tarn_status prepare(task *call, const tarn_overlay_buffer *buffers, size_t count)
{
    const tarn_overlay_options *options = call->options;
    tarn_status status = overlay_problem_init(&call->problem, buffers, count, &call->memory);
    if (status != TARN_OK) {
        return status;
    }
    status = check_fixed(call, buffers, count);
    if (status == TARN_BAD_DATA) {
        call->race.is_infeasible = true;
    } else if (status != TARN_OK) {
        return status;
    }
    call->race.problem = &call->problem;
    call->race.goal = options->goal;
    call->race.capacity =
        options->capacity == 0 ? INT64_MAX : options->capacity / call->problem.unit;
    const unsigned threads = options->threads == 0 ? 1 : options->threads;
    call->runners = overlay_take(&call->memory, threads, sizeof *call->runners);
    if (call->runners == NULL || !overlay_race_init(&call->race, &call->memory)) {
        return TARN_NO_MEMORY;
    }
    for (unsigned t = 0; t < threads; t++) {
        overlay_runner *runner = &call->runners[t];
        if (!overlay_runner_init(runner, &call->race, t, options->seed, &call->memory)) {
            return TARN_NO_MEMORY;
        }
        runner->control.must_stop = &call->race.must_stop;
        runner->control.deadline_us =
            options->deadline_ms == 0 || options->deadline_ms > UINT64_MAX / 2000
                ? UINT64_MAX
                : call->started_us + options->deadline_ms * 1000;
        runner->control.step_limit =
            options->step_limit == 0 ? UINT64_MAX : options->step_limit / threads + 1;
    }
    call->runners[0].control.look = tell_progress;
    call->runners[0].control.context = call;
    return TARN_OK;
}

static tarn_overlay_stop why_it_stopped(const task *call)
{
    if (call->race.is_over || call->race.is_infeasible) {
        return TARN_OVERLAY_DONE;
    }
    if (call->is_cancelled) {
        return TARN_OVERLAY_CANCELLED;
    }
    const overlay_control *control = &call->runners[0].control;
    return control->steps >= control->step_limit ? TARN_OVERLAY_STEP_LIMIT : TARN_OVERLAY_DEADLINE;
}

static void answer(task *call, const tarn_overlay_buffer *buffers, size_t count, unsigned threads,
                   int64_t *offsets, tarn_overlay_result *result)
{
    const overlay_problem *problem = &call->problem;
    bool has_plan;
    result->height = whole_height(call, &has_plan);
    result->lower_bound = whole_bound(call);
    result->section_bound = problem->section_bound * problem->unit;
    result->components = problem->component_count;
    result->sections = problem->section_count;
    result->conflicts = problem->pair_count;
    result->stop = why_it_stopped(call);
    for (unsigned t = 0; t < threads; t++) {
        const overlay_runner *runner = &call->runners[t];
        result->plans += runner->plans;
        result->steps += runner->control.steps;
        result->nodes += runner->search == NULL ? 0 : overlay_search_nodes(runner->search);
    }
    const int64_t capacity = call->options->capacity;
    if (call->race.is_infeasible || (capacity != 0 && result->lower_bound > capacity)) {
        result->outcome = TARN_OVERLAY_INFEASIBLE;
        result->height = 0;
        return;
    }
    if (!has_plan) {
        result->outcome = TARN_OVERLAY_UNKNOWN;
        return;
    }
    result->outcome =
        result->height <= result->lower_bound ? TARN_OVERLAY_OPTIMAL : TARN_OVERLAY_FOUND;
    for (size_t i = 0; i < count; i++) {
        offsets[i] = buffers[i].is_fixed ? buffers[i].offset : 0;
    }
    for (uint32_t i = 0; i < problem->count; i++) {
        offsets[problem->items[i].input] = call->race.offsets[i] * problem->unit;
    }
}

static bool are_sound(const tarn_overlay_options *options)
{
    return options->goal <= TARN_OVERLAY_ANYTIME && options->capacity >= 0 &&
           options->threads <= THREADS_MAX &&
           (options->goal != TARN_OVERLAY_FITS || options->capacity > 0) &&
           (options->goal != TARN_OVERLAY_ANYTIME || options->deadline_ms > 0 ||
            options->step_limit > 0);
}

tarn_status tarn_overlay_plan(const tarn_overlay_buffer *buffers, size_t count,
                              const tarn_overlay_options *options, int64_t *offsets,
                              tarn_overlay_result *result)
{
    static const tarn_overlay_options defaults = {.goal = TARN_OVERLAY_LEAST};
    task call = {.options = options == NULL ? &defaults : options, .started_us = os_clock_us()};
    if (!are_sound(call.options) || tarn_overlay_inspect(buffers, count, NULL) != TARN_OK) {
        return TARN_BAD_ARGUMENT;
    }
    overlay_memory_init(&call.memory, call.options->upstream);
    tarn_status status = prepare(&call, buffers, count);
    if (status == TARN_OK) {
        const unsigned threads = call.options->threads == 0 ? 1 : call.options->threads;
        const bool can_be =
            !call.race.is_infeasible &&
            (call.options->capacity == 0 || whole_bound(&call) <= call.options->capacity);
        if (can_be && overlay_runner_start(&call.runners[0])) {
            race(&call, threads);
        }
        tarn_overlay_result whole = {0};
        answer(&call, buffers, count, threads, offsets, &whole);
        whole.elapsed_ms = (os_clock_us() - call.started_us) / 1000;
        whole.peak_memory = call.memory.peak;
        if (result != NULL) {
            *result = whole;
        }
    }
    overlay_memory_deinit(&call.memory);
    return status;
}
