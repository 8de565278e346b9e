/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_SECTIONS_H
#define TARN_CLI_REPORT_SECTIONS_H

/* The numbers of a model as sections of a container. */

#include "cli/report/container.h"
#include "cli/report/model.h"

void report_sections_add(report_container *container, const report_model *model);

#endif
