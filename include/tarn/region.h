/* SPDX-License-Identifier: MIT */
#ifndef TARN_REGION_H
#define TARN_REGION_H

#include "tarn/base.h"
#include "tarn/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Region: one contiguous range divided into partitions, under a policy chosen at init.
 *
 *     | used  |  free  | used | used |      free      | used |
 *
 * A request takes a free partition that the policy chooses, and what it does not need of it stays
 * free. A freed partition merges with the free ones before and after it at once, so no two free
 * partitions are ever neighbours.
 *
 * Sizes and distances are kept in *granules*. A partition begins and ends at a granule.
 *
 * The books are kept in one of two ways:
 *
 *     inside    in the free partitions themselves and in a tag of 8 bytes before each block, with a
 *               small index at the start of the range. The granule is the alignment of max_align_t.
 *     outside   in memory of its own. The range is never touched, so it may be a device's memory, a
 *               file or an address space that is not mapped; it can be named by offsets alone.
 *
 * With the books inside, freeing a pointer that is no block, freeing twice and an overwritten tag
 * are found where a call meets them, and are fatal; with the books outside, every wrong offset is
 * found.
 *
 * Cost: every call takes time logarithmic in the free partitions at worst, and constant time where
 * the policy says so; with the books outside, free, resize and room first look the block up in a
 * hash table, which takes constant time on average. Only check, visit, reset and deinit look at
 * every partition. No call but init, add, remove and deinit goes upstream, except to enlarge outside
 * books that are full.
 *
 * Threads: a region may be used by one thread at a time; tarn_locked makes its heap safe for many.
 *
 * Source: Knuth, The Art of Computer Programming, volume 1, section 2.5 (first fit, best fit,
 * boundary tags, the buddy system, the fifty-percent rule); Wilson, Johnstone, Neely and Boles,
 * "Dynamic Storage Allocation: A Survey and Critical Review" (1995).
 */

/*
 * How a request chooses among the free partitions. "Lowest" and "first" speak of addresses.
 *
 * A dynamic partition is cut to the size of the request, unless what would be left is too small to
 * be a partition. Its high end is handed out (Knuth's algorithm 2.5A), so that the free partition
 * stays where it is.
 */
typedef enum tarn_region_policy {
    /* The smallest that fits. Among equals the head of their list: a freed partition becomes the
     * head if it is lower than the head, else it goes to the end; above tarn_region_exact() bytes
     * the lowest. Constant time up to there, else logarithmic. Dense, and fast: the default. */
    TARN_BEST_FIT = 0,
    /* The first that fits. Logarithmic. */
    TARN_FIRST_FIT,
    /* The first that fits at or after the place where the last search ended, then from the start
     * again. Logarithmic. */
    TARN_NEXT_FIT,
    /* The largest; among equals the first. Logarithmic. */
    TARN_WORST_FIT,
    /* A good fit in constant time: sizes are grouped, each power of two cut into 32 equal steps, in
     * a region whose first range has less than 2^14 granules into 8.
     * The head of the request's own group if it fits, else the head of the next group that has a
     * partition. Source: Masmano, Ripoll, Crespo and Real, "TLSF" (ECRTS 2004). */
    TARN_SEGREGATED_FIT,
    /* Blocks of a power of two, each at a multiple of its size from the start of the range; the
     * first of the smallest that are large enough is halved until it fits, and a freed block merges
     * with its buddy at `offset ^ size` while that is free. Logarithmic in the size of the range.
     * Source: Knowlton, "A Fast Storage Allocator" (CACM 8, 1965). */
    TARN_BUDDY,
    /* Partitions fixed at init, all equal or of given sizes. The smallest free one that fits; among
     * equals the first. Logarithmic in the partitions. */
    TARN_FIXED_PARTITIONS,
    /* One partition, the whole range. Constant time. */
    TARN_SINGLE
} tarn_region_policy;

typedef enum tarn_region_books { TARN_BOOKS_INSIDE = 0, TARN_BOOKS_OUTSIDE } tarn_region_books;

/* No offset: what tarn_region_alloc_offset() returns when it cannot serve. */
#define TARN_NO_OFFSET SIZE_MAX

