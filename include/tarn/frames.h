/* SPDX-License-Identifier: MIT */
#ifndef TARN_FRAMES_H
#define TARN_FRAMES_H

#include "tarn/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Frames: the physical memory of address spaces, in a file of memory that processes can share.
 *
 *     frame    0 .. first - 1   first                                   total
 *     file     [ books         ][ used ][ used ][      free      ][ used ]
 *                                  2       1                         5      references of each
 *
 * A frame is 4 KiB, or one of the kernel's large pages. Its number is its place in the file, counted
 * in frames; the books lie in the first ones, so 0 is never the number of a frame that was handed
 * out. Each frame counts its references: an entry of a page table is one, and so is who allocated
 * it. The last one to release a frame frees it.
 *
 * Free frames are kept as buddies: blocks of a power of two, each at a multiple of its size. A run
 * of any length is cut from the first of the smallest blocks that are large enough, and what is not
 * needed of it stays free. A frame that is handed out reads as zero.
 *
 * Processes. The file is known by its descriptor. Another process that gets the descriptor, by a
 * fork or over a socket, opens the same frames with tarn_frames_open(). The books are in the file
 * and have no pointers; the file's size is sealed, so that nobody can take memory away under another
 * one's feet. Whoever has the descriptor is trusted with all frames and with the books.
 *
 * A process that dies inside of a call leaves the lock to the next one that wants it, who makes the
 * maps of free frames anew from the counts. What a dead process held references to stays in use.
 *
 * Memory: the file takes pages from the kernel as they are touched, and gives back those of free
 * frames when tarn_frames_trim() is called. The books are 4 bytes and some 2 bits for each frame.
 * The whole file is mapped once in each process that opens it.
 *
 * Cost: allocating and freeing a run takes time in proportion to its frames, and to the logarithm of
 * all frames for each block of a power of two that it consists of. A frame that was used before is
 * cleared, which takes some 50 ns for 4 KiB.
 *
 * Threads: any thread of any process may call anything but init, open and deinit, under one lock in
 * the books.
 *
 * Misuse that is found: releasing or sharing a frame that nobody holds, a number that is none, books
 * that were overwritten, and the end of frames that still have spaces. Fatal, see tarn/base.h; the
 * line shows the frame's number in the block's place.
 *
 * Source: Knowlton, "A Fast Storage Allocator" (CACM 8, 1965), for buddies.
 */

/* The number of a frame; 0 is none. */
typedef uint32_t tarn_frame;

#define TARN_FRAME_SIZE 4096 /* bytes of a frame that is no large page */

typedef struct tarn_frames_options {
    const char
        *name;    /* for messages, and /proc/self/maps; must outlive the frames; NULL: "frames" */
    size_t count; /* frames that can be handed out; ignored by open */
    /* Bytes of a frame: 0 or 4096; or 2 MiB or 1 GiB, if the kernel has large pages of that size put
     * aside (vm.nr_hugepages), of which the books take one, too. Ignored by open. */
    size_t frame_size;
    /* All pages are taken from the kernel at once, so that no touch can find memory short later.
     * Ignored by open. */
    bool is_backed;
    /* When not NULL, gets the system's error number when init or open fails, or 0. */
    int *error;
} tarn_frames_options;

struct frames_maps;
struct frames_head;

/* Frames as one process sees them. The type is complete so that it can live in static storage; its
 * fields are private. It must not be copied or moved while in use. */
typedef struct tarn_frames {
    const char *name;
    unsigned char *memory;    /* the file: frame n is at memory + (n << shift) */
    struct frames_head *head; /* the books, at the start of the file */
    struct frames_maps *maps; /* where the maps of free blocks are in this process */
    uint32_t *counts;         /* of references, for each frame of the file */
    size_t size;              /* bytes of the file */
    tarn_frame first;         /* the first one that can be handed out */
    tarn_frame total;         /* frames of the file, the books among them */
    uint32_t shift;           /* log2 of a frame's bytes */
    uint32_t spaces;          /* of this process */
    uint32_t is_peer; /* processes are known by numbers that all who share the file agree on */
    int descriptor;
} tarn_frames;

