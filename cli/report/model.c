/* SPDX-License-Identifier: MIT */
#include "model.h"

#include "cli.h"
#include "memory.h"
#include "pass.h"

#include <stdlib.h>
#include <string.h>

enum { STEPS_PER_BIN = 32, SNAPSHOTS = 15, BINS_LEAST = 16, CELLS_AT_ONCE = 4, SMALL_STEPS = 8 };

/* No program's blocks need more, whatever they are aligned to. */
#define RANGE_MAX (UINT64_C(1) << 60)

/* The second pass, where it is. */
typedef struct model_pass {
    report_model *model;
    report_pass reading;
    uint64_t live; /* bytes */
    uint64_t live_blocks;
    unsigned snapshots;      /* by time, that have been taken */
    uint64_t *live_bytes_of; /* by node */
    uint64_t *live_blocks_of;
} model_pass;

static bool is_sampled(const report_model *model)
{
    return model->survey.weights.sample_bytes != 0;
}

static report_weight weight_of(const report_model *model, const report_block *block)
{
    return block->stack != 0 ? report_weight_of(&model->survey.weights, block->size, block->serial)
                             : (report_weight){.count = 1, .bytes = block->size};
}

/* Where stacks were sampled, those that have one stand for all. */
static bool is_counted(const report_model *model, const report_block *block)
{
    return block->stack != 0 || !is_sampled(model);
}

static size_t bin_of(const report_model *model, uint64_t time)
{
    return (size_t)(time / model->bin_width);
}

/* -------------------------------------------------------------------------------------------------
 * Events.
 */
static void show_block(const model_pass *pass, const report_block *block, uint64_t end,
                       bool is_leaked)
{
    report_model *model = pass->model;
    const size_t born = bin_of(model, block->time);
    report_histogram_add(&model->lifetimes, born, is_leaked ? UINT64_MAX : end - block->time,
                         block->size);
    if (block->place != REPORT_NO_PLACE) {
        const report_paint paint = {
            .begin = block->time,
            .end = end,
            .place = block->place,
            .size = block->size,
            .node = model->tree.node_of[block->stack],
            .thread = block->thread,
        };
        report_raster_paint(&model->raster, &paint);
        report_largest_add(&model->largest, &paint, is_leaked);
    }
}

static void count_taken(model_pass *pass, const report_block *block, uint64_t time,
                        bool is_temporary)
{
    report_model *model = pass->model;
    pass->live -= block->size;
    pass->live_blocks--;
    report_cell *of_thread = report_cells_at(&model->threads, block->thread);
    of_thread->frees++;
    of_thread->temporary += is_temporary;
    show_block(pass, block, time, false);
    if (!is_counted(model, block)) {
        return;
    }
    const uint32_t node = model->tree.node_of[block->stack];
    const report_weight weight = weight_of(model, block);
    report_cell *cell = report_cells_at(&model->cells, node);
    cell->frees += weight.count;
    cell->freed += weight.bytes;
    cell->temporary += is_temporary ? weight.count : 0;
    report_node_sum *sum = &model->sums[node];
    sum->frees += weight.count;
    sum->freed += weight.bytes;
    sum->temporary += is_temporary ? weight.count : 0;
    sum->temporary_bytes += is_temporary ? weight.bytes : 0;
    pass->live_bytes_of[node] -= weight.bytes;
    pass->live_blocks_of[node] -= weight.count;
    if (is_sampled(model)) {
        model->survey.sums[block->stack].live -= weight.bytes;
        model->survey.sums[block->stack].live_blocks -= weight.count;
    }
}

/* Estimates take the place of the survey's guesses. */
static void add_estimate(report_stack_sum *sum, const report_weight *weight)
{
    sum->allocations += weight->count;
    sum->bytes += weight->bytes;
    sum->live += weight->bytes;
    sum->live_blocks += weight->count;
}

