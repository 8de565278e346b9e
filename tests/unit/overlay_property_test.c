/* SPDX-License-Identifier: MIT */
#include "tarn/overlay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "overlay_brute.h"
#include "tools.h"

/*
 * The planner on small random problems, against brute force. A failure tells its seed.
 */

enum { LEAST_MAX = 40, STEPS = 200000 };

static int rounds(void)
{
    return IS_UNDER_NO_TOOL ? 300 : 60;
}

static void must(bool holds, uint64_t seed, const char *what)
{
    if (!holds) {
        fail_msg("seed %llu: %s", (unsigned long long)seed, what);
    }
}

static void check_plan(const overlay_small *problem, const tarn_overlay_result *result,
                       const int64_t *offsets, int64_t capacity, uint64_t seed)
{
    int64_t height = -1;
    must(overlay_brute_holds(problem->buffers, problem->count, offsets, capacity), seed,
         "the plan does not hold");
    must(tarn_overlay_verify(problem->buffers, problem->count, offsets, capacity, NULL, &height,
                             NULL) == TARN_OK,
         seed, "the verifier finds a fault");
    must(height == result->height, seed, "the plan has another height");
}

/* Every question about one problem. `is_complete`: all answers have to be proven. */
static void ask(const overlay_kind *kind, uint64_t seed, bool is_complete)
{
    overlay_small problem;
    uint64_t random = seed;
    overlay_brute_fill(&problem, kind, &random);
    const int64_t least = overlay_brute_least(problem.buffers, problem.count, LEAST_MAX);
    int64_t offsets[OVERLAY_BRUTE_BUFFERS];
    tarn_overlay_result result;
    tarn_overlay_options options = {.seed = seed, .step_limit = STEPS};
    must(tarn_overlay_plan(problem.buffers, problem.count, &options, offsets, &result) == TARN_OK,
         seed, "no plan");
    if (least < 0) {
        must(result.outcome == TARN_OVERLAY_INFEASIBLE, seed, "there is no plan");
        return;
    }
    must(result.outcome == TARN_OVERLAY_OPTIMAL ||
             (!is_complete && result.outcome == TARN_OVERLAY_FOUND),
         seed, "not proven");
    must(result.lower_bound <= least, seed, "the bound is wrong");
    must(result.outcome != TARN_OVERLAY_OPTIMAL || result.height == least, seed,
         "not the least height");
    check_plan(&problem, &result, offsets, 0, seed);

    options.goal = TARN_OVERLAY_FITS;
    for (int64_t capacity = least - 2; capacity <= least + 1; capacity++) {
        if (capacity <= 0) {
            continue;
        }
        options.capacity = capacity;
        must(tarn_overlay_plan(problem.buffers, problem.count, &options, offsets, &result) ==
                 TARN_OK,
             seed, "no plan");
        const bool has_plan =
            result.outcome == TARN_OVERLAY_FOUND || result.outcome == TARN_OVERLAY_OPTIMAL;
        if (is_complete) {
            must(result.outcome != TARN_OVERLAY_UNKNOWN, seed, "no answer");
        }
        must(!has_plan || capacity >= least, seed, "a plan that cannot be");
        must(result.outcome != TARN_OVERLAY_INFEASIBLE || capacity < least, seed, "a wrong no");
        if (has_plan) {
            check_plan(&problem, &result, offsets, capacity, seed);
        }
    }
}

static void ask_many(const overlay_kind *kind, uint64_t first_seed, bool is_complete)
{
    for (int round = 0; round < rounds(); round++) {
        ask(kind, first_seed + (uint64_t)round, is_complete);
    }
}

static void plain_buffers_get_the_least_height(void **state)
{
    (void)state;
    static const overlay_kind kind = {.count_max = 7, .size_max = 4};
    ask_many(&kind, 1000, true);
}

static void aligned_buffers_get_the_least_height(void **state)
{
    (void)state;
    static const overlay_kind kind = {.count_max = 6, .size_max = 4, .has_alignments = true};
    ask_many(&kind, 20000, true);
}

static void fixed_buffers_are_planned_around(void **state)
{
    (void)state;
    static const overlay_kind kind = {
        .count_max = 6, .size_max = 4, .has_alignments = true, .has_fixed = true};
    ask_many(&kind, 30000, true);
}

static void gaps_are_used_as_far_as_they_go(void **state)
{
    (void)state;
    static const overlay_kind kind = {.count_max = 6, .size_max = 4, .has_gaps = true};
    ask_many(&kind, 40000, true);
}

static void windows_of_gaps_never_lead_to_a_wrong_answer(void **state)
{
    (void)state;
    static const overlay_kind kind = {.count_max = 5,
                                      .size_max = 4,
                                      .has_gaps = true,
                                      .has_windows = true,
                                      .has_alignments = true,
                                      .has_fixed = true};
    ask_many(&kind, 50000, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_buffers_get_the_least_height),
        cmocka_unit_test(aligned_buffers_get_the_least_height),
        cmocka_unit_test(fixed_buffers_are_planned_around),
        cmocka_unit_test(gaps_are_used_as_far_as_they_go),
        cmocka_unit_test(windows_of_gaps_never_lead_to_a_wrong_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
