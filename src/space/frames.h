/* SPDX-License-Identifier: MIT */
#ifndef TARN_SPACE_FRAMES_H
#define TARN_SPACE_FRAMES_H

/*
 * The books of frames, in the first frames of their file.
 *
 *     [ head | a count for each frame | maps of free blocks of order 0, 1, 2 ... ]
 *
 * What does not change is copied to tarn_frames when the file is opened, and never read from the file again. All else is
 * under the lock in the head.
 *
 * Invariant: each frame has references or is in exactly one free block; a free block's buddy is not a free block. The
 * counts are what is true: the maps can be made anew from them.
 */

#include "base/bitmap.h"
#include "base/check.h"
#include "os/os.h"
#include "space/wide.h"
#include "tarn/frames.h"

#define FRAMES_MAGIC UINT64_C(0x73656d6172664e54) /* "TNframes" where bytes are little-endian */
#define FRAMES_VERSION 1

enum { FRAMES_ORDERS = 32 };

/* In a count: the frame's memory may hold something. The other bits are the references. */
#define COUNT_DIRTY (UINT32_C(1) << 31)
#define COUNT_MAX WIDE_COUNT_MAX

typedef struct frames_head {
    uint64_t magic;
    uint32_t version;
    uint32_t shift; /* log2 of a frame's bytes */
    uint64_t realm; /* of the process that made the file */
    tarn_frame total;
    tarn_frame first;
    os_process_lock lock;
    uint32_t order_map; /* a bit for each order that has a free block */
    tarn_frame root;
    uint32_t free;      /* frames */
    uint32_t reserved;  /* of these: promised */
    uint32_t peak_used; /* frames */
    uint64_t allocs;    /* frames ever */
    uint64_t frees;
    uint64_t failures;
    uint64_t recoveries;
} frames_head;

/* Of this process: the maps consist of pointers into the file. */
typedef struct frames_maps {
    base_bitmap orders[FRAMES_ORDERS];
    uint64_t *words; /* of all maps */
    size_t word_count;
    uint32_t top; /* the highest order */
} frames_maps;

/* A run of frames. */
typedef struct frames_run {
    tarn_frame first;
    uint32_t count;
} frames_run;

/* ---- buddies.c: the maps of free blocks; under the lock ---- */

/* Words of the maps for so many frames. */
size_t buddies_words(uint32_t count);

/* Lays the maps over `words`. */
void buddies_lay(frames_maps *maps, uint64_t *words, uint32_t count);

/* Makes the maps anew from the counts, and counts the free frames. */
void buddies_rebuild(tarn_frames *frames);

/* Takes a run of exactly `count` frames, which is at least 1; an empty one if there is none. */
frames_run buddies_take(tarn_frames *frames, uint32_t count);

/* The same, or else as many in a row as there are. Not empty if a frame is free. */
frames_run buddies_take_some(tarn_frames *frames, uint32_t count);

/* Gives back frames that are in no free block. */
void buddies_give(tarn_frames *frames, frames_run run);

/* The longest run that a take would find. */
uint32_t buddies_largest(const tarn_frames *frames);

/* The free block that `frame` begins; an empty run if it begins none. */
frames_run buddies_block_at(const tarn_frames *frames, tarn_frame frame);

bool buddies_check(const tarn_frames *frames, char *fault, size_t fault_size);

/* ---- frames.c: for spaces ---- */

void frames_lock(tarn_frames *frames);
void frames_unlock(tarn_frames *frames);

/* Gives frames back that were taken from what is put aside, and puts them aside again, in one step: nobody can have them
 * between the two. `none` and 0 in the list are no frames. */
void frames_put_aside(tarn_frames *frames, const tarn_frame *list, size_t count, tarn_frame none);

/* Puts frames aside for frames_take_reserved; false if there are not so many free. */
bool frames_reserve(tarn_frames *frames, size_t count);
void frames_unreserve(tarn_frames *frames, size_t count);

/* A run of at most `count` of the frames put aside, at least 1, with one reference each. *is_dirty: its memory may hold
 * something. */
frames_run frames_take_reserved(tarn_frames *frames, size_t count, bool *is_dirty);

/* A run of frames of which none was put aside, as frames_take_reserved; an empty one if there is none. */
frames_run frames_take(tarn_frames *frames, size_t count, bool *is_dirty);

/* Makes the run read as zero. */
void frames_clear(const tarn_frames *frames, frames_run run);

/* True if nobody else holds a frame that the caller holds. */
bool frames_is_alone(tarn_frames *frames, tarn_frame frame);

/* As the public ones, with the lock held; of share: false for a frame that nobody holds. */
tarn_status frames_share_locked(tarn_frames *frames, frames_run run, bool *is_held);
void frames_release_locked(tarn_frames *frames, frames_run run);

static inline size_t frames_frame_size(const tarn_frames *frames)
{
    return (size_t)1 << frames->shift;
}

static inline unsigned char *frames_at(const tarn_frames *frames, tarn_frame frame)
{
    return frames->memory + ((size_t)frame << frames->shift);
}

/* True if the run lies within what can be handed out. */
static inline bool frames_has(const tarn_frames *frames, tarn_frame first, size_t count)
{
    return first >= frames->first && first < frames->total && count <= frames->total - first;
}

#endif
