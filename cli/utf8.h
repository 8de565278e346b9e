/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_UTF8_H
#define TARN_CLI_UTF8_H

/*
 * Text that others wrote, where it must be UTF-8 or must do no harm to a terminal.
 */

#include <stdbool.h>
#include <stddef.h>

enum { CLI_PRINTABLE_SIZE = 80 };

/* Bytes of the UTF-8 character at `text`; 0 when it is none. The terminating zero stops every look
 * ahead. */
size_t cli_utf8_size(const char *text);

/* True if the character at `text` is one that terminals obey: of ASCII's or of Latin-1's. */
bool cli_utf8_is_control(const char *text);

/* `text` for a message: control characters and bytes that are no UTF-8 become '?', and what is too
 * long ends in dots. Fills and returns `shown`. */
const char *cli_printable(const char *text, char shown[CLI_PRINTABLE_SIZE]);

#endif
