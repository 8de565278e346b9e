/* SPDX-License-Identifier: MIT */
#include "threads.h"

#include "memory.h"

#include <stdlib.h>

void report_threads_free(report_threads *threads)
{
    free(threads->all);
    report_numbers_free(&threads->by_number);
    *threads = (report_threads){0};
}

uint32_t report_threads_index(report_threads *threads, uint32_t number)
{
    uint32_t *index = report_numbers_at(&threads->by_number, number);
    if (*index == REPORT_NONE) {
        threads->all =
            report_grown(threads->all, threads->count, &threads->room, sizeof *threads->all);
        threads->all[threads->count] = (report_thread){.id = number};
        *index = (uint32_t)threads->count++;
    }
    return *index;
}

void report_threads_define(report_threads *threads, report_texts *texts,
                           const trace_thread *defined)
{
    const uint32_t index = report_threads_index(threads, defined->thread);
    report_thread *thread = &threads->all[index];
    thread->id = defined->system_id;
    thread->name = report_texts_add(texts, defined->name.start, defined->name.size);
}
