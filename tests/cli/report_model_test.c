/* SPDX-License-Identifier: MIT */
#include "cli/report/model.h"
#include "cli/report/sites.h"
#include "cli/report_twin.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The model of random traces beside a naive twin's. */

enum { SEEDS = 3, PAGE = 4096, BINS = 64 };

static twin naive;

typedef struct sample {
    cli_trace_file file;
    report_model model;
    int descriptor;
} sample;

static void make(sample *made, bool has_addresses, bool has_stacks, report_model_options options)
{
    static char path[64];
    made->descriptor = twin_write(&naive, has_addresses, has_stacks, path);
    assert_true(cli_trace_file_open(&made->file, path));
    options.symbols.is_off = true;
    options.page = PAGE;
    options.bins = options.bins != 0 ? options.bins : BINS;
    options.nodes_max = options.nodes_max != 0 ? options.nodes_max : 100000;
    options.cells_max = options.cells_max != 0 ? options.cells_max : 1000000;
    options.rects_max = options.rects_max != 0 ? options.rects_max : 50;
    assert_true(report_model_make(&made->model, &made->file, &options));
}

static void drop(sample *made)
{
    report_model_free(&made->model);
    cli_trace_file_close(&made->file);
    close(made->descriptor);
}

/* Runs a test on traces of some seeds, which are told. */
static void on_seeds(void (*test)(void))
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        print_message("seed %" PRIu64 "\n", seed);
        twin_make(&naive, seed);
        test();
    }
}

/* -------------------------------------------------------------------------------------------------
 * Totals.
 */
static void compare_totals(void)
{
    sample made;
    make(&made, true, true, (report_model_options){0});
    const report_survey *survey = &made.model.survey;
    uint64_t bytes = 0;
    uint64_t frees = 0;
    uint64_t temporary = 0;
    uint64_t peak = 0;
    uint64_t peak_blocks = 0;
    size_t peak_event = 0;
    for (size_t i = 0; i < naive.block_count; i++) {
        bytes += naive.blocks[i].size;
        frees += naive.blocks[i].last != SIZE_MAX;
        temporary += naive.blocks[i].is_temporary;
    }
    for (size_t i = 1; i <= naive.count; i++) {
        uint64_t blocks;
        const uint64_t live = twin_live(&naive, i, &blocks);
        if (live > peak) {
            peak = live;
            peak_blocks = blocks;
            peak_event = i;
        }
    }
    uint64_t blocks_end;
    assert_int_equal(survey->live, twin_live(&naive, naive.count, &blocks_end));
    assert_int_equal(survey->live_blocks, blocks_end);
    assert_int_equal(survey->events, naive.count);
    assert_int_equal(survey->allocations, naive.block_count);
    assert_int_equal(survey->frees, frees);
    assert_int_equal(survey->failed, naive.failed);
    assert_int_equal(survey->unknown, 0);
    assert_int_equal(survey->bytes, bytes);
    assert_true(temporary > 0);
    assert_int_equal(survey->temporary, temporary);
    assert_int_equal(survey->peak_live, peak);
    assert_int_equal(survey->peak_blocks, peak_blocks);
    assert_int_equal(survey->peak_event, peak_event);
    assert_int_equal(survey->peak_time, naive.events[peak_event - 1].time);
    assert_int_equal(survey->duration, naive.duration);
    drop(&made);
}

static void totals_and_the_peak_are_those_of_the_events(void **state)
{
    (void)state;
    on_seeds(compare_totals);
}

/* -------------------------------------------------------------------------------------------------
 * Nodes and bins.
 */

/* The node of the tree that a stack of the trace went to, by the names on the way. */
static uint32_t node_of(const report_model *model, uint32_t stack)
{
    char names[8][32] = {"(no stack)"};
    uint64_t frames[8];
    uint32_t count = 1;
    if (stack != 0) {
        count = twin_frames(stack, frames);
        for (uint32_t i = 0; i < count; i++) {
            snprintf(names[count - 1 - i], sizeof names[0], "%#" PRIx64, frames[i]);
        }
    }
    uint32_t node = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t child = 0;
        for (uint32_t at = 1; at < model->tree.count; at++) {
            const report_frame *frame = &model->frames.all[model->tree.nodes[at].frame];
            if (model->tree.nodes[at].parent == node &&
                strcmp(report_texts_get(&model->texts, frame->function), names[i]) == 0) {
                child = at;
            }
        }
        assert_int_not_equal(child, 0);
        node = child;
    }
    return node;
}

