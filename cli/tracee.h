/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_TRACEE_H
#define TARN_CLI_TRACEE_H

/*
 * A running process, held still by ptrace(2): all of its threads stopped and let go, and functions of its own
 * called by one of its threads.
 *
 * Only the thread of `tarn` that seized the process may call these. A process that is let go, by whatever
 * way, finds registers, signals and system calls as they were.
 */

#include "process.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct cli_tracee_thread {
    pid_t id;
    bool is_stopped;
    bool is_interrupted; /* it was told to stop, and has not yet stopped for that */
    bool is_suspended;   /* by a signal for the whole process, such as SIGSTOP */
    int signal;          /* that it has yet to get; 0: none */
    int call;            /* of the kernel, that it waits in and takes up again; -1: none */
} cli_tracee_thread;

typedef struct cli_tracee {
    const cli_process *process;
    bool has_executed; /* another program: there is nothing to hold any more */
    size_t count;
    size_t room;
    cli_tracee_thread *threads;
} cli_tracee;

/* An argument of a function: a number, or a text that is copied to the process for the time of the call. */
typedef struct cli_tracee_argument {
    uint64_t number;
    const char *text; /* NULL: the number */
} cli_tracee_argument;

enum { CLI_TRACEE_ARGUMENTS = 6, CLI_TRACEE_REGISTERS = 17 };

typedef struct cli_tracee_call {
    uint64_t function;
    cli_tracee_argument arguments[CLI_TRACEE_ARGUMENTS];
    uint64_t stack; /* where it is to grow down from; 0: below what the thread has on its own */
    uint64_t trap;  /* where it returns to: a breakpoint instruction */
} cli_tracee_call;

/* True on machines that the rest is written for. */
bool cli_tracee_is_supported(void);

/* Stops every thread of the process, which must outlive this. False, said, when it may not be traced, another traces
 * it, or some thread does not stop; then nothing is held. */
bool cli_tracee_open(cli_tracee *tracee, const cli_process *process);

/* Stops all that run, the new ones too. False, said, if the process has ended, has executed another program, or has a
 * thread that cannot be stopped for half a minute. */
bool cli_tracee_stop(cli_tracee *tracee);

/* Lets all go on for so long, and then stops them as above. */
bool cli_tracee_pass(cli_tracee *tracee, unsigned milliseconds);

/* Lets the process go for good. */
void cli_tracee_close(cli_tracee *tracee);

/* Registers of a stopped thread in the order of DWARF; the last is where it is. False if they are not to be had. */
bool cli_tracee_registers(const cli_tracee_thread *thread,
                          uint64_t registers[CLI_TRACEE_REGISTERS]);

/* The two of them that everybody asks for. */
bool cli_tracee_place(const cli_tracee_thread *thread, uint64_t *code, uint64_t *stack);

/* Has the stopped thread call a function; all other threads run meanwhile, and all are stopped afterwards. It is waited for
 * until it comes back, as it cannot be taken out of the middle; where that takes long, it is said what it waits for.
 * False, said, if it did not come back. */
bool cli_tracee_have_call(cli_tracee *tracee, pid_t thread, const cli_tracee_call *call,
                          uint64_t *result);

#endif
