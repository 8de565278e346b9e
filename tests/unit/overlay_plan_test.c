/* SPDX-License-Identifier: MIT */
#include "tarn/overlay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "overlay_brute.h"
#include "tarn/heaps.h"
#include "tools.h"

/*
 * The planner's contract: what it answers, when it stops, and what it leaves behind.
 */

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum { MANY = 1000, UNTOUCHED = -77 };

/* A problem as real ones are: many short and small buffers, some long or large ones. */
typedef struct planned {
    tarn_overlay_buffer buffers[MANY];
    int64_t offsets[MANY];
    size_t count;
    tarn_overlay_result result;
} planned;

static void fill(planned *problem, size_t count, uint64_t seed)
{
    memset(problem, 0, sizeof *problem);
    problem->count = count;
    for (size_t i = 0; i < count; i++) {
        const int64_t start = (int64_t)(overlay_brute_random(&seed) % count);
        const uint64_t length = overlay_brute_random(&seed) % 5 == 0 ? count / 4 : 12;
        const uint64_t shift = overlay_brute_random(&seed) % 7;
        problem->buffers[i] = (tarn_overlay_buffer){
            .lower = start,
            .upper = start + 1 + (int64_t)(overlay_brute_random(&seed) % length),
            .size = 1 + (int64_t)(overlay_brute_random(&seed) % 1000 >> shift)};
        problem->offsets[i] = UNTOUCHED;
    }
}

static tarn_overlay_outcome plan(planned *problem, const tarn_overlay_options *options)
{
    assert_int_equal(tarn_overlay_plan(problem->buffers, problem->count, options, problem->offsets,
                                       &problem->result),
                     TARN_OK);
    const tarn_overlay_outcome outcome = problem->result.outcome;
    if (outcome == TARN_OVERLAY_FOUND || outcome == TARN_OVERLAY_OPTIMAL) {
        int64_t height = -1;
        assert_int_equal(tarn_overlay_verify(problem->buffers, problem->count, problem->offsets,
                                             options == NULL ? 0 : options->capacity, NULL, &height,
                                             NULL),
                         TARN_OK);
        assert_int_equal(height, problem->result.height);
        assert_true(problem->result.lower_bound <= height);
    } else {
        assert_int_equal(problem->result.height, 0);
        for (size_t i = 0; i < problem->count; i++) {
            assert_int_equal(problem->offsets[i], UNTOUCHED);
        }
    }
    return outcome;
}

static void no_buffers_are_planned_at_height_zero(void **state)
{
    (void)state;
    tarn_overlay_result result;
    assert_int_equal(tarn_overlay_plan(NULL, 0, NULL, NULL, &result), TARN_OK);
    assert_int_equal(result.outcome, TARN_OVERLAY_OPTIMAL);
    assert_int_equal(result.height, 0);
    assert_int_equal(tarn_overlay_plan(NULL, 0, NULL, NULL, NULL), TARN_OK);
}

static void buffers_that_share_no_time_share_the_same_bytes(void **state)
{
    (void)state;
    planned all = {.count = 3,
                   .buffers = {{.lower = -5, .upper = 0, .size = 7},
                               {.lower = 0, .upper = 2, .size = 9},
                               {.lower = 2, .upper = INT64_MAX, .size = 8}}};
    assert_int_equal(plan(&all, NULL), TARN_OVERLAY_OPTIMAL);
    assert_int_equal(all.result.height, 9);
    assert_int_equal(all.result.components, 3);
    assert_int_equal(all.result.stop, TARN_OVERLAY_DONE);
}

static void times_may_be_any_integers(void **state)
{
    (void)state;
    planned all = {.count = 2,
                   .buffers = {{.lower = INT64_MIN, .upper = INT64_MAX, .size = 3},
                               {.lower = INT64_MAX - 1, .upper = INT64_MAX, .size = 4}}};
    assert_int_equal(plan(&all, NULL), TARN_OVERLAY_OPTIMAL);
    assert_int_equal(all.result.height, 7);
}

static void what_is_never_in_use_lies_within_the_height_all_the_same(void **state)
{
    (void)state;
    static const tarn_overlay_gap whole = {.lower = 1, .upper = 4};
    planned all = {.count = 4,
                   .buffers = {{.lower = 1, .upper = 4, .size = 0, .is_fixed = true, .offset = 5},
                               {.lower = 1, .upper = 1, .size = 10},
                               {.lower = 1, .upper = 4, .size = 12, .gaps = &whole, .gap_count = 1},
                               {.lower = 1, .upper = 4, .size = 3}}};
    assert_int_equal(plan(&all, NULL), TARN_OVERLAY_OPTIMAL);
    assert_int_equal(all.result.height, 12);
    for (size_t i = 0; i < all.count; i++) {
        all.offsets[i] = UNTOUCHED;
    }
    assert_int_equal(plan(&all, &(tarn_overlay_options){.capacity = 11}), TARN_OVERLAY_INFEASIBLE);
    assert_int_equal(all.result.lower_bound, 12);
}