typedef struct tarn_region_options {
    const char *name; /* for messages and reports; NULL: "region" */
    tarn_region_policy policy;
    tarn_region_books books;

    /* Bytes of a granule, a power of two. For books outside: what every size is rounded up to and
     * every offset is a multiple of. For the buddy policy, wherever its books are: its smallest
     * block. 0: the alignment of max_align_t; buddy: 64. Other policies with their books inside have
     * no choice and refuse one. */
    size_t granule;

    /* For fixed partitions: either the size of every one, or an array of `size_count` sizes in the
     * order in which they lie in the range. Each is rounded up to the granule. The array must
     * outlive the region, whose other ranges are divided alike, as far as they reach. */
    size_t partition_size;
    const size_t *sizes;
    size_t size_count;

    /* Where a range comes from that the caller does not give, and the outside books. NULL:
     * tarn_pages_heap(). In a freestanding build NULL is no heap: then what would have to come from
     * there is TARN_BAD_ARGUMENT, so outside books need `book_memory`, or a heap here. */
    tarn_heap *upstream;
    /* Memory for the outside books of the first range; upstream is not asked for them then, and
     * when they are full, requests fail. */
    tarn_memory book_memory;
    /* Partitions, used and free ones, that outside books have room for from the start; 0: a few. */
    size_t partitions;
} tarn_region_options;

struct region_policy;
struct region_range;

/* The type is complete so that it can live in static storage; its fields are private. It must not be
 * copied or moved while in use. */
typedef struct tarn_region {
    tarn_heap heap; /* the region as a heap: tarn_heap_alloc(&region.heap, ...) */
    const struct region_policy *policy;
    struct region_range *ranges; /* lowest address first */
    void *(*take)(struct tarn_region *region, size_t size,
                  size_t alignment);                       /* alloc and free, by the */
    void (*give)(struct tarn_region *region, void *block); /* shortest way that serves */
    tarn_region_options options; /* as given, with the defaults filled in */
    uint64_t allocs;             /* blocks ever given, a count */
    uint64_t failures;           /* requests ever refused, a count */
    uint64_t live;               /* granules of the used partitions */
    uint64_t peak_live;
    size_t footprint; /* bytes of the ranges, and of the outside books */
    size_t peak_footprint;
    uintptr_t origin; /* where offsets count from */
    uintptr_t rover;  /* next fit: address of the partition where the last search ended */
    uint32_t seed;    /* what check codes and hashes are salted with */
    bool has_memory;  /* false: only offsets */
    bool is_alone;    /* one range, and nobody watches */
    bool is_watched;  /* Valgrind or AddressSanitizer wants to know of blocks */
    uint32_t record;  /* its number where the program is recorded, else 0 */
} tarn_region;

/* Makes a region of `range`, or of range.size bytes from upstream if range.start is NULL; with the
 * books outside, a NULL start means that there is no memory and offsets count from 0.
 *
 * On failure `region` is unusable and holds nothing: TARN_NO_ROOM if the range cannot hold its books
 * and one partition (a range may begin at any address; what lies before its first granule is not
 * used), TARN_TOO_LARGE if it has 2^31 granules or more, TARN_BAD_ARGUMENT for options that
 * contradict the policy or each other and for a range that reaches the end of the address space,
 * TARN_BAD_LAYOUT for a granule that is no power of two or below 8, or a fixed partition of no size,
 * TARN_NO_MEMORY if upstream has none, TARN_UNSUPPORTED for a policy or books that this build leaves
 * out (by TARN_REGION_POLICIES or TARN_REGION_BOOKS).
 *
 * Takes time linear in the fixed partitions and in the index, which is a small part of the range. */
TARN_API tarn_status tarn_region_init(tarn_region *region, tarn_memory range,
                                      const tarn_region_options *options);

/* Ends the region, live blocks with it, and gives back what it took from upstream. */
TARN_API void tarn_region_deinit(tarn_region *region);

/* Adds a further range, as init takes the first one; a region without memory takes none. Offsets
 * still count from the start of the first range. A block never spans two ranges, even when they
 * touch. TARN_BAD_ARGUMENT if it overlaps one that the region has, or if the region has no memory; else as
 * init. The policy chooses among the partitions of all ranges, and each call takes
 * time in proportion to their number. */
TARN_API tarn_status tarn_region_add(tarn_region *region, tarn_memory range);

/* Takes the range that contains `address` out of the region: the caller's is the caller's again, one
 * from upstream goes back there. TARN_BAD_ARGUMENT if there is none, or if it is the region's only
 * one; TARN_NO_ROOM if it has a live block, and then nothing has changed. */
