/* SPDX-License-Identifier: MIT */
#include "table.h"

#include "cli.h"

#include <string.h>

/*
 *   first column  second  third      header row, strong
 *   --------------------------      rule
 *   text             12.3   4 s      the first column may be cut, the others never
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

void cli_table_print(const cli_table *table, FILE *file, size_t columns)
{
    size_t widths[CLI_TABLE_COLUMNS_MAX] = {0};
    for (const cli_row *row = table->first; row != NULL; row = row->next) {
        for (size_t i = 0; i < table->column_count; i++) {
            const size_t width = cli_text_width(row->cells[i].text);
            widths[i] = width > widths[i] ? width : widths[i];
        }
    }
    size_t total = GAP * (table->column_count - 1);
    for (size_t i = 0; i < table->column_count; i++) {
        total += widths[i];
    }
    if (columns != 0) {
        while (total > columns && widths[0] > FIRST_COLUMN_LEAST) {
            widths[0]--;
            total--;
        }
    }
    for (const cli_row *row = table->first; row != NULL; row = row->next) {
        size_t owed = 0;
        for (size_t i = 0; i < table->column_count; i++) {
            cli_cell cell = row->cells[i];
            cell.text = i == 0 ? cli_text_cut(cell.text, widths[0]) : cell.text;
            print_cell(file, cell, widths[i], table->is_left[i], &owed);
            owed += GAP;
        }
        fputc('\n', file);
        if (row == table->first) {
            print_rule(file, total);
        }
    }
}
