/* SPDX-License-Identifier: MIT */
#ifndef TARN_HEAPS_H
#define TARN_HEAPS_H

#include "tarn/base.h"
#include "tarn/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The heaps to build on: three that memory comes from, and five that wrap another heap.
 *
 *     tarn_pages     whole pages of the kernel
 *     tarn_buffer    a stretch of memory that the caller owns
 *     system         the malloc that the process has
 *     tarn_limited   a soft limit that calls back and a hard limit that refuses
 *     tarn_counted   counts what passes through, by kind and by size
 *     tarn_locked    makes any heap safe for many threads
 *     tarn_failing   refuses requests on a plan, to test who uses it
 *     tarn_guarded   finds overruns, underruns, double frees and use after free
 *
 * Each is a struct in the caller's storage. Its `heap` is the heap, for tarn_heap_alloc(&it.heap,
 * ...); all other fields are private. It must not be copied or moved while in use, and whatever it
 * was given (upstream, memory, name) must outlive it. An options pointer may be NULL for the zero
 * options. A failed init leaves the struct unusable and holds nothing.
 *
 * A wrapping heap counts what passes through it in its own stats and hands everything else on:
 * trim, check and visit speak for the whole of upstream. What upstream cannot do, it cannot. Reset
 * works only while every block of upstream came through the wrapping heap, so that nobody else's
 * blocks vanish. tarn_locked and tarn_guarded differ, as they say.
 *
 * Threads: tarn_pages, tarn_locked and the system heap may be used by any thread; the others by one at a time, or
 * under a tarn_locked.
 */

/* The address and the size of every block, kept away from the blocks. Private. */
typedef struct tarn_ledger {
    tarn_memory memory; /* where the records and the index are */
    unsigned char *records;
    uint32_t *index;    /* hash table of record numbers plus one; 0 is empty */
    size_t record_size; /* bytes from one record to the next */
    uint32_t capacity;  /* records that fit, a power of two or 0 */
    uint32_t touched;   /* records ever used; always the first ones */
    uint32_t count;     /* records in use */
    uint32_t vacant;    /* first of the chain of vacant records, plus one */
} tarn_ledger;

/* What the wrapping heaps have in common; always right behind their `heap`. Private. */
typedef struct tarn_wrapper {
    tarn_heap_ops ops; /* those of the wrapping heap that make sense over this upstream */
    tarn_heap *upstream;
    tarn_stats books; /* of what passed through; `footprint` is `live` */
} tarn_wrapper;

/* ------------------------------------------------------------------------------------------------
 * Pages: every block is a mapping of its own, so it starts at a page, or at any larger alignment,
 * and is zero when new; calloc touches nothing, and realloc moves pages instead of bytes.
 *
 * Freeing a pointer that is no block of these, freeing twice, and a wrong size are found and fatal.
 *
 * Cost: a system call, and a look into the ledger of blocks (a hash table in pages of its own,
 * given back by trim when no block is left).
 * Threads: any; a visitor runs under the heap's lock and must not use the heap. In a child forked
 * while another thread was inside, the heap may stay locked.
 */
typedef struct tarn_pages {
    tarn_heap heap;
    tarn_ledger ledger;
    tarn_stats books;
    uint32_t lock; /* guards all of this */
} tarn_pages;

typedef struct tarn_pages_options {
    const char *name; /* for messages and reports; NULL: "pages" */
} tarn_pages_options;

/* The process-wide pages heap: what a heap takes from when nobody says otherwise. Never NULL;
 * cannot be reset. */
TARN_API tarn_heap *tarn_pages_heap(void);

/* A pages heap with books of its own. Always TARN_OK. */
TARN_API tarn_status tarn_pages_init(tarn_pages *pages, const tarn_pages_options *options);

/* Gives every page back to the kernel, those of live blocks included. */
TARN_API void tarn_pages_deinit(tarn_pages *pages);