TARN_API tarn_status tarn_region_remove(tarn_region *region, const void *address);

/* Returns a block of at least `size` bytes with undefined contents at a multiple of `alignment` (0:
 * that of max_align_t), or NULL if no partition serves, if the alignment is no power of two, or if
 * the region has no memory. A size of 0 is served as 1.
 *
 * An alignment above the granule is looked for twice: in the partition chosen for `size`, and in
 * the one chosen for `size` and the alignment together, where it fits for certain. (First, next and
 * worst fit, best fit, segregated fit and fixed partitions; buddy blocks are aligned to their size.)
 */
TARN_API void *tarn_region_alloc(tarn_region *region, size_t size, size_t alignment);

/* Gives `block` back; ignores NULL. A pointer that is no live block is fatal misuse. */
TARN_API void tarn_region_free(tarn_region *region, void *block);

/* Makes `block` at least `size` bytes where it stands, taking from the free partition behind it or
 * giving to it: true, or false with nothing changed. A size of 0 is served as 1. */
TARN_API bool tarn_region_resize(tarn_region *region, void *block, size_t size);

/* Bytes that `block` has room for, at least what was asked for. Constant time, in a region of one
 * range and on average with books outside. */
TARN_API size_t tarn_region_room(tarn_region *region, const void *block);

/* The same four for blocks named by their distance in bytes from the start of the range given at
 * init (modulo 2^N for ranges added below it), for books outside. Offsets are multiples of `alignment` if the region has no memory; if it has,
 * addresses are. alloc returns TARN_NO_OFFSET when it cannot serve. */
TARN_API size_t tarn_region_alloc_offset(tarn_region *region, size_t size, size_t alignment);
TARN_API void tarn_region_free_offset(tarn_region *region, size_t offset);
TARN_API bool tarn_region_resize_offset(tarn_region *region, size_t offset, size_t size);
TARN_API size_t tarn_region_room_offset(tarn_region *region, size_t offset);

/* Frees every block at once. Takes time linear in the index. */
TARN_API void tarn_region_reset(tarn_region *region);

/* The largest size that a request with an alignment of at most a granule is certain to get now, as
 * long as outside books have room; 0 if there is none. Logarithmic. */
TARN_API size_t tarn_region_largest_free(tarn_region *region);

/* Up to how many bytes best fit keeps a list for each size, in the lowest range. Constant time. */
TARN_API size_t tarn_region_exact(const tarn_region *region);

/* The region's books. `live` and `peak_live` count whole partitions, so with their tags. Time as
 * largest_free. */
TARN_API tarn_stats tarn_region_stats(tarn_region *region);

/* True if the books balance; else the first fault is in `fault` (always terminated, cut to
 * fault_size; may be NULL with 0). Reports, never aborts. Linear in the partitions, or for the
 * buddy policy in its smallest blocks. */
TARN_API bool tarn_region_check(tarn_region *region, char *fault, size_t fault_size);

/* A partition as a visitor sees it. `size` is the room of the block, or the bytes of a free
 * partition that a request could get of it at most. */
typedef struct tarn_partition {
    void *block;   /* where the block is or would be; NULL if the region has no memory */
    size_t offset; /* the same in bytes from the start of the range given at init */
    size_t size;
    bool is_free;
} tarn_partition;

/* Called once for a partition; returns false to end the visit. The region must not be changed from
 * inside. */
typedef bool tarn_partition_visitor(void *context, const tarn_partition *partition);

/* Calls `visitor` for every partition, used and free, in the order of addresses. */
TARN_API void tarn_region_visit(tarn_region *region, tarn_partition_visitor *visitor,
                                void *context);

/* Bytes that a region under `policy` needs at worst to serve every sequence of requests whose live
 * bytes never pass `live`, with blocks of at most `largest` bytes; the proven bounds, with their
 * sources, are in docs/regions.md. Counts what blocks need, with what the policy rounds them up to
 * but without the books: `live` and `largest` count whole partitions, as tarn_stats.peak_live does,
 * of the default granule. SIZE_MAX if that is no size. 0 if nothing is known for the policy.
 * Constant time. */
TARN_API size_t tarn_region_bound(tarn_region_policy policy, size_t live, size_t largest);

#ifdef __cplusplus
}
#endif

#endif