/* Makes `count` free frames. On failure `frames` is unusable and holds nothing:
 * TARN_BAD_LAYOUT    the count is 0, or the size of a frame is none of the three.
 * TARN_TOO_LARGE     the file would pass PTRDIFF_MAX bytes, 2^31 frames, or what the process may make
 *                    files of (RLIMIT_FSIZE).
 * TARN_NO_MEMORY     the kernel has no address space, memory, large pages or descriptors left.
 * TARN_UNSUPPORTED   it refuses files of memory, or large pages of this size.
 * Linear in the bits of the free maps, which is a small part of the frames. */
TARN_API tarn_status tarn_frames_init(tarn_frames *frames, const tarn_frames_options *options);

/* Opens frames that tarn_frames_init() has made, by their descriptor, which stays the caller's: a
 * duplicate is kept. NULL options are the zero ones. On failure `frames` is unusable and holds
 * nothing:
 * TARN_BAD_DATA      it is no file of frames, of another version or machine, altered, cut off, or
 *                    not sealed.
 * TARN_BUSY          its lock was held for a second.
 * TARN_NO_MEMORY     the kernel has no address space or descriptors left.
 * TARN_IO_FAILED     it cannot be mapped to be read and written, or is no descriptor.
 * Checks the books first: linear in the frames. */
TARN_API tarn_status tarn_frames_open(tarn_frames *frames, int descriptor,
                                      const tarn_frames_options *options);

/* Ends this process's use of the frames. Their memory goes when the last one has done so. It is
 * misuse while a space of this process has these frames. */
TARN_API void tarn_frames_deinit(tarn_frames *frames);

/* The descriptor, to be handed to another process. It stays the frames'. Is closed when another
 * program is executed. */
TARN_API int tarn_frames_descriptor(const tarn_frames *frames);

/* Gives a run of `count` neighbouring frames with one reference each, all zero, and the number of
 * the first in `first`. With nothing changed: TARN_BAD_LAYOUT for none, TARN_NO_ROOM if there is no
 * free block that has so many. */
TARN_API tarn_status tarn_frames_alloc(tarn_frames *frames, size_t count, tarn_frame *first);

/* One reference more to each frame of the run, all of which are held by somebody. TARN_TOO_LARGE
 * with nothing changed if a frame would have 2^31. */
TARN_API tarn_status tarn_frames_share(tarn_frames *frames, tarn_frame first, size_t count);

/* One reference less to each frame of the run; those that had the last one are free again. */
TARN_API void tarn_frames_release(tarn_frames *frames, tarn_frame first, size_t count);

/* How many references the frame has; 0 if it is free. Constant time. */
TARN_API uint32_t tarn_frames_references(tarn_frames *frames, tarn_frame frame);

/* Where the frame is in this process, readable and writable: what a machine's physical address is.
 * Constant time. */
TARN_API void *tarn_frames_at(const tarn_frames *frames, tarn_frame frame);

/* Bytes of a frame. */
TARN_API size_t tarn_frames_size(const tarn_frames *frames);

/* A number that is kept with the frames, of the frame from which a process that opens them finds the
 * others, for instance; 0 at first. */
TARN_API void tarn_frames_set_root(tarn_frames *frames, tarn_frame frame);
TARN_API tarn_frame tarn_frames_root(tarn_frames *frames);

/* Gives the memory of free frames back to the kernel; returns the bytes of those that may have had
 * some. Linear in the free frames that were used since they last went back. */
TARN_API size_t tarn_frames_trim(tarn_frames *frames);

/* The books of the frames: counts, of all processes together. */
typedef struct tarn_frame_stats {
    size_t count;        /* frames that can be handed out */
    size_t used;         /* with references */
    size_t peak_used;    /* the most that ever were */
    size_t reserved;     /* free, but put aside for copies; see tarn/space.h */
    size_t largest_free; /* the longest run that an alloc would get */
    uint64_t allocs;     /* frames ever handed out */
    uint64_t frees;      /* frames ever freed */
    uint64_t failures;   /* requests ever refused */
    uint64_t recoveries; /* processes that died inside of a call */
} tarn_frame_stats;

/* Constant time. */
TARN_API tarn_frame_stats tarn_frames_stats(tarn_frames *frames);

/* True if the books balance; else the first fault is in `fault` (always terminated, cut to
 * fault_size; may be NULL with 0). Reports, never aborts. Linear in the frames. */
TARN_API bool tarn_frames_check(tarn_frames *frames, char *fault, size_t fault_size);

#ifdef __cplusplus
}
#endif

#endif