static report_cell cell_of(const report_cells *cells, size_t bin, uint32_t node)
{
    for (size_t i = bin == 0 ? 0 : cells->ends[bin - 1]; i < cells->ends[bin]; i++) {
        if (cells->all[i].node == node) {
            return cells->all[i];
        }
    }
    return (report_cell){.node = node};
}

static void add_block(report_cell *cell, const twin_block *block, const report_model *model,
                      size_t bin)
{
    if (block->begin / model->bin_width == bin) {
        cell->allocs++;
        cell->bytes += block->size;
    }
    if (block->last != SIZE_MAX && block->end / model->bin_width == bin) {
        cell->frees++;
        cell->freed += block->size;
        cell->temporary += block->is_temporary;
    }
}

static void compare_cells(void)
{
    sample made;
    make(&made, true, true, (report_model_options){0});
    const report_model *model = &made.model;
    for (uint32_t stack = 0; stack <= TWIN_STACKS; stack++) {
        const uint32_t node = node_of(model, stack);
        for (size_t bin = 0; bin < model->bins; bin++) {
            report_cell wanted = {.node = node};
            for (size_t i = 0; i < naive.block_count; i++) {
                if (naive.blocks[i].stack == stack) {
                    add_block(&wanted, &naive.blocks[i], model, bin);
                }
            }
            const report_cell cell = cell_of(&model->cells, bin, node);
            assert_int_equal(cell.allocs, wanted.allocs);
            assert_int_equal(cell.bytes, wanted.bytes);
            assert_int_equal(cell.frees, wanted.frees);
            assert_int_equal(cell.freed, wanted.freed);
            assert_int_equal(cell.temporary, wanted.temporary);
        }
    }
    drop(&made);
}

static void cells_have_what_each_stack_did_in_each_bin(void **state)
{
    (void)state;
    on_seeds(compare_cells);
}

static void compare_temporary(void)
{
    sample made;
    make(&made, true, false, (report_model_options){0});
    const report_cells *threads = &made.model.threads;
    size_t at = 0;
    for (size_t bin = 0; bin < made.model.bins; bin++) {
        report_cell wanted = {0};
        for (size_t i = 0; i < naive.block_count; i++) {
            add_block(&wanted, &naive.blocks[i], &made.model, bin);
        }
        uint64_t found = 0;
        for (; at < threads->ends[bin]; at++) {
            found += threads->all[at].temporary;
        }
        assert_int_equal(found, wanted.temporary);
    }
    drop(&made);
}

static void threads_have_the_temporary_blocks_of_each_bin(void **state)
{
    (void)state;
    on_seeds(compare_temporary);
}

static void compare_peak(void)
{
    sample made;
    make(&made, false, true, (report_model_options){0});
    const report_model *model = &made.model;
    const size_t event = (size_t)model->survey.peak_event;
    for (uint32_t stack = 0; stack <= TWIN_STACKS; stack++) {
        uint64_t bytes = 0;
        uint64_t blocks = 0;
        for (size_t i = 0; i < naive.block_count; i++) {
            const twin_block *block = &naive.blocks[i];
            if (block->stack == stack && block->first <= event && block->last > event) {
                bytes += block->size;
                blocks++;
            }
        }
        const report_node_sum *sum = &model->sums[node_of(model, stack)];
        assert_int_equal(sum->peak_bytes, bytes);
        assert_int_equal(sum->peak_blocks, blocks);
    }
    drop(&made);
}

static void nodes_have_what_was_live_at_the_peak(void **state)
{
    (void)state;
    on_seeds(compare_peak);
}

static void add_cells(const report_cells *cells, report_cell *sum)
{
    *sum = (report_cell){0};
    for (size_t i = 0; i < cells->count; i++) {
        sum->allocs += cells->all[i].allocs;
        sum->bytes += cells->all[i].bytes;
        sum->frees += cells->all[i].frees;
        sum->freed += cells->all[i].freed;
        sum->temporary += cells->all[i].temporary;
    }
}

static void compare_allocations_by_bin(const report_model *model)
{
    size_t at = 0;
    for (size_t bin = 0; bin < model->bins; bin++) {
        uint64_t wanted = 0;
        for (size_t i = 0; i < naive.block_count; i++) {
            wanted += naive.blocks[i].begin / model->bin_width == bin;
        }
        uint64_t found = 0;
        for (; at < model->cells.ends[bin]; at++) {
            found += model->cells.all[at].allocs;
        }
        double sizes = 0;
        for (size_t class = 0; class < model->sizes.classes; class ++) {
            sizes += model->sizes.counts[bin * model->sizes.classes + class];
        }
        assert_int_equal(found, wanted);
        assert_true(sizes == (double)wanted);
    }
}

