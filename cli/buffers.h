/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_BUFFERS_H
#define TARN_CLI_BUFFERS_H

/*
 * Buffers to be planned, as files say them: rows of CSV (compatible with google/minimalloc), or
 * objects of JSON.
 *
 * The text is read in place: names point into it, so it has to outlive the buffers. Nothing here
 * prints; the first fault is described with its line.
 */

#include "tarn/overlay.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum cli_column {
    CLI_ID,
    CLI_LOWER,
    CLI_UPPER,
    CLI_SIZE,
    CLI_ALIGNMENT,
    CLI_HINT, /* carried over, not used */
    CLI_GAPS,
    CLI_OFFSET,
    CLI_COLUMNS,
    CLI_NO_COLUMN = CLI_COLUMNS
} cli_column;

typedef enum cli_plan_format { CLI_CSV, CLI_JSON, CLI_C } cli_plan_format;

/* What is wrong with a file. */
typedef struct cli_fault {
    size_t line; /* from 1 */
    char text[320];
} cli_fault;

/* One buffer. Its numbers are in cli_buffers.items, at the same index. */
typedef struct cli_buffer {
    const char *id;
    size_t line; /* where it stands */
    bool has_hint;
    int64_t hint;
    size_t first_gap; /* its index in cli_buffers.gaps */
} cli_buffer;

typedef struct cli_buffers {
    size_t count;
    size_t room;                /* for so many */
    cli_buffer *buffers;        /* owned */
    tarn_overlay_buffer *items; /* owned; is_fixed where the file gives an offset */
    tarn_overlay_gap *gaps;     /* owned; of all buffers, in their order */
    size_t gap_count;
    size_t gap_room;
    /* How it was written, for writing it again. */
    cli_plan_format format;
    size_t column_count; /* of CSV */
    cli_column columns[CLI_COLUMNS];
    const char *names[CLI_COLUMNS]; /* of the columns, as spelled there */
    bool has_inclusive_end;         /* the last time of a lifetime is part of it */
} cli_buffers;

/* Reads what is in `text`, which has a zero at text[size] and is changed; JSON if it begins with a
 * bracket, else CSV. False with the first fault; then, too, the buffers must be given back. */
bool cli_buffers_read(cli_buffers *buffers, char *text, size_t size, cli_fault *fault);
void cli_buffers_free(cli_buffers *buffers);

/* False, with the first fault, if a fixed offset is negative or not aligned. */
bool cli_buffers_has_sound_offsets(const cli_buffers *buffers, cli_fault *fault);

/* Writes CSV with an offset for each: the columns as they were read, or the usual ones. */
void cli_buffers_write_csv(const cli_buffers *buffers, const int64_t *offsets, FILE *file);

/* What is known of a plan as a whole. */
typedef struct cli_plan_figures {
    int64_t height;
    int64_t lower_bound; /* proven */
    bool is_proven;      /* no plan is lower */
    int64_t capacity;    /* 0: none was given */
} cli_plan_figures;

void cli_buffers_write_json(const cli_buffers *buffers, const int64_t *offsets,
                            const cli_plan_figures *figures, FILE *file);

/* -------------------------------------------------------------------------------------------------
 * For the readers.
 */

/* One buffer as it was read; numbers that are not there are 0. */
typedef struct cli_row {
    size_t line;
    char *id;
    bool has[CLI_COLUMNS];
    int64_t values[CLI_COLUMNS]; /* of CLI_UPPER: the first time that is not part of it */
} cli_row;

bool cli_buffers_read_csv(cli_buffers *buffers, char *text, size_t size, cli_fault *fault);
bool cli_buffers_read_json(cli_buffers *buffers, char *text, size_t size, cli_fault *fault);

/* Always false, so that a reader may return it. */
bool cli_fault_set(cli_fault *fault, size_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The column of that name or of a synonym, in any case; `is_inclusive` is set for an end that is part
 * of the lifetime. CLI_NO_COLUMN if there is none; then the fault says so. */
cli_column cli_column_find(const char *name, bool *is_inclusive, size_t line, cli_fault *fault);
const char *cli_column_name(cli_column column);

/* A whole number in decimal. An inclusive end counts on to the first time after it. */
bool cli_number_read(const char *text, const char *what, int64_t *value, size_t line,
                     cli_fault *fault);
bool cli_number_pass_end(int64_t *value, const char *what, size_t line, cli_fault *fault);

/* Gaps of the buffer that is read next, one by one, or as text: `lo-hi` or `lo-hi@wlo:whi`, with
 * blanks between them. */
void cli_buffers_add_gap(cli_buffers *buffers, tarn_overlay_gap gap);
bool cli_buffers_add_gaps(cli_buffers *buffers, const char *text, bool is_inclusive, size_t line,
                          cli_fault *fault);

/* Adds the buffer, with the gaps since the one before, if it is sound. */
bool cli_buffers_add(cli_buffers *buffers, const cli_row *row, cli_fault *fault);

#endif
