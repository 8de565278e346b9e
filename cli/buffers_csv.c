/* SPDX-License-Identifier: MIT */
#include "buffers.h"

#include "utf8.h"

#include <inttypes.h>
#include <string.h>

/*
 * CSV (RFC 4180), read where it stands:
 *
 *     id , "a ""name""" \r \n
 *     ^0    ^0          ^           a field ends in a zero where its comma, quote or line end was;
 *                       next        a quoted one moves up over the quotes that it loses
 *
 * Columns come in any order, blanks around a field are not part of it, and blank lines say nothing.
 */

/* One more than there are columns, so that a row that is too long is noticed. */
enum { FIELDS_MAX = CLI_COLUMNS + 1 };

typedef struct csv_reader {
    char *next;
    const char *end; /* where the zero is */
    size_t line;     /* of `next` */
    size_t row_line; /* where the row began */
    char *fields[FIELDS_MAX];
    size_t field_count; /* of the row, those past FIELDS_MAX too */
    cli_fault *fault;
} csv_reader;

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* Behind the closing quote; NULL with a fault if there is none. */
static char *read_quoted(csv_reader *csv, char *at, char **field)
{
    const size_t opened = csv->line;
    char *to = ++at;
    *field = at;
    for (; at < csv->end; at++) {
        if (*at == '"' && at[1] != '"') {
            *to = '\0';
            return at + 1;
        }
        if (*at == '"') {
            at++;
        }
        csv->line += *at == '\n';
        *to++ = *at;
    }
    cli_fault_set(csv->fault, opened, "a quote is opened here and never closed");
    return NULL;
}

/* Behind the last byte of it. */
static char *read_plain(char *at, char **field, char **field_end)
{
    *field = at;
    *field_end = at;
    for (; *at != '\0' && *at != ',' && *at != '\n' && *at != '\r'; at++) {
        if (!is_blank(*at)) {
            *field_end = at + 1;
        }
    }
    return at;
}

/* Reads one field and what ends it, which is returned; -1 with a fault. */
static int read_field(csv_reader *csv)
{
    char *at = csv->next;
    char *field;
    char *field_end = NULL;
    while (is_blank(*at)) {
        at++;
    }
    if (*at == '"') {
        at = read_quoted(csv, at, &field);
        if (at == NULL) {
            return -1;
        }
        while (is_blank(*at)) {
            at++;
        }
        if (*at != '\0' && *at != ',' && *at != '\n' && *at != '\r') {
            cli_fault_set(csv->fault, csv->line,
                          "there is text behind a closing quote; a quote within quotes is written "
                          "twice");
            return -1;
        }
    } else {
        at = read_plain(at, &field, &field_end);
    }
    const int ending = (unsigned char)*at;
    if (field_end != NULL) {
        *field_end = '\0';
    }
    if (csv->field_count < FIELDS_MAX) {
        csv->fields[csv->field_count] = field;
    }
    csv->field_count++;
    csv->next = ending == '\0' ? at : at + 1;
    if (ending == '\r' && *csv->next == '\n') {
        csv->next++;
    }
    csv->line += ending == '\n' || ending == '\r';
    return ending;
}

/* Reads the next row that is not blank. False at the end, or with a fault. */
static bool read_row(csv_reader *csv, bool *is_sound)
{
    *is_sound = true;
    while (csv->next < csv->end) {
        int ending;
        csv->row_line = csv->line;
        csv->field_count = 0;
        do {
            ending = read_field(csv);
        } while (ending == ',');
        if (ending < 0) {
            *is_sound = false;
            return false;
        }
        if (csv->field_count > 1 || csv->fields[0][0] != '\0') {
            return true;
        }
    }
    return false;
}

