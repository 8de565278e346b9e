/* SPDX-License-Identifier: MIT */
#ifndef TARN_RECORD_RECORD_H
#define TARN_RECORD_RECORD_H

/*
 * The preload library of `tarn record`: libc's and C++'s names, each of which calls the next one in line
 * and leaves an event in memory that `tarn record` drains (trace/ring.h).
 *
 * Nothing here allocates from the program's allocator. What is kept per process is in one page that the kernel
 * clears in a forked child, which so finds itself unrecorded and asks for memory of its own.
 */

#include "base/check.h"
#include "os/os.h"
#include "trace/event.h"
#include "trace/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Where somebody writes events: into a chunk of the ring. */
typedef struct record_stream {
    unsigned char *at;
    unsigned char *end;
    ring_chunk *chunk; /* NULL: none */
    uint64_t ticks;    /* of the last event */
    uint32_t thread;   /* whose events come next */
} record_stream;

enum { PHASE_NEW, PHASE_STARTING, PHASE_ON, PHASE_OFF };

/* The process. */
typedef struct record_process {
    uint64_t session; /* not 0 while events are recorded: differs from that of the parent */
    _Atomic(uint32_t) phase;
    ring_header *ring;
    ring_header *spare_ring; /* an earlier one, whose addresses are to be used again; NULL: none */
    _Atomic(uint64_t) *stack_table; /* stacks.c: there before the session is, where it has stacks */
    uint32_t stacks;
    uint32_t turn; /* of recordings of this process: a later one differs from it */
    bool has_tsc;
    bool has_given_up; /* `tarn record` did nothing for too long */
    uint64_t sample_bytes;
    _Atomic(uint32_t) threads;    /* numbers given */
    _Atomic(uint32_t) stack_ids;  /* numbers given */
    _Atomic(uint32_t) own_chunks; /* that threads have for themselves */
    os_lock common_lock;          /* guards: */
    record_stream common;         /* the events of threads that have no chunk of their own */
    os_lock pools_lock;           /* guards what pools.c has */
    os_lock modules_lock;         /* guards: */
    uint64_t modules_added;       /* what the loader counted when the modules were last told */
    uint64_t modules_removed;
} record_process;

/* A frame on the way from the outermost to the innermost. */
typedef struct record_level {
    uintptr_t
        stack; /* the stack pointer when the frame is returned to; the address is in front of it */
    uintptr_t frame_pointer; /* at that moment */
    uintptr_t saved;         /* where that was read, 0: it was the inner frame's */
    uint64_t back;           /* the address that is returned to */
    uint64_t hash;           /* of this frame and all outside of it */
} record_level;

enum { RECORD_LEVELS = 2048, RECORD_PATH = 1024 };

/* The last stack of a thread. */
typedef struct record_walk {
    uint32_t count;
    uint32_t epoch; /* of the code that was in memory */
    record_level levels[RECORD_LEVELS];
    record_level
        path[RECORD_PATH]; /* what differs from it, innermost first; not on the stack, which
                                       may be small */
} record_walk;

/* A thread. */
typedef struct record_thread {
    uint64_t session; /* what this is of; another than the process's: nothing */
    record_stream stream;
    uint32_t number;
    bool is_ended;        /* its last destructor may have run: no chunk of its own any more */
    bool is_busy;         /* in the next allocator, or here: what comes now is not the program's */
    bool has_stack_range; /* the two below are known */
    uintptr_t stack_low;
    uintptr_t stack_high;
    record_walk *walk;   /* NULL: none yet */
    int64_t sample_left; /* bytes until the next stack */
    uint64_t random;
    uint64_t allocs; /* events that gave a block, a count */
    uint64_t now; /* ticks, as this thread last read them; the two below say until when they do */
    uint32_t now_left; /* events */
    uint32_t now_beat; /* the ring's */
} record_thread;

extern record_process *record_here; /* NULL before anything is known */
extern __thread record_thread record_self;

/* The process as it is now. It is another one when recording begins again: one event asks once, and keeps to the answer. */
static inline record_process *record_process_here(void)
{
    return __atomic_load_n(&record_here, __ATOMIC_ACQUIRE);
}

/* session.c */

/* Makes the thread ready to write `bytes` into its own stream. False: nothing is recorded, or the thread has no
 * stream of its own. errno stays. */
bool record_prepare(record_process *here, record_thread *self, size_t bytes);

/* The stream that threads share, locked and with room, ready for the thread; NULL: nothing is recorded. */
record_stream *record_open_common(record_process *here, record_thread *self, size_t bytes);
void record_close_common(record_process *here);

/* An event could not be written: it is counted, if nobody but the recorder thinks that recording is over. */
void record_lose(record_process *here);

/* Called first when the library is loaded. */
void record_start(void);

/* True while somebody takes what is recorded. */
bool record_is_on(void);

