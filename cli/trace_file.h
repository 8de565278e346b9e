/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_TRACE_FILE_H
#define TARN_CLI_TRACE_FILE_H

/*
 * A recorded file, as the subcommands read it: opened by its path, and what is wrong with it said.
 */

#include "trace/reader.h"

typedef struct cli_trace_file {
    const char *path;
    int descriptor;
    uint64_t size; /* bytes */
    trace_reader *reader;
} cli_trace_file;

/* Opens the trace at `path`, which must live as long as the file. False, said, if it cannot be read, is no
 * trace, or is one of a newer format; then nothing is held. */
bool cli_trace_file_open(cli_trace_file *file, const char *path);

/* The next item, as trace_reader_next(): false at the end, and, said, where the file is damaged; *is_sound tells the two
 * apart. A file that was cut short ends at its last whole part, which a warning says. */
bool cli_trace_file_next(cli_trace_file *file, trace_item *item, bool *is_sound);

/* Goes back to the start, to read the whole file once more. False, said, if that cannot be. */
bool cli_trace_file_rewind(cli_trace_file *file);

void cli_trace_file_close(cli_trace_file *file);

#endif
