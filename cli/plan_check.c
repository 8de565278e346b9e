/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "plan.h"

#include <stdlib.h>
#include <string.h>

/*
 * A sweep over time. Stretches of lifetimes are sorted by where they begin in memory; those that live
 * are the leaves of a tree whose inner nodes know the highest end below them:
 *
 *     ends      max
 *              /   \           what begins below `high` is a prefix of the leaves; in it, the tree
 *           max     max        leads to each end above `low`, and so to each overlap, in O(log n)
 *          /   \   /   \
 *         leaves: stretches in the order of their first byte; INT64_MIN where none lives
 *
 * Each stretch that begins asks first who is in its place.
 */

typedef struct piece {
    cli_stretch stretch; /* its bytes counted from the start of memory */
    size_t buffer;
} piece;

typedef struct scan {
    piece *pieces; /* in the order of their first byte: piece i is leaf i */
    size_t count;
    size_t *starts; /* pieces in the order of time */
    size_t *ends;
    int64_t *highest; /* the tree: node i has the children 2i and 2i + 1 */
    size_t leaves;    /* a power of two; leaf i is node leaves + i */
    cli_plan_faults *faults;
} scan;

bool cli_plan_stretch(const tarn_overlay_buffer *item, size_t *gap, cli_stretch *stretch)
{
    /* Steps 0, 2, 4... are between the gaps, and 1, 3, 5... in their windows. */
    for (; *gap <= 2 * item->gap_count; (*gap)++) {
        const size_t at = *gap / 2;
        if (*gap % 2 == 0) {
            *stretch = (cli_stretch){
                .lower = at == 0 ? item->lower : item->gaps[at - 1].upper,
                .upper = at == item->gap_count ? item->upper : item->gaps[at].lower,
                .high = item->size,
            };
        } else if (item->gaps[at].has_window) {
            *stretch = (cli_stretch){
                .lower = item->gaps[at].lower,
                .upper = item->gaps[at].upper,
                .low = item->gaps[at].window_lower,
                .high = item->gaps[at].window_upper,
                .is_window = true,
            };
        } else {
            continue;
        }
        if (stretch->lower < stretch->upper && stretch->low < stretch->high) {
            (*gap)++;
            return true;
        }
    }
    return false;
}

/* -------------------------------------------------------------------------------------------------
 * Faults.
 */
static void add_fault(cli_plan_faults *faults, cli_plan_fault fault)
{
    for (size_t i = 0; i < faults->count && fault.kind == CLI_PLAN_OVERLAPS; i++) {
        const cli_plan_fault *known = &faults->faults[i];
        /* Gaps part lifetimes, so a pair may meet again. */
        if (known->kind == CLI_PLAN_OVERLAPS &&
            ((known->buffer == fault.buffer && known->other == fault.other) ||
             (known->buffer == fault.other && known->other == fault.buffer))) {
            return;
        }
    }
    if (faults->count == CLI_PLAN_FAULTS_MAX) {
        faults->has_more = true;
        return;
    }
    faults->faults[faults->count++] = fault;
}

