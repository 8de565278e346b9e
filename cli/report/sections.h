/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_SECTIONS_H
#define TARN_CLI_REPORT_SECTIONS_H

/* The numbers of a model as sections of a container. */

#include "container.h"
#include "model.h"

void report_sections_add(report_container *container, const report_model *model);

#endif
