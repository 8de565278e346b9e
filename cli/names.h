/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_NAMES_H
#define TARN_CLI_NAMES_H

/*
 * A set of names, each with a number: a hash table with open addressing, at most half full.
 */

#include <stddef.h>
#include <stdint.h>

typedef struct cli_name {
    const char *text; /* not copied; NULL: an empty place */
    size_t number;
} cli_name;

typedef struct cli_names {
    cli_name *places; /* owned */
    size_t size;      /* a power of two, or 0 */
    size_t count;
} cli_names;

/* The entry of `text`; if it is new, with the number 0. It stays where it is until the next call. */
cli_name *cli_names_find(cli_names *names, const char *text);
void cli_names_free(cli_names *names);

#endif
