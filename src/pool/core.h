/* SPDX-License-Identifier: MIT */
#ifndef TARN_POOL_CORE_H
#define TARN_POOL_CORE_H

/*
 * What the sources of the fixed-size pool share: chunks, and the caches of threads.
 */

#include "base/bitmap.h"
#include "base/check.h"
#include "heap/books.h"
#include "tarn/pool.h"

/* The ways that calls go which the inline functions do not serve. */
enum {
    POOL_CACHED = 0, /* by the cache */
    POOL_SHARED,     /* by the thread's cache */
    POOL_CHECKED,    /* by the cache, with a look at the chunk's bits of live objects */
    POOL_DIRECT,     /* to the chunks, each call by itself */
    POOL_UNPOOLED    /* to the system heap */
};

enum {
    POOL_POISON = 0xdd, /* what freed objects are filled with */
    POOL_RED_ZONE = 16  /* hidden bytes around each object when somebody watches */
};

static inline bool pool_is_shared(const tarn_pool *pool)
{
    return pool->options.threads == TARN_SHARED;
}

/* ------------------------------------------------------------------------------------------------
 * Chunks (chunks.c). Of a shared pool the lock is held.
 */
typedef struct pool_chunk {
    struct pool_chunk *next; /* among all chunks of the pool */
    struct pool_chunk *previous;
    struct pool_chunk *next_roomy;
    struct pool_chunk *previous_roomy;
    unsigned char *first; /* first slot */
    size_t size;          /* bytes from upstream */
    size_t span;          /* bytes of all slots */
    size_t count;         /* slots */
    size_t touched; /* slots that were ever taken, always the first ones; their bits are open */
    size_t free;    /* of these, in nobody's hands: their bits are set */
    size_t rover;   /* of a watched pool: where the last search ended */
    base_bitmap map;
    /* A bit for each touched slot. Of a checked pool: it is the user's. Of a watched one:
     * Valgrind was told of it. */
    uint64_t *live;
} pool_chunk;

/* Where an object is. */
typedef struct pool_place {
    pool_chunk *chunk; /* NULL: in no chunk of the pool */
    size_t index;      /* of the slot */
    bool is_start;     /* the address is that of the slot */
    bool is_touched;   /* and the slot was ever taken */
} pool_place;

pool_place pool_find(const tarn_pool *pool, const void *pointer);

/* Takes up to `count` objects and stores their addresses from `out` on, `step` (1 or -1) apart,
 * lowest addresses first. Asks upstream for a chunk only if it has no object at all. */
size_t pool_take(tarn_pool *pool, void **out, ptrdiff_t step, size_t count);

/* Takes the objects back; what is no object, or is there already, is fatal. */
void pool_give(tarn_pool *pool, void *const *objects, size_t count);

/* Where a live object is; what is none is fatal. */
pool_place pool_find_live(tarn_pool *pool, const void *object);

/* Takes the object at that place back. */
void pool_give_one(tarn_pool *pool, pool_place place);

/* One object; in a watched pool, the one that was given back longest ago or so. */
void *pool_take_one(tarn_pool *pool);

/* Of a watched pool, the bit of the slot; taking it clears it. */
void pool_tell(pool_place place);
bool pool_take_told(pool_place place);

/* For checked pools: the object is the user's from now on, or is no longer; what is not is
 * fatal. */
void pool_note_live(tarn_pool *pool, const void *object);
void pool_note_free(tarn_pool *pool, const void *object);

/* Makes sure that there is at least one object to take. */
bool pool_chunks_begin(tarn_pool *pool);

/* Makes room for so many more objects, which stays until a trim. */
tarn_status pool_chunks_reserve(tarn_pool *pool, size_t count);

/* Gives empty chunks back; all of them, or those that the pool need not keep. */
void pool_chunks_trim(tarn_pool *pool, bool all);

/* Frees every object. */
void pool_chunks_reset(tarn_pool *pool);

/* Gives all chunks back, whatever is in them, and the table. */
void pool_chunks_end(tarn_pool *pool);

bool pool_chunks_check(tarn_pool *pool, char *fault, size_t fault_size);

/* Sets the bits of objects that are in caches, or clears them again, so that a check meets each
 * object once. False: one of them is no object, or its bit was as it should become already;
 * `done` says how many went well. */
bool pool_chunks_mark(tarn_pool *pool, void *const *objects, size_t count, bool set, size_t *done);

/* Bytes of a chunk of `count` slots; 0 if that passes PTRDIFF_MAX. */
size_t pool_chunk_size(const tarn_pool *pool, size_t count);

/* Memory for books, from upstream; NULL when there is none. */
void *pool_books_take(tarn_pool *pool, size_t size, size_t alignment);
void pool_books_give(tarn_pool *pool, void *memory, size_t size);

/* ------------------------------------------------------------------------------------------------
 * Caches of threads (shared.c).
 */

/* True if the pool can have caches: it has got a number. */
bool pool_shared_init(tarn_pool *pool);

/* Makes caches and magazines for later. */
bool pool_shared_prepare(tarn_pool *pool);
void pool_shared_deinit(tarn_pool *pool);

void *pool_shared_alloc(tarn_pool *pool);
void pool_shared_free(tarn_pool *pool, void *object);
size_t pool_shared_alloc_bulk(tarn_pool *pool, void **objects, size_t count);
void pool_shared_free_bulk(tarn_pool *pool, void *const *objects, size_t count);

/* What the calling thread's cache has goes to the chunks; what all caches and the depot have. */
void pool_shared_flush(tarn_pool *pool);
void pool_shared_flush_all(tarn_pool *pool);

/* The caches forget what they have. */
void pool_shared_forget(tarn_pool *pool);

/* What the calling thread's cache and the depot have goes to the chunks, and their memory, and
 * that of caches that are nobody's, upstream. */
void pool_shared_trim(tarn_pool *pool);

/* Makes the calling thread's cache, if there is memory; returns the objects in it. */
size_t pool_shared_prepare_thread(tarn_pool *pool);

/* Objects in caches and the depot. */
size_t pool_shared_count(tarn_pool *pool);

/* True if all that is in caches is the pool's, and each object once. The pool's lock is held. */
bool pool_shared_check(tarn_pool *pool);

#endif
