/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_OUTPUT_H
#define TARN_CLI_OUTPUT_H

/*
 * What a program writes when it runs several times: shown once, and compared.
 *
 * The output of the run that is shown is the reference; every run's size and hash are kept, and the
 * first difference from the reference is located as far as the reference is stored.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { CLI_OUTPUT_TAIL_SIZE = 2048 };

/* The stored start of the reference. */
typedef struct cli_reference {
    FILE *file; /* NULL: nothing is stored */
    uint64_t stored;
} cli_reference;

typedef struct cli_output {
    /* Set by the caller. */
    int show;                 /* descriptor that the output goes on to; -1: none */
    cli_reference *store;     /* where to store it; NULL: nowhere */
    cli_reference *reference; /* what to compare it with; NULL: nothing */
    /* Found out. */
    uint64_t size;                   /* bytes */
    uint64_t hash;                   /* 0 before the first byte */
    uint64_t difference_line;        /* line of the first difference, from 1; 0: none found */
    uint64_t lines;                  /* line ends up to there */
    bool show_failed;                /* nobody reads any more; what follows is dropped */
    char tail[CLI_OUTPUT_TAIL_SIZE]; /* the last bytes, in a ring: byte i at i % its size */
} cli_output;

/* Takes what can be read from the descriptor, which does not block, up to a bound. False at the end
 * of it, or when the writer has nothing more for now. `is_end` tells the two apart. */
bool cli_output_take(cli_output *output, int descriptor, bool *is_end);

/* True if both have the same bytes. */
bool cli_output_is_same(const cli_output *a, const cli_output *b);

/* The last lines, whole ones only unless there is but one. Lives as long as the process. */
const char *cli_output_tail(const cli_output *output);

#endif
