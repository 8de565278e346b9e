/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_CHILD_H
#define TARN_CLI_CHILD_H

/*
 * One run of a program: start it, pass signals on, wait, and say what it cost.
 */

#include "output.h"
#include "program.h"

#include <stdint.h>

typedef struct cli_launch {
    const cli_program *program;
    char *const *environment;
    int input;     /* descriptor that becomes standard input; -1: as it is */
    int output_to; /* descriptor that becomes standard output when `output` is NULL; -1: as it is */
    cli_output *output; /* NULL: standard output is not looked at */
    cli_output *errors; /* NULL: standard error is not looked at */
} cli_launch;

typedef struct cli_outcome {
    int exec_error; /* errno of a program that could not be started; then nothing else is set */
    int status;     /* its exit status, or 0 when a signal ended it */
    int signal;     /* the signal that ended it, or 0 */
    bool dumped;    /* it left a core file */
    int asked;      /* the last signal that asked it to end while it ran, or 0 */
    double wall;    /* seconds */
    double user;    /* seconds of processor time, with those of the children it waited for */
    double system;
    uint64_t peak; /* bytes resident at most, of the program or the largest child it waited for */
    uint64_t minor_faults;
    uint64_t major_faults;
} cli_outcome;

/* `signals` is the descriptor of cli_signals_catch(). Returns when the program has ended; output of
 * its children that live on is not waited for. */
cli_outcome cli_child_run(const cli_launch *launch, int signals);

/* The exit status that stands for the outcome: the program's, or CLI_EXIT_SIGNAL plus the signal.
 * */
int cli_outcome_exit(const cli_outcome *outcome);

#endif
