/* SPDX-License-Identifier: MIT */
#ifndef TARN_POOL_H
#define TARN_POOL_H

#include "tarn/base.h"
#include "tarn/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Fixed-size pool: hands out objects of one size, for one thread or for many.
 *
 *     pool   cache   [ c | a | f | ... ]             addresses of free objects, the newest on top
 *              |
 *            chunks  [ books | a | b | c | ... ]     objects side by side, and a bit for each that
 *                    [ books | e | f | g | ... ]     is free
 *
 * A free pushes the object's address onto the cache, an alloc pops one. Neither touches the object:
 * its memory stays as its last owner left it, no links are threaded through it, and it may be of
 * any size and alignment. When the cache is full, its older half goes to the chunks, where it is a
 * bit for each object; when it is empty, it is refilled from there in the order of addresses, with
 * many objects at a time. Objects that were never handed out have no bit yet, so making a pool of
 * ten million objects touches one page of it.
 *
 * Which object is handed out: the one freed last, as long as the cache has it.
 *
 * Chunks come from upstream, each twice as large as the one before up to a largest size, and go
 * back when no object of theirs is in use: by tarn_pool_trim(), and by themselves. By itself a
 * chunk goes back only if what is left has room for as many objects again as it has; and if chunks
 * so given back are soon wanted again, the pool keeps what it needed then for as long as it keeps
 * needing it. So a pool whose use goes up and down in a rhythm calls upstream no more. Its cache
 * grows, to an eighth of the objects' memory at most, while objects that left it for the chunks
 * keep coming back. The inline functions count nothing: what lies in a cache while the rest of it
 * serves a small use stays there, and holds its chunks, until a trim or a flush.
 *
 * Cost: tarn_pool_alloc() and tarn_pool_free() are about half a dozen instructions each, inline, as
 * long as the cache serves. Else they take constant time, amortised over the objects moved, and
 * when a chunk is needed or given back upstream's. The books are a bit for each object, the cache,
 * and some 24 bytes for each chunk and as many bytes as the first one has.
 *
 * Threads: a pool is for one thread at a time, unless its options say TARN_SHARED: then every
 * function may be called from any thread, except where it says otherwise, and an object may be
 * freed by any thread. Each thread has a cache of its own, of two magazines; whole magazines are
 * exchanged over a depot, so a lock is taken once for many objects, and objects that one thread
 * allocates and another frees travel back in magazines. What a thread that ends has in its cache
 * goes back to the pool. In a child forked while another thread was inside a shared pool, that pool
 * may stay locked; other pools, and new ones, work.
 *
 * Misuse: a double free, and a pointer that is no object, are found and fatal when the object moves
 * from the cache to the chunks, or at once where the pool was made with `checks`.
 *
 * Source: Bonwick, "The Slab Allocator" (USENIX 1994), for objects that stay constructed; Bonwick
 * and Adams, "Magazines and Vmem" (USENIX 2001), for caches of threads as magazines over a depot.
 */

typedef enum tarn_pool_threads {
    TARN_ALONE = 0, /* one thread at a time */
    TARN_SHARED     /* any thread */
} tarn_pool_threads;

typedef struct tarn_pool_options {
    size_t size; /* bytes of an object; at least 1 */
    /* A power of two. 0: the largest that divides the size, up to that of max_align_t, which is
     * enough for every type whose sizeof is `size`. */
    size_t alignment;
    tarn_heap *upstream; /* where chunks come from; NULL: tarn_pages_heap() */
    const char *name;    /* for messages and reports; must outlive the pool; NULL: "pool" */

    size_t first_objects; /* objects of the first chunk; 0: as many as 64 KiB hold, at least 8 */
    size_t chunk_objects_max; /* the most that doubling leads to; 0: as many as 4 MiB hold */
    size_t max_objects;       /* live objects, at most; 0: no limit */
    /* Takes memory for all of `max_objects` from upstream when the pool is made, and never again
     * asks upstream for any; nothing goes back before the end. */
    bool preallocate;

    tarn_pool_threads threads;
    /* Free objects that the pool keeps at hand, or that each thread does; 0: some hundreds,
     * fewer in a small pool; 1: none for threads of a shared pool, so that each of its objects
     * is there for all. An alloc of a shared pool that has reached `max_objects` may fail while
     * other threads' caches hold free objects; it asks them for these, and each gives them back
     * with its next free. */
    size_t cache_objects;
    /* Of a shared pool that preallocates: threads that can have a cache at the same time; others
     * work under the pool's lock. 0: 16. */
    size_t thread_caches;

    /* Any of these makes each call go a longer way, out of line, which looks up where the object
     * is; in a shared pool under its lock and without caches. */
    bool checks;  /* find double frees and foreign pointers at once; in a hardened build always */
    bool history; /* keep allocs, frees and the peak of live objects exactly */
    bool zero;    /* objects are zeroed when they are handed out */
    /* Freed objects are filled with the byte 0xdd, and it is fatal if one is found changed when
     * it is handed out again. */
    bool poison;

    /* Objects stay constructed while they are free. `construct` is called when an object's
     * memory is first used, perhaps some objects ahead; if it returns false, the request that
     * wanted it fails, and it is called again for the next. `destruct` is called before the
     * memory goes back upstream. Either may be NULL. They must not use the pool. Not together
     * with zero or poison. */
    bool (*construct)(void *context, void *object);
    void (*destruct)(void *context, void *object);
    void *context;
} tarn_pool_options;

