/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPLAY_JOB_H
#define TARN_CLI_REPLAY_JOB_H

/*
 * A job: what one process is told to play, and what it found out. It lies in memory that both
 * processes map, so that what was written before a crash is there after it, and has no pointers.
 */

#include "tape.h"

#include <stdint.h>

enum { REPLAY_NAME_SIZE = 64, REPLAY_ERROR_SIZE = 240 };

/* Not known: of bytes. */
#define REPLAY_UNKNOWN UINT64_MAX

typedef enum replay_pass {
    REPLAY_SPEED,  /* as fast as can be; each block is written to */
    REPLAY_SHAPE,  /* each operation timed, each page touched, contents verified, the curve drawn */
    REPLAY_SEARCH, /* of a region: the smallest range in which all succeeds */
    REPLAY_COMPACT /* on a movable heap that compacts; as REPLAY_SHAPE */
} replay_pass;

typedef enum replay_order {
    REPLAY_EXACT,    /* the trace's threads, one at a time, in the order of the file */
    REPLAY_PARALLEL, /* the trace's threads, all at a time */
    REPLAY_SINGLE    /* one thread */
} replay_order;

typedef enum replay_status {
    REPLAY_UNFINISHED, /* still so at the end: the process crashed, or was ended */
    REPLAY_OK,
    REPLAY_FAILED, /* a request was refused, or a block was damaged */
    REPLAY_UNSUPPORTED,
    REPLAY_STOPPED, /* of a run: a signal asked this command to end meanwhile */
    REPLAY_NOT_RUN  /* of a run: or before */
} replay_status;

/* Times, in steps of a 32nd of a power of two. */
enum { REPLAY_STEPS = 32, REPLAY_BARS = 45 * REPLAY_STEPS };

typedef struct replay_histogram {
    uint64_t bars[REPLAY_BARS];
    uint64_t count;
    uint64_t most; /* the largest exactly */
} replay_histogram;

typedef struct replay_moment {
    uint64_t footprint; /* bytes, here and below; or REPLAY_UNKNOWN */
    uint64_t handed;    /* room of the live blocks, with what the allocator puts beside them */
    uint64_t resident;  /* more than before the first operation */
    uint64_t live;
} replay_moment;

typedef struct replay_compaction {
    uint64_t bytes_moved;
    uint64_t blocks_moved;
    uint64_t passes;
    uint64_t longest_us;
} replay_compaction;

typedef struct replay_job {
    /* What is to be done. */
    char strategy[REPLAY_NAME_SIZE];
    replay_pass pass;
    replay_order order;
    uint64_t range;     /* of a region, bytes */
    uint64_t search_ms; /* of a search: after so long the best so far has to do */
    uint64_t memory;    /* bytes that may be resident, so that the machine lives on */
    replay_tape tape;

    /* What came of it. */
    replay_status status;
    char error[REPLAY_ERROR_SIZE];
    replay_order played; /* REPLAY_SINGLE where the allocator is for one thread */
    uint64_t done;       /* operations; of a search, of all tries together */
    uint64_t failures;   /* requests refused */
    uint64_t busy_ns;    /* time of the operations: without waiting, reading and measuring */
    uint64_t wall_ns;    /* from the first operation to the last, of a parallel play */
    uint64_t tries;      /* of a search */
    uint64_t found;      /* of a search: bytes of the range */
    uint64_t peak_footprint;
    uint64_t peak_resident;
    replay_moment at_peak; /* of live bytes */
    replay_moment at_end;
    size_t moment_count;
    replay_moment moments[REPLAY_POINTS_MAX]; /* at the points of the tape */
    double tick_ns;                           /* of the unit that `times` are in */
    replay_histogram times;
    replay_compaction compaction;
} replay_job;

#endif
