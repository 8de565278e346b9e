/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_COSTS_H
#define TARN_CLI_REPORT_COSTS_H

/* What stacks can be weighed by. */

#include "model.h"

typedef enum report_cost {
    REPORT_COST_BYTES,     /* asked for */
    REPORT_COST_COUNT,     /* of allocations */
    REPORT_COST_PEAK,      /* bytes that were live when most was */
    REPORT_COST_LEAKED,    /* bytes that were never freed */
    REPORT_COST_TEMPORARY, /* allocations that were freed at once */
    REPORT_COST_KINDS
} report_cost;

/* The words of the command line, in the order of the kinds; ends in NULL. */
extern const char *const report_cost_names[];

/* The kind of that word; false if it is none. */
bool report_cost_find(const char *name, report_cost *cost);

/* What a node's own blocks cost. */
uint64_t report_cost_of(const report_node_sum *sum, report_cost cost);

/* True if it is in bytes, else it is a count. */
bool report_cost_is_bytes(report_cost cost);

#endif