/* True if the buffer is somewhere, so that it can be compared with others. */
static bool check_place(const tarn_overlay_buffer *item, size_t index, int64_t offset,
                        int64_t capacity, cli_plan_faults *faults)
{
    if (offset < 0) {
        add_fault(faults, (cli_plan_fault){.kind = CLI_PLAN_NEGATIVE, .buffer = index});
        return false;
    }
    if (item->alignment > 1 && offset % item->alignment != 0) {
        add_fault(faults, (cli_plan_fault){.kind = CLI_PLAN_MISALIGNED, .buffer = index});
    }
    if (offset > INT64_MAX - item->size) {
        add_fault(faults, (cli_plan_fault){.kind = CLI_PLAN_EXCEEDS, .buffer = index});
        return false;
    }
    const int64_t end = offset + item->size;
    if (capacity > 0 && end > capacity) {
        add_fault(faults, (cli_plan_fault){.kind = CLI_PLAN_EXCEEDS, .buffer = index});
    }
    faults->height = end > faults->height ? end : faults->height;
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * The sweep.
 */
static int compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int by_place(const void *a, const void *b)
{
    const piece *one = a;
    const piece *other = b;
    const int order = compare(one->stretch.low, other->stretch.low);
    return order != 0 ? order : (one->buffer > other->buffer) - (one->buffer < other->buffer);
}

static int by_start(const void *a, const void *b, void *pieces)
{
    const piece *one = (const piece *)pieces + *(const size_t *)a;
    const piece *other = (const piece *)pieces + *(const size_t *)b;
    const int order = compare(one->stretch.lower, other->stretch.lower);
    /* In the order of the file, so that a message names the later line first. */
    return order != 0 ? order : (one->buffer > other->buffer) - (one->buffer < other->buffer);
}

static int by_end(const void *a, const void *b, void *pieces)
{
    const piece *one = (const piece *)pieces + *(const size_t *)a;
    const piece *other = (const piece *)pieces + *(const size_t *)b;
    return compare(one->stretch.upper, other->stretch.upper);
}

static void set_leaf(scan *sweep, size_t leaf, int64_t high)
{
    size_t node = sweep->leaves + leaf;
    sweep->highest[node] = high;
    for (node /= 2; node > 0; node /= 2) {
        const int64_t left = sweep->highest[2 * node];
        const int64_t right = sweep->highest[2 * node + 1];
        sweep->highest[node] = left > right ? left : right;
    }
}

/* The first leaf from `from` on whose end is above `low`, or `leaves`. */
static size_t next_above(const scan *sweep, size_t from, int64_t low)
{
    if (from >= sweep->leaves) {
        return sweep->leaves;
    }
    size_t node = sweep->leaves + from;
    while (sweep->highest[node] <= low) {
        /* Up while this is a right child: all below the parent is behind us. */
        while (node % 2 == 1) {
            node /= 2;
        }
        if (node == 0) {
            return sweep->leaves;
        }
        node++;
    }
    while (node < sweep->leaves) {
        node = 2 * node + (sweep->highest[2 * node] <= low);
    }
    return node - sweep->leaves;
}

static void report_overlaps(scan *sweep, const piece *new_piece)
{
    const cli_stretch *stretch = &new_piece->stretch;
    for (size_t leaf = next_above(sweep, 0, stretch->low); leaf < sweep->count;
         leaf = next_above(sweep, leaf + 1, stretch->low)) {
        const piece *other = &sweep->pieces[leaf];
        if (other->stretch.low >= stretch->high || sweep->faults->has_more) {
            return;
        }
        const cli_stretch *met = &other->stretch;
        add_fault(sweep->faults, (cli_plan_fault){
                                     .kind = CLI_PLAN_OVERLAPS,
                                     .buffer = new_piece->buffer,
                                     .other = other->buffer,
                                     .time = stretch->lower,
                                     .low = met->low > stretch->low ? met->low : stretch->low,
                                     .high = met->high < stretch->high ? met->high : stretch->high,
                                 });
    }
}

static void *take(size_t count, size_t size)
{
    void *array = calloc(count, size);
    if (array == NULL) {
        cli_fail_errno("no memory to check %zu stretches of lifetimes", count);
    }
    return array;
}

static void run_sweep(scan *sweep)
{
    const size_t count = sweep->count;
    sweep->leaves = 2;
    while (sweep->leaves < count) {
        sweep->leaves *= 2;
    }
    sweep->starts = take(count, sizeof *sweep->starts);
    sweep->ends = take(count, sizeof *sweep->ends);
    sweep->highest = take(2 * sweep->leaves, sizeof *sweep->highest);
    for (size_t i = 0; i < 2 * sweep->leaves; i++) {
        sweep->highest[i] = INT64_MIN;
    }
    qsort(sweep->pieces, count, sizeof *sweep->pieces, by_place);
    for (size_t i = 0; i < count; i++) {
        sweep->starts[i] = i;
        sweep->ends[i] = i;
    }
    qsort_r(sweep->starts, count, sizeof *sweep->starts, by_start, sweep->pieces);
    qsort_r(sweep->ends, count, sizeof *sweep->ends, by_end, sweep->pieces);
    size_t ended = 0;
    for (size_t i = 0; i < count && !sweep->faults->has_more; i++) {
        const piece *started = &sweep->pieces[sweep->starts[i]];
        for (; sweep->pieces[sweep->ends[ended]].stretch.upper <= started->stretch.lower; ended++) {
            set_leaf(sweep, sweep->ends[ended], INT64_MIN);
        }
        report_overlaps(sweep, started);
        set_leaf(sweep, sweep->starts[i], started->stretch.high);
    }
    free(sweep->starts);
    free(sweep->ends);
    free(sweep->highest);
}

void cli_plan_check(const cli_buffers *buffers, const int64_t *offsets, const bool *has_offset,
                    bool is_partial, int64_t capacity, cli_plan_faults *faults)
{
    scan sweep = {.faults = faults};
    *faults = (cli_plan_faults){0};
    sweep.pieces = take(2 * buffers->gap_count + buffers->count + 1, sizeof *sweep.pieces);
    for (size_t i = 0; i < buffers->count; i++) {
        const tarn_overlay_buffer *item = &buffers->items[i];
        if (has_offset != NULL && !has_offset[i]) {
            if (!is_partial) {
                add_fault(faults, (cli_plan_fault){.kind = CLI_PLAN_MISSING, .buffer = i});
            }
            continue;
        }
        if (!check_place(item, i, offsets[i], capacity, faults)) {
            continue;
        }
        size_t gap = 0;
        cli_stretch stretch;
        while (cli_plan_stretch(item, &gap, &stretch)) {
            stretch.low += offsets[i];
            stretch.high += offsets[i];
            sweep.pieces[sweep.count++] = (piece){.stretch = stretch, .buffer = i};
        }
    }
    if (sweep.count > 0) {
        run_sweep(&sweep);
    }
    free(sweep.pieces);
}
