/* SPDX-License-Identifier: MIT */
#ifndef TARN_RING_H
#define TARN_RING_H

#include "tarn/base.h"
#include "tarn/frames.h"
#include "tarn/space.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A mirrored ring: a ring buffer without an edge.
 *
 *     addresses   [ 0 | 1 | 2 | 3 | 0 | 1 | 2 | 3 ]     the same frames, twice in a row
 *                           ^ head        ^ tail
 *
 * Whatever is in the ring, and whatever is free, is one stretch of addresses: a record that passes
 * the end goes on in the mirror, which is the start. So bytes can be parsed, sent and received in
 * place, and nobody splits a copy in two.
 *
 * Built on a space of its own, whose window maps the frames at [0, size) and at [size, 2 size).
 *
 * Cost: every call but init and deinit takes constant time.
 *
 * Threads: one that writes and one that reads, at the same time and without a lock: the writer calls
 * tarn_ring_space and _commit, the reader tarn_ring_data and _consume. Sizes are in bytes.
 *
 * Misuse that is found: committing more than there is space for, and consuming more than there is.
 * Fatal, see tarn/base.h.
 */

typedef struct tarn_ring_options {
    const char *name; /* for messages; must outlive the ring; NULL: "ring" */
    size_t size;      /* bytes that it holds, rounded up to a frame */
    /* Where the frames come from, which must outlive the ring; NULL: frames of its own. */
    tarn_frames *frames;
    tarn_heap *upstream; /* for tables; NULL: tarn_pages_heap() */
} tarn_ring_options;

/* The type is complete so that it can live in static storage; its fields are private. It must not
 * be copied or moved while in use. */
typedef struct tarn_ring {
    unsigned char *start;
    size_t size; /* bytes of one of the two mirrors */
    const char *name;
    uint64_t written; /* bytes ever; the writer's */
    char apart[64];   /* keeps the two ends off the same cache line */
    uint64_t read;    /* bytes ever; the reader's */
    tarn_space space;
    tarn_frames frames; /* if they are its own */
    bool has_frames;
} tarn_ring;

/* Makes an empty ring. On failure it is unusable and holds nothing: TARN_BAD_LAYOUT for a size of 0,
 * TARN_TOO_LARGE, and as tarn_frames_init(), tarn_space_init(), tarn_space_map() and
 * tarn_space_attach() fail. */
TARN_API tarn_status tarn_ring_init(tarn_ring *ring, const tarn_ring_options *options);

/* Ends the ring and gives its frames back. */
TARN_API void tarn_ring_deinit(tarn_ring *ring);

/* Where to write next, and in *size how many bytes may be. */
TARN_API void *tarn_ring_space(tarn_ring *ring, size_t *size);

/* The first `size` bytes there are written, and the reader's. */
TARN_API void tarn_ring_commit(tarn_ring *ring, size_t size);

/* Where to read next, and in *size how many bytes are there. */
TARN_API const void *tarn_ring_data(tarn_ring *ring, size_t *size);

/* The first `size` bytes of these are read, and their place is the writer's again. */
TARN_API void tarn_ring_consume(tarn_ring *ring, size_t size);

#ifdef __cplusplus
}
#endif

#endif
