/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_ATTACH_H
#define TARN_CLI_ATTACH_H

/*
 * Switches recording on, and off again, in a process that runs on libtarn-malloc.
 *
 * The process is stopped for some milliseconds. A thread of it that is in the middle of nothing, neither in the
 * allocator nor in the loader, loads the recorder and meets `tarn record`; then the functions of the
 * allocator get a jump to the recorder at their start, and all goes on, untraced.
 */

#include "process.h"
#include "trace/attach.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct cli_attachment {
    cli_process process;
    uint64_t plan_at; /* address of the plan in the process; 0: nothing is switched on */
    attach_plan plan;
} cli_attachment;

/* `library` is the recorder, `home` where it finds this `tarn record`. False, said, if the process cannot be
 * recorded; then it goes on as before. */
bool cli_attach(cli_attachment *attachment, pid_t process, const char *library, const char *home);

/* Takes the jumps away, if the process is still there and still runs the program that got them. False, said, if they
 * could not be taken away. */
bool cli_attach_end(cli_attachment *attachment);

#endif
