/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_FILES_H
#define TARN_CLI_FILES_H

/*
 * Whole files: read at once, and replaced at once, so that nobody ever sees half of one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* All of the file, or of standard input for "-", with a zero behind it. Owned by the caller, for
 * free(). NULL, said, if it cannot be read. */
char *cli_file_read(const char *path, size_t *size);

/* A file that is written and takes its place when it is whole. */
typedef struct cli_new_file {
    const char *path;
    FILE *file;      /* NULL: none is open */
    char *target;    /* what is replaced: `path` without symbolic links; NULL: written in place */
    char *temporary; /* beside it */
} cli_new_file;

/* Makes the file beside the one that it is to replace; "-" is standard output, and a device or a pipe
 * is written in place. False, said, if that cannot be. */
bool cli_new_file_open(cli_new_file *file, const char *path);

/* Puts it in place. False, said, if not all of it could be written: then nothing was replaced. */
bool cli_new_file_commit(cli_new_file *file);

/* Leaves what was there as it was. Does nothing for one that is not open. */
void cli_new_file_drop(cli_new_file *file);

#endif
