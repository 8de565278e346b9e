/* SPDX-License-Identifier: MIT */
#ifndef TARN_POOL_TWOLEVEL_H
#define TARN_POOL_TWOLEVEL_H

/*
 * What the files of the two-level allocator share. An *instance* has lists; what the blocks of the
 * lists are cut from is its *store*. Instances of threads share one store, and so each other's
 * blocks.
 *
 * Lists go by number: list i has blocks of 8 * (i + 1) bytes. The number after the last stands for
 * the first level.
 *
 * Unless it says otherwise, a function here is called with the store's lock held, where there is
 * one.
 */

#include "heap/lock.h"
#include "heap/watch.h"
#include "tarn/twolevel.h"

/* In a hardened build every instance has checks. */
#ifndef TARN_HARDENED
#define TARN_HARDENED 0
#endif

enum {
    TWOLEVEL_BATCH = 20, /* blocks that a refill cuts or draws, at most */
    TWOLEVEL_GAP = 16,   /* hidden bytes behind a block, where tools watch */
    TWOLEVEL_FIRST = TARN_TWOLEVEL_LISTS,
};

#define TWOLEVEL_ALIGNMENT ((size_t)16) /* of chunks, and of what does not say more */

static inline size_t pool_twolevel_bytes(unsigned list)
{
    return ((size_t)list + 1) * TARN_TWOLEVEL_STEP;
}

/* The list with blocks of so many bytes, a multiple of 8. */
static inline unsigned pool_twolevel_list_of(size_t bytes)
{
    return (unsigned)(bytes / TARN_TWOLEVEL_STEP) - 1;
}

static inline void **pool_twolevel_lists(tarn_twolevel *twolevel)
{
    return twolevel->is_closed ? twolevel->closed_lists : twolevel->lists;
}

/* Threads have instances of their own over this store. */
static inline bool pool_twolevel_is_family(const tarn_twolevel_store *store)
{
    return store->common != NULL;
}

/* Links are among hidden bytes, and have the type of whatever the block was. Blocks of odd sizes
 * are aligned to 8, enough for a link on every machine. */
typedef void *__attribute__((may_alias)) pool_twolevel_link;

HEAP_UNWATCHED static inline void *pool_twolevel_load_link(const void *block)
{
    return *(const pool_twolevel_link *)block;
}

HEAP_UNWATCHED static inline void pool_twolevel_store_link(void *block, void *next)
{
    *(pool_twolevel_link *)block = next;
}

static inline void *pool_twolevel_next(const tarn_twolevel_store *store, const void *block)
{
    if (__builtin_expect(!store->is_watched, 1)) {
        return pool_twolevel_load_link(block);
    }
    heap_watch_pause();
    void *next = pool_twolevel_load_link(block);
    heap_watch_resume();
    return next;
}

static inline void pool_twolevel_set_next(const tarn_twolevel_store *store, void *block, void *next)
{
    if (__builtin_expect(!store->is_watched, 1)) {
        pool_twolevel_store_link(block, next);
        return;
    }
    heap_watch_pause();
    pool_twolevel_store_link(block, next);
    heap_watch_resume();
}

static inline void pool_twolevel_lock(tarn_twolevel *twolevel)
{
    if (twolevel->store->has_lock) {
        heap_lock_take(&twolevel->store->lock);
    }
}

static inline void pool_twolevel_unlock(tarn_twolevel *twolevel)
{
    if (twolevel->store->has_lock) {
        heap_lock_release(&twolevel->store->lock);
    }
}

/* The instances whose lists may be looked at from `twolevel`: itself; and where threads share, that
 * of the process and those without a thread. NULL after the last. */
static inline tarn_twolevel *pool_twolevel_after(const tarn_twolevel *twolevel,
                                                 const tarn_twolevel *instance)
{
    tarn_twolevel *common = twolevel->store->common;
    return instance == twolevel && common != NULL && common != twolevel ? common : instance->next;
}

/* ------------------------------------------------------------------------------------------------
 * twolevel_chunks.c: chunks, and what is cut from them.
 */

/* Nothing was cut from the chunk of this number since the last reset. Those are the last ones. */
static inline bool pool_twolevel_is_fresh(const tarn_twolevel_store *store, size_t number)
{
    return number + store->fresh_count >= store->chunk_count;
}

/* The chunk that the address is in, or NULL. */
tarn_twolevel_chunk *pool_twolevel_chunk_of(const tarn_twolevel_store *store, const void *address);

/* Refills the list, which is empty, and returns a block for it; NULL: no memory. */
void *pool_twolevel_refill(tarn_twolevel *twolevel, unsigned list);

/* How many blocks the list has; more than `most` is as good as no end. */
size_t pool_twolevel_length(const tarn_twolevel_store *store, const void *list, size_t most);

/* As tarn_twolevel_trim(). */
size_t pool_twolevel_trim(tarn_twolevel *twolevel);

/* Makes every chunk fresh, and forgets all blocks. */
void pool_twolevel_renew(tarn_twolevel *twolevel);

