/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_BLOCKS_H
#define TARN_CLI_REPORT_BLOCKS_H

/*
 * The live blocks of a program, event by event: what each event gave, and what it took back.
 *
 * A realloc that succeeds takes a block back and gives one. One that gives up its block before it is
 * done (a move) does so too: until then the block is live, though its name may be another's, and if
 * the realloc fails it is live as before. In a trace that no recorder wrote a block may be
 * given twice: then the former is taken back first; a block that nobody gave is passed over when it
 * is taken back.
 *
 * Blocks of pools are no blocks here: they are parts of these.
 */

#include "slots.h"
#include "trace/event.h"

typedef struct report_block {
    uint64_t name;   /* its address, or its name; 0: not live */
    uint64_t size;   /* bytes asked for */
    uint64_t time;   /* nanoseconds; when it was given */
    uint64_t serial; /* of what was given, from 1 */
    uint64_t place;  /* for who lays blocks out */
    uint32_t stack;  /* for who knows stacks */
    uint32_t thread; /* as was said when it was given */
} report_block;

typedef struct report_blocks report_blocks;

/* What an event did. */
typedef struct report_step {
    report_block taken[2]; /* as they were */
    unsigned taken_count;
    /* NULL: nothing. Its place and stack are the caller's to fill in; good until the next step. */
    report_block *given;
    bool is_temporary; /* taken[0] was freed by what its thread did next after it had got it */
    bool is_failed;    /* a request that got nothing */
    bool is_unknown;   /* nobody gave the block that was to be taken back */
    bool is_resize;    /* a realloc, of taken[0] to `given` */
} report_step;

/* No memory is the end of the process. */
report_blocks *report_blocks_create(void);
void report_blocks_free(report_blocks *blocks);

/* `thread` is a small number for the event's. Events of pools do nothing. */
void report_blocks_step(report_blocks *blocks, const trace_event *event, uint32_t thread,
                        report_step *step);

/* Blocks by their place in an array, of which those that are not live have no name. */
size_t report_blocks_count(const report_blocks *blocks);
const report_block *report_blocks_at(const report_blocks *blocks, size_t at);

/* The same, for who changes places. */
report_block *report_blocks_change(report_blocks *blocks, size_t at);

size_t report_blocks_live(const report_blocks *blocks);

#endif
