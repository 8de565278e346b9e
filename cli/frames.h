/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_FRAMES_H
#define TARN_CLI_FRAMES_H

/*
 * The stacks of a process that is held still, and the files that its code is from.
 *
 * A file counts only if it is the one that is in the process's memory: on this side its path may lead to another,
 * which was installed since then or is another container's.
 */

#include "tracee.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cli_frames cli_frames;

/* NULL, said, if the process cannot be looked at. `tracee` may be NULL as long as only names are asked for. */
cli_frames *cli_frames_open(const cli_process *process, const cli_tracee *tracee);
void cli_frames_close(cli_frames *frames);

/* Makes good for code that was loaded or has gone since then. False, said, if it cannot be. */
bool cli_frames_renew(cli_frames *frames);

/* Addresses of a function; 0: there is none. */
typedef struct cli_frames_function {
    const char *name;
    bool is_system; /* of libc or the loader; another one of the name is not meant */
    uint64_t address;
    uint64_t size;
    uint64_t start; /* of the file in memory */
    uint64_t end;
    bool is_changed; /* its first bytes in memory are not the file's */
} cli_frames_function;

/* Finds functions that files offer to others. */
void cli_frames_find(cli_frames *frames, cli_frames_function *functions, size_t count);

/* Addresses from `start` on, before `end`. */
typedef struct cli_frames_range {
    uint64_t start;
    uint64_t end;
} cli_frames_range;

/* Where the file is that has the address; empty: there is none. */
cli_frames_range cli_frames_file_at(cli_frames *frames, uint64_t address);

/* True if the thread can call any function without waiting for what it holds itself: it waits in the kernel for the outside or
 * for other threads, or it computes, and nothing of the allocator, which is in `allocator`, of the loader or of
 * libc is in the middle of something on its stack. */
bool cli_frames_is_safe(cli_frames *frames, const cli_tracee_thread *thread,
                        cli_frames_range allocator);

/* True unless it is certain that the thread neither is in one of the ranges nor will come back to one. */
bool cli_frames_may_be_in(cli_frames *frames, const cli_tracee_thread *thread,
                          const cli_frames_range *ranges, size_t count);

#endif
