/* SPDX-License-Identifier: MIT */
#include "buffers.h"

#include "cli.h"
#include "names.h"
#include "suggest.h"
#include "utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What a column may be called. The first name of each is its own. */
typedef struct column_name {
    const char *name;
    cli_column column;
    bool is_inclusive;
} column_name;

static const column_name column_names[] = {
    {"id", CLI_ID, false},         {"lower", CLI_LOWER, false}, {"upper", CLI_UPPER, false},
    {"size", CLI_SIZE, false},     {"gaps", CLI_GAPS, false},   {"alignment", CLI_ALIGNMENT, false},
    {"hint", CLI_HINT, false},     {"buffer", CLI_ID, false},   {"buffer_id", CLI_ID, false},
    {"start", CLI_LOWER, false},   {"begin", CLI_LOWER, false}, {"end", CLI_UPPER, true},
    {"offset", CLI_OFFSET, false},
};

enum { COLUMN_NAMES = sizeof column_names / sizeof column_names[0] };

bool cli_fault_set(cli_fault *fault, size_t line, const char *format, ...)
{
    va_list arguments;
    fault->line = line;
    va_start(arguments, format);
    vsnprintf(fault->text, sizeof fault->text, format, arguments);
    va_end(arguments);
    return false;
}

/* -------------------------------------------------------------------------------------------------
 * Names and numbers.
 */
cli_column cli_column_find(const char *name, bool *is_inclusive, size_t line, cli_fault *fault)
{
    const char *known[COLUMN_NAMES + 1] = {NULL};
    char shown[CLI_PRINTABLE_SIZE];
    for (size_t i = 0; i < COLUMN_NAMES; i++) {
        if (strcasecmp(column_names[i].name, name) == 0) {
            *is_inclusive |= column_names[i].is_inclusive;
            return column_names[i].column;
        }
        known[i] = column_names[i].name;
    }
    const char *nearest = cli_suggest(name, known);
    if (nearest != NULL) {
        cli_fault_set(fault, line, "unknown column '%s'; did you mean '%s'?",
                      cli_printable(name, shown), nearest);
    } else {
        cli_fault_set(fault, line,
                      "unknown column '%s'; there are id, lower, upper (or end), size, alignment, "
                      "hint, gaps and offset",
                      cli_printable(name, shown));
    }
    return CLI_NO_COLUMN;
}

const char *cli_column_name(cli_column column)
{
    for (size_t i = 0; i < COLUMN_NAMES; i++) {
        if (column_names[i].column == column) {
            return column_names[i].name;
        }
    }
    return "";
}

/* Reads the digits at *text and goes behind them. False if there are none, or too many. */
static bool scan_number(const char **text, int64_t *value)
{
    char *end;
    const char *digits = *text + (**text == '-' || **text == '+');
    if (*digits < '0' || *digits > '9') {
        return false;
    }
    _Static_assert(sizeof(long long) == sizeof(int64_t), "numbers of files have 64 bits");
    errno = 0;
    *value = strtoll(*text, &end, 10);
    *text = end;
    return errno == 0;
}

bool cli_number_read(const char *text, const char *what, int64_t *value, size_t line,
                     cli_fault *fault)
{
    char shown[CLI_PRINTABLE_SIZE];
    const char *end = text;
    if (*text == '\0') {
        return cli_fault_set(fault, line, "%s is empty; give a whole number", what);
    }
    errno = 0;
    if (scan_number(&end, value) && *end == '\0') {
        return true;
    }
    if (errno == ERANGE && *end == '\0') {
        return cli_fault_set(fault, line,
                             "%s is %s, which does not fit 64 bits; take a larger unit for all",
                             what, cli_printable(text, shown));
    }
    return cli_fault_set(fault, line, "%s is '%s', which is no whole number in decimal", what,
                         cli_printable(text, shown));
}

