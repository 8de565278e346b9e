/* SPDX-License-Identifier: MIT */
#ifndef TARN_TRACE_READER_H
#define TARN_TRACE_READER_H

/*
 * Reads a trace, part by part, trusting nothing in it: a file that was cut short is read to its last
 * whole part; anything else that does not fit is a fault, with the offset of the part it is in.
 *
 * Items come in the order of the file, which is that of what happened: a block is taken back after it was
 * given, by whatever thread, and times never decrease.
 *
 * Threads: a reader is used by one thread at a time. Its memory comes from malloc and is bounded by the
 * largest part that the format allows.
 */

#include "trace/event.h"

enum { TRACE_FAULT_SIZE = 160 };

typedef struct trace_fault {
    uint64_t offset; /* in the file; of the part that is at fault */
    char text[TRACE_FAULT_SIZE];
} trace_fault;

/* Where the bytes come from. `read` fills `bytes` with those of [offset, offset + size), which are within
 * the file; false if that fails. */
typedef struct trace_source {
    bool (*read)(void *context, uint64_t offset, void *bytes, size_t size);
    void *context;
    uint64_t size;
} trace_source;

typedef struct trace_header {
    unsigned major;
    unsigned minor;
    uint32_t unit_ns;
    uint64_t started_ns; /* since 1970 */
    uint64_t process;
} trace_header;

/* What the index at the end says. */
typedef struct trace_summary {
    uint64_t parts;
    uint64_t events;
    uint64_t last_time; /* nanoseconds */
    uint64_t lost;
} trace_summary;

typedef struct trace_item {
    trace_kind kind;
    union {
        trace_event event;
        trace_thread thread;
        trace_module module;
        trace_stack stack;
        trace_pool pool;
        trace_info info;
    };
} trace_item;

typedef enum trace_result {
    TRACE_ITEM,  /* there is one */
    TRACE_END,   /* of the trace; trace_reader_is_cut() says whether the file goes no further */
    TRACE_FAULTY /* trace_reader_fault() */
} trace_result;

typedef struct trace_reader trace_reader;

/* NULL with the fault filled when the file is no trace, one of a newer version, or there is no memory. */
trace_reader *trace_reader_open(const trace_source *source, trace_fault *fault);

/* Ignores NULL. */
void trace_reader_close(trace_reader *reader);

const trace_header *trace_reader_header(const trace_reader *reader);

/* The next item. Its texts and frames live until the next call. */
trace_result trace_reader_next(trace_reader *reader, trace_item *item);

/* Goes to the part that has the event number `event`, from 0; its definitions are those of the whole file, so that
 * a reader of them has to have read what comes before. Takes a look at the index, or at the head of each
 * part where there is none. False with the fault set when there is no such event. */
bool trace_reader_seek(trace_reader *reader, uint64_t event);

/* After the end: the file has no index, or ends within a part; `offset` is where what can be read
 * ends. */
bool trace_reader_is_cut(const trace_reader *reader, uint64_t *offset);

/* What the index says; false if the file has none, or its index is not whole. */
bool trace_reader_summary(trace_reader *reader, trace_summary *summary);

const trace_fault *trace_reader_fault(const trace_reader *reader);

#endif