/* Two stacks of 2 + 3 beside one of 4 + 1 leave no room at height 5 for a long one of 1 above the
 * floor. */
static void a_capacity_below_the_least_is_proven_infeasible(void **state)
{
    (void)state;
    planned all = {.count = 5,
                   .buffers = {{.lower = 0, .upper = 2, .size = 2},
                               {.lower = 1, .upper = 3, .size = 2},
                               {.lower = 2, .upper = 4, .size = 2},
                               {.lower = 0, .upper = 1, .size = 3},
                               {.lower = 3, .upper = 4, .size = 3}}};
    const int64_t least = overlay_brute_least(all.buffers, all.count, 20);
    assert_int_equal(plan(&all, NULL), TARN_OVERLAY_OPTIMAL);
    assert_int_equal(all.result.height, least);
    assert_int_equal(
        plan(&all, &(tarn_overlay_options){.goal = TARN_OVERLAY_FITS, .capacity = least}),
        TARN_OVERLAY_OPTIMAL);
    for (size_t i = 0; i < all.count; i++) {
        all.offsets[i] = UNTOUCHED;
    }
    assert_int_equal(
        plan(&all, &(tarn_overlay_options){.goal = TARN_OVERLAY_FITS, .capacity = least - 1}),
        TARN_OVERLAY_INFEASIBLE);
    assert_true(all.result.lower_bound >= least);
}

static void fixed_buffers_that_collide_are_proven_infeasible(void **state)
{
    (void)state;
    planned all = {.count = 2,
                   .buffers = {{.upper = 2, .size = 4, .is_fixed = true, .offset = 3},
                               {.upper = 2, .size = 4, .is_fixed = true, .offset = 6}},
                   .offsets = {UNTOUCHED, UNTOUCHED}};
    assert_int_equal(plan(&all, NULL), TARN_OVERLAY_INFEASIBLE);
    all.buffers[1].offset = 7;
    assert_int_equal(plan(&all, NULL), TARN_OVERLAY_OPTIMAL);
    assert_int_equal(all.result.height, 11);
}

static void a_buffer_fits_below_a_fixed_one(void **state)
{
    (void)state;
    planned all = {.count = 3,
                   .buffers = {{.upper = 4, .size = 4, .is_fixed = true, .offset = 6},
                               {.upper = 4, .size = 4},
                               {.upper = 4, .size = 2}}};
    assert_int_equal(plan(&all, NULL), TARN_OVERLAY_OPTIMAL);
    assert_int_equal(all.result.height, 10);
}

static void options_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const tarn_overlay_options bad[] = {
        {.goal = TARN_OVERLAY_FITS},
        {.goal = TARN_OVERLAY_ANYTIME},
        {.goal = (tarn_overlay_goal)9, .deadline_ms = 1},
        {.capacity = -1},
        {.threads = 65},
    };
    const tarn_overlay_buffer buffer = {.upper = 1, .size = 1};
    int64_t offset = UNTOUCHED;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(tarn_overlay_plan(&buffer, 1, &bad[i], &offset, NULL), TARN_BAD_ARGUMENT);
    }
    const tarn_overlay_buffer worse = {.upper = 1, .size = -1};
    assert_int_equal(tarn_overlay_plan(&worse, 1, NULL, &offset, NULL), TARN_BAD_ARGUMENT);
    assert_int_equal(offset, UNTOUCHED);
}

static void sums_that_overflow_are_too_large(void **state)
{
    (void)state;
    int64_t offsets[2] = {UNTOUCHED, UNTOUCHED};
    static const tarn_overlay_buffer large[] = {{.upper = 1, .size = INT64_MAX},
                                                {.upper = 1, .size = INT64_MAX}};
    static const tarn_overlay_buffer aligned[] = {
        {.upper = 1, .size = INT64_MAX / 2, .alignment = INT64_MAX / 2 + 2}, {.upper = 1}};
    static const tarn_overlay_buffer fixed[] = {
        {.upper = 1, .size = 8, .is_fixed = true, .offset = INT64_MAX - 7}, {.upper = 1}};
    assert_int_equal(tarn_overlay_plan(large, 2, NULL, offsets, NULL), TARN_TOO_LARGE);
    assert_int_equal(tarn_overlay_plan(aligned, 2, NULL, offsets, NULL), TARN_TOO_LARGE);
    assert_int_equal(tarn_overlay_plan(fixed, 2, NULL, offsets, NULL), TARN_TOO_LARGE);
    assert_int_equal(offsets[0], UNTOUCHED);
    planned all = {
        .count = 2,
        .buffers = {{.upper = 1, .size = INT64_MAX / 8}, {.upper = 1, .size = INT64_MAX / 8 - 1}}};
    assert_int_equal(plan(&all, NULL), TARN_OVERLAY_OPTIMAL);
    assert_int_equal(all.result.height, INT64_MAX / 8 + INT64_MAX / 8 - 1);
}

