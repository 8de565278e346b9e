/* SPDX-License-Identifier: MIT */
#include "buffers.h"

#include "json.h"
#include "utf8.h"

#include <string.h>

/*
 * JSON (RFC 8259), read where it stands: an array of buffers, or an object with that array as its
 * "buffers"; what else the object has is skipped, so that a plan can be read again.
 *
 * Texts end in a zero where their closing quote was, or before it. A number that is an id moves one
 * byte down for that; what stands there, a colon or a blank, has been read.
 */

enum { FORMAT_VERSION = 1, DEPTH_MAX = 64, NUMBER_MAX = 32 };

typedef struct json_reader {
    char *next;
    size_t line; /* of `next` */
    cli_fault *fault;
} json_reader;

static bool fail(json_reader *json, const char *what)
{
    char shown[CLI_PRINTABLE_SIZE];
    char found[16];
    const size_t size = strcspn(json->next, "\r\n");
    if (*json->next == '\0') {
        return cli_fault_set(json->fault, json->line, "%s is missing where the file ends", what);
    }
    memcpy(found, json->next, size < sizeof found ? size : sizeof found - 1);
    found[size < sizeof found ? size : sizeof found - 1] = '\0';
    return cli_fault_set(json->fault, json->line, "%s is missing before '%s'", what,
                         cli_printable(found, shown));
}

/* The next byte that is no blank. */
static char peek(json_reader *json)
{
    for (;; json->next++) {
        const char byte = *json->next;
        json->line += byte == '\n';
        if (byte != ' ' && byte != '\t' && byte != '\n' && byte != '\r') {
            return byte;
        }
    }
}

static bool take(json_reader *json, char byte)
{
    if (peek(json) != byte) {
        return false;
    }
    json->next++;
    return true;
}

static bool take_word(json_reader *json, const char *word)
{
    const size_t size = strlen(word);
    peek(json);
    if (strncmp(json->next, word, size) != 0) {
        return false;
    }
    json->next += size;
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * Texts.
 */
static bool read_hex(const char *digits, uint32_t *code)
{
    *code = 0;
    for (size_t i = 0; i < 4; i++) {
        const char digit = digits[i];
        uint32_t value;
        if (digit >= '0' && digit <= '9') {
            value = (uint32_t)(digit - '0');
        } else if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f') {
            value = (uint32_t)((digit | 0x20) - 'a') + 10;
        } else {
            return false;
        }
        *code = *code << 4 | value;
    }
    return true;
}