static void count_given(model_pass *pass, const report_block *block)
{
    report_model *model = pass->model;
    pass->live += block->size;
    pass->live_blocks++;
    report_histogram_add(&model->sizes, bin_of(model, block->time), block->size, block->size);
    report_cell *of_thread = report_cells_at(&model->threads, block->thread);
    of_thread->allocs++;
    of_thread->bytes += block->size;
    if (!is_counted(model, block)) {
        return;
    }
    const uint32_t node = model->tree.node_of[block->stack];
    const report_weight weight = weight_of(model, block);
    report_cell *cell = report_cells_at(&model->cells, node);
    cell->allocs += weight.count;
    cell->bytes += weight.bytes;
    report_node_sum *sum = &model->sums[node];
    sum->allocations += weight.count;
    sum->bytes += weight.bytes;
    pass->live_bytes_of[node] += weight.bytes;
    pass->live_blocks_of[node] += weight.count;
    if (is_sampled(model)) {
        add_estimate(&model->survey.sums[block->stack], &weight);
    }
}

static void lay_out(report_layout *layout, const trace_event *event, report_step *step)
{
    if (step->is_resize) {
        for (unsigned i = 1; i < step->taken_count; i++) {
            report_layout_take(layout, &step->taken[i]);
        }
        report_layout_move(layout, &step->taken[0], step->given, event->alignment_log2);
        return;
    }
    for (unsigned i = 0; i < step->taken_count; i++) {
        report_layout_take(layout, &step->taken[i]);
    }
    if (step->given != NULL) {
        report_layout_give(layout, step->given, event->alignment_log2);
    }
}

static void take_snapshot(model_pass *pass, uint64_t time, const char *label)
{
    report_model *model = pass->model;
    const report_snapshot about = {
        .time = time,
        .label = label,
        .footprint = report_layout_footprint(model->layout),
        .live = pass->live,
    };
    report_snapshots_take(&model->snapshots, &about, pass->reading.blocks, model->tree.node_of,
                          model->tree.count, model->options.page);
}

static void halve_bins(report_model *model)
{
    report_cells_halve(&model->cells);
    report_cells_halve(&model->threads);
    report_histogram_halve(&model->sizes);
    report_histogram_halve(&model->lifetimes);
    model->bins /= 2;
    model->bin_width *= 2;
}

/* Ends the open bin. Where bins become many more cells than may be shown, they are joined before all are
 * there. */
static void close_bin(report_model *model)
{
    report_cells_close(&model->cells);
    report_cells_close(&model->threads);
    if (model->cells.count > CELLS_AT_ONCE * model->options.cells_max &&
        model->cells.closed % 2 == 0 && model->bins > BINS_LEAST) {
        halve_bins(model);
    }
}

/* Goes on to a time at which nothing has happened yet. */
static void advance(model_pass *pass, uint64_t time)
{
    report_model *model = pass->model;
    const uint64_t duration = model->survey.duration;
    while (pass->snapshots + 1 < SNAPSHOTS && time > duration / SNAPSHOTS * (pass->snapshots + 1)) {
        pass->snapshots++;
        take_snapshot(pass, duration / SNAPSHOTS * pass->snapshots, "");
    }
    report_curve_advance(&model->curve, time);
    while (model->cells.closed < bin_of(model, time)) {
        close_bin(model);
    }
}

static void note_peak(model_pass *pass, uint64_t time)
{
    report_model *model = pass->model;
    for (size_t node = 0; node < model->tree.count; node++) {
        model->sums[node].peak_bytes = pass->live_bytes_of[node];
        model->sums[node].peak_blocks = pass->live_blocks_of[node];
    }
    take_snapshot(pass, time, "peak");
}

