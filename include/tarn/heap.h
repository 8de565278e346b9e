/* SPDX-License-Identifier: MIT */
#ifndef TARN_HEAP_H
#define TARN_HEAP_H

#include "tarn/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The heap interface: a pool takes from a heap, and is a heap.
 *
 * Memory is bought wholesale from an upstream heap and sold retail. The kernel's pages are a heap,
 * a caller's static buffer is a heap, an arena is a heap that takes from another; so pools stack.
 * Each pool's hot path is its own typed function; this interface is for composition.
 *
 * Sizes are given back: who frees or resizes a block says how large it asked for it to be, as in
 * std::pmr::memory_resource. Every pool that composes knows its chunk sizes anyway, and no wrapper
 * has to store them a second time.
 *
 * Threads: a heap may be used by one thread at a time unless its own header says more; tarn_locked
 * makes any heap safe for many.
 */

typedef struct tarn_heap tarn_heap;

/* The books of a heap. Bytes unless said otherwise; a heap that cannot know a figure reports 0. */
typedef struct tarn_stats {
    size_t live;           /* asked for and not freed */
    size_t peak_live;      /* the most that `live` ever was */
    size_t footprint;      /* held from upstream now */
    size_t peak_footprint; /* the most that `footprint` ever was */
    size_t largest_free;   /* largest block without going upstream; a wrapping heap: upstream's */
    uint64_t blocks;       /* live blocks, a count */
    uint64_t allocs;       /* blocks ever given, a count */
    uint64_t frees;        /* blocks ever taken back, a count */
    uint64_t failures;     /* requests ever refused, a count */
} tarn_stats;

/* Called once for a live block; `size` is what was asked for, or the room the block has where the
 * heap does not keep the former. Returns false to end the visit. The heap must not be changed from
 * inside. */
typedef bool tarn_visitor(void *context, void *block, size_t size);

/*
 * What a heap implements. `alloc` and `free` are required; any other may be NULL. They are called
 * by the functions below, which check and complete what the user said: so every size is between 1
 * and PTRDIFF_MAX, every alignment a power of two, and no block NULL.
 *
 *   alloc         returns NULL when it cannot, and then nothing has changed.
 *   free          size is what was asked for last.
 *   resize        makes the block new_size bytes where it stands and returns true, or changes
 *                 nothing and returns false.
 *   move          as realloc: makes the block new_size bytes, perhaps elsewhere, contents kept up
 *                 to the smaller size, by a way cheaper than copying (mremap); or returns NULL and
 *                 changes nothing.
 *   trim          gives back upstream what it can; returns the bytes given back.
 *   stats         fills every field.
 *   check         true if the books balance; else writes the first fault into `fault` (always
 *                 terminated, cut to fault_size) and returns false.
 *   visit         calls the visitor for every live block; false if the visitor ended it early.
 *   reset         frees every block at once and returns true, or changes nothing and returns false.
 *   alloc_zeroed  as alloc, zeroed by a way cheaper than writing zeros (fresh pages of the kernel).
 *   should_move   true if freeing the block and allocating it again would help to free pages.
 */
typedef struct tarn_heap_ops {
    void *(*alloc)(tarn_heap *heap, size_t size, size_t alignment);
    void (*free)(tarn_heap *heap, void *block, size_t size);
    bool (*resize)(tarn_heap *heap, void *block, size_t old_size, size_t new_size);
    void *(*move)(tarn_heap *heap, void *block, size_t old_size, size_t new_size, size_t alignment);
    size_t (*trim)(tarn_heap *heap);
    void (*stats)(tarn_heap *heap, tarn_stats *stats);
    bool (*check)(tarn_heap *heap, char *fault, size_t fault_size);
    bool (*visit)(tarn_heap *heap, tarn_visitor *visitor, void *context);
    bool (*reset)(tarn_heap *heap);
    void *(*alloc_zeroed)(tarn_heap *heap, size_t size, size_t alignment);
    bool (*should_move)(tarn_heap *heap, void *block, size_t size);
} tarn_heap_ops;

/* A heap is this, first in the struct of whoever implements it. `name` is for messages and reports;
 * it must outlive the heap. */
struct tarn_heap {
    const tarn_heap_ops *ops;
    const char *name;
};

/* Returns a block of `size` bytes with undefined contents at a multiple of `alignment` (0: that of
 * max_align_t). A size of 0 is served as 1, so every success is a distinct address. NULL if the
 * heap cannot, if the size passes PTRDIFF_MAX, or if the alignment is no power of two; then nothing
 * has changed. Cost: the heap's own. */
TARN_API void *tarn_heap_alloc(tarn_heap *heap, size_t size, size_t alignment);

/* The same, zeroed, for `count` things of `size` bytes; NULL also when the product overflows.
 * Memory that is zero already, such as the kernel's fresh pages, is not touched. */
TARN_API void *tarn_heap_calloc(tarn_heap *heap, size_t count, size_t size, size_t alignment);

/* Gives `block` back; ignores NULL. `size` is what was asked for last. Cost: the heap's own. */
TARN_API void tarn_heap_free(tarn_heap *heap, void *block, size_t size);

/* Makes `block` new_size bytes where it stands: true, or false with nothing changed. */
TARN_API bool tarn_heap_resize(tarn_heap *heap, void *block, size_t old_size, size_t new_size);

/* Makes `block` new_size bytes, here or elsewhere, keeping its contents up to the smaller size.
 * Returns its address, or NULL with the old block untouched. A NULL block is allocated; a new_size
 * of 0 is served as 1, it does not free. `alignment` is that of the first request. Cost: the heap's
 * resize or move where it has one, else alloc, a copy and free. */
TARN_API void *tarn_heap_realloc(tarn_heap *heap, void *block, size_t old_size, size_t new_size,
                                 size_t alignment);

/* Gives back upstream what is not in use; returns the bytes given back, 0 where the heap has no way
 * to. */
TARN_API size_t tarn_heap_trim(tarn_heap *heap);

/* The heap's books; all zero where it keeps none. */
TARN_API tarn_stats tarn_heap_stats(tarn_heap *heap);

/* True if the heap's books balance, or if it has no check. Otherwise `fault` (may be NULL when
 * fault_size is 0) gets the first thing found wrong, in one line. Reports, never aborts. */
TARN_API bool tarn_heap_check(tarn_heap *heap, char *fault, size_t fault_size);

/* Calls `visitor` for every live block, in the heap's own order. TARN_UNSUPPORTED where it
 * cannot. */
TARN_API tarn_status tarn_heap_visit(tarn_heap *heap, tarn_visitor *visitor, void *context);

/* A hint for programs that defragment by copying: true if freeing `block` and allocating as much again
 * would probably get a place on fuller pages, and so help to empty the page it is on. False where
 * the heap cannot tell. `size` is what was asked for last. A program that moves all blocks of which
 * this is true, and later does so again, ends with few pages partly full. The general malloc tells
 * of small blocks that the calling thread allocated, its first-class heaps of all small blocks.
 * Cost: the heap's own, small. */
TARN_API bool tarn_heap_should_move(tarn_heap *heap, void *block, size_t size);

/* Frees every block at once. TARN_UNSUPPORTED where the heap cannot; then nothing has changed. */
TARN_API tarn_status tarn_heap_reset(tarn_heap *heap);

#ifdef __cplusplus
}
#endif

#endif
