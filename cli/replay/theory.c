/* SPDX-License-Identifier: MIT */
#include "theory.h"

#include "cli.h"
#include "signals.h"
#include "tarn/overlay.h"
#include "tarn/region.h"
#include "ticks.h"

#include <stdlib.h>

/*
 * The plan. A tape of up to BUFFERS_MAX blocks is planned as a whole. Of a longer one the blocks
 * with the largest product of size and lifetime are, and all others get their places above them,
 * each as it comes by best fit:
 *
 *     address   |  others, by best fit  |
 *               |-----------------------|
 *               |   the largest, planned |
 *
 * That is a plan too: places are fixed before the program runs. So is best fit for all of them; the
 * lower of the two counts. Which are the largest needs two readings of the tape, one to find the
 * least product, one to mark the blocks; a third one places the others.
 */

enum {
    BUFFERS_MAX = 100000,
    LARGEST_MAX = 20000,
    EVENTS_AT_ONCE = 4096,
    GRANULE = 16,
    BARS = 128 * 8 /* of products, eight for each power of two */
};

/* A block that has begun. */
typedef struct opened {
    uint64_t size;
    uint64_t number; /* among all that begin */
    uint64_t birth;
    int64_t alignment;
    size_t offset;
} opened;

typedef struct plan_survey {
    const replay_tape *tape;
    int signals; /* of cli_signals_catch() */
    bool is_interrupted;
    uint64_t deadline_ns; /* of all of it */
    uint64_t reserve_ns;  /* what has to be left of that when the planner ends */
    opened *open;         /* by slot; size REPLAY_UNBORN: none */
    uint64_t count;
    uint64_t bars[BARS];
    double least;         /* product of a block that is planned */
    unsigned char *marks; /* a bit for each block that is planned */
    tarn_overlay_buffer *buffers;
    size_t buffer_count;
    tarn_region region;
    bool has_failed;
    size_t lowest;    /* offset that was ever given */
    size_t alignment; /* the largest, by which all places may be shifted */
} plan_survey;

#define UNBORN UINT64_MAX

/* What is done with a block: when it begins, when it ends. */
typedef struct survey_steps {
    void (*begin)(plan_survey *survey, opened *block);
    void (*end)(plan_survey *survey, opened *block, uint64_t death);
} survey_steps;

static int64_t alignment_of(const replay_event *event)
{
    if (event->alignment_log2 != 0) {
        return (int64_t)1 << event->alignment_log2;
    }
    return event->size < 16 ? 8 : 16;
}

static void take_event(plan_survey *survey, const survey_steps *steps, const replay_event *event,
                       uint64_t number)
{
    opened *block = &survey->open[event->slot];
    if (block->size != UNBORN) {
        steps->end(survey, block, number);
        block->size = UNBORN;
    }
    if (event->op != REPLAY_FREE) {
        *block = (opened){.size = event->size,
                          .number = survey->count++,
                          .birth = number,
                          .alignment = alignment_of(event)};
        steps->begin(survey, block);
    }
}

/* False once a signal came, or the time is over. */
static bool may_go_on(plan_survey *survey)
{
    survey->is_interrupted = survey->is_interrupted || cli_signals_pass(survey->signals, 0) != 0;
    return !survey->is_interrupted && replay_now_ns() < survey->deadline_ns;
}

/* Shows every block to the steps, in the order of the tape. False if the tape cannot be read, a
 * step has failed, or it may not go on. */
static bool go_through(plan_survey *survey, const survey_steps *steps)
{
    static replay_event events[EVENTS_AT_ONCE];
    const replay_tape *tape = survey->tape;
    survey->count = 0;
    for (uint32_t i = 0; i < tape->slots; i++) {
        survey->open[i].size = UNBORN;
    }
    for (uint64_t at = 0; at < tape->count && !survey->has_failed;) {
        const size_t count = replay_tape_fetch(tape, at, events, EVENTS_AT_ONCE);
        survey->has_failed = count == 0 || !may_go_on(survey);
        for (size_t i = 0; i < count; i++) {
            take_event(survey, steps, &events[i], at + i);
        }
        at += count;
    }
    for (uint32_t i = 0; i < tape->slots; i++) {
        if (survey->open[i].size != UNBORN) {
            steps->end(survey, &survey->open[i], tape->count);
        }
    }
    return !survey->has_failed;
}

static void do_nothing(plan_survey *survey, opened *block)
{
    (void)survey;
    (void)block;
}

/* -------------------------------------------------------------------------------------------------
 * The largest.
 */
static double product_of(const opened *block, uint64_t death)
{
    return ((double)block->size + 1) * (double)(death - block->birth);
}

static unsigned bar_of(double product)
{
    unsigned bar = 0;
    while (product >= 2) {
        product /= 2;
        bar += 8;
    }
    bar += (unsigned)((product - 1) * 8);
    return bar < BARS ? bar : BARS - 1;
}

