/* SPDX-License-Identifier: MIT */
#ifndef TARN_TRACE_WRITER_H
#define TARN_TRACE_WRITER_H

/*
 * Writes a trace: events and definitions in, bytes out, in parts that are compressed by themselves.
 *
 * Threads: a writer is used by one thread at a time. Its memory comes from malloc, grows with what a
 * part holds and is bounded by that.
 */

#include "trace/event.h"

/* Takes the next bytes of the file. False when they cannot be written: the writer then takes no more. */
typedef bool trace_sink(void *context, const void *bytes, size_t size);

typedef struct trace_writer_options {
    trace_sink *sink;
    void *context;
    uint32_t unit_ns;    /* what times are rounded down to; 0: 65536 */
    uint32_t events_max; /* of a part; 0: the most that the format allows */
    int level;           /* zstd's; 0: 6 */
    uint64_t started_ns; /* since 1970 */
    uint64_t process;
} trace_writer_options;

typedef struct trace_writer trace_writer;

/* Writes the header. NULL when there is no memory or the sink failed. */
trace_writer *trace_writer_create(const trace_writer_options *options);

/* The event is put behind those before it; a time that is less than theirs is taken as theirs. False when
 * the event is none (an operation, block or thread that the format has no room for), when there is no
 * memory, or after the sink failed. Constant time, but for the event that fills a part. */
bool trace_writer_event(trace_writer *writer, const trace_event *event);

/* The same for who keeps something with each live block: an event that gives one leaves a key in `*key`, and the
 * one that takes it back brings it (a realloc does both; 0: none). That saves looking up which block it is, in a
 * table that is larger than the processor's cache. A trace has either all of its events from here, or none; blocks
 * are never given twice. */
bool trace_writer_event_with_key(trace_writer *writer, const trace_event *event, uint64_t *key);

/* Definitions. They are kept with the events that come after them. Texts are cut to TRACE_TEXT_MAX, stacks
 * to TRACE_FRAMES_MAX. */
bool trace_writer_thread(trace_writer *writer, const trace_thread *thread);
bool trace_writer_module(trace_writer *writer, const trace_module *module);
bool trace_writer_stack(trace_writer *writer, const trace_stack *stack);
bool trace_writer_pool(trace_writer *writer, const trace_pool *pool);
bool trace_writer_info(trace_writer *writer, const char *name, const char *value);

/* zstd's level from the next part on. */
void trace_writer_set_level(trace_writer *writer, int level);

/* How many times smaller the last part of events became; 0 before there is one. What packs badly takes the high
 * levels long. */
unsigned trace_writer_ratio(const trace_writer *writer);

/* Ends the part, so that what was given is in the file. */
bool trace_writer_flush(trace_writer *writer);

/* Ends the file with its index and frees the writer. `lost` is how many events are known to be missing.
 * False when not everything was written. Ignores NULL. */
bool trace_writer_close(trace_writer *writer, uint64_t lost);

/* Bytes that went to the sink up to the end of the last part that is whole: to there a file may be cut. */
uint64_t trace_writer_whole(const trace_writer *writer);

/* Bytes that went to the sink, and events that were taken; after the sink failed, those that are in whole
 * parts. */
uint64_t trace_writer_bytes(const trace_writer *writer);
uint64_t trace_writer_events(const trace_writer *writer);

#endif
