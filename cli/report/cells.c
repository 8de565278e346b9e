/* SPDX-License-Identifier: MIT */
#include "cells.h"

#include "memory.h"

#include <stdlib.h>

void report_cells_init(report_cells *cells, size_t bins, size_t nodes)
{
    *cells = (report_cells){
        .ends = report_zeroed(bins, sizeof *cells->ends),
        .bins = bins,
        .place = report_zeroed(nodes, sizeof *cells->place),
        .nodes = nodes,
    };
}

void report_cells_free(report_cells *cells)
{
    free(cells->all);
    free(cells->ends);
    free(cells->place);
    *cells = (report_cells){0};
}

report_cell *report_cells_at(report_cells *cells, uint32_t node)
{
    if (node >= cells->nodes) {
        const size_t nodes = (size_t)node + 64;
        cells->place = report_resized(cells->place, nodes, sizeof *cells->place);
        for (size_t i = cells->nodes; i < nodes; i++) {
            cells->place[i] = 0;
        }
        cells->nodes = nodes;
    }
    if (cells->place[node] == 0) {
        cells->all = report_grown(cells->all, cells->count, &cells->room, sizeof *cells->all);
        cells->all[cells->count++] = (report_cell){.node = node};
        cells->place[node] = (uint32_t)(cells->count - cells->start);
    }
    return &cells->all[cells->start + cells->place[node] - 1];
}

static int compare_nodes(const void *left, const void *right)
{
    const report_cell *a = left;
    const report_cell *b = right;
    return (a->node > b->node) - (a->node < b->node);
}

void report_cells_close(report_cells *cells)
{
    for (size_t i = cells->start; i < cells->count; i++) {
        cells->place[cells->all[i].node] = 0;
    }
    if (cells->count > cells->start) {
        qsort(cells->all + cells->start, cells->count - cells->start, sizeof *cells->all,
              compare_nodes);
    }
    cells->ends[cells->closed++] = cells->count;
    cells->start = cells->count;
}

static void add(report_cell *to, const report_cell *cell)
{
    to->allocs += cell->allocs;
    to->bytes += cell->bytes;
    to->frees += cell->frees;
    to->freed += cell->freed;
    to->temporary += cell->temporary;
}

void report_cells_halve(report_cells *cells)
{
    report_cells halves;
    report_cells_init(&halves, cells->bins / 2, cells->nodes);
    size_t at = 0;
    for (size_t bin = 0; bin < cells->closed; bin++) {
        for (; at < cells->ends[bin]; at++) {
            add(report_cells_at(&halves, cells->all[at].node), &cells->all[at]);
        }
        if (bin % 2 == 1) {
            report_cells_close(&halves);
        }
    }
    report_cells_free(cells);
    *cells = halves;
}
