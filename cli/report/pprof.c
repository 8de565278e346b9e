/* SPDX-License-Identifier: MIT */
#include "cli/report/exports.h"

bool report_export_pprof(FILE *file, const report_model *model)
{
    (void)file;
    (void)model;
    return false;
}
