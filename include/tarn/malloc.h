/* SPDX-License-Identifier: MIT */
#ifndef TARN_MALLOC_H
#define TARN_MALLOC_H

#include "tarn/base.h"
#include "tarn/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The general malloc: thread cache, central, page heap.
 *
 * Small blocks (up to 32 KiB) come from spans: 64 KiB cut into slots of one size class, owned by one thread, which
 * takes and gives slots without a lock or an atomic. Blocks freed by another thread travel to their owner together, for
 * one atomic operation. Larger blocks are runs of pages from the page heap, and
 * the largest are mappings of their own. Idle memory goes back to the kernel by decay.
 *
 * These functions are the same allocator that libtarn-malloc.so puts under libc's names; a program that links libtarn
 * may call them beside its usual malloc. A block must go back to the allocator that it came from.
 *
 * Threads: every function may be called from any thread, and a block freed by any thread.
 * Alignment: 16 bytes, unless asked otherwise.
 * Failure: NULL with errno ENOMEM, nothing changed; sizes past PTRDIFF_MAX fail at once.
 * Zero: a request of 0 bytes is a distinct block of the smallest class; NULL is ignored by free.
 * Misuse (double free, a pointer that is not a block's start or not ours, wrong size, overwritten links) ends in the
 * fatal handler (tarn/base.h).
 *
 * Sources: Ghemawat and Menage, "TCMalloc: Thread-Caching Malloc"; the Go runtime's mcache, mcentral and mheap;
 * Leijen, Zorn and de Moura, "Mimalloc: Free List Sharding in Action" (2019), for free lists per page; Lietar et
 * al., "snmalloc: a message passing allocator" (2019), for frees as messages to the owner.
 */

/* As their namesakes in C. */
TARN_API void *tarn_malloc(size_t size);
TARN_API void *tarn_calloc(size_t count, size_t size);
TARN_API void *tarn_realloc(void *block, size_t size);
TARN_API void *tarn_reallocarray(void *block, size_t count, size_t size);
TARN_API void tarn_free(void *block);

/* A block at a multiple of `alignment`, a power of two (else NULL and EINVAL). Any size. */
TARN_API void *tarn_aligned_alloc(size_t alignment, size_t size);

/* As tarn_free, for who knows the size asked for (a wrong one is misuse and found). */
TARN_API void tarn_free_sized(void *block, size_t size);

/* Bytes that the block has room for, at least those asked for; 0 for NULL. */
TARN_API size_t tarn_malloc_usable_size(const void *block);

/* Gives every free page back to the kernel now, on behalf of the calling thread and of all threads that have
 * ended. Returns the bytes given back. */
TARN_API size_t tarn_malloc_trim(void);

/* The process-wide malloc as a heap; never NULL, never destroyed, any thread. */
TARN_API tarn_heap *tarn_malloc_heap(void);

/* ------------------------------------------------------------------------------------------------------------
 * First-class heaps: a malloc of one's own. Made, used and destroyed from any thread; every call takes the heap's
 * lock. All blocks go at once by destroy or tarn_heap_reset. Blocks are allocated, resized and freed by tarn_heap_*
 * (tarn/heap.h); tarn_free and, in the preload library, free take them too unless the heap is confined.
 */
typedef struct tarn_malloc_options {
    const char *name; /* for messages and reports; must outlive the heap; NULL: "malloc heap" */
    /* When start is not NULL: the heap lives in this memory and takes nothing from the kernel, not even for its
     * books; the memory must outlive the heap and is left as it is. */
    tarn_memory memory;
    size_t soft_limit; /* footprint in bytes beyond which on_soft_limit is called; 0: none */
    size_t hard_limit; /* footprint in bytes that is never passed: beyond it NULL; 0: none */
    /* Called at most once per crossing, without the heap's lock, after the request was served; may free blocks. */
    void (*on_soft_limit)(void *context, tarn_heap *heap, size_t footprint);
    void *context;
} tarn_malloc_options;

/* NULL options are the zero ones. NULL when memory is short; TARN_NO_ROOM cases too: a confined heap needs at least
 * 256 KiB. */
TARN_API tarn_heap *tarn_malloc_create(const tarn_malloc_options *options);

/* Frees every block and the heap; NULL is ignored. No thread may be inside the heap. */
TARN_API void tarn_malloc_destroy(tarn_heap *heap);

/* ------------------------------------------------------------------------------------------------------------
 * Statistics.
 */
#define TARN_MALLOC_STATS_VERSION 2
#define TARN_MALLOC_CLASSES_MAX 96

typedef struct tarn_malloc_class_stats {
    size_t slot_size; /* bytes */
    uint64_t live;    /* slots in use, a count; slots in flight between threads count as live */
    uint64_t spans;   /* spans of this class, a count */
    size_t waste;     /* bytes of the spans' touched slots that are free */
} tarn_malloc_class_stats;

/* How writers to pages that compaction moves are made to wait. */
typedef enum tarn_malloc_guard {
    TARN_MALLOC_GUARD_NONE, /* nothing was moved yet, or nothing can be */
    TARN_MALLOC_GUARD_KERNEL, /* in their page faults (userfaultfd), those inside of system calls too */
    TARN_MALLOC_GUARD_SIGNAL /* in a handler of SIGSEGV; a system call that writes there fails with EFAULT */
} tarn_malloc_guard;

/* What compact:1 has done. */
typedef struct tarn_malloc_compact_stats {
    uint64_t passes;          /* times that spans were looked through, a count */
    uint64_t pairs_tried;     /* windows that were compared, a count of pairs */
    uint64_t pairs_joined;    /* windows that joined a frame that others were on, a count */
    uint64_t bytes_recovered; /* that were resident and are not since, over the whole run */
    size_t frames;            /* bytes of memory that windows share now */
    size_t windows;           /* bytes of addresses that are mapped to them now */
    uint64_t pause_us_max;    /* the longest that a writer can have waited, microseconds */
    uint64_t pause_us_sum;    /* all that writers to any window can have waited */
    tarn_malloc_guard guard;
} tarn_malloc_compact_stats;

/* Figures of a moment; threads go on meanwhile, so sums may be off by what happened between two reads. */
typedef struct tarn_malloc_stats {
    uint32_t version;     /* TARN_MALLOC_STATS_VERSION of the library */
    uint32_t class_count; /* entries of `classes` that are set */
    size_t small_live;    /* bytes of live slots */
    size_t large_live;    /* bytes of live runs of pages */
    size_t huge_live;     /* bytes of live mappings of their own */
    uint64_t large_blocks;
    uint64_t huge_blocks;
    size_t mapped;      /* address space held from the kernel */
    size_t dirty;       /* free pages not yet given back */
    size_t metadata;    /* bytes of books */
    size_t peak_mapped; /* the most that `mapped` ever was */
    uint64_t threads;   /* thread caches in use, a count */
    uint64_t purges;    /* times pages went back to the kernel, a count */
    size_t purged;      /* bytes that ever went back */
    tarn_malloc_class_stats classes[TARN_MALLOC_CLASSES_MAX];
    tarn_malloc_compact_stats compact; /* since version 2 */
} tarn_malloc_stats;

/* Fills what fits in `size` bytes (sizeof *stats of the caller), so that old callers work with new libraries. */
TARN_API void tarn_malloc_stats_get(tarn_malloc_stats *stats, size_t size);

typedef enum tarn_malloc_format {
    TARN_MALLOC_TABLE,
    TARN_MALLOC_JSON,
    TARN_MALLOC_XML
} tarn_malloc_format;

/* Writes the statistics piece by piece; allocates nothing. */
TARN_API void tarn_malloc_report(tarn_malloc_format format,
                                 void (*write)(void *context, const char *text, size_t size),
                                 void *context);

/* ------------------------------------------------------------------------------------------------------------
 * Options: TARN_CONF="decay_ms:500,limit:2g,stats:1" in the environment (ignored in setuid programs), after the
 * link-time default, after the built-in ones. Keys:
 *   decay_ms:N   free pages go back to the kernel after N ms (default 500; 0 at once; -1 never)
 *   background:0 no helper thread: decay is looked at only inside allocator calls
 *   limit:SIZE   the most address space to hold from the kernel (k, m, g); beyond it NULL; 0: none
 *   stats:1      print a table to standard error at exit
 *   compact:1    let sparse pages share memory where their blocks do not meet; no block changes its address
 *                (docs/compaction.md says what it needs and costs)
 * An unknown key or a bad value warns once on standard error and is ignored.
 */

/* Define this in the program for a link-time default; the library's own is weak and NULL. */
extern TARN_API const char *tarn_malloc_conf;

#ifdef __cplusplus
}
#endif

#endif
