/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_PLAN_H
#define TARN_CLI_PLAN_H

/*
 * What `tarn plan` does with a plan: checks it, draws it, and makes C of it.
 */

#include "buffers.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* -------------------------------------------------------------------------------------------------
 * Checking (plan_check.c), by a way of its own: whatever made the plan is not asked.
 */
enum { CLI_PLAN_FAULTS_MAX = 20 };

typedef enum cli_plan_fault_kind {
    CLI_PLAN_MISSING,    /* has no offset */
    CLI_PLAN_NEGATIVE,   /* below 0 */
    CLI_PLAN_MISALIGNED, /* no multiple of the alignment */
    CLI_PLAN_EXCEEDS,    /* ends past the capacity, or past what 64 bits can say */
    CLI_PLAN_OVERLAPS    /* shares bytes with another at the same time */
} cli_plan_fault_kind;

typedef struct cli_plan_fault {
    cli_plan_fault_kind kind;
    size_t buffer;
    size_t other; /* the one that it overlaps; it was there first */
    int64_t time; /* from when on */
    int64_t low;  /* the first byte that both have at that time, */
    int64_t high; /* and the first after it that they do not */
} cli_plan_fault;

typedef struct cli_plan_faults {
    size_t count;
    bool has_more; /* that there was no room for */
    cli_plan_fault faults[CLI_PLAN_FAULTS_MAX];
    int64_t height; /* the highest end; what is no place is left out */
} cli_plan_faults;

/* Checks the offsets of those buffers for which `has_offset` (NULL: all) is true, and that all have
 * one unless `is_partial`. A capacity of 0 is none. Takes O(n log n) and what the faults cost. */
void cli_plan_check(const cli_buffers *buffers, const int64_t *offsets, const bool *has_offset,
                    bool is_partial, int64_t capacity, cli_plan_faults *faults);

/* -------------------------------------------------------------------------------------------------
 * Stretches: a buffer's lifetime without its gaps, and the windows in these.
 */
typedef struct cli_stretch {
    int64_t lower;
    int64_t upper;
    int64_t low; /* bytes of the buffer */
    int64_t high;
    bool is_window; /* the rest of the buffer is not in use */
} cli_stretch;

/* The next one that is not empty, from *gap (0 at first) on. False after the last. */
bool cli_plan_stretch(const tarn_overlay_buffer *item, size_t *gap, cli_stretch *stretch);

/* -------------------------------------------------------------------------------------------------
 * Drawing (plan_svg.c) and making C (plan_code.c).
 */
void cli_plan_write_svg(const cli_buffers *buffers, const int64_t *offsets,
                        const cli_plan_figures *figures, const char *title, FILE *file);

/* A C identifier of what is in the name of a file. Lives as long as the process. */
char *cli_plan_code_name(const char *path);

/* `name` is a C identifier, which all names in the header begin with. */
void cli_plan_write_code(const cli_buffers *buffers, const int64_t *offsets,
                         const cli_plan_figures *figures, const char *name, const char *source,
                         FILE *file);

#endif
