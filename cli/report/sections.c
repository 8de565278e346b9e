/* SPDX-License-Identifier: MIT */
#include "sections.h"

#include <string.h>

static uint32_t u32(uint64_t value)
{
    return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

static uint32_t *add_u32(report_container *container, const char *name, size_t count)
{
    return report_container_add(container, name, REPORT_U32, count);
}

static double *add_f64(report_container *container, const char *name, size_t count)
{
    return report_container_add(container, name, REPORT_F64, count);
}

static uint8_t *add_u8(report_container *container, const char *name, size_t count)
{
    return report_container_add(container, name, REPORT_U8, count);
}

/* Without the zeroes that stand between texts in memory. */
static void add_texts(report_container *container, const report_texts *texts)
{
    uint8_t *bytes = add_u8(container, "text.bytes", texts->size - texts->count);
    uint32_t *ends = add_u32(container, "text.ends", texts->count);
    uint32_t end = 0;
    for (uint32_t i = 0; i < texts->count; i++) {
        const size_t size = report_texts_size(texts, i);
        memcpy(bytes + end, report_texts_get(texts, i), size);
        end += (uint32_t)size;
        ends[i] = end;
    }
}

static void add_frames(report_container *container, const report_frames *frames)
{
    uint32_t *function = add_u32(container, "frame.function", frames->count);
    uint32_t *file = add_u32(container, "frame.file", frames->count);
    uint32_t *module = add_u32(container, "frame.module", frames->count);
    uint32_t *line = add_u32(container, "frame.line", frames->count);
    for (size_t i = 0; i < frames->count; i++) {
        function[i] = frames->all[i].function;
        file[i] = frames->all[i].file;
        module[i] = frames->all[i].module;
        line[i] = frames->all[i].line;
    }
}

static void add_nodes(report_container *container, const report_model *model)
{
    const size_t count = model->tree.count;
    uint32_t *parent = add_u32(container, "node.parent", count);
    uint32_t *frame = add_u32(container, "node.frame", count);
    double *bytes = add_f64(container, "node.peak_bytes", count);
    double *blocks = add_f64(container, "node.peak_blocks", count);
    for (size_t i = 0; i < count; i++) {
        parent[i] = model->tree.nodes[i].parent;
        frame[i] = model->tree.nodes[i].frame;
        bytes[i] = (double)model->sums[i].peak_bytes;
        blocks[i] = (double)model->sums[i].peak_blocks;
    }
}

static void add_cells(report_container *container, const report_cells *cells)
{
    uint32_t *ends = add_u32(container, "cell.ends", cells->bins);
    uint32_t *node = add_u32(container, "cell.node", cells->count);
    uint32_t *allocs = add_u32(container, "cell.allocs", cells->count);
    double *bytes = add_f64(container, "cell.bytes", cells->count);
    uint32_t *frees = add_u32(container, "cell.frees", cells->count);
    double *freed = add_f64(container, "cell.freed", cells->count);
    uint32_t *temporary = add_u32(container, "cell.temporary", cells->count);
    for (size_t i = 0; i < cells->bins; i++) {
        ends[i] = u32(cells->ends[i]);
    }
    for (size_t i = 0; i < cells->count; i++) {
        const report_cell *cell = &cells->all[i];
        node[i] = cell->node;
        allocs[i] = u32(cell->allocs);
        bytes[i] = (double)cell->bytes;
        frees[i] = u32(cell->frees);
        freed[i] = (double)cell->freed;
        temporary[i] = u32(cell->temporary);
    }
}

static void add_threads(report_container *container, const report_cells *threads)
{
    size_t count = 0;
    for (size_t i = 0; i < threads->count; i++) {
        count += threads->all[i].allocs != 0;
    }
    uint32_t *ends = add_u32(container, "thread.ends", threads->bins);
    uint32_t *index = add_u32(container, "thread.index", count);
    uint32_t *allocs = add_u32(container, "thread.allocs", count);
    double *bytes = add_f64(container, "thread.bytes", count);
    size_t at = 0;
    size_t to = 0;
    for (size_t bin = 0; bin < threads->bins; bin++) {
        for (; at < threads->ends[bin]; at++) {
            const report_cell *cell = &threads->all[at];
            if (cell->allocs != 0) {
                index[to] = cell->node;
                allocs[to] = u32(cell->allocs);
                bytes[to++] = (double)cell->bytes;
            }
        }
        ends[bin] = (uint32_t)to;
    }
}

/* Of all blocks: where stacks were sampled, the cells of nodes have estimates. */
static void add_bins(report_container *container, const report_cells *threads)
{
    double *temporary = add_f64(container, "bin.temporary", threads->bins);
    size_t at = 0;
    for (size_t bin = 0; bin < threads->bins; bin++) {
        for (; at < threads->ends[bin]; at++) {
            temporary[bin] += (double)threads->all[at].temporary;
        }
    }
}

static void add_curve(report_container *container, const report_curve *curve)
{
    const size_t size = curve->steps * sizeof(double);
    memcpy(add_f64(container, "curve.live_min", curve->steps), curve->live_min, size);
    memcpy(add_f64(container, "curve.live_max", curve->steps), curve->live_max, size);
    memcpy(add_f64(container, "curve.live", curve->steps), curve->live, size);
    memcpy(add_f64(container, "curve.blocks", curve->steps), curve->blocks, size);
    memcpy(add_f64(container, "curve.footprint", curve->steps), curve->footprint, size);
    memcpy(add_u32(container, "curve.allocs", curve->steps), curve->allocs, size / 2);
    memcpy(add_u32(container, "curve.frees", curve->steps), curve->frees, size / 2);
}

static void add_histogram(report_container *container, const report_histogram *histogram,
                          const char *counts, const char *bytes)
{
    const size_t count = histogram->bins * histogram->classes;
    memcpy(add_f64(container, counts, count), histogram->counts, count * sizeof(double));
    memcpy(add_f64(container, bytes, count), histogram->bytes, count * sizeof(double));
}

static void add_map(report_container *container, const report_raster *raster)
{
    const size_t count = raster->columns * raster->rows;
    uint8_t *used = add_u8(container, "map.used", count);
    uint8_t *size = add_u8(container, "map.size", count);
    uint8_t *thread = add_u8(container, "map.thread", count);
    uint32_t *node = add_u32(container, "map.node", count);
    uint16_t *born = report_container_add(container, "map.born", REPORT_U16, count);
    size_t at = 0;
    for (size_t column = 0; column < raster->columns; column++) {
        for (size_t row = 0; row < raster->rows; row++, at++) {
            const report_winner *winner = report_raster_winner(raster, column, row);
            used[at] = report_raster_used(raster, column, row);
            size[at] = winner->size;
            thread[at] = winner->thread;
            node[at] = winner->node;
            born[at] = winner->born;
        }
    }
}

static void add_rects(report_container *container, const report_largest *largest)
{
    const size_t count = largest->count;
    double *begin = add_f64(container, "rect.begin_ns", count);
    double *end = add_f64(container, "rect.end_ns", count);
    uint8_t *leaked = add_u8(container, "rect.leaked", count);
    double *address = add_f64(container, "rect.address", count);
    double *size = add_f64(container, "rect.size", count);
    uint32_t *node = add_u32(container, "rect.node", count);
    uint8_t *thread = add_u8(container, "rect.thread", count);
    for (size_t i = 0; i < count; i++) {
        const report_paint *block = &largest->all[i].block;
        begin[i] = (double)block->begin;
        end[i] = (double)block->end;
        leaked[i] = largest->all[i].is_leaked;
        address[i] = (double)block->place;
        size[i] = (double)block->size;
        node[i] = block->node;
        thread[i] = (uint8_t)(block->thread < UINT8_MAX ? block->thread : UINT8_MAX);
    }
}

static void add_pins(report_container *container, const report_snapshots *snapshots)
{
    uint32_t *ends = add_u32(container, "pin.ends", snapshots->count);
    uint32_t *node = add_u32(container, "pin.node", snapshots->pin_count);
    double *bytes = add_f64(container, "pin.bytes", snapshots->pin_count);
    double *pages = add_f64(container, "pin.pages", snapshots->pin_count);
    for (size_t i = 0; i < snapshots->count; i++) {
        ends[i] = u32(snapshots->ends[i]);
    }
    for (size_t i = 0; i < snapshots->pin_count; i++) {
        node[i] = snapshots->pins[i].node;
        bytes[i] = snapshots->pins[i].bytes;
        pages[i] = snapshots->pins[i].pages;
    }
}

void report_sections_add(report_container *container, const report_model *model)
{
    add_texts(container, &model->texts);
    add_frames(container, &model->frames);
    add_nodes(container, model);
    add_cells(container, &model->cells);
    add_threads(container, &model->threads);
    add_bins(container, &model->threads);
    add_curve(container, &model->curve);
    add_histogram(container, &model->sizes, "size.counts", "size.bytes");
    add_histogram(container, &model->lifetimes, "lifetime.counts", "lifetime.bytes");
    if (model->raster.rows != 0) {
        add_map(container, &model->raster);
        add_rects(container, &model->largest);
    }
    add_pins(container, &model->snapshots);
}