static void take_event(model_pass *pass, const trace_event *event)
{
    report_model *model = pass->model;
    report_step step;
    advance(pass, event->time);
    report_pass_step(&pass->reading, event, &step);
    for (unsigned i = 0; i < step.taken_count; i++) {
        count_taken(pass, &step.taken[i], event->time, i == 0 && step.is_temporary);
    }
    lay_out(model->layout, event, &step);
    if (step.given != NULL) {
        count_given(pass, step.given);
    }
    if (step.given != NULL || step.taken_count != 0) {
        report_curve_count(&model->curve, step.given != NULL, step.taken_count);
        report_curve_note(&model->curve, pass->live, pass->live_blocks,
                          report_layout_footprint(model->layout));
    }
    if (pass->reading.events == model->survey.peak_event) {
        note_peak(pass, event->time);
    }
}

/* -------------------------------------------------------------------------------------------------
 * Passes.
 */
static void end_pass(model_pass *pass)
{
    report_model *model = pass->model;
    const uint64_t duration = model->survey.duration;
    take_snapshot(pass, duration, "end");
    for (size_t i = 0; i < report_blocks_count(pass->reading.blocks); i++) {
        const report_block *block = report_blocks_at(pass->reading.blocks, i);
        if (block->name != 0) {
            show_block(pass, block, duration, true);
        }
    }
    report_curve_advance(&model->curve, UINT64_MAX);
    while (model->cells.closed < model->bins) {
        close_bin(model);
    }
    report_raster_finish(&model->raster);
}

static bool run_pass(report_model *model, cli_trace_file *file)
{
    model_pass pass = {.model = model};
    pass.live_bytes_of = report_zeroed(model->tree.count, sizeof *pass.live_bytes_of);
    pass.live_blocks_of = report_zeroed(model->tree.count, sizeof *pass.live_blocks_of);
    if (is_sampled(model)) {
        memset(model->survey.sums, 0, model->survey.sum_count * sizeof *model->survey.sums);
    }
    bool is_sound = report_pass_begin(&pass.reading, &model->survey, file);
    trace_event event;
    while (is_sound && report_pass_read(&pass.reading, &event, &is_sound)) {
        take_event(&pass, &event);
    }
    if (is_sound) {
        end_pass(&pass);
    }
    report_pass_end(&pass.reading);
    free(pass.live_bytes_of);
    free(pass.live_blocks_of);
    return is_sound;
}

/* Lays blocks out until one finds no place. */
static bool try_layout(report_model *model, cli_trace_file *file, report_layout *layout)
{
    report_pass pass;
    bool is_sound = report_pass_begin(&pass, &model->survey, file);
    trace_event event;
    while (is_sound && report_layout_failures(layout) == 0 &&
           report_pass_read(&pass, &event, &is_sound)) {
        report_step step;
        report_pass_step(&pass, &event, &step);
        lay_out(layout, &event, &step);
    }
    report_pass_end(&pass);
    return is_sound;
}

/* Says in `is_enough` if a range of that size serves every request. False if the file is damaged. */
static bool try_range(report_model *model, cli_trace_file *file, tarn_region_policy policy,
                      uint64_t size, bool *is_enough)
{
    report_layout *layout = report_layout_simulated(policy, size);
    const bool is_sound = try_layout(model, file, layout);
    *is_enough = report_layout_failures(layout) == 0;
    report_layout_free(layout);
    return is_sound;
}

/* The shortest range that serves every request, to a part in eight. Most need little more than what
 * their blocks take, so that small steps come first; what is far from that is doubled, and then
 * halved between. */
static bool find_range(report_model *model, cli_trace_file *file, tarn_region_policy policy,
                       uint64_t *size)
{
    uint64_t low = 0; /* not enough */
    bool is_enough;
    if (!try_range(model, file, policy, *size, &is_enough)) {
        return false;
    }
    for (unsigned tries = 0; !is_enough && *size < RANGE_MAX; tries++) {
        low = *size;
        *size += tries < SMALL_STEPS ? *size / 8 : *size;
        if (!try_range(model, file, policy, *size, &is_enough)) {
            return false;
        }
    }
    while (low != 0 && *size - low > *size / 8) {
        const uint64_t middle = low + (*size - low) / 2;
        if (!try_range(model, file, policy, middle, &is_enough)) {
            return false;
        }
        *(is_enough ? size : &low) = middle;
    }
    return true;
}

