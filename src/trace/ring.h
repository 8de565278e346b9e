/* SPDX-License-Identifier: MIT */
#ifndef TARN_TRACE_RING_H
#define TARN_TRACE_RING_H

/*
 * What a program that is recorded and `tarn record` share: memory in which the program leaves its events,
 * chunk by chunk, and which `tarn record` drains. Nothing of it is a file; both ends are of one version.
 *
 *     [ring header][chunk 0][chunk 1] ...
 *
 * A thread of the program takes a free chunk, fills it, and puts it in the queue. `tarn record` takes from
 * the queue, and gives chunks back. What a thread wrote is there for good once `used` says so, whatever
 * becomes of the program: nothing has to be flushed.
 *
 * The program is not trusted: it may have overwritten all of this.
 *
 * Records are words of 8 bytes. An event:
 *
 *     word 0   bits 0-3 operation, 4-9 log2 of the alignment, 10 has a size word, 11 has a stack word,
 *              12-31 size, 32-63 low half of the ticks
 *     block; of a realloc, then the old block; size, where word 0 has no room; stack; of a pool's
 *     operation, the pool
 *
 * A note: bits 0-3 RING_NOTE, 4-7 which, 32-63 bytes that follow, filled up to words.
 */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define RING_MAGIC UINT64_C(0x31474e4952524154)
/* The variable that has the name of the abstract socket, a colon, and the key of 32 hexadecimal digits:
 * names are for all to see, the environment is not. */
#define RING_SOCKET "TARN_RECORD"

enum {
    RING_VERSION = 2,
    RING_CHUNK_SIZE = 1 << 15,
    RING_CHUNKS = 512,
    RING_HEADER_SIZE = 1 << 14,

    RING_NOTE = 15,
    RING_NOTE_TICKS = 0,  /* the next events' ticks continue from this one */
    RING_NOTE_THREAD = 1, /* what follows is of that thread: number, the kernel's number, name */
    RING_NOTE_STACK = 2,  /* number, frames, innermost first */
    RING_NOTE_MODULE = 3, /* start, size, bias, bytes of build-id, bytes of path, both */
    RING_NOTE_POOL = 4,   /* number, parent, bytes of kind, bytes of name, both */

    RING_SIZE_WORD = 1 << 10,
    RING_STACK_WORD = 1 << 11,
    RING_SIZE_SHIFT = 12,
    RING_SIZE_MAX = (1 << 20) - 1,
    RING_EVENT_BYTES_MAX = 8 * 6,
    RING_NOTE_BYTES_MAX = 4608,
    RING_NAME_MAX = 4096,
    RING_COMMON_STREAM = 0 /* else it is the number of the thread */
};

/* Which events have stacks: none, some that give a block, all of those, all. */
enum { RING_STACKS_NONE, RING_STACKS_SAMPLED, RING_STACKS_FULL, RING_STACKS_ALL };

typedef struct ring_chunk {
    _Atomic(uint32_t) used;   /* bytes, with this header */
    _Atomic(uint32_t) thread; /* whose events it begins with; 0: the chunk is free */
    uint64_t ticks;           /* that the first event's continue from */
    uint64_t stream;          /* chunks of one stream are in the order of the queue */
    uint64_t reserved[5];
} ring_chunk;

typedef struct ring_header {
    uint64_t magic;
    uint32_t version;
    uint32_t stacks;                 /* RING_STACKS_... */
    uint64_t sample_bytes;           /* asked for between two stacks, on average */
    uint32_t has_tsc;                /* ticks are the processor's, else nanoseconds */
    uint32_t recorder;               /* the process that drains */
    _Atomic(uint32_t) is_incomplete; /* the program waited too long, and went on */
    _Atomic(uint32_t) is_stopped;    /* nobody drains any more */
    _Atomic(uint32_t) beat;          /* changes as long as somebody drains */
    _Atomic(uint32_t) given_back;    /* changes when chunks become free; threads sleep on it */
    _Atomic(uint32_t) sleepers;
    _Atomic(uint64_t) lost;                          /* events that could not be recorded */
    _Atomic(uint64_t) tail;                          /* places of the queue that were ever taken */
    _Atomic(uint64_t) free_chunks[RING_CHUNKS / 64]; /* a bit each */
    _Atomic(uint32_t) queue[RING_CHUNKS];            /* number of the chunk + 1, or 0 */
} ring_header;

_Static_assert(sizeof(ring_header) <= RING_HEADER_SIZE, "the header fits its place");
_Static_assert(sizeof(ring_chunk) == 64, "a chunk's header is a cache line");

#define RING_SIZE ((size_t)RING_HEADER_SIZE + (size_t)RING_CHUNKS * RING_CHUNK_SIZE)

static inline ring_chunk *ring_chunk_at(ring_header *ring, uint32_t number)
{
    return (ring_chunk *)((unsigned char *)ring + RING_HEADER_SIZE +
                          (size_t)number * RING_CHUNK_SIZE);
}

/* What goes over the socket, once each way; the answer has the memory's descriptor with it. */
typedef struct ring_hello {
    uint64_t magic;
    uint32_t version;
    char key[32];
    uint32_t reserved;
} ring_hello;

typedef struct ring_welcome {
    uint64_t magic;
    uint64_t size; /* of the memory; 0: not to be recorded */
} ring_welcome;

/* Ticks of the clock that all processors share. Nothing that comes before is still under way when
 * they are read, so that what one thread hands to another has the order of its ticks. */
#if defined(__x86_64__)
static inline uint64_t ring_tsc(void)
{
    uint32_t low;
    uint32_t high;
    __asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}
#endif

#endif
