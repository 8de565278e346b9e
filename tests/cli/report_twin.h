/* SPDX-License-Identifier: MIT */
#ifndef TARN_TESTS_CLI_REPORT_TWIN_H
#define TARN_TESTS_CLI_REPORT_TWIN_H

/*
 * Random traces, and what a report has to say of them, found by looking at every block for every
 * question.
 */

#include "trace/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TWIN_EVENTS = 6000, TWIN_SLOTS = 300, TWIN_THREADS = 3, TWIN_STACKS = 40 };

/* What happened to one block. */
typedef struct twin_block {
    uint64_t address;
    uint64_t size;
    uint64_t begin;  /* times */
    uint64_t end;    /* of the trace, if it is never freed */
    size_t first;    /* the event that gave it, from 1 */
    size_t last;     /* the one that took it back; SIZE_MAX: none */
    uint32_t stack;  /* number of the trace */
    uint32_t thread; /* from 1 */
    uint32_t taker;  /* the thread that took it back */
    bool is_temporary;
} twin_block;

typedef struct twin {
    uint64_t random;
    trace_event events[TWIN_EVENTS];
    size_t count;
    twin_block blocks[TWIN_EVENTS];
    size_t block_count;
    uint64_t duration;
    uint64_t failed;
} twin;

uint64_t twin_random(twin *naive);

/* Makes a trace of that seed. */
void twin_make(twin *naive, uint64_t seed);

/* Writes it, with or without stacks, to a new file in memory; the path is in `path`. Returns the
 * descriptor. */
int twin_write(const twin *naive, bool has_addresses, bool has_stacks, char path[64]);

/* The frames of a stack, innermost first. */
uint32_t twin_frames(uint32_t stack, uint64_t frames[8]);

/* Live bytes and blocks after that many events. */
uint64_t twin_live(const twin *naive, size_t events, uint64_t *blocks);

#endif