/* The policy's layout, in a range that is as long as it has to be where that matters. */
static bool make_simulated(report_model *model, cli_trace_file *file)
{
    const tarn_region_policy policy =
        model->options.has_policy ? model->options.policy : TARN_BEST_FIT;
    uint64_t size = model->survey.most_taken + model->options.page;
    if (!report_policy_is_tight(policy, model->survey.has_alignment)) {
        size *= 4;
    } else if (!find_range(model, file, policy, &size)) {
        return false;
    }
    model->layout = report_layout_simulated(policy, size);
    return true;
}

static bool make_layout(report_model *model, cli_trace_file *file)
{
    if (model->survey.has_addresses && !model->options.has_policy) {
        report_extents_fold(&model->survey.extents, model->options.page);
        model->layout = report_layout_recorded(&model->survey.extents, model->options.page);
        return true;
    }
    return make_simulated(model, file);
}

static void make_tree(report_model *model)
{
    report_frames_init(&model->frames, &model->texts, &model->options.allocators);
    model->symbols =
        report_symbols_create(&model->options.symbols, &model->texts, &model->survey.modules,
                              &model->survey.stacks, &model->frames);
    report_tree_build(&model->tree, &model->survey, model->symbols, &model->frames,
                      model->options.nodes_max);
    report_symbols_tell(model->symbols);
    model->sums = report_zeroed(model->tree.count, sizeof *model->sums);
}

static void make_time(report_model *model)
{
    const size_t bins = model->options.bins;
    const uint64_t duration = model->survey.duration;
    const uint64_t step = duration / (bins * STEPS_PER_BIN) + 1;
    model->bins = bins;
    model->bin_width = step * STEPS_PER_BIN;
    report_cells_init(&model->cells, bins, model->tree.count);
    report_cells_init(&model->threads, bins, model->survey.threads.count);
    report_curve_init(&model->curve, bins * STEPS_PER_BIN, step);
    report_histogram_sizes(&model->sizes, bins);
    report_histogram_lifetimes(&model->lifetimes, bins, duration);
    report_raster_init(&model->raster, duration);
    report_largest_init(&model->largest, model->options.rects_max);
}

bool report_model_make(report_model *model, cli_trace_file *file,
                       const report_model_options *options)
{
    *model = (report_model){.path = file->path, .options = *options};
    report_texts_init(&model->texts);
    bool is_sound = report_survey_take(&model->survey, &model->texts, file);
    if (is_sound) {
        make_tree(model);
        make_time(model);
        is_sound = make_layout(model, file) && cli_trace_file_rewind(file) && run_pass(model, file);
    }
    if (!is_sound) {
        report_model_free(model);
        return false;
    }
    while (model->cells.count > options->cells_max && model->bins > BINS_LEAST) {
        halve_bins(model);
    }
    if (report_layout_failures(model->layout) != 0) {
        cli_warning("the map has no place for %llu of the blocks and leaves them out",
                    (unsigned long long)report_layout_failures(model->layout));
    }
    return true;
}

void report_model_free(report_model *model)
{
    report_layout_free(model->layout);
    report_symbols_free(model->symbols);
    report_survey_free(&model->survey);
    report_frames_free(&model->frames);
    report_tree_free(&model->tree);
    report_cells_free(&model->cells);
    report_cells_free(&model->threads);
    report_curve_free(&model->curve);
    report_histogram_free(&model->sizes);
    report_histogram_free(&model->lifetimes);
    report_raster_free(&model->raster);
    report_largest_free(&model->largest);
    report_snapshots_free(&model->snapshots);
    report_texts_free(&model->texts);
    free(model->sums);
    *model = (report_model){0};
}