static void compare_small(void)
{
    sample made;
    make(&made, true, true, (report_model_options){.nodes_max = 16, .cells_max = 100});
    const report_model *model = &made.model;
    report_cell sum;
    add_cells(&model->cells, &sum);
    /* Each call site has its node, below the root or "(other)". */
    assert_true(model->tree.count <= TWIN_STACKS + 3);
    assert_true(model->bins < BINS);
    compare_allocations_by_bin(model);
    assert_int_equal(sum.allocs, model->survey.allocations);
    assert_int_equal(sum.bytes, model->survey.bytes);
    assert_int_equal(sum.frees, model->survey.frees);
    assert_int_equal(sum.bytes - sum.freed, model->survey.live);
    assert_int_equal(sum.temporary, model->survey.temporary);
    uint64_t peak = 0;
    for (size_t i = 0; i < model->tree.count; i++) {
        peak += model->sums[i].peak_bytes;
        assert_true(i == 0 || model->tree.nodes[i].parent < i);
    }
    assert_int_equal(peak, model->survey.peak_live);
    assert_int_equal(model->cells.ends[model->bins - 1], model->cells.count);
    assert_true(model->bin_width * model->bins > model->survey.duration);
    drop(&made);
}

static void a_pruned_tree_and_fewer_bins_lose_nothing(void **state)
{
    (void)state;
    on_seeds(compare_small);
}

static bool is_in_sites(const report_site *site, const report_model *model,
                        const report_sites *others, const report_model *other)
{
    const char *name = report_texts_get(&model->texts, model->frames.all[site->frame].function);
    for (size_t i = 0; i < others->count; i++) {
        const report_frame *frame = &other->frames.all[others->all[i].frame];
        if (strcmp(report_texts_get(&other->texts, frame->function), name) == 0) {
            assert_memory_equal(&site->sum, &others->all[i].sum, sizeof site->sum);
            assert_true(fabs(site->pinned - others->all[i].pinned) < 1e-3);
            return true;
        }
    }
    return false;
}

static void compare_pruned_sites(void)
{
    sample whole;
    sample pruned;
    make(&whole, true, true, (report_model_options){0});
    make(&pruned, true, true, (report_model_options){.nodes_max = 60});
    assert_true(whole.model.tree.count > 60);
    assert_true(pruned.model.tree.count <= 60);
    report_sites sites = report_sites_make(&whole.model);
    report_sites others = report_sites_make(&pruned.model);
    assert_int_equal(sites.count, others.count);
    for (size_t i = 0; i < sites.count; i++) {
        assert_true(is_in_sites(&sites.all[i], &whole.model, &others, &pruned.model));
    }
    report_sites_free(&sites);
    report_sites_free(&others);
    drop(&whole);
    drop(&pruned);
}

static void call_sites_of_a_pruned_tree_are_exact(void **state)
{
    (void)state;
    on_seeds(compare_pruned_sites);
}

static void compare_without_stacks(void)
{
    sample made;
    make(&made, false, false, (report_model_options){0});
    report_cell sum;
    add_cells(&made.model.cells, &sum);
    assert_int_equal(made.model.tree.count, 2);
    assert_int_equal(sum.bytes, made.model.survey.bytes);
    assert_int_equal(made.model.sums[1].peak_bytes, made.model.survey.peak_live);
    drop(&made);
}

static void traces_without_stacks_have_all_but_call_sites(void **state)
{
    (void)state;
    on_seeds(compare_without_stacks);
}

/* -------------------------------------------------------------------------------------------------
 * Curves and classes.
 */
static void compare_curve(void)
{
    sample made;
    make(&made, true, true, (report_model_options){.bins = 16});
    const report_curve *curve = &made.model.curve;
    double *low = calloc(curve->steps, sizeof *low);
    double *high = calloc(curve->steps, sizeof *high);
    double *last = calloc(curve->steps, sizeof *last);
    uint64_t blocks;
    size_t event = 0;
    double live = 0;
    for (size_t step = 0; step < curve->steps; step++) {
        low[step] = high[step] = live;
        while (event < naive.count && naive.events[event].time / curve->width == step) {
            live = (double)twin_live(&naive, ++event, &blocks);
            low[step] = fmin(low[step], live);
            high[step] = fmax(high[step], live);
        }
        last[step] = live;
        assert_true(curve->live_min[step] == low[step]);
        assert_true(curve->live_max[step] == high[step]);
        assert_true(curve->live[step] == last[step]);
    }
    assert_int_equal(event, naive.count);
    free(low);
    free(high);
    free(last);
    drop(&made);
}