static bool read_header(cli_buffers *buffers, csv_reader *csv)
{
    static const cli_column needed[] = {CLI_ID, CLI_LOWER, CLI_UPPER, CLI_SIZE};
    bool has[CLI_COLUMNS] = {false};
    bool is_sound;
    if (!read_row(csv, &is_sound)) {
        return is_sound && cli_fault_set(csv->fault, csv->line, "there is no header line");
    }
    for (size_t i = 0; i < csv->field_count && i < FIELDS_MAX; i++) {
        const cli_column column =
            cli_column_find(csv->fields[i], &buffers->has_inclusive_end, csv->row_line, csv->fault);
        if (column == CLI_NO_COLUMN) {
            return false;
        }
        if (has[column]) {
            char shown[CLI_PRINTABLE_SIZE];
            return cli_fault_set(csv->fault, csv->row_line,
                                 "the column '%s' is a second %s; leave one of them out",
                                 cli_printable(csv->fields[i], shown), cli_column_name(column));
        }
        has[column] = true;
        buffers->columns[i] = column;
        buffers->names[i] = csv->fields[i];
    }
    buffers->column_count = csv->field_count;
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (!has[needed[i]]) {
            return cli_fault_set(csv->fault, csv->row_line,
                                 "the header has no column '%s'; it must name id, lower, upper (or "
                                 "end) and size, with commas between",
                                 cli_column_name(needed[i]));
        }
    }
    return true;
}

static bool take_field(cli_buffers *buffers, cli_row *row, size_t i, char *field, cli_fault *fault)
{
    const cli_column column = buffers->columns[i];
    const char *name = buffers->names[i];
    switch (column) {
    case CLI_ID:
        row->id = field;
        break;
    case CLI_GAPS:
        return cli_buffers_add_gaps(buffers, field, buffers->has_inclusive_end, row->line, fault);
    case CLI_ALIGNMENT:
    case CLI_HINT:
    case CLI_OFFSET:
        if (field[0] == '\0') {
            return true;
        }
        if (!cli_number_read(field, name, &row->values[column], row->line, fault)) {
            return false;
        }
        break;
    case CLI_UPPER:
        if (!cli_number_read(field, name, &row->values[column], row->line, fault) ||
            (buffers->has_inclusive_end &&
             !cli_number_pass_end(&row->values[column], name, row->line, fault))) {
            return false;
        }
        break;
    default:
        if (!cli_number_read(field, name, &row->values[column], row->line, fault)) {
            return false;
        }
        break;
    }
    row->has[column] = true;
    return true;
}

bool cli_buffers_read_csv(cli_buffers *buffers, char *text, size_t size, cli_fault *fault)
{
    csv_reader csv = {.end = text + size, .line = 1, .fault = fault};
    bool is_sound;
    csv.next = text;
    if (!read_header(buffers, &csv)) {
        return false;
    }
    while (read_row(&csv, &is_sound)) {
        cli_row row = {.line = csv.row_line};
        if (csv.field_count != buffers->column_count) {
            return cli_fault_set(fault, row.line,
                                 "this line has %zu fields, and the header has %zu",
                                 csv.field_count, buffers->column_count);
        }
        for (size_t i = 0; i < csv.field_count; i++) {
            if (!take_field(buffers, &row, i, csv.fields[i], fault)) {
                return false;
            }
        }
        if (!cli_buffers_add(buffers, &row, fault)) {
            return false;
        }
    }
    return is_sound;
}

/* -------------------------------------------------------------------------------------------------
 * Writing.
 */
static bool needs_quotes(const char *text)
{
    return strpbrk(text, ",\"\r\n") != NULL || is_blank(text[0]) ||
           is_blank(text[strlen(text) - 1]);
}

static void write_id(const char *text, FILE *file)
{
    if (!needs_quotes(text)) {
        fputs(text, file);
        return;
    }
    fputc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"') {
            fputc('"', file);
        }
        fputc(*text, file);
    }
    fputc('"', file);
}

