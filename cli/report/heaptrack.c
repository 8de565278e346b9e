/* SPDX-License-Identifier: MIT */
#include "cli/report/exports.h"

bool report_export_heaptrack(FILE *file, const report_model *model, cli_trace_file *trace)
{
    (void)file;
    (void)model;
    (void)trace;
    return false;
}
