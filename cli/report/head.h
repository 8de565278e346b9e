/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_HEAD_H
#define TARN_CLI_REPORT_HEAD_H

/* The head of a container, in JSON: what is not a long row of numbers, and where those are. */

#include "container.h"
#include "model.h"

/* Sets the container's head, when all its sections are there. `replay` is the text of an object, or
 * NULL. */
void report_head_set(report_container *container, const report_model *model, const char *replay);

#endif