bool cli_number_pass_end(int64_t *value, const char *what, size_t line, cli_fault *fault)
{
    if (*value == INT64_MAX) {
        return cli_fault_set(fault, line,
                             "%s is the largest number there is, and has no time after it; take "
                             "'upper' for ends that are not part of the lifetime",
                             what);
    }
    (*value)++;
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * Gaps.
 */

/* Room for one more. */
static void *grown(void *array, size_t count, size_t *room, size_t size)
{
    if (count < *room) {
        return array;
    }
    const size_t wanted = *room > 0 ? *room * 2 : 64;
    void *larger = wanted <= SIZE_MAX / 2 / size ? realloc(array, wanted * size) : NULL;
    if (larger == NULL) {
        cli_fail_errno("%zu buffers or gaps are more than fit the memory", count);
    }
    *room = wanted;
    return larger;
}

void cli_buffers_add_gap(cli_buffers *buffers, tarn_overlay_gap gap)
{
    buffers->gaps =
        grown(buffers->gaps, buffers->gap_count, &buffers->gap_room, sizeof *buffers->gaps);
    buffers->gaps[buffers->gap_count++] = gap;
}

/* `lo-hi` or `lo-hi@wlo:whi`; either time may have a sign. */
static bool scan_gap(const char **text, tarn_overlay_gap *gap)
{
    *gap = (tarn_overlay_gap){0};
    if (!scan_number(text, &gap->lower) || *(*text)++ != '-' || !scan_number(text, &gap->upper)) {
        return false;
    }
    if (**text == '@') {
        (*text)++;
        gap->has_window = true;
        if (!scan_number(text, &gap->window_lower) || *(*text)++ != ':' ||
            !scan_number(text, &gap->window_upper)) {
            return false;
        }
    }
    return **text == '\0' || **text == ' ' || **text == '\t';
}

bool cli_buffers_add_gaps(cli_buffers *buffers, const char *text, bool is_inclusive, size_t line,
                          cli_fault *fault)
{
    for (;;) {
        char shown[CLI_PRINTABLE_SIZE];
        tarn_overlay_gap gap;
        text += strspn(text, " \t");
        if (*text == '\0') {
            return true;
        }
        const char *end = text;
        if (!scan_gap(&end, &gap)) {
            return cli_fault_set(fault, line,
                                 "a gap is no 'lower-upper' or 'lower-upper@from:to' of numbers in "
                                 "64 bits: '%s'",
                                 cli_printable(text, shown));
        }
        if (is_inclusive && !cli_number_pass_end(&gap.upper, "the end of a gap", line, fault)) {
            return false;
        }
        cli_buffers_add_gap(buffers, gap);
        text = end;
    }
}

static int compare_gaps(const void *a, const void *b)
{
    const tarn_overlay_gap *one = a;
    const tarn_overlay_gap *other = b;
    return (one->lower > other->lower) - (one->lower < other->lower);
}

/* The gaps of one buffer, sorted: each with some time, within the lifetime and apart. */
static bool check_gaps(const tarn_overlay_buffer *item, const tarn_overlay_gap *gaps,
                       size_t gap_count, size_t line, cli_fault *fault)
{
    for (size_t i = 0; i < gap_count; i++) {
        const tarn_overlay_gap *gap = &gaps[i];
        if (gap->lower >= gap->upper) {
            return cli_fault_set(fault, line,
                                 "the gap from %" PRId64 " to %" PRId64
                                 " has no time in it; leave it out or make it longer",
                                 gap->lower, gap->upper);
        }
        if (gap->lower < item->lower || gap->upper > item->upper) {
            return cli_fault_set(fault, line,
                                 "the gap from %" PRId64 " to %" PRId64
                                 " is not within the lifetime from %" PRId64 " to %" PRId64,
                                 gap->lower, gap->upper, item->lower, item->upper);
        }
        if (i > 0 && gap->lower < gaps[i - 1].upper) {
            return cli_fault_set(fault, line,
                                 "the gap from %" PRId64 " begins before the one from %" PRId64
                                 " ends at %" PRId64 "; make one of them",
                                 gap->lower, gaps[i - 1].lower, gaps[i - 1].upper);
        }
        if (gap->has_window && (gap->window_lower < 0 || gap->window_upper < gap->window_lower ||
                                gap->window_upper > item->size)) {
            return cli_fault_set(fault, line,
                                 "the window of a gap from %" PRId64 " to %" PRId64
                                 " is not within the size %" PRId64,
                                 gap->window_lower, gap->window_upper, item->size);
        }
    }
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * Buffers.
 */
static bool check_row(const cli_row *row, cli_fault *fault)
{
    static const cli_column needed[] = {CLI_ID, CLI_LOWER, CLI_UPPER, CLI_SIZE};
    const int64_t *values = row->values;
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (!row->has[needed[i]]) {
            return cli_fault_set(fault, row->line, "%s is missing", cli_column_name(needed[i]));
        }
    }
    if (row->id[0] == '\0') {
        return cli_fault_set(fault, row->line, "the id is empty; give every buffer a name");
    }
    if (values[CLI_UPPER] < values[CLI_LOWER]) {
        return cli_fault_set(fault, row->line,
                             "the lifetime ends at %" PRId64 ", before it begins at %" PRId64
                             "; swap the two",
                             values[CLI_UPPER], values[CLI_LOWER]);
    }
    if (values[CLI_SIZE] < 0) {
        return cli_fault_set(fault, row->line,
                             "the size %" PRId64 " is negative; it must be 0 or more",
                             values[CLI_SIZE]);
    }
    if (values[CLI_ALIGNMENT] < 0) {
        return cli_fault_set(fault, row->line,
                             "the alignment %" PRId64 " is negative; it must be 1 or more, or left "
                             "out",
                             values[CLI_ALIGNMENT]);
    }
    return true;
}

bool cli_buffers_add(cli_buffers *buffers, const cli_row *row, cli_fault *fault)
{
    const size_t first_gap = buffers->count > 0 ? buffers->buffers[buffers->count - 1].first_gap +
                                                      buffers->items[buffers->count - 1].gap_count
                                                : 0;
    const size_t gap_count = buffers->gap_count - first_gap;
    if (!check_row(row, fault)) {
        return false;
    }
    const tarn_overlay_buffer item = {
        .lower = row->values[CLI_LOWER],
        .upper = row->values[CLI_UPPER],
        .size = row->values[CLI_SIZE],
        .alignment = row->values[CLI_ALIGNMENT],
        .is_fixed = row->has[CLI_OFFSET],
        .offset = row->values[CLI_OFFSET],
        .gap_count = gap_count,
    };
    if (gap_count > 0) {
        tarn_overlay_gap *gaps = buffers->gaps + first_gap;
        qsort(gaps, gap_count, sizeof *gaps, compare_gaps);
        if (!check_gaps(&item, gaps, gap_count, row->line, fault)) {
            return false;
        }
    }
    size_t room = buffers->room;
    buffers->buffers = grown(buffers->buffers, buffers->count, &room, sizeof *buffers->buffers);
    buffers->items = grown(buffers->items, buffers->count, &buffers->room, sizeof *buffers->items);
    buffers->buffers[buffers->count] = (cli_buffer){
        .id = row->id,
        .line = row->line,
        .has_hint = row->has[CLI_HINT],
        .hint = row->values[CLI_HINT],
        .first_gap = first_gap,
    };
    buffers->items[buffers->count++] = item;
    return true;
}

static bool has_unique_ids(const cli_buffers *buffers, cli_fault *fault)
{
    cli_names names = {0};
    bool is_unique = true;
    for (size_t i = 0; i < buffers->count && is_unique; i++) {
        cli_name *name = cli_names_find(&names, buffers->buffers[i].id);
        if (name->number != 0) {
            char shown[CLI_PRINTABLE_SIZE];
            is_unique = cli_fault_set(
                fault, buffers->buffers[i].line,
                "the id '%s' is that of line %zu already; give every buffer a name of its own",
                cli_printable(name->text, shown), buffers->buffers[name->number - 1].line);
        } else {
            name->number = i + 1;
        }
    }
    cli_names_free(&names);
    return is_unique;
}

/* Some editors put a byte order mark first. */
static size_t mark_size(const char *text)
{
    static const char mark[] = "\xef\xbb\xbf";
    return strncmp(text, mark, sizeof mark - 1) == 0 ? sizeof mark - 1 : 0;
}

bool cli_buffers_read(cli_buffers *buffers, char *text, size_t size, cli_fault *fault)
{
    *buffers = (cli_buffers){0};
    const char *zero = memchr(text, '\0', size);
    if (zero != NULL) {
        size_t line = 1;
        for (const char *at = text; at < zero; at++) {
            line += *at == '\n';
        }
        return cli_fault_set(fault, line, "there is a zero byte; this is no text in UTF-8");
    }
    const size_t skipped = mark_size(text);
    const char *word = text + skipped + strspn(text + skipped, " \t\r\n");
    if (*word == '\0') {
        return cli_fault_set(fault, 1,
                             "the file is empty; it must have a header line, like "
                             "id,lower,upper,size");
    }
    buffers->format = *word == '{' || *word == '[' ? CLI_JSON : CLI_CSV;
    const bool is_read = buffers->format == CLI_JSON
                             ? cli_buffers_read_json(buffers, text + skipped, size - skipped, fault)
                             : cli_buffers_read_csv(buffers, text + skipped, size - skipped, fault);
    if (!is_read) {
        return false;
    }
    for (size_t i = 0; i < buffers->count; i++) {
        if (buffers->items[i].gap_count > 0) {
            buffers->items[i].gaps = buffers->gaps + buffers->buffers[i].first_gap;
        }
    }
    return has_unique_ids(buffers, fault);
}

bool cli_buffers_has_sound_offsets(const cli_buffers *buffers, cli_fault *fault)
{
    for (size_t i = 0; i < buffers->count; i++) {
        const tarn_overlay_buffer *item = &buffers->items[i];
        if (item->is_fixed && item->offset < 0) {
            return cli_fault_set(fault, buffers->buffers[i].line,
                                 "the fixed offset %" PRId64 " is negative; leave it empty where "
                                 "any place will do",
                                 item->offset);
        }
        if (item->is_fixed && item->alignment > 1 && item->offset % item->alignment != 0) {
            return cli_fault_set(fault, buffers->buffers[i].line,
                                 "the fixed offset %" PRId64 " is no multiple of the alignment "
                                 "%" PRId64,
                                 item->offset, item->alignment);
        }
    }
    return true;
}

void cli_buffers_free(cli_buffers *buffers)
{
    free(buffers->buffers);
    free(buffers->items);
    free(buffers->gaps);
    *buffers = (cli_buffers){0};
}
