/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_OPTIONS_H
#define TARN_CLI_OPTIONS_H

/*
 * What subcommands have in common in reading their options by getopt_long(3).
 */

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

/* Values of options that have no letter begin here. */
enum { CLI_OPTION_LONG = 256 };

/* Says what is wrong after getopt_long(3), with `opterr` 0 and ":" first in its letters, returned ':'
 * or '?' for `word`. */
void cli_option_report(const struct option *options, int result, const char *word);

/* A number from `least` to `most`. False, said, if the text is none. */
bool cli_option_count(const char *name, const char *text, uint64_t least, uint64_t most,
                      uint64_t *count);

/* Bytes: a number, with KiB, MiB or GiB behind it, or K, M, G, which are the same. At least 1, and
 * less than 2^63. */
bool cli_option_bytes(const char *name, const char *text, int64_t *bytes);

/* A time: a number, that may have decimals, with ms, s, min or h behind it, or none, which is s. More
 * than 0 and at most a year. */
bool cli_option_time(const char *name, const char *text, uint64_t *milliseconds);

#endif