static void a_large_problem_comes_near_its_bound(void **state)
{
    (void)state;
    static planned all;
    fill(&all, 400, 3);
    const tarn_overlay_outcome outcome =
        plan(&all, &(tarn_overlay_options){.step_limit = 100000,
                                           .deadline_ms = IS_UNDER_NO_TOOL ? 0 : 5000});
    assert_true(outcome == TARN_OVERLAY_FOUND || outcome == TARN_OVERLAY_OPTIMAL);
    assert_true(all.result.height <= all.result.lower_bound + all.result.lower_bound / 20);
}

static void the_same_seed_and_limit_give_the_same_plan(void **state)
{
    (void)state;
    static planned one;
    static planned two;
    for (uint64_t seed = 0; seed < 3; seed++) {
        const tarn_overlay_options options = {.step_limit = 20000, .seed = seed};
        fill(&one, 200, 7 + seed);
        fill(&two, 200, 7 + seed);
        assert_int_equal(plan(&one, &options), plan(&two, &options));
        assert_memory_equal(one.offsets, two.offsets, 200 * sizeof *one.offsets);
        assert_int_equal(one.result.steps, two.result.steps);
        assert_int_equal(one.result.nodes, two.result.nodes);
    }
}

/* Long lives and sizes that seldom add up: no plan meets the bound for a long time. */
static void fill_hard(planned *problem, uint64_t seed)
{
    fill(problem, MANY, seed);
    for (size_t i = 0; i < MANY; i++) {
        tarn_overlay_buffer *buffer = &problem->buffers[i];
        buffer->lower = (int64_t)(overlay_brute_random(&seed) % 2000);
        buffer->upper = buffer->lower + 1 + (int64_t)(overlay_brute_random(&seed) % 700);
        buffer->size = 7919 + (int64_t)(overlay_brute_random(&seed) % 100000);
    }
}

static void steps_are_limited(void **state)
{
    (void)state;
    static planned all;
    fill_hard(&all, 11);
    plan(&all, &(tarn_overlay_options){.step_limit = 3000, .threads = 1});
    assert_int_equal(all.result.stop, TARN_OVERLAY_STEP_LIMIT);
    assert_true(all.result.steps >= 3000);
    assert_true(all.result.steps < 3300);
}

static void a_limit_below_the_first_plan_leaves_it_unknown(void **state)
{
    (void)state;
    static planned all;
    fill_hard(&all, 11);
    assert_int_equal(plan(&all, &(tarn_overlay_options){.step_limit = 10}), TARN_OVERLAY_UNKNOWN);
    assert_int_equal(all.result.stop, TARN_OVERLAY_STEP_LIMIT);
}

static void it_stops_at_its_deadline(void **state)
{
    (void)state;
    static planned all;
    fill_hard(&all, 13);
    assert_int_equal(
        plan(&all, &(tarn_overlay_options){.goal = TARN_OVERLAY_ANYTIME, .deadline_ms = 300}),
        TARN_OVERLAY_FOUND);
    assert_int_equal(all.result.stop, TARN_OVERLAY_DEADLINE);
    assert_true(all.result.elapsed_ms >= 300);
    assert_true(all.result.elapsed_ms < 5000);
}

typedef struct watch {
    int calls;
    int stop_at;
    tarn_overlay_progress last;
} watch;

static bool watch_progress(void *context, const tarn_overlay_progress *progress)
{
    watch *watching = context;
    watching->calls++;
    if (watching->last.has_plan) {
        assert_true(progress->has_plan);
        assert_true(progress->height <= watching->last.height);
    }
    assert_true(progress->lower_bound >= watching->last.lower_bound);
    assert_true(!progress->has_plan || progress->lower_bound <= progress->height);
    watching->last = *progress;
    return watching->calls != watching->stop_at;
}

static void progress_gets_better_only_and_can_cancel(void **state)
{
    (void)state;
    static planned all;
    for (unsigned threads = 1; threads <= 2; threads++) {
        watch watching = {.stop_at = 3};
        fill_hard(&all, 17);
        const tarn_overlay_outcome outcome =
            plan(&all, &(tarn_overlay_options){
                           .threads = threads, .progress = watch_progress, .context = &watching});
        assert_int_equal(watching.calls, 3);
        assert_int_equal(all.result.stop, TARN_OVERLAY_CANCELLED);
        assert_true(outcome == TARN_OVERLAY_FOUND || outcome == TARN_OVERLAY_UNKNOWN);
    }
}