static void count_product(plan_survey *survey, opened *block, uint64_t death)
{
    survey->bars[bar_of(product_of(block, death))]++;
}

static void mark_largest(plan_survey *survey, opened *block, uint64_t death)
{
    if (bar_of(product_of(block, death)) >= survey->least) {
        survey->marks[block->number / 8] |= (unsigned char)(1u << block->number % 8);
    }
}

static bool is_marked(const plan_survey *survey, const opened *block)
{
    return survey->marks == NULL ||
           (survey->marks[block->number / 8] >> block->number % 8 & 1) != 0;
}

/* The least bar such that no more than LARGEST_MAX blocks are in it and above. */
static unsigned least_bar(const plan_survey *survey)
{
    uint64_t sum = 0;
    unsigned bar = BARS;
    while (bar > 0 && sum + survey->bars[bar - 1] <= LARGEST_MAX) {
        sum += survey->bars[--bar];
    }
    return bar;
}

/* -------------------------------------------------------------------------------------------------
 * Places.
 */
static void place(plan_survey *survey, opened *block)
{
    if (survey->marks != NULL && is_marked(survey, block)) {
        return;
    }
    block->offset =
        tarn_region_alloc_offset(&survey->region, block->size, (size_t)block->alignment);
    survey->has_failed = survey->has_failed || block->offset == TARN_NO_OFFSET;
    const size_t alignment = (size_t)block->alignment;
    survey->alignment = alignment > survey->alignment ? alignment : survey->alignment;
    survey->lowest = block->offset < survey->lowest ? block->offset : survey->lowest;
}

static void unplace(plan_survey *survey, opened *block, uint64_t death)
{
    (void)death;
    if ((survey->marks == NULL || !is_marked(survey, block)) && !survey->has_failed) {
        tarn_region_free_offset(&survey->region, block->offset);
    }
}

/* Bytes that best fit needs for the blocks that are not marked, each as it comes; UINT64_MAX if
 * that cannot be said. */
static uint64_t place_by_best_fit(plan_survey *survey)
{
    static const size_t range = ((size_t)1 << 35) - GRANULE;
    static const survey_steps steps = {place, unplace};
    const tarn_region_options options = {.books = TARN_BOOKS_OUTSIDE, .granule = GRANULE};
    survey->has_failed =
        tarn_region_init(&survey->region, (tarn_memory){NULL, range}, &options) != TARN_OK;
    if (survey->has_failed) {
        return UINT64_MAX;
    }
    survey->lowest = range;
    const bool is_placed = go_through(survey, &steps);
    tarn_region_deinit(&survey->region);
    /* High ends are handed out, so the range is used from its end down. */
    return is_placed ? range - survey->lowest / survey->alignment * survey->alignment : UINT64_MAX;
}

/* -------------------------------------------------------------------------------------------------
 * The planner.
 */
static void add_buffer(plan_survey *survey, opened *block, uint64_t death)
{
    if (is_marked(survey, block)) {
        survey->buffers[survey->buffer_count++] =
            (tarn_overlay_buffer){.lower = (int64_t)block->birth,
                                  .upper = (int64_t)death,
                                  .size = (int64_t)block->size,
                                  .alignment = block->alignment};
    }
}

static bool goes_on(void *context, const tarn_overlay_progress *progress)
{
    cli_progress("planning: %lld bytes", (long long)progress->height);
    return may_go_on(context);
}

/* Plans the marked blocks, or all. */
static bool plan(plan_survey *survey, tarn_overlay_result *result)
{
    static const survey_steps steps = {do_nothing, add_buffer};
    survey->buffer_count = 0;
    if (!go_through(survey, &steps)) {
        return false;
    }
    const uint64_t now = replay_now_ns() + survey->reserve_ns;
    const uint64_t left = survey->deadline_ns > now ? survey->deadline_ns - now : 0;
    const tarn_overlay_options options = {
        .deadline_ms = left / 1000000 + 1, .progress = goes_on, .context = survey};
    int64_t *offsets = malloc((survey->buffer_count + 1) * sizeof *offsets);
    const bool is_planned =
        offsets != NULL &&
        tarn_overlay_plan(survey->buffers, survey->buffer_count, &options, offsets, result) ==
            TARN_OK &&
        (result->outcome == TARN_OVERLAY_FOUND || result->outcome == TARN_OVERLAY_OPTIMAL);
    free(offsets);
    cli_progress_wipe();
    return is_planned;
}

static replay_plan plan_whole(plan_survey *survey)
{
    tarn_overlay_result result;
    if (!plan(survey, &result)) {
        return (replay_plan){.reason = "none was found in the time for it"};
    }
    return (replay_plan){.is_there = true,
                         .height = (uint64_t)result.height,
                         .lower_bound = (uint64_t)result.lower_bound,
                         .is_optimal = result.outcome == TARN_OVERLAY_OPTIMAL,
                         .method = "the overlay planner, all blocks"};
}

