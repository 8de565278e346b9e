/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_JSON_H
#define TARN_CLI_JSON_H

/*
 * Writes JSON (RFC 8259) as it goes, indented by two spaces. Opens and closes must pair, and inside
 * an object every value takes a key; inside an array the key is NULL.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct cli_json {
    FILE *file;
    unsigned depth;
    bool has_items; /* where we stand, something was written before */
} cli_json;

void cli_json_open(cli_json *json, const char *key, char bracket); /* '{' or '[' */
void cli_json_close(cli_json *json, char bracket);                 /* '}' or ']' */
void cli_json_null(cli_json *json, const char *key);
void cli_json_bool(cli_json *json, const char *key, bool value);
void cli_json_count(cli_json *json, const char *key, uint64_t value);
void cli_json_int(cli_json *json, const char *key, int64_t value);

/* Six decimals; NaN and infinities, which JSON lacks, become null. */
void cli_json_number(cli_json *json, const char *key, double value);

/* NULL becomes null. Bytes that are no UTF-8 become U+FFFD. */
void cli_json_text(cli_json *json, const char *key, const char *value);

/* A value that is JSON already. */
void cli_json_raw(cli_json *json, const char *key, const char *value);

#endif