/* A stack of free objects: top[-1] is taken next, NULL when there is none; top == limit when it
 * is full. Private. */
typedef struct tarn_pool_stack {
    void **top;
    void **limit;
} tarn_pool_stack;

struct pool_chunk;
struct pool_cache;
struct pool_magazine;
struct pool_cell;
struct pool_unpooled;

/* The type is complete so that it can live in static storage; its fields are private. It must
 * not be copied or moved while in use. */
typedef struct tarn_pool {
    tarn_heap heap; /* the pool as a heap, for blocks of up to the object's size and alignment */
    /* The cache, for the inline functions. Both ways are shut for ever in pools that are shared
     * or see each call. */
    tarn_pool_stack open;
    uint32_t id;      /* of a shared pool: its number */
    uint32_t segment; /* where threads find their caches of it */
    uint32_t place;
    uint32_t mode;             /* which way the calls go that the cache does not serve */
    size_t slot_size;          /* bytes from one object to the next */
    uint64_t inverse;          /* 2^64 / slot_size, rounded up, to divide by it */
    size_t alignment;          /* of every object */
    size_t cache_size;         /* objects that the cache, or a magazine, holds now */
    size_t cache_first;        /* the same at the start */
    size_t returned;           /* objects that came back from chunks since it last grew */
    tarn_pool_options options; /* as given, with the defaults filled in */

    /* Of a shared pool. */
    uint32_t lock;       /* guards the chunks and what is below */
    uint32_t depot_lock; /* guards the depot: its two lists and the count of the full ones */
    struct pool_magazine *full;
    struct pool_magazine *empty;
    size_t full_count;
    tarn_memory magazines;     /* of a pool that preallocates: all of them */
    size_t exchanged;          /* objects that passed the depot since it was last emptied */
    size_t cache_count;        /* threads that have a cache */
    struct pool_cache *caches; /* theirs */
    size_t leaving;            /* threads that are giving theirs up; guarded, as the two above, by
                                * the lock of the numbers */
    bool has_number;
    bool is_watched; /* by Valgrind or AddressSanitizer */
    uint32_t record; /* its number where the program is recorded, else 0 */

    struct pool_chunk *chunks; /* all of them, newest first */
    struct pool_chunk *roomy;  /* those with free or untouched objects; the first one serves */
    struct pool_chunk *last_roomy;
    struct pool_cell *cells; /* hash table from addresses to chunks */
    size_t cell_count;       /* entries of the table, a power of two */
    size_t cells_used;
    uint32_t cell_shift;    /* a cell has 2^cell_shift bytes, at most those of any chunk */
    tarn_pool_stack hidden; /* the cache of pools that see each call */
    void **cache;           /* memory of the cache */
    struct pool_unpooled *unpooled;

    size_t slots;             /* objects that the chunks have room for */
    size_t taken;             /* of these: handed to caches or users */
    size_t peak_taken;        /* the most that ever were */
    size_t next_slots;        /* objects of the next chunk */
    size_t batch;             /* objects of the next refill */
    size_t keep;              /* slots that are kept because they were wanted again */
    size_t reserved;          /* slots that are kept because they were reserved */
    struct pool_chunk *spare; /* a chunk that became empty and was kept */
    size_t high;              /* the most that was taken in the current window */
    size_t window;            /* objects still to move until the window ends */
    size_t since;             /* objects moved since a chunk went back by itself */
    tarn_stats books; /* what is kept exactly: footprint, failures; with `history` all of it */
} tarn_pool;

/* Makes a pool in the caller's storage. Takes nothing from upstream, unless it preallocates.
 *
 * On failure `pool` is unusable and holds nothing: TARN_BAD_LAYOUT for an object of no size or an
 * alignment that is no power of two, TARN_TOO_LARGE if the first or the largest chunk would pass
 * PTRDIFF_MAX, TARN_BAD_ARGUMENT for options that contradict each other (preallocate without
 * max_objects, construct or destruct with zero or poison), TARN_NO_MEMORY. Constant time. */
TARN_API tarn_status tarn_pool_init(tarn_pool *pool, const tarn_pool_options *options);

/* Ends the pool; live objects end with it, and every chunk goes back upstream. From any thread,
 * when no other is inside or will be. Linear in the chunks, with `destruct` in the objects. */