/* Bytes held from upstream, or not any more. */
void pool_twolevel_hold(tarn_twolevel_store *store, size_t bytes);
void pool_twolevel_let_go(tarn_twolevel_store *store, void *start, size_t bytes);

/* ------------------------------------------------------------------------------------------------
 * twolevel_checks.c: the map of each chunk, where the instance has checks.
 */

/* Bytes of the map behind a chunk's blocks. */
static inline size_t pool_twolevel_map_size(const tarn_twolevel_store *store, size_t size)
{
    return store->has_checks ? size / TARN_TWOLEVEL_STEP : 0;
}

/* The chunk has no blocks. */
void pool_twolevel_map_clear(const tarn_twolevel_chunk *chunk);

/* There is a free block now; or there is none there any more. */
void pool_twolevel_map_add(const tarn_twolevel_store *store, void *block, unsigned list);
void pool_twolevel_map_remove(const tarn_twolevel_store *store, void *block);

/* The free block goes to the user, or is his no longer; what is wrong with it is fatal. */
void pool_twolevel_map_give(const tarn_twolevel_store *store, void *block, unsigned list,
                            size_t size);
void pool_twolevel_map_take(const tarn_twolevel_store *store, void *block, unsigned list,
                            size_t size);

/* The block in use has another size. */
void pool_twolevel_map_resize(const tarn_twolevel_store *store, void *block, unsigned list,
                              size_t old_size, size_t new_size);

/* Shows the blocks in use; false if the visitor ended it. */
bool pool_twolevel_map_visit(const tarn_twolevel_store *store, tarn_visitor *visitor,
                             void *context);

/* True if there is a free block of the list, to which nobody has written. */
bool pool_twolevel_map_is_free(const tarn_twolevel_store *store, const void *block, unsigned list);

/* True if the maps have as many blocks as the store says, and `free` of each list are free. */
bool pool_twolevel_map_check(const tarn_twolevel_store *store, const size_t *free, char *fault,
                             size_t fault_size);

/* ------------------------------------------------------------------------------------------------
 * twolevel_threads.c: instances of threads.
 */

/* Draws blocks of the list from the instance of the process, for a list that is empty, and returns
 * one. NULL if there is none. */
void *pool_twolevel_draw(tarn_twolevel *twolevel, unsigned list);

/* The same from instances without a thread, before the chunks grow. */
void *pool_twolevel_draw_idle(tarn_twolevel *twolevel, unsigned list);

/* Asks all other threads to hand in what they can spare. */
void pool_twolevel_ask(const tarn_twolevel *twolevel);

/* True if this thread was asked. Without the lock. */
static inline bool pool_twolevel_is_asked(const tarn_twolevel *twolevel)
{
    return pool_twolevel_is_family(twolevel->store) && !twolevel->is_closed &&
           __atomic_load_n(&twolevel->span, __ATOMIC_RELAXED) == 0;
}

/* Hands it in. Called without the lock. */
void pool_twolevel_hand_in(tarn_twolevel *twolevel);

/* ------------------------------------------------------------------------------------------------
 * twolevel_first.c: the first level.
 */

/* NULL: no memory. */
void *pool_twolevel_first_alloc(tarn_twolevel_store *store, size_t size, size_t alignment,
                                bool zeroed);
void pool_twolevel_first_free(tarn_twolevel_store *store, void *block, size_t size);

/* As the operations of heaps of these names. */
bool pool_twolevel_first_resize(tarn_twolevel_store *store, void *block, size_t old_size,
                                size_t new_size);
void *pool_twolevel_first_realloc(tarn_twolevel_store *store, void *block, size_t old_size,
                                  size_t new_size, size_t alignment);

/* Frees all of its blocks. */
void pool_twolevel_first_reset(tarn_twolevel_store *store);

/* ------------------------------------------------------------------------------------------------
 * twolevel_books.c: what the heap interface calls; these take the lock.
 */
void pool_twolevel_stats(tarn_heap *heap, tarn_stats *stats);
bool pool_twolevel_check(tarn_heap *heap, char *fault, size_t fault_size);
bool pool_twolevel_visit(tarn_heap *heap, tarn_visitor *visitor, void *context);

/* ------------------------------------------------------------------------------------------------
 * twolevel.c
 */

/* The first level alone serves such a size, whatever its alignment. */
static inline bool pool_twolevel_is_large(const tarn_twolevel_store *store, size_t size)
{
    return store->is_malloc || size > TARN_TWOLEVEL_MAX - store->gap;
}

/* Sets up an instance over a store that is there. */
void pool_twolevel_found(tarn_twolevel *twolevel, tarn_twolevel_store *store, bool is_closed);

/* The instance cannot be reset or ended. */
void pool_twolevel_make_lasting(tarn_twolevel *twolevel);

/* Says which blocks may be freed inline, after the chunks have changed. */
void pool_twolevel_open(tarn_twolevel *twolevel);

#endif