/* ------------------------------------------------------------------------------------------------
 * Buffer: divides memory that the caller owns, for instance a static array; takes nothing from
 * anywhere else.
 *
 * Two-level segregated fit: free blocks hang in lists by size, a power of two cut into equal steps,
 * with a bit for each list that is not empty. Neighbours that are free are merged at once.
 *
 * A block costs one size_t of book-keeping and is a multiple of the alignment of max_align_t, less
 * that size_t. The book-keeping between the blocks carries a check code: a double free, a pointer
 * that is no block, a wrong size and an overwritten neighbour are fatal where one of these calls
 * meets them.
 *
 * Cost: constant time for alloc, free and resize; stats too. check and visit are linear in the
 * blocks.
 * Source: Masmano, Ripoll, Crespo and Real, "TLSF: a New Dynamic Memory Allocator for Real-Time
 * Systems" (ECRTS 2004); Knuth, The Art of Computer Programming, volume 1, section 2.5, for
 * boundary tags.
 */
typedef struct tarn_buffer {
    tarn_heap heap;
    tarn_memory memory;    /* as given */
    unsigned char *first;  /* first block */
    unsigned char *end;    /* the tag behind the last block */
    unsigned char **lists; /* heads of the free lists, a row for each power of two; in the memory */
    uint16_t *row_maps;    /* for each row, a bit for each list that is not empty; in the memory */
    uint64_t row_map;      /* a bit for each row that has a free block */
    uint32_t row_count;    /* rows of `lists` */
    uint32_t steps_log2;   /* lists in a row, as a power of two */
    uint64_t secret; /* makes the check codes hard to guess, and those from before a reset wrong */
    tarn_stats books;
} tarn_buffer;

typedef struct tarn_buffer_options {
    const char *name; /* for messages and reports; NULL: "buffer" */
} tarn_buffer_options;

/* TARN_BAD_ARGUMENT if memory.start is NULL, TARN_NO_ROOM if the memory cannot hold the books and
 * one block, TARN_TOO_LARGE if it is larger than the check code leaves bits for (128 TiB). The
 * memory may have any alignment. */
TARN_API tarn_status tarn_buffer_init(tarn_buffer *buffer, tarn_memory memory,
                                      const tarn_buffer_options *options);

/* Ends the heap; live blocks end with it. The memory is the caller's again. */
TARN_API void tarn_buffer_deinit(tarn_buffer *buffer);

/* ------------------------------------------------------------------------------------------------
 * System: the malloc that the process has, whichever that is: libc's, one that was preloaded or
 * linked, a sanitizer's. Keeps no books of its own: its stats are zero. Any thread. Never NULL.
 * Cost: that malloc's.
 */
TARN_API tarn_heap *tarn_system_heap(void);

/* Whether pools pool. If not, every pool that is made (fixed-size pools, arenas, two-level) asks the
 * system heap for each of its blocks and gives it back there when it is freed, so that tools which
 * watch malloc see each one: heap profilers, leak checkers, a debugging malloc. It is slow, and what
 * the pool promises of its memory (one chunk for many, limits by chunks) does not hold then.
 *
 * True, unless the environment says TARN_POOLING=0 (not heeded in setuid programs) or the program
 * tarn_set_pooling(false). Pools that are there keep to what held when they were made. Any thread. */
TARN_API bool tarn_pooling(void);
TARN_API void tarn_set_pooling(bool pooling);

/* ------------------------------------------------------------------------------------------------
 * Limited: refuses what would pass the hard limit, and calls back when the soft limit is passed.
 * Both count the bytes asked for and not freed. Needs no teardown. Cost: constant, beside
 * upstream's.
 */
typedef struct tarn_limited_options {
    tarn_heap *upstream; /* NULL: tarn_pages_heap() */
    const char *name;    /* for messages and reports; NULL: "limited" */
    size_t soft_limit;   /* bytes beyond which on_soft_limit is called; 0: none */
    size_t hard_limit;   /* bytes that are never passed: a request that would is NULL; 0: none */
    /* Called once per crossing, after the request was served; `heap` is the limited heap, `live`
     * its bytes. It may free and allocate from `heap`. Under a tarn_locked the lock is held: use
     * `heap`, not the locked heap. */
    void (*on_soft_limit)(void *context, tarn_heap *heap, size_t live);
    void *context;
} tarn_limited_options;

