/* SPDX-License-Identifier: MIT */
#ifndef TARN_TRACE_EVENT_H
#define TARN_TRACE_EVENT_H

/*
 * What a trace is made of: events, which ask something of memory, and definitions of what events name
 * by number. docs/trace-format.md says how they look in a file.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers are those of the file. */
typedef enum trace_op {
    TRACE_MALLOC = 0,
    TRACE_CALLOC = 1,
    TRACE_REALLOC = 2, /* the only one with `old_block` */
    TRACE_ALIGNED = 3, /* aligned_alloc, posix_memalign, memalign, valloc, pvalloc */
    TRACE_NEW = 4,
    TRACE_NEW_ARRAY = 5,
    TRACE_FREE = 6,
    TRACE_FREE_SIZED = 7, /* free_sized, free_aligned_sized */
    TRACE_DELETE = 8,
    TRACE_DELETE_ARRAY = 9,
    TRACE_MOVE = 10, /* a realloc of this thread has given up `block`, and is not back yet */
    TRACE_POOL_ALLOC = 11,
    TRACE_POOL_FREE = 12,
    TRACE_POOL_RESET = 13, /* every block of the pool is free */
    TRACE_POOL_CLOSE = 14, /* the pool has ended, and with it its blocks */
    TRACE_OP_COUNT
} trace_op;

/* Blocks are addresses below TRACE_ADDRESS_END: a block that was given has the address until an event
 * takes it back. */
#define TRACE_ADDRESS_END (UINT64_C(1) << 61)

typedef struct trace_event {
    uint64_t time;      /* nanoseconds from the start of the trace, whole units of it; never less
                           than that of the event before */
    uint64_t block;     /* what was given, 0: the request failed; or what was taken back */
    uint64_t old_block; /* of a realloc, 0: none */
    uint64_t size;      /* bytes asked for; 0 where a block is taken back */
    uint32_t thread;
    uint32_t stack;         /* 0: not recorded */
    uint32_t pool;          /* of the pool's operations, else 0 */
    uint8_t op;             /* trace_op */
    uint8_t alignment_log2; /* 0: none was asked for */
} trace_event;

static inline bool trace_op_is_alloc(unsigned op)
{
    return op <= TRACE_NEW_ARRAY ? op != TRACE_REALLOC : op == TRACE_POOL_ALLOC;
}

static inline bool trace_op_is_free(unsigned op)
{
    return (op >= TRACE_FREE && op <= TRACE_MOVE) || op == TRACE_POOL_FREE;
}

static inline bool trace_op_has_pool(unsigned op)
{
    return op >= TRACE_POOL_ALLOC && op <= TRACE_POOL_CLOSE;
}

/* The operation's name in lower case; "?" for a number that is none. */
const char *trace_op_name(unsigned op);

/* Definitions come before the first event that names them. A number that is defined again stands for
 * the later from then on. */
typedef enum trace_kind {
    TRACE_EVENT = 0,
    TRACE_THREAD = 1,
    TRACE_MODULE = 2,
    TRACE_STACK = 3,
    TRACE_POOL = 4,
    TRACE_INFO = 5
} trace_kind;

/* Bytes that live as long as their context says; no 0 at the end. */
typedef struct trace_text {
    const char *start;
    size_t size;
} trace_text;

typedef struct trace_thread {
    uint32_t thread;
    uint64_t system_id; /* the kernel's number */
    trace_text name;
} trace_thread;

/* A file of code in memory, or the end of its being there. */
typedef struct trace_module {
    uint64_t start;      /* address of its first byte in memory */
    uint64_t size;       /* bytes of address space; 0: it is there no more */
    uint64_t bias;       /* address in memory minus address in the file's program headers */
    trace_text build_id; /* bytes, not digits */
    trace_text path;
} trace_module;

/* From the innermost caller outwards; each is the address that is returned to. */
typedef struct trace_stack {
    uint32_t stack; /* not 0 */
    uint32_t count;
    const uint64_t *frames;
} trace_stack;

typedef struct trace_pool {
    uint32_t pool;   /* not 0 */
    uint32_t parent; /* the pool that it takes from; 0: none that is recorded */
    trace_text kind;
    trace_text name;
} trace_pool;

/* About the recording: see docs/trace-format.md for the names. */
typedef struct trace_info {
    trace_text name;
    trace_text value;
} trace_info;

enum { TRACE_FRAMES_MAX = 256, TRACE_TEXT_MAX = 1 << 16 };

#endif