static void the_curve_has_least_most_and_last_of_each_step(void **state)
{
    (void)state;
    on_seeds(compare_curve);
}

static void compare_classes(void)
{
    sample made;
    make(&made, true, true, (report_model_options){.bins = 16});
    const report_histogram *all[] = {&made.model.sizes, &made.model.lifetimes};
    for (size_t kind = 0; kind < 2; kind++) {
        const report_histogram *histogram = all[kind];
        for (size_t at = 0; at < histogram->bins * histogram->classes; at++) {
            const size_t class = at % histogram->classes;
            const uint64_t least = class == 0 ? 0 : histogram->bounds[class - 1];
            double count = 0;
            double bytes = 0;
            for (size_t i = 0; i < naive.block_count; i++) {
                const twin_block *block = &naive.blocks[i];
                const bool is_open = class + 1 == histogram->classes;
                const bool is_leaked = block->last == SIZE_MAX;
                const uint64_t value = kind == 0 ? block->size : block->end - block->begin;
                const bool is_in = kind == 1 && (is_leaked || is_open)
                                       ? is_leaked == is_open
                                       : value >= least && value < histogram->bounds[class];
                if (is_in && block->begin / made.model.bin_width == at / histogram->classes) {
                    count++;
                    bytes += (double)block->size;
                }
            }
            assert_true(histogram->counts[at] == count);
            assert_true(histogram->bytes[at] == bytes);
        }
    }
    drop(&made);
}

static void sizes_and_lifetimes_are_counted_where_blocks_were_born(void **state)
{
    (void)state;
    on_seeds(compare_classes);
}

/* -------------------------------------------------------------------------------------------------
 * Places.
 */
static double overlap(double a, double b, double c, double d)
{
    const double low = fmax(a, c);
    const double high = fmin(b, d);
    return high > low ? high - low : 0;
}

static void compare_cell_of_map(const report_model *model, size_t column, size_t row)
{
    const report_raster *raster = &model->raster;
    const double left = (double)(column * raster->column_ns);
    const double bottom = (double)(row * raster->row_bytes);
    double used = 0;
    double most = 0;
    for (size_t i = 0; i < naive.block_count; i++) {
        const twin_block *block = &naive.blocks[i];
        const double place =
            (double)report_extents_place((report_extents *)&model->survey.extents, block->address);
        const double end = (double)(block->end + (block->end == block->begin));
        const double area =
            overlap((double)block->begin, end, left, left + (double)raster->column_ns) *
            overlap(place, place + (double)block->size, bottom, bottom + (double)raster->row_bytes);
        used += area;
        most = fmax(most, area);
    }
    const double found = raster->used[column * REPORT_ROWS + row];
    assert_true(fabs(found - used) <= 1e-6 * (used + 1) + 1e-3 * (double)raster->column_ns);
    const double best = report_raster_winner(raster, column, row)->area;
    assert_true(fabs(best - most) <= 1e-9 * most);
}

static void compare_map(void)
{
    sample made;
    make(&made, true, true, (report_model_options){0});
    const report_raster *raster = &made.model.raster;
    assert_true(raster->rows > 0 && raster->columns > 0);
    for (size_t i = 0; i < 400; i++) {
        compare_cell_of_map(&made.model, twin_random(&naive) % raster->columns,
                            twin_random(&naive) % raster->rows);
    }
    drop(&made);
}

static void the_map_shows_what_share_was_used_and_who_had_most(void **state)
{
    (void)state;
    on_seeds(compare_map);
}

static int compare_doubles(const void *left, const void *right)
{
    const double a = *(const double *)left;
    const double b = *(const double *)right;
    return (a < b) - (a > b);
}

static void compare_rects(void)
{
    sample made;
    make(&made, false, true, (report_model_options){.rects_max = 40});
    const report_largest *largest = &made.model.largest;
    double wanted[TWIN_EVENTS];
    for (size_t i = 0; i < naive.block_count; i++) {
        const twin_block *block = &naive.blocks[i];
        wanted[i] = (double)block->size *
                    (double)(block->end > block->begin ? block->end - block->begin : 1);
    }
    qsort(wanted, naive.block_count, sizeof *wanted, compare_doubles);
    double found[40];
    assert_int_equal(largest->count, 40);
    for (size_t i = 0; i < 40; i++) {
        found[i] = largest->all[i].area;
    }
    qsort(found, 40, sizeof *found, compare_doubles);
    for (size_t i = 0; i < 40; i++) {
        assert_true(found[i] == wanted[i]);
    }
    drop(&made);
}