typedef struct tarn_limited {
    tarn_heap heap;
    tarn_wrapper wrapper;
    tarn_limited_options options;
    bool is_above; /* the soft limit was passed and the call made */
} tarn_limited;

/* TARN_BAD_ARGUMENT if the soft limit is above the hard one, or has nobody to call. */
TARN_API tarn_status tarn_limited_init(tarn_limited *limited, const tarn_limited_options *options);

/* ------------------------------------------------------------------------------------------------
 * Counted: counts what passes through. Needs no teardown. Cost: constant, beside upstream's.
 */
#define TARN_COUNTED_SIZES 64

typedef struct tarn_counts {
    uint64_t allocs;        /* blocks given, a count */
    uint64_t frees;         /* blocks taken back, a count */
    uint64_t resizes;       /* blocks resized where they stood, a count */
    uint64_t moves;         /* blocks that upstream moved without copying, a count */
    uint64_t failures;      /* allocs refused, a count */
    uint64_t alloced_bytes; /* ever asked for: by alloc, and by growing */
    size_t largest;         /* the largest size ever served, in bytes */
    /* sizes[i]: blocks given whose size in bytes is at least 2^i and less than 2^(i+1), a count */
    uint64_t sizes[TARN_COUNTED_SIZES];
} tarn_counts;

typedef struct tarn_counted_options {
    tarn_heap *upstream; /* NULL: tarn_pages_heap() */
    const char *name;    /* for messages and reports; NULL: "counted" */
} tarn_counted_options;

typedef struct tarn_counted {
    tarn_heap heap;
    tarn_wrapper wrapper;
    tarn_counts counts; /* may be read at any time */
} tarn_counted;

/* Always TARN_OK. */
TARN_API tarn_status tarn_counted_init(tarn_counted *counted, const tarn_counted_options *options);

/* ------------------------------------------------------------------------------------------------
 * Locked: one call at a time reaches upstream, whose books it shows as its own; it keeps none.
 * Everybody has to go through the same locked heap. A visitor runs under the lock: it must not use
 * this heap. Reset is upstream's. Needs no teardown. Cost: an atomic operation before and after,
 * beside upstream's; waiting threads sleep.
 */
typedef struct tarn_locked_options {
    tarn_heap *upstream; /* NULL: tarn_pages_heap() */
    const char *name;    /* for messages and reports; NULL: "locked" */
} tarn_locked_options;

typedef struct tarn_locked {
    tarn_heap heap;
    tarn_wrapper wrapper;
    uint32_t lock;
} tarn_locked;

/* Always TARN_OK. */
TARN_API tarn_status tarn_locked_init(tarn_locked *locked, const tarn_locked_options *options);

/* ------------------------------------------------------------------------------------------------
 * Failing: refuses requests on a plan, so that a test can see what its users do then. A request is
 * any call that may fail: alloc, resize and move, each counted from 1. Needs no teardown. Cost:
 * constant, beside upstream's.
 */
typedef struct tarn_failing_plan {
    uint64_t at;     /* this request fails; 0: none does for this reason, here and below */
    uint64_t from;   /* this one and all after it fail */
    uint64_t every;  /* each multiple of this fails */
    uint32_t one_in; /* each fails with a chance of one in so many, drawn from `seed` */
    uint64_t seed;   /* the same seed draws the same failures */
} tarn_failing_plan;

typedef struct tarn_failing_options {
    tarn_heap *upstream;    /* NULL: tarn_pages_heap() */
    const char *name;       /* for messages and reports; NULL: "failing" */
    tarn_failing_plan plan; /* all zero: nothing fails */
} tarn_failing_options;