static void more_threads_answer_the_same_questions(void **state)
{
    (void)state;
    static planned all;
    for (uint64_t seed = 0; seed < 4; seed++) {
        fill(&all, 60, 100 + seed);
        const tarn_overlay_options options = {.threads = 2 + (unsigned)seed % 3,
                                              .deadline_ms = 2000};
        const tarn_overlay_outcome outcome = plan(&all, &options);
        assert_true(outcome == TARN_OVERLAY_FOUND || outcome == TARN_OVERLAY_OPTIMAL);
    }
}

static void nothing_is_lost_when_upstream_refuses_any_request(void **state)
{
    (void)state;
    static planned all;
    static const tarn_overlay_gap gap = {
        .lower = 10, .upper = 20, .has_window = true, .window_lower = 0, .window_upper = 1};
    fill(&all, 500, 5);
    all.buffers[0] =
        (tarn_overlay_buffer){.lower = 5, .upper = 30, .size = 200, .gaps = &gap, .gap_count = 1};
    all.buffers[1].is_fixed = true;
    all.buffers[2] = (tarn_overlay_buffer){
        .lower = 90, .upper = 91, .size = 8, .is_fixed = true, .offset = 5000};
    int refused = 0;
    int served = 0;
    for (uint64_t nth = 1;; nth++) {
        tarn_failing failing;
        tarn_counted counted;
        tarn_failing_init(
            &failing, &(tarn_failing_options){.upstream = tarn_system_heap(), .plan = {.at = nth}});
        tarn_counted_init(&counted, &(tarn_counted_options){.upstream = &failing.heap});
        for (size_t i = 0; i < all.count; i++) {
            all.offsets[i] = UNTOUCHED;
        }
        const tarn_overlay_options options = {
            .upstream = &counted.heap, .step_limit = 20000, .threads = 2};
        const tarn_status status =
            tarn_overlay_plan(all.buffers, all.count, &options, all.offsets, &all.result);
        assert_int_equal(tarn_heap_stats(&counted.heap).blocks, 0);
        if (status == TARN_OK) {
            served++;
            assert_int_equal(
                tarn_overlay_verify(all.buffers, all.count, all.offsets, 0, NULL, NULL, NULL),
                TARN_OK);
        } else {
            refused++;
            assert_int_equal(status, TARN_NO_MEMORY);
            assert_int_equal(all.offsets[0], UNTOUCHED);
        }
        if (failing.refused == 0) {
            break;
        }
    }
    assert_true(refused > 5);
    assert_true(served > 3);
}

static void all_memory_goes_back_upstream(void **state)
{
    (void)state;
    static planned all;
    tarn_counted counted;
    tarn_counted_init(&counted, &(tarn_counted_options){.upstream = tarn_system_heap()});
    fill(&all, 100, 5);
    plan(&all, &(tarn_overlay_options){.upstream = &counted.heap, .step_limit = 5000});
    const tarn_stats stats = tarn_heap_stats(&counted.heap);
    assert_int_equal(stats.live, 0);
    assert_int_equal(stats.peak_live, all.result.peak_memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_buffers_are_planned_at_height_zero),
        cmocka_unit_test(buffers_that_share_no_time_share_the_same_bytes),
        cmocka_unit_test(times_may_be_any_integers),
        cmocka_unit_test(what_is_never_in_use_lies_within_the_height_all_the_same),
        cmocka_unit_test(a_capacity_below_the_least_is_proven_infeasible),
        cmocka_unit_test(fixed_buffers_that_collide_are_proven_infeasible),
        cmocka_unit_test(a_buffer_fits_below_a_fixed_one),
        cmocka_unit_test(options_that_make_no_sense_are_refused),
        cmocka_unit_test(sums_that_overflow_are_too_large),
        cmocka_unit_test(a_large_problem_comes_near_its_bound),
        cmocka_unit_test(the_same_seed_and_limit_give_the_same_plan),
        cmocka_unit_test(steps_are_limited),
        cmocka_unit_test(a_limit_below_the_first_plan_leaves_it_unknown),
        cmocka_unit_test(it_stops_at_its_deadline),
        cmocka_unit_test(progress_gets_better_only_and_can_cancel),
        cmocka_unit_test(more_threads_answer_the_same_questions),
        cmocka_unit_test(nothing_is_lost_when_upstream_refuses_any_request),
        cmocka_unit_test(all_memory_goes_back_upstream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
