/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_SYMBOLS_H
#define TARN_CLI_REPORT_SYMBOLS_H

/*
 * Names for addresses: functions, files and lines, with the functions that the compiler put into
 * others, from the files of a program and what was split off from them for debuggers.
 *
 * A file is only asked when its build-id is the one that was recorded; where it is not, or is not
 * there, a file for debuggers with that build-id will do. What has no name is the module and a
 * distance in it, or the address.
 */

#include "frames.h"
#include "stacks.h"

typedef struct report_symbol_options {
    bool is_off;              /* no file is opened */
    const char *sysroot;      /* where the machine's files are; NULL: here */
    const char *const *debug; /* folders of files for debuggers, beside those that are usual */
    size_t debug_count;
} report_symbol_options;

typedef struct report_symbols report_symbols;

/* All that is given must outlive the symbols. No memory is the end of the process. */
report_symbols *report_symbols_create(const report_symbol_options *options, report_texts *texts,
                                      const report_modules *modules, const report_stacks *stacks,
                                      report_frames *frames);
void report_symbols_free(report_symbols *symbols);

/* Warns, where a sysroot was given, of files that were asked for so far and are not there. */
void report_symbols_tell(const report_symbols *symbols);

/* The frames of an address of the stacks, at least one, innermost first; good until the next call.
 * Each address is looked up once. */
const uint32_t *report_symbols_find(report_symbols *symbols, uint32_t address, size_t *count);

#endif
