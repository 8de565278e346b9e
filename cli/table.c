/* SPDX-License-Identifier: MIT */
#include "table.h"

#include "cli.h"

#include <string.h>

/*
 *   first column  second  third      header row, strong
 *   --------------------------      rule
 *   text             12.3   4 s      the first column may be cut, the others never
 *   no room for: fourth, fifth       where columns are left out
 */

enum { GAP = 2, FIRST_COLUMN_LEAST = 8 };

struct cli_row {
    cli_row *next;
    cli_cell cells[CLI_TABLE_COLUMNS_MAX];
};

cli_cell *cli_table_add(cli_table *table)
{
    cli_row *row = cli_alloc(sizeof *row);
    if (table->last == NULL) {
        table->first = row;
    } else {
        table->last->next = row;
    }
    table->last = row;
    return row->cells;
}

static bool starts_character(char byte)
{
    return ((unsigned char)byte & 0xc0) != 0x80;
}

size_t cli_text_width(const char *text)
{
    size_t width = 0;
    for (; text != NULL && *text != '\0'; text++) {
        width += starts_character(*text);
    }
    return width;
}

const char *cli_text_cut(const char *text, size_t width)
{
    if (text == NULL || cli_text_width(text) <= width) {
        return text;
    }
    const char *const ellipsis = cli_has_utf8() ? "…" : "~";
    size_t kept = 0;
    const char *end = text;
    for (; *end != '\0'; end++) {
        if (starts_character(*end) && kept++ == width - 1) {
            break;
        }
    }
    return cli_format("%.*s%s", (int)(end - text), text, ellipsis);
}

static const char *style_code(cli_style style)
{
    switch (style) {
    case CLI_STRONG:
        return "\033[1m";
    case CLI_FAINT:
        return "\033[2m";
    case CLI_GOOD:
        return "\033[32m";
    case CLI_BAD:
        return "\033[31m";
    case CLI_PLAIN:
        break;
    }
    return "";
}

static void print_spaces(FILE *file, size_t count)
{
    fprintf(file, "%*s", (int)count, "");
}

/* Blanks are owed and paid only before more text, so that no line ends in them. */
static void print_cell(FILE *file, cli_cell cell, size_t width, bool is_left, size_t *owed)
{
    const bool coloured = cell.style != CLI_PLAIN && cli_has_colour();
    const char *text = cell.text != NULL ? cell.text : "";
    const size_t padding = width - cli_text_width(text);
    size_t size = strlen(text);
    while (size > 0 && text[size - 1] == ' ') {
        size--;
    }
    if (size == 0) {
        *owed += width;
        return;
    }
    print_spaces(file, *owed + (is_left ? 0 : padding));
    fprintf(file, "%s%.*s%s", coloured ? style_code(cell.style) : "", (int)size, text,
            coloured ? "\033[0m" : "");
    *owed = strlen(text) - size + (is_left ? padding : 0);
}

static void print_rule(FILE *file, size_t width)
{
    const char *const dash = cli_has_utf8() ? "─" : "-";
    for (size_t i = 0; i < width; i++) {
        fputs(dash, file);
    }
    fputc('\n', file);
}

/* The columns of a table as they are printed. */
typedef struct table_layout {
    size_t widths[CLI_TABLE_COLUMNS_MAX];
    bool is_dropped[CLI_TABLE_COLUMNS_MAX];
    size_t total;
} table_layout;

static void measure(table_layout *layout, const cli_table *table)
{
    for (const cli_row *row = table->first; row != NULL; row = row->next) {
        for (size_t i = 0; i < table->column_count; i++) {
            const size_t width = cli_text_width(row->cells[i].text);
            layout->widths[i] = width > layout->widths[i] ? width : layout->widths[i];
        }
    }
    layout->total = GAP * (table->column_count - 1);
    for (size_t i = 0; i < table->column_count; i++) {
        layout->total += layout->widths[i];
    }
}

/* Leaves out the next column in order; false if there is none. */
static bool drop_next(table_layout *layout, const cli_table *table)
{
    size_t next = table->column_count;
    for (size_t i = 0; i < table->column_count; i++) {
        if (table->drop_order[i] != 0 && !layout->is_dropped[i] &&
            (next == table->column_count || table->drop_order[i] < table->drop_order[next])) {
            next = i;
        }
    }
    if (next == table->column_count) {
        return false;
    }
    layout->is_dropped[next] = true;
    layout->total -= layout->widths[next] + GAP;
    return true;
}

static void fit(table_layout *layout, const cli_table *table, size_t columns)
{
    while (layout->total > columns && drop_next(layout, table)) {
    }
    while (layout->total > columns && !table->is_first_whole &&
           layout->widths[0] > FIRST_COLUMN_LEAST) {
        layout->widths[0]--;
        layout->total--;
    }
}

static void print_row(const cli_table *table, const table_layout *layout, const cli_row *row,
                      FILE *file)
{
    size_t owed = 0;
    for (size_t i = 0; i < table->column_count; i++) {
        if (layout->is_dropped[i]) {
            continue;
        }
        cli_cell cell = row->cells[i];
        cell.text = i == 0 ? cli_text_cut(cell.text, layout->widths[0]) : cell.text;
        print_cell(file, cell, layout->widths[i], table->is_left[i], &owed);
        owed += GAP;
    }
    fputc('\n', file);
}

static void print_dropped(const cli_table *table, const table_layout *layout, FILE *file)
{
    const char *before = "no room for: ";
    for (size_t i = 0; table->first != NULL && i < table->column_count; i++) {
        if (layout->is_dropped[i]) {
            fprintf(file, "%s%s", before, table->first->cells[i].text);
            before = ", ";
        }
    }
    if (before[0] == ',') {
        fputc('\n', file);
    }
}

void cli_table_print(const cli_table *table, FILE *file, size_t columns)
{
    table_layout layout = {0};
    measure(&layout, table);
    if (columns != 0) {
        fit(&layout, table, columns);
    }
    for (const cli_row *row = table->first; row != NULL; row = row->next) {
        print_row(table, &layout, row, file);
        if (row == table->first) {
            print_rule(file, layout.total);
        }
    }
    print_dropped(table, &layout, file);
}
