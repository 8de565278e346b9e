/* SPDX-License-Identifier: MIT */
#ifndef TARN_TWOLEVEL_H
#define TARN_TWOLEVEL_H

#include "tarn/base.h"
#include "tarn/heap.h"
#include "tarn/heaps.h"

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Two-level: the small-object allocator of the SGI STL, which gives memory back.
 *
 * Requests of more than TARN_TWOLEVEL_MAX bytes go to the first level, the upstream heap. Smaller
 * ones are rounded up to a multiple of 8 and served from one of 16 free lists. An empty list is
 * refilled by 20 blocks, cut from the rest of the newest chunk. When that is too small for a single
 * block, it goes to the list that it fits, and the next chunk comes from upstream: twice the need
 * plus a sixteenth of all chunks so far. When upstream has no memory, larger free blocks are cut
 * up. Blocks have no header and no padding.
 *
 *     lists     8   16   24                          128
 *               |         |                           |
 *             block     block                       block        each holds the link to the next
 *               |                                     |
 *             block                                 block
 *
 *     chunks    [ blocks of any sizes ]  [ blocks | rest | blocks ]
 *
 * Beyond the original: chunks of which all is free go back upstream, by tarn_twolevel_trim() and
 * before a request is refused; there is an instance for each thread and one for the whole process;
 * misuse is looked for.
 *
 * Sizes. Who frees a block says how large it asked for it to be, 0 being the same as 1; that is how
 * the block finds its list. A size of more than PTRDIFF_MAX is refused.
 *
 * Alignment. tarn_twolevel_alloc() aligns a size that is a multiple of 16 to 16 and any other to 8,
 * which is enough for every C type whose sizeof it is. It costs nothing: multiples of 16 are cut
 * from the low end of a chunk, which is aligned to 16, all others from its high end. First-level
 * blocks are aligned to 16. Through the heap interface (`heap`) a request is rounded up to a
 * multiple of 16 before it looks for a list, because a free does not tell the alignment; alignments
 * above 16 are served by the first level. So a block goes back by the interface that it came from.
 *
 * Cost. alloc and free: constant time, inline, about ten instructions; a refill now and then, and
 * upstream's cost of a chunk for every sixteenth by which the instance grows. The chunks are a
 * sorted table, so a new one is linear in how many there are: logarithmic in the bytes, unless
 * upstream has but small blocks. The first level costs what upstream does, and a look into a hash
 * table of its blocks. A request that upstream refuses takes time linear in the free blocks, see
 * tarn_twolevel_trim().
 *
 * Threads. An instance is for one thread at a time, unless its options say `threads`: then any
 * thread may call, each call is a function that takes a lock, and upstream is called under it. See
 * tarn_twolevel_of_thread() for instances without a lock in programs with threads.
 *
 * Misuse that is found, and fatal (see tarn/base.h). In every build: a block that is freed twice in
 * a row; and unless threads have instances of their own, a pointer below the first or above the
 * last of the instance's chunks, and anything wrong with a first-level block. With `checks`: every
 * double free, pointer that is no block, and wrong size, a write to a free block, at the latest
 * when it is handed out again, and a block that goes back by the other interface.
 *
 * Tools. In a hardened build of libtarn, and under Valgrind or AddressSanitizer, an instance has
 * `checks`; under these two it leaves 16 bytes that nobody may touch behind each block of a list.
 * When tarn_pooling() is false, every block is one of the system heap's.
 *
 * TARN_USE_MALLOC. In a file compiled with this macro, instances that it makes or asks for send
 * everything to the first level, as with the option `use_malloc`. In a libtarn compiled with it all
 * instances do. Files of one program that share blocks of tarn_twolevel_of_thread() or
 * tarn_twolevel_of_process() have to agree on it.
 *
 * Sources: the SGI STL's <stl_alloc.h> (1996 to 2000), named alloc, __malloc_alloc_template and
 * __default_alloc_template there; Hou Jie (侯捷), The Annotated STL Sources (STL 源码剖析), chapter 2.
 */

#define TARN_TWOLEVEL_MAX 128  /* bytes of the largest request that a list serves */
#define TARN_TWOLEVEL_STEP 8   /* bytes from the blocks of one list to those of the next */
#define TARN_TWOLEVEL_LISTS 16 /* lists, a count */

