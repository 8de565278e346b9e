/* SPDX-License-Identifier: MIT */
#include "heap/lock.h"
#include "tarn/pool.h"

#include <stdatomic.h>

/*
 *     bytes   1..8   9..16   17..24  ...  1017..1024
 *             pool   pool    pool         pool          made when it is first asked for
 *
 * They are in static storage: a page of it costs nothing until a pool in it is made, and nobody has
 * to find memory for the books of what all of the process shares.
 *
 * Invariant: a pool that is ready stays so, and was made under the lock.
 */

enum {
    STEP = 8, /* bytes from the objects of one pool to those of the next */
    POOLS = TARN_POOL_OF_PROCESS_MAX / STEP,
    ALIGNMENT_MOST = 64 /* bytes: a cache line */
};

static tarn_pool pools[POOLS];
static atomic_bool is_ready[POOLS];
static uint32_t lock;

static size_t alignment_for(size_t size)
{
    const size_t divides = size & (~size + 1);
    return divides < ALIGNMENT_MOST ? divides : ALIGNMENT_MOST;
}

static bool make_ready(size_t index)
{
    const size_t size = (index + 1) * STEP;
    const tarn_pool_options options = {
        .size = size,
        .alignment = alignment_for(size),
        .name = "pool of the process",
        .threads = TARN_SHARED,
    };
    heap_lock_take(&lock);
    bool ready = atomic_load_explicit(&is_ready[index], memory_order_relaxed);
    if (!ready) {
        ready = tarn_pool_init(&pools[index], &options) == TARN_OK;
        atomic_store_explicit(&is_ready[index], ready, memory_order_release);
    }
    heap_lock_release(&lock);
    return ready;
}

tarn_pool *tarn_pool_of_process(size_t size)
{
    if (size - 1 >= TARN_POOL_OF_PROCESS_MAX) {
        return NULL;
    }
    const size_t index = (size - 1) / STEP;
    if (!atomic_load_explicit(&is_ready[index], memory_order_acquire) && !make_ready(index)) {
        return NULL;
    }
    return &pools[index];
}
