/* SPDX-License-Identifier: MIT */
#include "raster.h"

#include "memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * A block that lives long has the same part of a row in every column but its first and last. What
 * it adds to them is kept as a change at both ends, which finish() adds up.
 *
 * Who has most of a cell is kept in a tree for each row: its leaves are the columns, and a node
 * stands for all columns below it. A block goes to the few nodes that make up its columns, and
 * stays there if it has more than who was there; finish() lets the better ones down.
 *
 *     node 1 is the root; 2n and 2n + 1 are the halves of n; COLUMNS + c is column c
 */

enum { TREE = 2 * REPORT_COLUMNS };

#define ROW_BYTES_AT_FIRST UINT64_C(64)

void report_raster_init(report_raster *raster, uint64_t duration)
{
    const uint64_t column_ns = duration / REPORT_COLUMNS + 1;
    *raster = (report_raster){
        .columns = (size_t)(duration / column_ns) + 1,
        .column_ns = column_ns,
        .row_bytes = ROW_BYTES_AT_FIRST,
        .used = report_zeroed((size_t)REPORT_COLUMNS * REPORT_ROWS, sizeof *raster->used),
        .change = report_zeroed((size_t)REPORT_COLUMNS * REPORT_ROWS, sizeof *raster->change),
        .winners = report_zeroed((size_t)TREE * REPORT_ROWS, sizeof *raster->winners),
    };
}

void report_raster_free(report_raster *raster)
{
    free(raster->used);
    free(raster->change);
    free(raster->winners);
    *raster = (report_raster){0};
}

/* Makes one value of each two rows, in place; those behind `rows` are 0, and all rows are even. */
static void halve_column(double *column, size_t rows)
{
    for (size_t row = 0; row < rows; row += 2) {
        const double sum = column[row] + column[row + 1];
        column[row] = 0;
        column[row + 1] = 0;
        column[row / 2] = sum;
    }
}

static void halve_winners(report_winner *winners, size_t rows)
{
    for (size_t row = 0; row < rows; row++) {
        report_winner *from = winners + row * TREE;
        report_winner *to = winners + row / 2 * TREE;
        for (size_t node = 0; node < TREE; node++) {
            if (row % 2 == 0 || from[node].area > to[node].area) {
                to[node] = from[node];
            }
        }
        if (row > 0) {
            memset(from, 0, TREE * sizeof *from);
        }
    }
}

/* Linear in the rows that have been painted. */
static void halve_rows(report_raster *raster)
{
    for (size_t column = 0; column < REPORT_COLUMNS && raster->rows > 0; column++) {
        halve_column(raster->used + column * REPORT_ROWS, raster->rows);
        halve_column(raster->change + column * REPORT_ROWS, raster->rows);
    }
    halve_winners(raster->winners, raster->rows);
    raster->row_bytes *= 2;
    raster->rows = (raster->rows + 1) / 2;
}

static void win(report_winner *at, const report_winner *block)
{
    if (block->area > at->area) {
        *at = *block;
    }
}

/* Whole columns [from, to). */
static void paint_columns(report_raster *raster, size_t row, size_t from, size_t to,
                          const report_winner *block)
{
    report_winner *tree = raster->winners + row * TREE;
    for (size_t low = from + REPORT_COLUMNS, high = to + REPORT_COLUMNS; low < high;
         low /= 2, high /= 2) {
        if (low % 2 == 1) {
            win(&tree[low++], block);
        }
        if (high % 2 == 1) {
            win(&tree[--high], block);
        }
    }
    raster->change[from * REPORT_ROWS + row] += block->area;
    if (to < REPORT_COLUMNS) {
        raster->change[to * REPORT_ROWS + row] -= block->area;
    }
}

static void paint_part(report_raster *raster, size_t row, size_t column, report_winner block,
                       double bytes, uint64_t ns)
{
    block.area = bytes * (double)ns;
    raster->used[column * REPORT_ROWS + row] += block.area;
    win(&raster->winners[row * TREE + REPORT_COLUMNS + column], &block);
}

static void paint_row(report_raster *raster, size_t row, double bytes, const report_paint *block,
                      report_winner winner)
{
    const uint64_t ns = raster->column_ns;
    const size_t first = (size_t)(block->begin / ns);
    const size_t last = (size_t)(block->end / ns);
    if (first == last) {
        paint_part(raster, row, first, winner, bytes, block->end - block->begin);
        return;
    }
    paint_part(raster, row, first, winner, bytes, (first + 1) * ns - block->begin);
    if (last < raster->columns && block->end > last * ns) {
        paint_part(raster, row, last, winner, bytes, block->end - last * ns);
    }
    if (first + 1 < last) {
        winner.area = bytes * (double)ns;
        paint_columns(raster, row, first + 1, last, &winner);
    }
}

static uint8_t log2_of(uint64_t size)
{
    uint8_t log2 = 0;
    while (size > 1) {
        size /= 2;
        log2++;
    }
    return log2;
}

void report_raster_paint(report_raster *raster, const report_paint *block)
{
    if (block->size == 0) {
        return;
    }
    const uint64_t end = block->place + block->size;
    while (end > REPORT_ROWS * raster->row_bytes) {
        halve_rows(raster);
    }
    /* What came and went between two ticks of the trace's clock was there all the same. */
    report_paint shown = *block;
    shown.end += shown.end == shown.begin;
    const report_winner winner = {
        .node = block->node,
        .born = (uint16_t)(block->begin / raster->column_ns),
        .size = log2_of(block->size),
        .thread = (uint8_t)(block->thread < UINT8_MAX ? block->thread : UINT8_MAX),
    };
    const size_t last = (size_t)((end - 1) / raster->row_bytes);
    for (size_t row = (size_t)(block->place / raster->row_bytes); row <= last; row++) {
        const uint64_t bottom = row * raster->row_bytes;
        const uint64_t top = bottom + raster->row_bytes;
        const uint64_t bytes =
            (end < top ? end : top) - (block->place > bottom ? block->place : bottom);
        paint_row(raster, row, (double)bytes, &shown, winner);
    }
    raster->rows = last + 1 > raster->rows ? last + 1 : raster->rows;
}

void report_raster_finish(report_raster *raster)
{
    for (size_t row = 0; row < raster->rows; row++) {
        report_winner *tree = raster->winners + row * TREE;
        for (size_t node = 1; node < REPORT_COLUMNS; node++) {
            win(&tree[2 * node], &tree[node]);
            win(&tree[2 * node + 1], &tree[node]);
        }
        double whole = 0;
        for (size_t column = 0; column < raster->columns; column++) {
            whole += raster->change[column * REPORT_ROWS + row];
            raster->used[column * REPORT_ROWS + row] += whole;
        }
    }
}

uint8_t report_raster_used(const report_raster *raster, size_t column, size_t row)
{
    const double all = (double)raster->row_bytes * (double)raster->column_ns;
    const double share = raster->used[column * REPORT_ROWS + row] / all * 255;
    if (report_raster_winner(raster, column, row)->area == 0) {
        return 0;
    }
    return share >= UINT8_MAX ? UINT8_MAX : share < 1 ? 1 : (uint8_t)lround(share);
}

const report_winner *report_raster_winner(const report_raster *raster, size_t column, size_t row)
{
    return &raster->winners[row * TREE + REPORT_COLUMNS + column];
}