static void write_gaps(const tarn_overlay_buffer *item, int64_t end, FILE *file)
{
    for (size_t i = 0; i < item->gap_count; i++) {
        const tarn_overlay_gap *gap = &item->gaps[i];
        fprintf(file, "%s%" PRId64 "-%" PRId64, i > 0 ? " " : "", gap->lower, gap->upper - end);
        if (gap->has_window) {
            fprintf(file, "@%" PRId64 ":%" PRId64, gap->window_lower, gap->window_upper);
        }
    }
}

static void write_field(const cli_buffers *buffers, size_t index, cli_column column, int64_t offset,
                        FILE *file)
{
    const cli_buffer *buffer = &buffers->buffers[index];
    const tarn_overlay_buffer *item = &buffers->items[index];
    /* What was inclusive is so again. */
    const int64_t end = buffers->has_inclusive_end ? 1 : 0;
    switch (column) {
    case CLI_ID:
        write_id(buffer->id, file);
        break;
    case CLI_LOWER:
        fprintf(file, "%" PRId64, item->lower);
        break;
    case CLI_UPPER:
        fprintf(file, "%" PRId64, item->upper - end);
        break;
    case CLI_SIZE:
        fprintf(file, "%" PRId64, item->size);
        break;
    case CLI_ALIGNMENT:
        fprintf(file, "%" PRId64, item->alignment > 0 ? item->alignment : 1);
        break;
    case CLI_HINT:
        if (buffer->has_hint) {
            fprintf(file, "%" PRId64, buffer->hint);
        }
        break;
    case CLI_GAPS:
        write_gaps(item, end, file);
        break;
    default:
        fprintf(file, "%" PRId64, offset);
        break;
    }
}

/* The columns that the buffers need, for those that came without any. */
static size_t usual_columns(const cli_buffers *buffers, cli_column columns[CLI_COLUMNS])
{
    bool has_alignment = false;
    bool has_hint = false;
    for (size_t i = 0; i < buffers->count; i++) {
        has_alignment |= buffers->items[i].alignment > 1;
        has_hint |= buffers->buffers[i].has_hint;
    }
    size_t count = 0;
    columns[count++] = CLI_ID;
    columns[count++] = CLI_LOWER;
    columns[count++] = CLI_UPPER;
    columns[count++] = CLI_SIZE;
    if (has_alignment) {
        columns[count++] = CLI_ALIGNMENT;
    }
    if (has_hint) {
        columns[count++] = CLI_HINT;
    }
    if (buffers->gap_count > 0) {
        columns[count++] = CLI_GAPS;
    }
    return count;
}

static const char *name_of(const cli_buffers *buffers, cli_column columns[CLI_COLUMNS], size_t i)
{
    if (i < buffers->column_count) {
        return buffers->names[i];
    }
    return columns[i] == CLI_UPPER && buffers->has_inclusive_end ? "end"
                                                                 : cli_column_name(columns[i]);
}

void cli_buffers_write_csv(const cli_buffers *buffers, const int64_t *offsets, FILE *file)
{
    cli_column columns[CLI_COLUMNS + 1];
    size_t count = buffers->column_count;
    bool has_offset = false;
    if (count > 0) {
        memcpy(columns, buffers->columns, count * sizeof *columns);
    } else {
        count = usual_columns(buffers, columns);
    }
    for (size_t i = 0; i < count; i++) {
        has_offset |= columns[i] == CLI_OFFSET;
    }
    if (!has_offset) {
        columns[count++] = CLI_OFFSET;
    }
    for (size_t i = 0; i < count; i++) {
        fprintf(file, "%s%s", i > 0 ? "," : "", name_of(buffers, columns, i));
    }
    fputc('\n', file);
    for (size_t row = 0; row < buffers->count; row++) {
        for (size_t i = 0; i < count; i++) {
            if (i > 0) {
                fputc(',', file);
            }
            write_field(buffers, row, columns[i], offsets[row], file);
        }
        fputc('\n', file);
    }
}
