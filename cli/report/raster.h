/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_RASTER_H
#define TARN_CLI_REPORT_RASTER_H

/*
 * The heap map: addresses by rows, time by columns. A cell knows which share of its bytes and time
 * was live, and the block that had most of it. Blocks are painted when they end. The rows are as
 * many as they are: where the addresses go further, each becomes twice as many bytes.
 */

#include <stddef.h>
#include <stdint.h>

enum { REPORT_COLUMNS = 1024, REPORT_ROWS = 512 };

/* What is seen of a block. */
typedef struct report_paint {
    uint64_t begin; /* nanoseconds */
    uint64_t end;
    uint64_t place; /* bytes from the bottom */
    uint64_t size;
    uint32_t node;
    uint32_t thread;
} report_paint;

/* The block that has most of something. */
typedef struct report_winner {
    double area; /* bytes times nanoseconds; 0: there is none */
    uint32_t node;
    uint16_t born; /* column */
    uint8_t size;  /* logarithm, base 2 */
    uint8_t thread;
} report_winner;

/* To be made by report_raster_init(). */
typedef struct report_raster {
    size_t columns;
    uint64_t column_ns;
    uint64_t row_bytes;
    size_t rows; /* that have been painted */
    double *
        used; /* by column, and by row in each: bytes times nanoseconds; after finish() all of it */
    /* Private: what each column has more, from its start to its end, than the one before. */
    double *change;
    report_winner *winners; /* private: a tree over the columns for each row */
} report_raster;

void report_raster_init(report_raster *raster, uint64_t duration);
void report_raster_free(report_raster *raster);

/* Linear in the rows that the block is in, and logarithmic in the columns. */
void report_raster_paint(report_raster *raster, const report_paint *block);

/* Nothing is painted after that. */
void report_raster_finish(report_raster *raster);

/* After finish(): the share of a cell that was live, 0 to 255, and not 0 where any was; and whose
 * most of it was. */
uint8_t report_raster_used(const report_raster *raster, size_t column, size_t row);
const report_winner *report_raster_winner(const report_raster *raster, size_t column, size_t row);

#endif
