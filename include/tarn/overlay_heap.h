/* SPDX-License-Identifier: MIT */
#ifndef TARN_OVERLAY_HEAP_H
#define TARN_OVERLAY_HEAP_H

#include "tarn/base.h"
#include "tarn/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A heap over a plan: allocations by name, each at the place that was planned for it.
 *
 *     plan: a 0..4, b 4..8, c 0..8            memory
 *     alloc "a", alloc "b"            ->      [ a    | b    ]
 *     free "a", free "b", alloc "c"   ->      [ c           ]
 *
 * The planner (tarn/overlay.h, or `tarn plan`) decides once where everything goes; the heap only serves it, and finds
 * out when the program does not live by its plan: what is handed out never overlaps what is in use.
 *
 * Memory: the caller's, or taken from upstream once, with the books: some 70 bytes for each place. The names are the
 * caller's and must outlive the heap; the places are copied.
 *
 * Cost: alloc and free take O(log n) in the places, and call nobody.
 *
 * Threads: one at a time.
 *
 * Misuse that is found: a name that is in use already, a place of which others that are in use have bytes, and
 * freeing what is not in use or has no place. Fatal, see tarn/base.h. AddressSanitizer and Valgrind are told which
 * places are in use, unless one has gaps.
 */

/* A block of the plan. */
typedef struct tarn_overlay_place {
    const char *name; /* unlike all others */
    size_t offset;    /* from the start of the memory, in bytes */
    size_t size;
    /* Others may have its bytes while it is in use: those that the plan puts into its gaps. It is not compared
     * with any, so what collides with it is not found. */
    bool has_gaps;
} tarn_overlay_place;

typedef struct tarn_overlay_heap_options {
    tarn_memory memory; /* for the blocks; NULL: as much as the plan needs is taken from upstream */
    size_t alignment;   /* of the memory's start, a power of two; 0: that of max_align_t */
    const char *name;   /* for messages, not copied; NULL: "overlay" */
    tarn_heap *upstream; /* where memory comes from; NULL: tarn_pages_heap() */
} tarn_overlay_heap_options;

/* Complete so that it can live anywhere; its fields are private. */
typedef struct tarn_overlay_heap {
    unsigned char *memory;
    size_t memory_size;
    bool owns_memory;
    bool is_watched;
    uint32_t record; /* its number where the program is recorded, else 0 */
    const char *name;
    tarn_heap *upstream;
    void *books;
    size_t book_size;
    struct overlay_seat *seats;  /* in the order of offsets */
    struct overlay_label *names; /* in the order of names */
    size_t *ends;                /* a tree of the highest ends in use */
    size_t leaves;
    size_t count;
    tarn_stats stats;
} tarn_overlay_heap;

/*
 * Makes a heap of `count` places. On failure `heap` is as it was:
 * TARN_BAD_ARGUMENT  a name is NULL or a second one, or `places` is NULL and `count` is not 0.
 * TARN_BAD_LAYOUT    `alignment` is no power of two, or the caller's memory does not start at such an address.
 * TARN_TOO_LARGE     the end of a place passes PTRDIFF_MAX, or there are too many.
 * TARN_NO_ROOM       the caller's memory is smaller than the plan.
 * TARN_NO_MEMORY     upstream refused.
 * Takes O(n log n). `options` may be NULL.
 */
TARN_API tarn_status tarn_overlay_heap_init(tarn_overlay_heap *heap,
                                            const tarn_overlay_place *places, size_t count,
                                            const tarn_overlay_heap_options *options);

/* Gives back what was taken from upstream. Blocks that are in use are gone with it. */
TARN_API void tarn_overlay_heap_deinit(tarn_overlay_heap *heap);

/* The block of that name, from now on in use, with undefined contents; also one of size 0 is not NULL. NULL if
 * there is no such name, or if more than its planned size is asked for. */
TARN_API void *tarn_overlay_heap_alloc(tarn_overlay_heap *heap, const char *name, size_t size);

/* The block of that name is in use no more. Ignores NULL. */
TARN_API void tarn_overlay_heap_free(tarn_overlay_heap *heap, const char *name);

/* The block of that name if it is in use, else NULL. */
TARN_API void *tarn_overlay_heap_find(const tarn_overlay_heap *heap, const char *name);

/* Nothing is in use any more. Takes linear time. */
TARN_API void tarn_overlay_heap_reset(tarn_overlay_heap *heap);

/* Live bytes are planned sizes, and the footprint is what was taken from upstream. */
TARN_API tarn_stats tarn_overlay_heap_stats(const tarn_overlay_heap *heap);

/* True if the books balance; else a sentence is in `fault` (may be NULL with 0), cut to `fault_size`. Linear time. */
TARN_API bool tarn_overlay_heap_check(const tarn_overlay_heap *heap, char *fault,
                                      size_t fault_size);

#ifdef __cplusplus
}
#endif

#endif