static bool find_largest(plan_survey *survey)
{
    static const survey_steps counting = {do_nothing, count_product};
    static const survey_steps marking = {do_nothing, mark_largest};
    const uint64_t blocks = survey->tape->allocations + survey->tape->reallocs;
    if (!go_through(survey, &counting)) {
        return false;
    }
    survey->least = least_bar(survey);
    survey->marks = calloc((size_t)blocks / 8 + 1, 1);
    return survey->marks != NULL && go_through(survey, &marking);
}

static replay_plan plan_largest(plan_survey *survey)
{
    tarn_overlay_result result;
    const uint64_t from_ns = replay_now_ns();
    replay_plan best = {.lower_bound = survey->tape->peak_live,
                        .method = "best fit, each block as it comes",
                        .height = place_by_best_fit(survey)};
    /* The others are placed after the planner has ended, which takes as long again. */
    survey->reserve_ns = (replay_now_ns() - from_ns) / 4 * 5;
    survey->has_failed = false;
    if (find_largest(survey) && plan(survey, &result)) {
        /* The planner keeps its time about, and its work shall not be for nothing. */
        survey->deadline_ns = replay_now_ns() + 2 * survey->reserve_ns;
        const uint64_t others = place_by_best_fit(survey);
        const uint64_t step = survey->alignment;
        const uint64_t below = ((uint64_t)result.height + step - 1) / step * step;
        if (others != UINT64_MAX && below + others < best.height) {
            best.height = below + others;
            best.method = "the overlay planner for the largest, best fit for all others above";
        }
    }
    best.is_there = best.height != UINT64_MAX;
    best.is_optimal = best.height == best.lower_bound;
    best.reason = may_go_on(survey) ? "no range that can be planned holds all blocks"
                                    : "none was found in the time for it";
    return best;
}

static replay_plan plan_of(const replay_tape *tape, uint64_t deadline_ms, int signals,
                           bool *is_interrupted)
{
    const uint64_t count = tape->allocations + tape->reallocs;
    plan_survey *survey = cli_alloc(sizeof *survey);
    replay_plan plan = {.reason = "no memory for the blocks"};
    const bool is_small = count <= BUFFERS_MAX;
    survey->tape = tape;
    survey->signals = signals;
    survey->deadline_ns = replay_now_ns() + deadline_ms * 1000000;
    survey->alignment = GRANULE;
    survey->open = malloc(((size_t)tape->slots + 1) * sizeof *survey->open);
    survey->buffers =
        malloc(((is_small ? (size_t)count : LARGEST_MAX) + 1) * sizeof *survey->buffers);
    if (survey->open != NULL && survey->buffers != NULL) {
        plan = is_small ? plan_whole(survey) : plan_largest(survey);
    }
    if (survey->is_interrupted) {
        *is_interrupted = true;
        plan = (replay_plan){.reason = "interrupted"};
    }
    plan.buffers = count;
    free(survey->open);
    free(survey->buffers);
    free(survey->marks);
    return plan;
}

/* -------------------------------------------------------------------------------------------------
 * Every order of requests.
 */

/* Robson 1974: with n granules live in blocks of 1, 2, 4 ... m granules, there are requests that
 * drive every allocator that cannot move blocks to n (1 + log2(m) / 2) - m + 1 granules. Blocks of
 * other sizes can only make it worse, and so can larger alignments: n and m are rounded down. */
static void add_robson(replay_theory *theory, const replay_tape *tape)
{
    const uint64_t live = tape->peak_live / GRANULE;
    if (tape->largest < GRANULE) {
        return;
    }
    const unsigned log2 = 63u - (unsigned)__builtin_clzll(tape->largest / GRANULE);
    const uint64_t granules = live + live * log2 / 2 - (UINT64_C(1) << log2) + 1;
    theory->has_robson = true;
    theory->robson = granules * GRANULE;
}

static void add_first_fit(replay_theory *theory, const replay_tape *tape)
{
    const size_t bound = tarn_region_bound(TARN_FIRST_FIT, (size_t)tape->peak_rounded,
                                           (size_t)replay_partition(tape->largest));
    theory->first_fit = bound;
    theory->first_fit_live = tape->peak_rounded;
    if (tape->aligned > 0) {
        theory->no_first_fit = "nothing is proven for alignments above 16";
    } else if (bound == 0 || bound == SIZE_MAX) {
        theory->no_first_fit = "more than 64 bits can say";
    }
    theory->has_first_fit = theory->no_first_fit == NULL;
}

replay_theory replay_theory_of(const replay_tape *tape, uint64_t deadline_ms, int signals,
                               bool *is_interrupted)
{
    replay_theory theory = {
        .largest = tape->largest,
        .plan = {.reason = *is_interrupted ? "interrupted" : "not asked for"},
    };
    add_robson(&theory, tape);
    add_first_fit(&theory, tape);
    if (deadline_ms > 0 && tape->allocations > 0) {
        theory.plan = plan_of(tape, deadline_ms, signals, is_interrupted);
    }
    return theory;
}
