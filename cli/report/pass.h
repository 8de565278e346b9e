/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_PASS_H
#define TARN_CLI_REPORT_PASS_H

/*
 * A further pass over a trace that has been surveyed: its events once more, up to the last one that
 * the survey saw, with the stacks as they were then.
 */

#include "blocks.h"
#include "survey.h"

typedef struct report_pass {
    report_survey *survey;
    cli_trace_file *file;
    report_blocks *blocks;
    uint64_t events;      /* that have been read */
    uint64_t definitions; /* private: of stacks */
} report_pass;

/* Goes to the start of the trace. False, said, if that cannot be; report_pass_end() is called all
 * the same. */
bool report_pass_begin(report_pass *pass, report_survey *survey, cli_trace_file *file);
void report_pass_end(report_pass *pass);

/* The next event. False at the end, and, said, where the file is damaged; *is_sound tells the two
 * apart. */
bool report_pass_read(report_pass *pass, trace_event *event, bool *is_sound);

/* What the event that was read last does to the blocks; what it gives knows its stack. */
void report_pass_step(report_pass *pass, const trace_event *event, report_step *step);

#endif
