/* SPDX-License-Identifier: MIT */
#ifndef TARN_POOL_WATCH_H
#define TARN_POOL_WATCH_H

/*
 * Tells Valgrind which blocks a pool has handed out, as a memory pool of its own: a report of a use
 * after a reset, or of a write past a block, then says which block that was, how large, and where
 * it came from and went.
 *
 * heap/watch.h says why heaps do not do that: Valgrind's search for leaks gives up when such a
 * block is inside of another, and heaps stack. So a pool tells only of blocks that were asked for
 * by the pool's own functions. What is asked for through the heap interface may be a chunk with
 * blocks of another pool inside, and is only shown; and so are blocks in memory that the pool's
 * creator gave, which may be a block of another pool.
 *
 * To AddressSanitizer they are the same.
 */

#include "heap/watch.h"

/* A pool is there, whose blocks are told of below, each with that many hidden bytes around,
 * which a report counts as near the block. A pool that was at the same address before, and was
 * forgotten without being ended, is over. */
static inline void pool_watch_open_with(const void *pool, size_t red_zone)
{
#if HEAP_WATCH_VALGRIND
    if (VALGRIND_MEMPOOL_EXISTS(pool)) {
        VALGRIND_DESTROY_MEMPOOL(pool);
    }
    VALGRIND_CREATE_MEMPOOL(pool, red_zone, 0);
#endif
    (void)pool;
    (void)red_zone;
}

static inline void pool_watch_open(const void *pool)
{
    pool_watch_open_with(pool, 0);
}

/* The pool has ended, and with it all its blocks. */
static inline void pool_watch_close(const void *pool)
{
#if HEAP_WATCH_VALGRIND
    VALGRIND_DESTROY_MEMPOOL(pool);
#endif
    (void)pool;
}

/* As heap_watch_give. */
static inline void pool_watch_give(const void *pool, const void *block, size_t size)
{
    heap_watch_unpoison(block, size);
#if HEAP_WATCH_VALGRIND
    VALGRIND_MEMPOOL_ALLOC(pool, block, size);
#endif
    (void)pool;
}

/* As heap_watch_take, for a block that was given by the above. */
static inline void pool_watch_take(const void *pool, const void *block, size_t size)
{
    heap_watch_poison(block, size);
#if HEAP_WATCH_VALGRIND
    VALGRIND_MEMPOOL_FREE(pool, block);
#endif
    (void)pool;
}

/* The block is now new_size bytes at `new_block`. Who may touch which of them is for
 * heap/watch.h to say. */
static inline void pool_watch_rename(const void *pool, const void *old_block, const void *new_block,
                                     size_t new_size)
{
#if HEAP_WATCH_VALGRIND
    VALGRIND_MEMPOOL_CHANGE(pool, old_block, new_block, new_size);
#endif
    (void)pool;
    (void)old_block;
    (void)new_block;
    (void)new_size;
}

#endif