TARN_API void tarn_pool_deinit(tarn_pool *pool);

/* The same for a pool that is itself in memory of its upstream. `*pool` is set only on success. */
TARN_API tarn_status tarn_pool_create(tarn_pool **pool, const tarn_pool_options *options);

/* Ignores NULL. */
TARN_API void tarn_pool_destroy(tarn_pool *pool);

#define TARN_POOL_OF_PROCESS_MAX 1024 /* bytes of the largest objects that have one */

/* The pool that all of the process shares for objects of `size` bytes, rounded up to a multiple
 * of 8: a shared pool like any other, over tarn_pages_heap(), with an alignment of the largest
 * power of two that divides the rounded size, up to 64. The same at each call, made at the
 * first; it is there for everybody until the process ends, and must not be ended or reset. NULL
 * for a size of 0 or above TARN_POOL_OF_PROCESS_MAX, or if there is no memory for what the pool
 * needs to be made. Any thread. Constant time. */
TARN_API tarn_pool *tarn_pool_of_process(size_t size);

/* What the inline functions leave over. Private. */
TARN_API void *tarn_pool_alloc_slow(tarn_pool *pool);
TARN_API void tarn_pool_free_slow(tarn_pool *pool, void *object);

/* Returns an object with undefined contents (constructed ones: as the last owner left it), or
 * NULL when upstream has no memory, when the pool has reached max_objects, or when `construct`
 * refuses; then nothing has changed. */
static inline void *tarn_pool_alloc(tarn_pool *pool)
{
    void **const top = pool->open.top;
    void *const object = top[-1];
    if (object != NULL) {
        pool->open.top = top - 1;
        return object;
    }
    return tarn_pool_alloc_slow(pool);
}

/* Gives `object` back; ignores NULL. */
static inline void tarn_pool_free(tarn_pool *pool, void *object)
{
    void **const top = pool->open.top;
    if (top != pool->open.limit && object != NULL) {
        *top = object;
        pool->open.top = top + 1;
        return;
    }
    tarn_pool_free_slow(pool, object);
}

/* The same, zeroed. Linear in the size. Not for constructed objects, which it would ruin. */
TARN_API void *tarn_pool_alloc_zeroed(tarn_pool *pool);

/* Fills `objects` with up to `count` objects and returns how many there are: fewer only where an
 * alloc would fail. Cheaper than as many allocs. */
TARN_API size_t tarn_pool_alloc_bulk(tarn_pool *pool, void **objects, size_t count);

/* Gives `count` objects back; a NULL among them is fatal. Cheaper than as many frees. */
TARN_API void tarn_pool_free_bulk(tarn_pool *pool, void *const *objects, size_t count);

/* True if `pointer` is the start of an object of this pool, live or free, that was handed out
 * before or may be soon. Any pointer may be asked of. Constant time on average. */
TARN_API bool tarn_pool_owns(tarn_pool *pool, const void *pointer);

/* Makes sure that so many objects more can be allocated without asking upstream, until the next
 * trim: by the calling thread, if others do not take them. TARN_NO_MEMORY, or TARN_NO_ROOM if
 * max_objects would be passed; then nothing has changed. */
TARN_API tarn_status tarn_pool_reserve(tarn_pool *pool, size_t count);

/* Gives the free objects that the calling thread keeps at hand back to the pool: before it does
 * something else for long. Linear in them. */
TARN_API void tarn_pool_flush(tarn_pool *pool);

/* Gives every chunk of which no object is in use back upstream, and returns the bytes. Of a
 * shared pool, what other threads have in their caches counts as in use. Linear in the free
 * objects at hand and in the chunks. */
TARN_API size_t tarn_pool_trim(tarn_pool *pool);

/* Frees every object at once. The chunks stay, for what comes next; a trim gives them back. No
 * other thread may be inside. Linear in the chunks' books. */
TARN_API void tarn_pool_reset(tarn_pool *pool);

/* The pool's books. `live` is `blocks` times the object's size. `peak_live` is an upper bound,
 * which counts the cache as live, and allocs and frees are 0, except where each call is seen, as
 * with `history`. Of a shared pool in use they are those of about now. Linear in the threads'
 * caches. */
TARN_API tarn_stats tarn_pool_stats(tarn_pool *pool);

/* True if the books balance; else the first fault is in `fault` (always terminated, cut to
 * fault_size; may be NULL with 0). Reports, never aborts. No other thread may be inside. Linear
 * in the objects. */
TARN_API bool tarn_pool_check(tarn_pool *pool, char *fault, size_t fault_size);

/* Calls `visitor` for every live object, chunk by chunk, in the order of addresses within one.
 * The pool must not be changed from inside. No other thread may be inside. Linear in the
 * objects. */
TARN_API void tarn_pool_visit(tarn_pool *pool, tarn_visitor *visitor, void *context);

#ifdef __cplusplus
}
#endif

#endif
