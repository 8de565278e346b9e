/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_TRACEE_H
#define TARN_CLI_TRACEE_H

/*
 * A running process, held still by ptrace(2): all of its threads stopped and let go, its memory read and
 * written, functions of its own called by one of its threads.
 *
 * Only the thread of `tarn` that seized the process may call these. A process that is let go, by whatever
 * way, finds registers, signals and system calls as they were.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct cli_tracee_thread {
    pid_t id;
    bool is_stopped;
    bool is_suspended; /* by a signal for the whole process, such as SIGSTOP */
    int signal;        /* that it has yet to get; 0: none */
} cli_tracee_thread;

typedef struct cli_tracee {
    pid_t process;
    int memory; /* /proc/PROCESS/mem */
    size_t count;
    size_t room;
    cli_tracee_thread *threads;
} cli_tracee;

/* An argument of a function: a number, or a text that is copied to the process for the time of the call. */
typedef struct cli_tracee_argument {
    uint64_t number;
    const char *text; /* NULL: the number */
} cli_tracee_argument;

/* True on machines that the rest is written for. */
bool cli_tracee_is_supported(void);

/* Stops every thread of the process. False, said, when there is no such process, it may not be traced, or another
 * traces it; then nothing is held. */
bool cli_tracee_open(cli_tracee *tracee, pid_t process);

/* Lets all threads go on; stops all again, the new ones too. Stopping is false, said, if the process has
 * ended. */
void cli_tracee_go(cli_tracee *tracee);
bool cli_tracee_stop(cli_tracee *tracee);

/* Lets the process go for good. */
void cli_tracee_close(cli_tracee *tracee);

/* Memory may be written whatever its protection is. */
bool cli_tracee_read(const cli_tracee *tracee, uint64_t address, void *bytes, size_t size);
bool cli_tracee_write(const cli_tracee *tracee, uint64_t address, const void *bytes, size_t size);

/* Where a stopped thread is, and where its stack is; false if that is not to be known. */
bool cli_tracee_place(const cli_tracee_thread *thread, uint64_t *code, uint64_t *stack);

/* Has the stopped thread number `index` call a function, which returns to `trap`, where a breakpoint instruction is; all other
 * threads run meanwhile, and all are stopped afterwards. False, said, if it did not come back. */
bool cli_tracee_call(cli_tracee *tracee, size_t index, uint64_t function,
                     const cli_tracee_argument arguments[2], uint64_t trap, uint64_t *result);

#endif
