/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_TABLE_H
#define TARN_CLI_TABLE_H

/*
 * A table of text: columns as wide as their widest cell, two spaces between them.
 *
 * Cells are UTF-8 with one column for each character. They are not copied.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { CLI_TABLE_COLUMNS_MAX = 12 };

typedef enum cli_style { CLI_PLAIN, CLI_STRONG, CLI_FAINT, CLI_GOOD, CLI_BAD } cli_style;

typedef struct cli_cell {
    const char *text; /* NULL: empty */
    cli_style style;
} cli_cell;

typedef struct cli_row cli_row;

typedef struct cli_table {
    size_t column_count;
    bool is_left
        [CLI_TABLE_COLUMNS_MAX]; /* columns aligned to the left; the others are to the right */
    /* Where there is no room for all, the column with 1 is left out first, then that with 2, and so
     * on; 0: it never is. */
    unsigned char drop_order[CLI_TABLE_COLUMNS_MAX];
    bool is_first_whole; /* the first column is never cut */
    cli_row *first;
    cli_row *last;
} cli_table;

/* Characters of `text`, and its first `width` of them, the last an ellipsis when it has more. */
size_t cli_text_width(const char *text);
const char *cli_text_cut(const char *text, size_t width);

/* Adds a row of empty cells and returns its `column_count` cells to fill. */
cli_cell *cli_table_add(cli_table *table);

/* Prints the table, its first row as the header with a rule below. When it is wider than `columns`
 * (0: no bound) columns are left out in their order, which a line below says; then the first one is
 * cut with an ellipsis, though never below eight characters. */
void cli_table_print(const cli_table *table, FILE *file, size_t columns);

#endif
