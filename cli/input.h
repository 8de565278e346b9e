/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_INPUT_H
#define TARN_CLI_INPUT_H

/*
 * Standard input for a program that runs several times: every run reads the same from the start.
 *
 * A file is rewound to where it stood. A pipe or a socket is read to its end before the first run.
 * A terminal or another device is left alone: each run reads on from it.
 */

#include <sys/types.h>

typedef struct cli_input {
    int descriptor; /* what becomes standard input of a run; -1: it is left alone */
    off_t start;    /* where each run begins to read */
} cli_input;

/* Reads what has to be read; says so when that takes a while. No place to keep it is the end of the
 * process. */
cli_input cli_input_open(void);

/* Makes ready for the next run. */
void cli_input_rewind(const cli_input *input);

/* A file without a name, in TMPDIR or /tmp, or in memory where there is no such place. -1 with
 * errno. */
int cli_temporary_file(void);

#endif
