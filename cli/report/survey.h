/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_SURVEY_H
#define TARN_CLI_REPORT_SURVEY_H

/*
 * The first pass over a trace: who and what was there, how much of it, and when most was live. What
 * is added up by stack decides which stacks are worth a place in the report.
 */

#include "extents.h"
#include "modules.h"
#include "pools.h"
#include "stacks.h"
#include "threads.h"
#include "trace_file.h"
#include "weight.h"

/* Of the blocks allocated with one stack. Where stacks were sampled, guesses, to be replaced by
 * estimates when all is known. */
typedef struct report_stack_sum {
    uint64_t allocations;
    uint64_t bytes;
    uint64_t live; /* at the end */
    uint64_t live_blocks;
    uint64_t most_live;
} report_stack_sum;

typedef struct report_survey {
    report_texts *texts; /* the caller's */
    trace_header header;
    uint32_t command; /* texts */
    uint32_t tarn;
    uint32_t stacks_kind;
    bool has_stacks;
    bool has_addresses; /* blocks are told by their addresses */
    bool is_sampled;
    uint64_t distance;      /* bytes from sample to sample, if it is */
    report_weights weights; /* with the same, or 0 */
    bool is_cut;
    uint64_t lost;

    report_threads threads;
    report_pools pools;
    report_modules modules;
    report_stacks stacks;
    uint64_t stack_definitions;
    report_stack_sum *sums; /* by stack; 0 has those without one */
    size_t sum_count;
    size_t sum_room;
    uint32_t *defined; /* the stack of each definition, in their order */
    size_t defined_room;
    report_extents extents; /* if has_addresses */

    uint64_t events;
    uint64_t allocations; /* blocks given, by reallocs too */
    uint64_t frees;       /* blocks taken back, by reallocs too */
    uint64_t reallocs;
    uint64_t failed;
    uint64_t unknown; /* frees of what nobody gave */
    uint64_t bytes;   /* asked for */
    uint64_t live;    /* bytes; at the end */
    uint64_t live_blocks;
    uint64_t peak_live;
    uint64_t peak_blocks; /* live then */
    uint64_t peak_time;   /* nanoseconds */
    /* Events up to and with the one that made the peak; 0: none did. */
    uint64_t peak_event;
    uint64_t
        most_taken; /* bytes of a range: what blocks took of it, at the least, when it was most */
    uint64_t taken;
    bool has_alignment; /* a block asked for more than any has */
    uint64_t temporary;
    uint64_t temporary_bytes;
    uint64_t duration; /* nanoseconds */
} report_survey;

/* Reads the file to its end. False, said, if it is damaged; the survey has to be freed all the
 * same. `texts` must outlive it. */
bool report_survey_take(report_survey *survey, report_texts *texts, cli_trace_file *file);
void report_survey_free(report_survey *survey);

#endif
