/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_SITES_H
#define TARN_CLI_REPORT_SITES_H

/* What call sites come to: a site is the frame that asked for memory, by whatever way it was
 * reached. */

#include "costs.h"

typedef struct report_site {
    uint32_t frame;
    report_node_sum sum;
    double pinned; /* free bytes on partly used pages that its blocks hold, at the peak */
} report_site;

typedef struct report_sites {
    report_site *all;
    size_t count;
} report_sites;

/* All sites that have blocks. To be freed by report_sites_free(). */
report_sites report_sites_make(const report_model *model);
void report_sites_free(report_sites *sites);

/* The most costly first; sites of the same cost by their names. */
void report_sites_sort(report_sites *sites, const report_model *model, report_cost cost);

/* The same by pinned bytes. */
void report_sites_sort_by_pinned(report_sites *sites);

#endif