/* Ends a recording that nobody takes any more: no thread that comes after this touches its memory. */
void record_end(void);

/* Begins to record a program that is not recorded, at the `tarn record` of the address. `turn` is of such
 * beginnings; where `is_quiet`, no thread is in here, and the memory of the last recording is used again. False if
 * `tarn record` is not to be reached. */
bool record_begin_again(record_thread *self, const char *address, uint32_t turn, bool is_quiet);

/* events.c */
void record_alloc(record_thread *self, unsigned op, unsigned alignment_log2, const void *block,
                  size_t size, void *const *frame);
void record_free(record_thread *self, unsigned op, const void *block, void *const *frame);

/* Before a realloc, where there are other threads: says that the block is given up. Returns what record_realloc has to
 * know. */
uint64_t record_realloc_begin(record_thread *self, const void *old_block, size_t size,
                              void *const *frame);

/* A realloc that is back; `began` is from before it. */
void record_realloc(record_thread *self, const void *old_block, const void *block, size_t size,
                    uint64_t began, void *const *frame);

/* An operation of the pool `pool`. */
void record_pool_event(record_thread *self, unsigned op, uint32_t pool, unsigned alignment_log2,
                       const void *block, size_t size, void *const *frame);

/* A note with `size` bytes, at most RING_NOTE_BYTES_MAX, into the thread's own stream or the common
 * one. */
void record_note(record_process *here, record_thread *self, unsigned which, const void *bytes,
                 size_t size);

/* unwind.c: the stack from `frame` on, where the caller's frame pointer is, and the return address behind
 * it. What is found is in the thread's `walk`; false if that is nothing. */
bool record_unwind_start(void);
bool record_unwind(record_process *process, record_thread *self, void *const *frame);

/* stacks.c: the number of a stack, which is told when it is new; 0: none. */
bool record_stacks_start(record_process *here); /* no stack has been told */
uint32_t record_stack(record_process *here, record_thread *self, void *const *frame);

/* pools.c: tells the pools that are open. */
void record_pools(record_process *here, record_thread *self);

/* modules.c: tells the files that are in memory, if they are not the same as the last time, and what has
 * become of them since then. */
typedef enum record_change { RECORD_SAME, RECORD_SOME_NEW, RECORD_SOME_GONE } record_change;

record_change record_modules(record_process *here, record_thread *self);

/* -------------------------------------------------------------------------------------------------
 * Writing.
 */
static inline uint64_t record_ticks(const record_process *here)
{
#if defined(__x86_64__)
    if (base_likely(here->has_tsc)) {
        return ring_tsc();
    }
#endif
    (void)here;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* To read the processor's clock takes longer than to write an event. While there is but one thread, whose events
 * have an order without it, it is read for some events only, and whenever `tarn record`, which looks in
 * every few milliseconds, has been there. The first event of a second thread makes all of them exact: whoever
 * has a block from that thread, or an address that it gave up, sees that it is there. */
static inline uint64_t record_now(const record_process *here, record_thread *self)
{
    enum { EVENTS = 32 };
    if (base_unlikely(atomic_load_explicit(&here->threads, memory_order_relaxed) > 1)) {
        return record_ticks(here);
    }
    const uint32_t beat = atomic_load_explicit(&here->ring->beat, memory_order_relaxed);
    if (base_unlikely(self->now_left == 0 || self->now_beat != beat)) {
        self->now = record_ticks(here);
        self->now_left = EVENTS;
        self->now_beat = beat;
    }
    self->now_left--;
    return self->now;
}

static inline bool record_is_alone(const record_process *here)
{
    return atomic_load_explicit(&here->threads, memory_order_relaxed) <= 1;
}

/* True if the thread may write as much into its own stream at once. */
static inline bool record_is_ready(const record_process *here, const record_thread *self,
                                   size_t bytes)
{
    return self->session == here->session && self->session != 0 &&
           (size_t)(self->stream.end - self->stream.at) >= bytes;
}

static inline void record_word(record_stream *stream, uint64_t word)
{
    __builtin_memcpy(stream->at, &word, sizeof word);
    stream->at += sizeof word;
}

/* What was written is the drainer's from now on. */
static inline void record_publish(record_stream *stream)
{
    atomic_store_explicit(&stream->chunk->used,
                          (uint32_t)(stream->at - (unsigned char *)stream->chunk),
                          memory_order_release);
}

/* Of the ticks an event has the low half: whoever was long silent tells all of them first. */
static inline void record_time(record_stream *stream, uint64_t ticks)
{
    if (base_unlikely(ticks - stream->ticks >= UINT32_MAX)) {
        record_word(stream, RING_NOTE | RING_NOTE_TICKS << 4 | UINT64_C(8) << 32);
        record_word(stream, ticks);
    }
    stream->ticks = ticks;
}

#endif
