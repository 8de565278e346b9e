/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_EXPORTS_H
#define TARN_CLI_REPORT_EXPORTS_H

/* The model in the formats of other tools. Each writes to a file whose errors are its own to tell.
 * */

#include "costs.h"

#include <stdio.h>

/* One line for each stack: frames from the outermost inwards with semicolons between, and its cost.
 * */
void report_export_folded(FILE *file, const report_model *model, report_cost cost);

/* One line for each call site, with names of columns in the first (RFC 4180). */
void report_export_csv(FILE *file, const report_model *model);

/* speedscope's JSON: a profile of stacks for each cost, the one that was asked for shown first. */
void report_export_speedscope(FILE *file, const report_model *model, report_cost cost);

/* pprof's profile.proto, in gzip: objects and bytes, allocated and in use at the end. False, said,
 * if it could not be packed. */
bool report_export_pprof(FILE *file, report_model *model);

/* heaptrack's own format, events and all, in gzip: reads the trace once more. False, said, if that
 * failed. */
bool report_export_heaptrack(FILE *file, report_model *model, cli_trace_file *trace);

/* The terminal's version of the page. `columns` is how wide it may be, 0: no bound. */
void report_text_print(FILE *file, const report_model *model, size_t columns);

#endif
