/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_THREADS_H
#define TARN_CLI_REPORT_THREADS_H

/* The threads of a trace, by small numbers in the order in which they appeared. */

#include "texts.h"
#include "trace/event.h"

typedef struct report_thread {
    uint64_t id;   /* the kernel's number */
    uint32_t name; /* text */
    uint64_t allocations;
    uint64_t bytes; /* asked for */
} report_thread;

/* All zero: empty. */
typedef struct report_threads {
    report_thread *all;
    size_t count;
    size_t room;
    report_numbers by_number; /* private */
} report_threads;

void report_threads_free(report_threads *threads);

void report_threads_define(report_threads *threads, report_texts *texts,
                           const trace_thread *defined);

/* The small number of a thread, defined or not. */
uint32_t report_threads_index(report_threads *threads, uint32_t number);

#endif