/* Called when upstream has no memory for a request of `size` bytes. It may free whatever it can do
 * without, from this instance as well. True: the request is tried again; false: it is refused. No
 * lock is held. */
typedef bool tarn_twolevel_handler(void *context, size_t size);

typedef struct tarn_twolevel_options {
    const char *name;    /* for messages and reports; must outlive the instance; NULL: "twolevel" */
    tarn_heap *upstream; /* the first level; must outlive the instance; NULL: tarn_system_heap() */
    tarn_twolevel_handler *on_no_memory; /* NULL: a request that upstream refuses is refused */
    void *context;                       /* for on_no_memory */
    /* Bytes that a chunk has at least, if upstream has them. 0: as little as the original takes, a
     * few hundred bytes at first, which suits upstream heaps that pack small blocks. */
    size_t chunk_min;
    bool threads; /* any thread may call */
    bool checks;  /* all misuse is found and all stats are exact; a function call for everything */
    bool use_malloc; /* everything goes to the first level */
} tarn_twolevel_options;

/* A chunk. Private. */
typedef struct tarn_twolevel_chunk {
    unsigned char *start; /* aligned to 16 */
    size_t size;          /* bytes that blocks are cut from, a multiple of 16 */
    size_t free;          /* bytes of them that were found free; used within one call */
} tarn_twolevel_chunk;

/* What blocks are cut from. Private. */
typedef struct tarn_twolevel_store {
    tarn_heap *upstream;
    const char *name;
    tarn_twolevel_handler *on_no_memory;
    void *context;
    size_t chunk_min;            /* bytes */
    tarn_twolevel_chunk *chunks; /* in the order of addresses; a block of upstream's */
    size_t chunk_count;
    size_t chunk_capacity;
    size_t fresh_count; /* of the last of them nothing was cut since the last reset; a count */
    unsigned char *low, *high;          /* the rest of the newest chunk; `low` is aligned to 16 */
    size_t held;                        /* bytes of all chunks */
    size_t blocks[TARN_TWOLEVEL_LISTS]; /* of each size, free or in use */
    tarn_ledger ledger;                 /* the blocks of the first level; not where threads share */
    size_t strays;    /* first-level blocks of small sizes, because of their alignment; a count */
    tarn_stats books; /* of the first level; with checks, of everything */
    struct tarn_twolevel
        *common; /* the process's instance, where threads share the store; or NULL */
    size_t gap;  /* hidden bytes behind each block of a list */
    bool has_checks;
    bool has_lock;
    bool is_watched;
    bool is_malloc;  /* nothing but a first level */
    uint32_t record; /* its number where the program is recorded, else 0 */
    uint32_t lock;
} tarn_twolevel_store;

/* An instance. It lives in the caller's storage and must not be copied or moved while in use. All
 * fields but `heap` are private. */
typedef struct tarn_twolevel {
    tarn_heap heap;
    uintptr_t low;  /* a block from here on, in the next ... */
    uintptr_t span; /* ... bytes, may be freed inline; 0: none. Other threads may make it 0 */
    void *lists[TARN_TWOLEVEL_LISTS];        /* first free block of each size; NULL if closed */
    void *closed_lists[TARN_TWOLEVEL_LISTS]; /* the same where every call is a function's */
    tarn_twolevel_store *store;
    tarn_heap *home;                  /* where its storage is from, if it was created */
    struct tarn_twolevel *next;       /* of the instances without a thread */
    struct tarn_twolevel *next_known; /* of all instances for threads */
    bool is_closed;
    bool is_asked; /* to hand in what its lists can spare; under the store's lock */
    bool is_idle;  /* waits for a thread */
    tarn_twolevel_store own_store;
} tarn_twolevel;

#ifdef TARN_USE_MALLOC
#define TARN_TWOLEVEL_USES_MALLOC true
#else
#define TARN_TWOLEVEL_USES_MALLOC false
#endif

/* ------------------------------------------------------------------------------------------------
 * What the inline functions call. Private.
 */
TARN_API tarn_status tarn_twolevel_init_as(tarn_twolevel *twolevel,
                                           const tarn_twolevel_options *options, bool use_malloc);
