/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_CELLS_H
#define TARN_CLI_REPORT_CELLS_H

/*
 * What happened by bin of time and by node (or by thread, or whatever else has small numbers), bin
 * after bin; only what is not zero is kept.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct report_cell {
    uint32_t node;
    uint64_t allocs;
    uint64_t bytes;
    uint64_t frees; /* of blocks that this node allocated */
    uint64_t freed; /* their bytes */
    uint64_t temporary;
} report_cell;

/* To be made by report_cells_init(). */
typedef struct report_cells {
    report_cell *all; /* by bin, and by node in each */
    size_t count;
    size_t room;
    size_t *ends; /* by bin: where its cells end */
    size_t bins;
    size_t closed;   /* bins that are over */
    uint32_t *place; /* private: by node, 1 more than its cell in the open bin; 0: none */
    size_t nodes;
    size_t start; /* private: of the open bin */
} report_cells;

void report_cells_init(report_cells *cells, size_t bins, size_t nodes);
void report_cells_free(report_cells *cells);

/* The cell of a node in the open bin, to be added to at once. Nodes may be more than was said. */
report_cell *report_cells_at(report_cells *cells, uint32_t node);

/* Ends the open bin, and begins the next. */
void report_cells_close(report_cells *cells);

/* Makes one bin of each two; even numbers of them are there and closed, and the open one is empty. */
void report_cells_halve(report_cells *cells);

#endif
