/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_RECORDER_H
#define TARN_CLI_RECORDER_H

/*
 * Serves programs that have Tarn's recorder preloaded: gives each process memory for its events, drains it,
 * and writes a trace for each program that a process runs.
 *
 * It has a thread of its own, which lives from start to finish and ends when nobody is recorded any more.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cli_recorder_options {
    const char *pattern; /* of the files' names: %p is the process, %% is % */
    uint32_t stacks;     /* RING_STACKS_... */
    uint64_t sample_bytes;
    bool with_addresses; /* blocks are told by their addresses, not by names */
} cli_recorder_options;

/* What became of one program of one process. */
typedef struct cli_recording {
    char *path;
    char *command; /* as it was called; empty if that is not to be known */
    uint64_t process;
    uint64_t events;
    uint64_t lost;
    uint64_t peak_live; /* bytes */
    bool is_peak_estimate;
    bool is_whole;    /* all is there */
    uint64_t written; /* bytes */
} cli_recording;

typedef struct cli_recorder cli_recorder;

/* Opens the socket and starts the thread. NULL, said, if that cannot be. */
cli_recorder *cli_recorder_start(const cli_recorder_options *options);

/* Where the socket is and what to say there, for the environment of the program (RING_SOCKET). */
const char *cli_recorder_socket(const cli_recorder *recorder);

/* The program that was started has ended. */
void cli_recorder_expect_end(cli_recorder *recorder);

/* Readable when the thread has nothing more to do after that. */
int cli_recorder_descriptor(const cli_recorder *recorder);

/* How many processes are recorded now. */
size_t cli_recorder_active(cli_recorder *recorder);

/* Ends all recordings at once, and leaves the programs alone. */
void cli_recorder_stop(cli_recorder *recorder);

/* Waits for the end. The recordings, `count` of them, live as long as the process. */
const cli_recording *cli_recorder_finish(cli_recorder *recorder, size_t *count);

/* After that: how many programs wanted to be recorded and could not be, which was said. */
size_t cli_recorder_failures(const cli_recorder *recorder);

#endif
