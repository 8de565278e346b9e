/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPLAY_TAPE_H
#define TARN_CLI_REPLAY_TAPE_H

/*
 * A tape: the operations of a trace made ready to be played, in a file without a name that every
 * process which plays it reads piece by piece.
 *
 *     file   [ event 0 | event 1 | ... ][ last event of thread 0 | of thread 1 | ... ]
 *
 * Blocks are told by slots, small numbers that are used again, so that a player finds the pointer
 * of each in a small array. An operation that cannot be played is left out and counted: a request
 * that failed in the program, and the free of a block that was there before the recording.
 *
 * What the trace needs of memory whatever serves it is found on the way: how many bytes were live
 * at most, when, and some hundred points of time that a curve is drawn by.
 */

#include "classes.h"
#include "trace_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum replay_op {
    REPLAY_ALLOC,
    REPLAY_CALLOC,
    REPLAY_REALLOC, /* the slot keeps its number */
    REPLAY_FREE
} replay_op;

typedef struct replay_event {
    uint64_t size : 48; /* bytes asked for; 0 for a free */
    uint64_t op : 4;
    uint64_t alignment_log2 : 6; /* 0: that of max_align_t */
    uint32_t slot;
    uint32_t thread; /* numbered in the order of their first events */
} replay_event;

_Static_assert(sizeof(replay_event) == 16, "a hundred million events are 1.6 GB");

#define REPLAY_SIZE_END (UINT64_C(1) << 48)

enum { REPLAY_POINTS_MAX = 1000 };

/* A moment: after so many operations. */
typedef struct replay_point {
    uint64_t after;
    uint64_t time_ns; /* of the trace */
    uint64_t live;    /* bytes */
} replay_point;

/* Has no pointers: it is copied to the processes that play. */
typedef struct replay_tape {
    int descriptor;
    uint64_t count; /* events */
    uint64_t allocations;
    uint64_t reallocs;
    uint64_t frees;
    uint64_t failed;  /* requests that the program was refused; left out */
    uint64_t unknown; /* frees of blocks that the trace never gave; left out */
    uint64_t twice;   /* blocks given while they were live: taken as freed before */
    uint64_t huge;    /* requests of 128 TiB and more; left out */
    uint32_t slots;
    uint32_t threads;
    uint64_t aligned;     /* requests with an alignment above 16 */
    uint64_t largest;     /* request, bytes */
    uint64_t peak_live;   /* bytes */
    uint64_t peak_after;  /* operations after which that was so first */
    uint64_t peak_blocks; /* the most blocks at a time */
    uint64_t live_end;
    uint64_t blocks_end;
    uint64_t peak_rounded; /* as peak_live, of whole partitions of a region with its books inside */
    /* Blocks of the class at a time, by what each needs at any address: its size, and an
     * alignment above 16. */
    uint64_t class_peaks[REPLAY_CLASS_COUNT];
    size_t point_count;
    replay_point
        points[REPLAY_POINTS_MAX]; /* in order; the peak of live bytes and the end are among
                                               them */
} replay_tape;

/* Reads the trace to its end. With `pools` the blocks of the program's own pools are played
 * instead of those of its malloc. `command` is set to how the program was called, if the trace
 * says; the text lives as long as the process. False, said, if the trace is damaged or the tape
 * cannot be kept; then nothing is held. */
bool replay_tape_read(replay_tape *tape, cli_trace_file *file, bool pools, const char **command);

void replay_tape_close(replay_tape *tape);

/* Fills `events` with up to `count` of them from number `first` on; returns how many there are:
 * fewer at the end, and when the file cannot be read. Allocates nothing. */
size_t replay_tape_fetch(const replay_tape *tape, uint64_t first, replay_event *events,
                         size_t count);

/* Fills `lasts`, of tape->threads entries, with the number of the last event of each thread. */
bool replay_tape_lasts(const replay_tape *tape, uint64_t *lasts);

/* Bytes of the partition that a region with its books inside needs for the request at least. */
static inline uint64_t replay_partition(uint64_t size)
{
    const uint64_t whole = (size + 8 + 15) & ~UINT64_C(15);
    return whole < 48 ? 48 : whole;
}

/* Bytes that hold the request at whatever address they begin. */
static inline uint64_t replay_need(const replay_event *event)
{
    const uint64_t alignment = UINT64_C(1) << event->alignment_log2;
    return event->size + (alignment > 16 ? alignment : 0);
}

#endif
