/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_CLI_H
#define TARN_CLI_CLI_H

/*
 * What every subcommand of `tarn` shares: its entry, exit statuses, messages, and memory.
 *
 * A subcommand is one file, or the file of its name in a folder, with one function of the type
 * cli_main and one line in the table of main.c. The command has one thread; the planner may start
 * others, which call nothing of this, and the recorder has one, which calls the functions for
 * messages alone.
 */

#include <stdbool.h>
#include <stddef.h>

/* A subcommand; argv[0] is its name. Returns the exit status. */
typedef int cli_main(int argc, char **argv);

cli_main cli_run;           /* run.c */
cli_main cli_record;        /* record.c */
cli_main cli_trace;         /* trace.c */
cli_main cli_replay;        /* replay/replay.c */
cli_main cli_report;        /* report/report.c */
cli_main cli_plan;          /* plan.c */
cli_main cli_probe;         /* probe.c; hidden */
cli_main cli_replay_worker; /* replay/worker.c; hidden */

/* Exit statuses. A subcommand that runs a program returns that program's own and keeps to the rule
 * of env(1) and timeout(1) for the rest. */
enum {
    CLI_EXIT_FAILURE = 1,
    CLI_EXIT_USAGE = 2,            /* a command line that `tarn` itself does not understand */
    CLI_EXIT_TARN = 125,           /* tarn, not the program, failed */
    CLI_EXIT_NOT_EXECUTABLE = 126, /* the program is there but cannot be run */
    CLI_EXIT_NOT_FOUND = 127,      /* there is no such program */
    CLI_EXIT_SIGNAL = 128          /* plus the number of the signal that ended the program */
};

/* Messages are one line on standard error, after the name of the command, "tarn" until it is set. A
 * progress line that stands there is wiped first. */
void cli_set_name(const char *name);
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* cli_error with the words of errno at the end, then exit(CLI_EXIT_TARN). */
_Noreturn void cli_fail_errno(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says what is wrong with the command line and where help is. */
void cli_usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says that `word`, a `kind` ("option", "command"), is unknown, with the nearest of `known`, a list
 * that ends in NULL. */
void cli_unknown(const char *kind, const char *word, const char *const *known);

/* Shows one line in place on a terminal, and nothing anywhere else. Wiping what is not there does
 * nothing. */
void cli_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_progress_wipe(void);

/* True when standard error is a terminal that may be coloured: NO_COLOR is not set and TERM is not
 * dumb. */
bool cli_has_colour(void);

/* True when the environment says that text is UTF-8. */
bool cli_has_utf8(void);

/* Columns of the terminal at standard error; 0 when it is none. */
size_t cli_columns(void);

/* Memory that lives as long as the process, zeroed; no memory is the end of the process. */
void *cli_alloc(size_t size);
char *cli_copy(const char *text);
char *cli_copy_n(const char *text, size_t size);
char *cli_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