typedef struct tarn_failing {
    tarn_heap heap;
    tarn_wrapper wrapper;
    tarn_failing_plan plan;
    uint64_t requests; /* seen by the plan; may be read at any time */
    uint64_t refused;  /* of these, refused by the plan; may be read at any time */
    uint64_t draws;    /* state of the random numbers */
} tarn_failing;

/* Always TARN_OK. */
TARN_API tarn_status tarn_failing_init(tarn_failing *failing, const tarn_failing_options *options);

/* Follows `plan` (NULL: nothing fails) from now on; the next request is number 1. */
TARN_API void tarn_failing_restart(tarn_failing *failing, const tarn_failing_plan *plan);

/* ------------------------------------------------------------------------------------------------
 * Guarded: finds the misuse of blocks, for debugging with any pool or heap below.
 *
 * Each block is a chunk of upstream of its own, with a zone of known bytes on either side, or with
 * pages that fault when touched. New blocks are filled with the byte 0xcd. Freed ones stay in
 * quarantine, filled with 0xdd or not accessible, until newer ones have pushed them out. What was
 * written where it should not is found at once (pages), when the block is freed or leaves the
 * quarantine (zones), and by tarn_heap_check, which only reports. Double frees, wrong sizes and
 * pointers that are no block are found at once.
 *
 * No block is resized in place: realloc always moves, so that stale pointers show. The books are
 * kept away from the blocks, in chunks of upstream. Visit shows this heap's blocks alone, and reset
 * frees these alone. When upstream has no memory left, the quarantine is emptied before a request
 * is refused.
 *
 * Cost: linear in the size of the block, and page mode costs two to four system calls. In page mode
 * small blocks take three pages each, and where the kernel refuses to protect (it limits the
 * mappings of a process), zones serve instead.
 */
typedef enum tarn_guard_mode {
    /* Bytes around the block, looked at afterwards. */
    TARN_GUARD_ZONES = 0,
    /* Pages around the block, which fault at once; upstream's memory must be the kernel's pages, as
     * the pages heap's and a static array's are. */
    TARN_GUARD_PAGES
} tarn_guard_mode;

typedef struct tarn_guarded_options {
    tarn_heap *upstream; /* NULL: tarn_pages_heap() */
    const char *name;    /* for messages and reports; NULL: "guarded" */
    tarn_guard_mode mode;
    size_t zone;       /* bytes of a zone; 0: 32. Page mode has its pages */
    size_t quarantine; /* bytes of chunks that stay after free; 0: 1 MiB; 1: none */
} tarn_guarded_options;

typedef struct tarn_guarded {
    tarn_heap heap;
    tarn_wrapper wrapper;
    tarn_ledger ledger;
    tarn_guard_mode mode;
    size_t zone;             /* bytes */
    size_t quarantine_limit; /* bytes */
    size_t quarantine;       /* bytes of the chunks in quarantine */
    uint32_t oldest;         /* record that leaves the quarantine next, plus one */
    uint32_t newest;         /* record that came last, plus one */
} tarn_guarded;

/* TARN_BAD_ARGUMENT for a mode that is none, TARN_TOO_LARGE for a zone of more than 1 GiB. */
TARN_API tarn_status tarn_guarded_init(tarn_guarded *guarded, const tarn_guarded_options *options);

/* Gives every chunk back to upstream, those of live blocks included, after a last look at the
 * zones. */
TARN_API void tarn_guarded_deinit(tarn_guarded *guarded);

/* Says what `address` is to this heap, for a handler of SIGSEGV, which gets it as si_addr. True
 * with one line in `text` (cut to `size`, which is at least 1), such as "byte 0 past the end of a
 * block of 24 bytes", and the block in `block` (may be NULL); false if the address is in none of
 * the heap's chunks. Safe in a signal handler. Linear in the blocks. */
TARN_API bool tarn_guarded_explain(const tarn_guarded *guarded, const void *address, char *text,
                                   size_t size, void **block);

#ifdef __cplusplus
}
#endif

#endif