static void the_blocks_of_most_bytes_and_time_are_kept(void **state)
{
    (void)state;
    on_seeds(compare_rects);
}

/* -------------------------------------------------------------------------------------------------
 * Snapshots.
 */
enum { PAGES_MAX = 8192 };

static void look_at_pages(const report_model *model, size_t events, report_snapshot *wanted)
{
    static uint64_t live[PAGES_MAX];
    memset(live, 0, sizeof live);
    *wanted = (report_snapshot){0};
    for (size_t i = 0; i < naive.block_count; i++) {
        const twin_block *block = &naive.blocks[i];
        if (block->first > events || block->last <= events) {
            continue;
        }
        const uint64_t place =
            report_extents_place((report_extents *)&model->survey.extents, block->address);
        for (uint64_t at = place; at < place + block->size; at++) {
            assert_true(at / PAGE < PAGES_MAX);
            live[at / PAGE]++;
        }
        wanted->live += block->size;
    }
    for (size_t i = 0; i < PAGES_MAX; i++) {
        wanted->pages += live[i] != 0;
        wanted->full_pages += live[i] == PAGE;
        wanted->partial_pages += live[i] != 0 && live[i] < PAGE;
        wanted->free_bytes += live[i] != 0 ? PAGE - live[i] : 0;
    }
}

static void compare_snapshots(void)
{
    sample made;
    make(&made, true, true, (report_model_options){0});
    const report_model *model = &made.model;
    const report_snapshots *snapshots = &model->snapshots;
    assert_int_equal(snapshots->count, 16);
    for (size_t i = 0; i < snapshots->count; i++) {
        const report_snapshot *snapshot = &snapshots->all[i];
        size_t events = 0;
        if (strcmp(snapshot->label, "peak") == 0) {
            events = (size_t)model->survey.peak_event;
        } else {
            while (events < naive.count && naive.events[events].time <= snapshot->time) {
                events++;
            }
        }
        report_snapshot wanted;
        look_at_pages(model, events, &wanted);
        assert_int_equal(snapshot->live, wanted.live);
        assert_int_equal(snapshot->pages, wanted.pages);
        assert_int_equal(snapshot->full_pages, wanted.full_pages);
        assert_int_equal(snapshot->partial_pages, wanted.partial_pages);
        assert_int_equal(snapshot->free_bytes, wanted.free_bytes);
        double bytes = 0;
        double pages = 0;
        for (size_t at = i == 0 ? 0 : snapshots->ends[i - 1]; at < snapshots->ends[i]; at++) {
            bytes += snapshots->pins[at].bytes;
            pages += snapshots->pins[at].pages;
        }
        assert_true(fabs(bytes - (double)wanted.free_bytes) < 1e-3);
        assert_true(fabs(pages - (double)wanted.partial_pages) < 1e-6);
    }
    assert_string_equal(snapshots->all[15].label, "end");
    drop(&made);
}

static void snapshots_tell_how_the_pages_are_and_who_holds_them(void **state)
{
    (void)state;
    on_seeds(compare_snapshots);
}

static void a_trace_of_no_events_has_an_empty_model(void **state)
{
    (void)state;
    memset(&naive, 0, sizeof naive);
    sample made;
    make(&made, false, true, (report_model_options){0});
    assert_int_equal(made.model.survey.events, 0);
    assert_int_equal(made.model.tree.count, 1);
    assert_int_equal(made.model.raster.rows, 0);
    drop(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(totals_and_the_peak_are_those_of_the_events),
        cmocka_unit_test(cells_have_what_each_stack_did_in_each_bin),
        cmocka_unit_test(threads_have_the_temporary_blocks_of_each_bin),
        cmocka_unit_test(nodes_have_what_was_live_at_the_peak),
        cmocka_unit_test(a_pruned_tree_and_fewer_bins_lose_nothing),
        cmocka_unit_test(call_sites_of_a_pruned_tree_are_exact),
        cmocka_unit_test(traces_without_stacks_have_all_but_call_sites),
        cmocka_unit_test(the_curve_has_least_most_and_last_of_each_step),
        cmocka_unit_test(sizes_and_lifetimes_are_counted_where_blocks_were_born),
        cmocka_unit_test(the_map_shows_what_share_was_used_and_who_had_most),
        cmocka_unit_test(the_blocks_of_most_bytes_and_time_are_kept),
        cmocka_unit_test(snapshots_tell_how_the_pages_are_and_who_holds_them),
        cmocka_unit_test(a_trace_of_no_events_has_an_empty_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
