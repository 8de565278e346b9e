/* SPDX-License-Identifier: MIT */
#include "json.h"

#include "utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>

static void write_text(FILE *file, const char *text);

static void start_line(cli_json *json)
{
    if (json->depth > 0) {
        fprintf(json->file, "\n%*s", (int)(json->depth * 2), "");
    }
}

static void start_value(cli_json *json, const char *key)
{
    if (json->has_items) {
        fputc(',', json->file);
    }
    start_line(json);
    if (key != NULL) {
        write_text(json->file, key);
        fputs(": ", json->file);
    }
    json->has_items = true;
}

void cli_json_open(cli_json *json, const char *key, char bracket)
{
    start_value(json, key);
    fputc(bracket, json->file);
    json->depth++;
    json->has_items = false;
}

void cli_json_close(cli_json *json, char bracket)
{
    json->depth--;
    if (json->has_items) {
        if (json->depth == 0) {
            fputc('\n', json->file);
        }
        start_line(json);
    }
    fputc(bracket, json->file);
    json->has_items = true;
    if (json->depth == 0) {
        fputc('\n', json->file);
    }
}

void cli_json_null(cli_json *json, const char *key)
{
    start_value(json, key);
    fputs("null", json->file);
}

void cli_json_bool(cli_json *json, const char *key, bool value)
{
    start_value(json, key);
    fputs(value ? "true" : "false", json->file);
}

void cli_json_count(cli_json *json, const char *key, uint64_t value)
{
    start_value(json, key);
    fprintf(json->file, "%" PRIu64, value);
}

void cli_json_int(cli_json *json, const char *key, int64_t value)
{
    start_value(json, key);
    fprintf(json->file, "%" PRId64, value);
}

void cli_json_number(cli_json *json, const char *key, double value)
{
    if (!isfinite(value)) {
        cli_json_null(json, key);
        return;
    }
    start_value(json, key);
    fprintf(json->file, "%.6f", value);
}

void cli_json_text(cli_json *json, const char *key, const char *value)
{
    if (value == NULL) {
        cli_json_null(json, key);
        return;
    }
    start_value(json, key);
    write_text(json->file, value);
}

void cli_json_raw(cli_json *json, const char *key, const char *value)
{
    start_value(json, key);
    fputs(value, json->file);
}

static void write_text(FILE *file, const char *text)
{
    fputc('"', file);
    while (*text != '\0') {
        const size_t size = cli_utf8_size(text);
        const unsigned char byte = (unsigned char)*text;
        if (size == 0) {
            fputs("\\ufffd", file);
            text++;
            continue;
        }
        if (byte == '"' || byte == '\\') {
            fprintf(file, "\\%c", byte);
        } else if (byte < 0x20 || byte == 0x7f) {
            fprintf(file, "\\u%04x", byte);
        } else {
            fwrite(text, 1, size, file);
        }
        text += size;
    }
    fputc('"', file);
}
