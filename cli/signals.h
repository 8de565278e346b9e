/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_SIGNALS_H
#define TARN_CLI_SIGNALS_H

/*
 * Signals while another program runs: they are meant for it, and tarn passes them on.
 */

#include <stdbool.h>
#include <sys/types.h>

/* "SIGSEGV (Segmentation fault)". Lives as long as the process. */
const char *cli_signal_text(int number);

/* "SEGV", or the number when it has no name. Lives as long as the process. */
const char *cli_signal_name(int number);

/* From now on signals wait to be read. Returns the descriptor that becomes readable when one does.
 * */
int cli_signals_catch(void);

/* In a child: signals are again as this process found them. */
void cli_signals_restore(void);

/* Reads every waiting signal. Those that another process sent go on to `child` (0: to nobody);
 * those of the terminal reach it by themselves. Returns the last one that asks a program to end, or
 * 0. */
int cli_signals_pass(int descriptor, pid_t child);

#endif
