/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_POOLS_H
#define TARN_CLI_REPORT_POOLS_H

/*
 * The pools of a trace by name, each with what was asked of it. Their blocks are inside of others
 * and are counted nowhere else.
 */

#include "slots.h"
#include "texts.h"
#include "trace/event.h"

typedef struct report_pool {
    uint32_t name; /* texts */
    uint32_t kind;
    uint32_t parent; /* of `all`; REPORT_NONE */
    uint64_t allocations;
    uint64_t frees; /* one by one; not those by a reset or the end */
    uint64_t live;  /* bytes; at the end of the trace, live at the end */
    uint64_t peak_live;
    uint64_t resets;
    bool is_closed;
} report_pool;

/* To be made by report_pools_init(). */
typedef struct report_pools {
    report_pool *all;
    size_t count;
    size_t room;
    report_numbers by_number; /* private */
    cli_slots *slots;         /* private: its pools are 1 more than the places in `all` */
    uint64_t *sizes;          /* private: by slot */
    size_t size_room;
} report_pools;

void report_pools_init(report_pools *pools);
void report_pools_free(report_pools *pools);

void report_pools_define(report_pools *pools, report_texts *texts, const trace_pool *defined);

/* An event of a pool. */
void report_pools_event(report_pools *pools, const trace_event *event);

#endif
