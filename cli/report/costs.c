/* SPDX-License-Identifier: MIT */
#include "costs.h"

#include <string.h>

const char *const report_cost_names[] = {"bytes", "count", "peak", "leaked", "temporary", NULL};

bool report_cost_find(const char *name, report_cost *cost)
{
    for (unsigned i = 0; report_cost_names[i] != NULL; i++) {
        if (strcmp(report_cost_names[i], name) == 0) {
            *cost = i;
            return true;
        }
    }
    return false;
}

uint64_t report_cost_of(const report_node_sum *sum, report_cost cost)
{
    switch (cost) {
    case REPORT_COST_BYTES:
        return sum->bytes;
    case REPORT_COST_COUNT:
        return sum->allocations;
    case REPORT_COST_PEAK:
        return sum->peak_bytes;
    case REPORT_COST_LEAKED:
        return sum->bytes - sum->freed;
    case REPORT_COST_TEMPORARY:
        return sum->temporary;
    default:
        return 0;
    }
}

bool report_cost_is_bytes(report_cost cost)
{
    return cost != REPORT_COST_COUNT && cost != REPORT_COST_TEMPORARY;
}