TARN_API tarn_twolevel *tarn_twolevel_create_as(const tarn_twolevel_options *options,
                                                bool use_malloc);
TARN_API void *tarn_twolevel_alloc_slow(tarn_twolevel *twolevel, size_t size);
TARN_API void tarn_twolevel_free_slow(tarn_twolevel *twolevel, void *block, size_t size);
TARN_API tarn_twolevel *tarn_twolevel_of_process_as(bool use_malloc);
TARN_API tarn_twolevel *tarn_twolevel_join_thread(void);
/* The calling thread's instance; NULL until it asks for it. */
extern TARN_API __thread tarn_twolevel *tarn_twolevel_mine;

/* ------------------------------------------------------------------------------------------------
 * Set up and end
 */

/* Makes an empty instance, which holds nothing yet. NULL options are the zero ones. Always
 * TARN_OK. */
static inline tarn_status tarn_twolevel_init(tarn_twolevel *twolevel,
                                             const tarn_twolevel_options *options)
{
    return tarn_twolevel_init_as(twolevel, options, TARN_TWOLEVEL_USES_MALLOC);
}

/* Ends the instance, blocks of both levels and all, and gives all memory back upstream. */
TARN_API void tarn_twolevel_deinit(tarn_twolevel *twolevel);

/* The same in storage of upstream's. NULL: no memory. */
static inline tarn_twolevel *tarn_twolevel_create(const tarn_twolevel_options *options)
{
    return tarn_twolevel_create_as(options, TARN_TWOLEVEL_USES_MALLOC);
}

/* Ignores NULL. */
TARN_API void tarn_twolevel_destroy(tarn_twolevel *twolevel);

/* ------------------------------------------------------------------------------------------------
 * Threads that share
 */

/* The instance of the process: any thread may use it at any time, as with the option `threads`. It
 * takes from the system heap and is never ended: deinit and destroy are fatal misuse, and reset and
 * visit are not supported. */
static inline tarn_twolevel *tarn_twolevel_of_process(void)
{
    return tarn_twolevel_of_process_as(TARN_TWOLEVEL_USES_MALLOC);
}

/* The instance of the calling thread, which no other thread may use: no lock, unless a list is
 * empty. The same for the whole life of the thread, so it may be kept; a few instructions
 * otherwise. Never NULL: when there is no memory for it, and for what still runs after the thread
 * has ended (its thread-specific destructors), it is that of the process.
 *
 * A block of any such instance, or of the process's, may be freed to any other of them: to that of
 * whichever thread frees it. They share their chunks, so nothing is lost when a thread ends. Its
 * instance, free blocks and all, is handed on to the next thread, and while it waits for one the
 * others take from it. A thread that frees what others allocate does not hoard it: before the
 * shared chunks grow, all threads are asked for what their lists of that size have too much, and
 * hand it in with their next free.
 *
 * What instances of other running threads have free counts as in use, wherever it would have to be
 * looked at: in stats and trim. tarn_twolevel_trim() asks the others to hand in all that they can
 * spare, so that a later one finds it. First-level blocks are the system heap's, and not in the
 * books. deinit, destroy, reset, visit: as above.
 *
 * A forked child has the instances of all threads, and its own thread may use them. What another
 * thread was moving at that moment is lost to the child.
 *
 * Where instances have `checks` by themselves, without pooling, and with TARN_USE_MALLOC, it is
 * that of the process. */
static inline tarn_twolevel *tarn_twolevel_of_thread(void)
{
    if (TARN_TWOLEVEL_USES_MALLOC) {
        return tarn_twolevel_of_process_as(true);
    }
    tarn_twolevel *mine = tarn_twolevel_mine;
    return __builtin_expect(mine != NULL, 1) ? mine : tarn_twolevel_join_thread();
}

/* ------------------------------------------------------------------------------------------------
 * Blocks
 */

/* Returns a block of `size` bytes (0: 1) with undefined contents, or NULL with nothing changed. */
static inline void *tarn_twolevel_alloc(tarn_twolevel *twolevel, size_t size)
{
    if (!TARN_TWOLEVEL_USES_MALLOC && size - 1 < TARN_TWOLEVEL_MAX) {
        void **list = &twolevel->lists[(size - 1) / TARN_TWOLEVEL_STEP];
        void *block = *list;
        if (__builtin_expect(block != NULL, 1)) {
            /* Links are copied: the block was of another type before, and is after. */
            memcpy(list, block, sizeof *list);
            return block;
        }
    }
    return tarn_twolevel_alloc_slow(twolevel, size);
}

