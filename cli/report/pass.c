/* SPDX-License-Identifier: MIT */
#include "pass.h"

bool report_pass_begin(report_pass *pass, report_survey *survey, cli_trace_file *file)
{
    *pass = (report_pass){.survey = survey, .file = file, .blocks = report_blocks_create()};
    report_stacks_forget(&survey->stacks);
    return cli_trace_file_rewind(file);
}

void report_pass_end(report_pass *pass)
{
    report_blocks_free(pass->blocks);
    pass->blocks = NULL;
}

bool report_pass_read(report_pass *pass, trace_event *event, bool *is_sound)
{
    report_survey *survey = pass->survey;
    trace_item item;
    *is_sound = true;
    /* Not up to the end of the file: where it was cut short, that has been told. */
    while (pass->events < survey->events && cli_trace_file_next(pass->file, &item, is_sound)) {
        if (item.kind == TRACE_EVENT) {
            pass->events++;
            *event = item.event;
            return true;
        }
        if (item.kind == TRACE_STACK && pass->definitions < survey->stack_definitions) {
            report_stacks_set(&survey->stacks, item.stack.stack,
                              survey->defined[pass->definitions++]);
        }
    }
    return false;
}

void report_pass_step(report_pass *pass, const trace_event *event, report_step *step)
{
    report_survey *survey = pass->survey;
    report_blocks_step(pass->blocks, event, report_threads_index(&survey->threads, event->thread),
                       step);
    if (step->given != NULL) {
        step->given->stack = report_stacks_find(&survey->stacks, event->stack);
    }
}
