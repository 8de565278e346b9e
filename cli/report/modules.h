/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_MODULES_H
#define TARN_CLI_REPORT_MODULES_H

/*
 * The files of code in a program's memory, as they come and go: which one an address is in depends
 * on when one asks. A file that comes back to the same place is the same module.
 */

#include "texts.h"
#include "trace/event.h"

typedef struct report_module {
    uint64_t start;
    uint64_t size;
    uint64_t bias;
    uint32_t path;     /* text */
    uint32_t build_id; /* text of hexadecimal digits */
} report_module;

/* All zero: empty. `all` may be read; the rest is private. */
typedef struct report_modules {
    report_module *all; /* every module that ever was */
    size_t count;
    size_t room;
    uint32_t *present; /* those that are there now, by address */
    size_t present_count;
    size_t present_room;
} report_modules;

void report_modules_free(report_modules *modules);

/* A definition of the trace: what it overlaps is gone. */
void report_modules_define(report_modules *modules, report_texts *texts,
                           const trace_module *defined);

/* The module that an address is in now, or REPORT_NONE. Logarithmic. */
uint32_t report_modules_find(const report_modules *modules, uint64_t address);

#endif