/* Gives `block` back; ignores NULL. `size` is what was asked for last. */
static inline void tarn_twolevel_free(tarn_twolevel *twolevel, void *block, size_t size)
{
    /* NULL is in no span, and nothing is in the empty one. */
    if (!TARN_TWOLEVEL_USES_MALLOC && size - 1 < TARN_TWOLEVEL_MAX &&
        (uintptr_t)block - twolevel->low < __atomic_load_n(&twolevel->span, __ATOMIC_RELAXED)) {
        void **list = &twolevel->lists[(size - 1) / TARN_TWOLEVEL_STEP];
        if (__builtin_expect(*list != block, 1)) {
            memcpy(block, list, sizeof *list);
            *list = block;
            return;
        }
    }
    tarn_twolevel_free_slow(twolevel, block, size);
}

/* Makes `block` new_size bytes (0: 1), here or elsewhere, keeping its contents up to the smaller
 * size. Returns its address, or NULL with the old block untouched. A NULL block is allocated. Stays
 * where it is within a list; a first-level block costs upstream's realloc; all else is a copy. */
TARN_API void *tarn_twolevel_realloc(tarn_twolevel *twolevel, void *block, size_t old_size,
                                     size_t new_size);

/* True if `address` is in one of the chunks, in a block or not. With `use_malloc`, and without
 * pooling, there are none. Logarithmic in the chunks. */
TARN_API bool tarn_twolevel_owns(tarn_twolevel *twolevel, const void *address);

/* ------------------------------------------------------------------------------------------------
 * All blocks
 */

/* Gives all chunks back upstream that have no block in use; returns the bytes given back. The lists
 * are gone through twice at most, and each free block looks for its chunk: linear in the free
 * blocks, times a logarithm of the chunks; it allocates nothing. Who keeps few blocks in use where
 * many were keeps the chunks that these are in. */
TARN_API size_t tarn_twolevel_trim(tarn_twolevel *twolevel);

/* Frees every block of both levels at once. The chunks are kept for what comes; trim gives them
 * back. TARN_UNSUPPORTED for the instances of threads and of the process. Linear in the chunks and
 * in the first-level blocks; with checks, in the bytes. */
TARN_API tarn_status tarn_twolevel_reset(tarn_twolevel *twolevel);

/* The books. Without `checks` the figures of the past (peak_live, allocs, frees) are 0, `live`
 * counts whole blocks of the lists, and the free blocks are counted: linear in them. `largest_free`
 * is at most TARN_TWOLEVEL_MAX. */
TARN_API tarn_stats tarn_twolevel_stats(tarn_twolevel *twolevel);

typedef struct tarn_twolevel_list {
    size_t size;  /* bytes of each block */
    size_t free;  /* blocks in the list, a count */
    size_t live;  /* blocks in use, a count */
    size_t bytes; /* of all these blocks */
} tarn_twolevel_list;

/* Fills `lists` with what each list has, in the order of sizes. Linear in the free blocks. */
TARN_API void tarn_twolevel_list_stats(tarn_twolevel *twolevel,
                                       tarn_twolevel_list lists[TARN_TWOLEVEL_LISTS]);

/* True if the books balance; else the first fault is in `fault` (always terminated, cut to
 * fault_size; may be NULL with 0). Reports, never aborts. Linear in the free blocks, times a
 * logarithm of the chunks; with checks, in the bytes as well. */
TARN_API bool tarn_twolevel_check(tarn_twolevel *twolevel, char *fault, size_t fault_size);

/* Calls `visitor` for every block in use, of both levels, with the size asked for. TARN_UNSUPPORTED
 * unless the instance has `checks` or everything goes to the first level: chunks keep no record of
 * where blocks of which size are, and one would cost as much as an eighth of them. */
TARN_API tarn_status tarn_twolevel_visit(tarn_twolevel *twolevel, tarn_visitor *visitor,
                                         void *context);

#ifdef __cplusplus
}
#endif

#endif