static char *put_character(char *to, uint32_t code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

/* At the digits of \uXXXX; what it stands for is never longer than it is. NULL if it is no character,
 * or the zero, which would end the text. */
static const char *read_code(const char *at, char **to)
{
    uint32_t code;
    uint32_t low;
    if (!read_hex(at, &code) || code == 0 || (code >= 0xdc00 && code < 0xe000)) {
        return NULL;
    }
    at += 4;
    if (code >= 0xd800 && code < 0xdc00) {
        if (at[0] != '\\' || at[1] != 'u' || !read_hex(at + 2, &low) || low < 0xdc00 ||
            low >= 0xe000) {
            return NULL;
        }
        at += 6;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    *to = put_character(*to, code);
    return at;
}

static bool read_text(json_reader *json, const char *what, char **text)
{
    static const char escapes[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    if (peek(json) != '"') {
        return fail(json, what);
    }
    const char *at = json->next + 1;
    char *to = json->next + 1;
    *text = to;
    while (*at != '"') {
        if ((unsigned char)*at < 0x20) {
            return cli_fault_set(json->fault, json->line,
                                 "a quote is opened and not closed on its line");
        }
        if (*at != '\\') {
            *to++ = *at++;
            continue;
        }
        const char *escape = at[1] != '\0' ? strchr(escapes, at[1]) : NULL;
        if (escape != NULL) {
            *to++ = meanings[escape - escapes];
            at += 2;
            continue;
        }
        at = at[1] == 'u' ? read_code(at + 2, &to) : NULL;
        if (at == NULL) {
            return cli_fault_set(json->fault, json->line,
                                 "what follows a backslash in a text stands for no character");
        }
    }
    json->next += at + 1 - json->next;
    *to = '\0';
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * Other values.
 */
static size_t number_size(const char *text)
{
    return strspn(text, "+-.0123456789eE");
}

static bool read_number(json_reader *json, const char *what, int64_t *value)
{
    char digits[NUMBER_MAX];
    peek(json);
    const size_t size = number_size(json->next);
    if (size == 0) {
        return cli_fault_set(json->fault, json->line, "%s is no number", what);
    }
    const size_t kept = size < sizeof digits ? size : sizeof digits - 1;
    memcpy(digits, json->next, kept);
    digits[kept] = '\0';
    json->next += size;
    /* JSON knows no "+1" and no "01". */
    const char *first = digits + (digits[0] == '-');
    if (digits[0] == '+' || (first[0] == '0' && first[1] >= '0' && first[1] <= '9')) {
        return cli_fault_set(json->fault, json->line, "%s is '%s', which is no number in JSON",
                             what, digits);
    }
    return cli_number_read(digits, what, value, json->line, json->fault);
}

/* A text, or a number as it is written. */
static bool read_id(json_reader *json, char **id)
{
    if (peek(json) == '"') {
        return read_text(json, "id", id);
    }
    const size_t size = number_size(json->next);
    if (size == 0) {
        return fail(json, "a text or a number as id");
    }
    *id = json->next - 1;
    memmove(*id, json->next, size);
    (*id)[size] = '\0';
    json->next += size;
    return true;
}

/* Skips a value of any kind; `depth` brackets are open around it. */
static bool skip_value(json_reader *json, unsigned depth)
{
    char *text;
    const char first = peek(json);
    if (first == '"') {
        return read_text(json, "a text", &text);
    }
    if (take_word(json, "null") || take_word(json, "true") || take_word(json, "false")) {
        return true;
    }
    if (number_size(json->next) > 0) {
        json->next += number_size(json->next);
        return true;
    }
    if (first != '{' && first != '[') {
        return fail(json, "a value");
    }
    if (depth == DEPTH_MAX) {
        return cli_fault_set(json->fault, json->line, "more than %d brackets are open here",
                             DEPTH_MAX);
    }
    const char last = first == '{' ? '}' : ']';
    json->next++;
    if (take(json, last)) {
        return true;
    }
    do {
        if (first == '{' &&
            (!read_text(json, "a name", &text) || (!take(json, ':') && !fail(json, "a ':'")))) {
            return false;
        }
        if (!skip_value(json, depth + 1)) {
            return false;
        }
    } while (take(json, ','));
    return take(json, last) || fail(json, first == '{' ? "a ',' or '}'" : "a ',' or ']'");
}

/* -------------------------------------------------------------------------------------------------
 * Objects, key by key: `take` gets each, and reads its value.
 */
typedef bool take_key(void *context, json_reader *json, char *key);

static bool read_object(json_reader *json, const char *what, take_key *take_value, void *context)
{
    char *key = NULL;
    if (!take(json, '{')) {
        return fail(json, what);
    }
    if (take(json, '}')) {
        return true;
    }
    do {
        if (!read_text(json, "a name in quotes", &key) ||
            (!take(json, ':') && !fail(json, "a ':'")) || !take_value(context, json, key)) {
            return false;
        }
    } while (take(json, ','));
    return take(json, '}') || fail(json, "a ',' or '}'");
}

typedef struct gap_context {
    tarn_overlay_gap gap;
    bool has_lower;
    bool has_upper;
} gap_context;

static bool read_window(json_reader *json, tarn_overlay_gap *gap)
{
    if (take_word(json, "null")) {
        return true;
    }
    gap->has_window = true;
    return (take(json, '[') || fail(json, "a '[' of a window")) &&
           read_number(json, "the window's start", &gap->window_lower) &&
           (take(json, ',') || fail(json, "a ','")) &&
           read_number(json, "the window's end", &gap->window_upper) &&
           (take(json, ']') || fail(json, "a ']'"));
}

static bool take_gap_key(void *context, json_reader *json, char *key)
{
    gap_context *gap = context;
    bool is_inclusive = false;
    bool *has = NULL;
    if (strcmp(key, "window") == 0) {
        return gap->gap.has_window
                   ? cli_fault_set(json->fault, json->line, "a gap has a second window")
                   : read_window(json, &gap->gap);
    }
    const cli_column column = cli_column_find(key, &is_inclusive, json->line, json->fault);
    if (column == CLI_NO_COLUMN) {
        return false;
    }
    if (column != CLI_LOWER && column != CLI_UPPER) {
        return cli_fault_set(json->fault, json->line,
                             "a gap has lower, upper and window, and no '%s'",
                             cli_column_name(column));
    }
    has = column == CLI_LOWER ? &gap->has_lower : &gap->has_upper;
    if (*has) {
        return cli_fault_set(json->fault, json->line, "a gap has a second %s",
                             cli_column_name(column));
    }
    *has = true;
    int64_t *value = column == CLI_LOWER ? &gap->gap.lower : &gap->gap.upper;
    return read_number(json, "the time of a gap", value) &&
           (!is_inclusive ||
            cli_number_pass_end(value, "the end of a gap", json->line, json->fault));
}

static bool read_gap_list(json_reader *json, cli_buffers *buffers)
{
    if (!take(json, '[')) {
        return fail(json, "an array or a text of gaps");
    }
    if (take(json, ']')) {
        return true;
    }
    do {
        gap_context gap = {.has_lower = false};
        if (!read_object(json, "a '{' of a gap", take_gap_key, &gap)) {
            return false;
        }
        if (!gap.has_lower || !gap.has_upper) {
            return cli_fault_set(json->fault, json->line, "a gap needs lower and upper");
        }
        cli_buffers_add_gap(buffers, gap.gap);
    } while (take(json, ','));
    return take(json, ']') || fail(json, "a ',' or ']'");
}

typedef struct buffer_context {
    cli_buffers *buffers;
    cli_row row;
    bool is_inclusive;
    const char *gaps; /* as text, to be read when it is known whether ends are inclusive */
    size_t gaps_line;
} buffer_context;

static bool take_buffer_key(void *context, json_reader *json, char *key)
{
    buffer_context *buffer = context;
    cli_row *row = &buffer->row;
    const cli_column column = cli_column_find(key, &buffer->is_inclusive, json->line, json->fault);
    if (column == CLI_NO_COLUMN) {
        return false;
    }
    if (row->has[column]) {
        return cli_fault_set(json->fault, json->line, "the buffer has a second %s",
                             cli_column_name(column));
    }
    if (column > CLI_SIZE && take_word(json, "null")) {
        return true;
    }
    row->has[column] = true;
    if (column == CLI_ID) {
        return read_id(json, &row->id);
    }
    if (column == CLI_GAPS && peek(json) == '"') {
        char *text;
        buffer->gaps_line = json->line;
        const bool is_read = read_text(json, "gaps", &text);
        buffer->gaps = text;
        return is_read;
    }
    if (column == CLI_GAPS) {
        return read_gap_list(json, buffer->buffers);
    }
    return read_number(json, key, &row->values[column]);
}

static bool read_buffer(json_reader *json, cli_buffers *buffers)
{
    buffer_context buffer = {.buffers = buffers};
    peek(json);
    buffer.row.line = json->line;
    if (!read_object(json, "a '{' of a buffer", take_buffer_key, &buffer)) {
        return false;
    }
    if (buffer.is_inclusive && buffer.row.has[CLI_UPPER] &&
        !cli_number_pass_end(&buffer.row.values[CLI_UPPER], "end", buffer.row.line, json->fault)) {
        return false;
    }
    return (buffer.gaps == NULL || cli_buffers_add_gaps(buffers, buffer.gaps, buffer.is_inclusive,
                                                        buffer.gaps_line, json->fault)) &&
           cli_buffers_add(buffers, &buffer.row, json->fault);
}

static bool read_list(json_reader *json, cli_buffers *buffers)
{
    if (!take(json, '[')) {
        return fail(json, "the '[' of the buffers");
    }
    if (take(json, ']')) {
        return true;
    }
    do {
        if (!read_buffer(json, buffers)) {
            return false;
        }
    } while (take(json, ','));
    return take(json, ']') || fail(json, "a ',' or ']'");
}

typedef struct document_context {
    cli_buffers *buffers;
    bool has_buffers;
} document_context;

static bool take_document_key(void *context, json_reader *json, char *key)
{
    document_context *document = context;
    if (strcmp(key, "buffers") != 0) {
        return skip_value(json, 1);
    }
    if (document->has_buffers) {
        return cli_fault_set(json->fault, json->line, "there are \"buffers\" a second time");
    }
    document->has_buffers = true;
    return read_list(json, document->buffers);
}

bool cli_buffers_read_json(cli_buffers *buffers, char *text, size_t size, cli_fault *fault)
{
    json_reader json = {.line = 1, .fault = fault};
    (void)size; /* the zero at its end is enough */
    json.next = text;
    if (peek(&json) == '[') {
        if (!read_list(&json, buffers)) {
            return false;
        }
    } else {
        document_context document = {.buffers = buffers};
        if (!read_object(&json, "a '{'", take_document_key, &document)) {
            return false;
        }
        if (!document.has_buffers) {
            return cli_fault_set(fault, json.line,
                                 "the object has no \"buffers\"; that is the array to be planned");
        }
    }
    return peek(&json) == '\0' || fail(&json, "the end of the file");
}

/* -------------------------------------------------------------------------------------------------
 * Writing.
 */
static void write_gaps(cli_json *json, const tarn_overlay_buffer *item)
{
    cli_json_open(json, "gaps", '[');
    for (size_t i = 0; i < item->gap_count; i++) {
        const tarn_overlay_gap *gap = &item->gaps[i];
        cli_json_open(json, NULL, '{');
        cli_json_int(json, "lower", gap->lower);
        cli_json_int(json, "upper", gap->upper);
        if (gap->has_window) {
            cli_json_open(json, "window", '[');
            cli_json_int(json, NULL, gap->window_lower);
            cli_json_int(json, NULL, gap->window_upper);
            cli_json_close(json, ']');
        }
        cli_json_close(json, '}');
    }
    cli_json_close(json, ']');
}

static void write_buffer(cli_json *json, const cli_buffer *buffer, const tarn_overlay_buffer *item,
                         int64_t offset)
{
    cli_json_open(json, NULL, '{');
    cli_json_text(json, "id", buffer->id);
    cli_json_int(json, "lower", item->lower);
    cli_json_int(json, "upper", item->upper);
    cli_json_int(json, "size", item->size);
    if (item->alignment > 1) {
        cli_json_int(json, "alignment", item->alignment);
    }
    if (buffer->has_hint) {
        cli_json_int(json, "hint", buffer->hint);
    }
    if (item->gap_count > 0) {
        write_gaps(json, item);
    }
    cli_json_int(json, "offset", offset);
    cli_json_close(json, '}');
}

void cli_buffers_write_json(const cli_buffers *buffers, const int64_t *offsets,
                            const cli_plan_figures *figures, FILE *file)
{
    cli_json json = {.file = file};
    cli_json_open(&json, NULL, '{');
    cli_json_text(&json, "format", "tarn-plan");
    cli_json_int(&json, "version", FORMAT_VERSION);
    cli_json_int(&json, "height", figures->height);
    cli_json_int(&json, "lower_bound", figures->lower_bound);
    cli_json_bool(&json, "is_proven", figures->is_proven);
    if (figures->capacity > 0) {
        cli_json_int(&json, "capacity", figures->capacity);
    }
    cli_json_open(&json, "buffers", '[');
    for (size_t i = 0; i < buffers->count; i++) {
        write_buffer(&json, &buffers->buffers[i], &buffers->items[i], offsets[i]);
    }
    cli_json_close(&json, ']');
    cli_json_close(&json, '}');
}
