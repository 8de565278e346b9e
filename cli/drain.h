/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_DRAIN_H
#define TARN_CLI_DRAIN_H

/*
 * Takes the events of a program out of the memory it shares with us, puts those of its threads in the
 * order in which they happened, and writes them into a trace.
 *
 * Whatever is in that memory is taken with care: the program may have overwritten it, and may write it while
 * we read.
 */

#include "trace/ring.h"
#include "trace/writer.h"

#include <stdbool.h>
#include <stdint.h>

/* How ticks become nanoseconds. */
typedef struct cli_clock {
    bool has_tsc;
    uint64_t start;  /* ticks of the time 0 */
    uint64_t factor; /* nanoseconds of 2^32 ticks */
} cli_clock;

/* Ticks of now, and a clock that runs from now on: takes a few milliseconds. */
uint64_t cli_clock_ticks(const cli_clock *clock);
cli_clock cli_clock_start(void);

typedef struct cli_drain cli_drain;

/* Makes the memory ready for a program. NULL when there is no memory. Blocks have names that are given only
 * once, or, with_addresses, their addresses. */
cli_drain *cli_drain_create(ring_header *ring, trace_writer *writer, const cli_clock *clock,
                            bool with_addresses);

/* Frees it; the ring and the writer are the caller's. */
void cli_drain_free(cli_drain *drain);

/* Takes what is there; with is_over, when the program has ended, all that there is. False when nothing
 * was. The writer's failure is for the caller to notice. */
bool cli_drain_take(cli_drain *drain, bool is_over);

/* How many of RING_CHUNKS are not free: when many are, the program will soon have to wait for us. */
uint32_t cli_drain_backlog(const cli_drain *drain);

uint64_t cli_drain_events(const cli_drain *drain);  /* taken, whether the writer took them or not */
uint64_t cli_drain_damaged(const cli_drain *drain); /* chunks in which something made no sense */

/* Bytes that were live at most; an estimate where there were too many blocks to remember each. */
uint64_t cli_drain_peak(const cli_drain *drain, bool *is_estimate);

#endif
