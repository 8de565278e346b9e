/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "base/bits.h"
#include "tarn/heaps.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * Whatever malloc the process has. It keeps the books, and no block of ours is ever between it and
 * the tools that watch it.
 */

static void *system_alloc(tarn_heap *heap, size_t size, size_t alignment)
{
    (void)heap;
    if (alignment <= _Alignof(max_align_t)) {
        return malloc(size);
    }
    void *block = NULL;
    return posix_memalign(&block, alignment, size) == 0 ? block : NULL;
}

static void *system_alloc_zeroed(tarn_heap *heap, size_t size, size_t alignment)
{
    if (alignment <= _Alignof(max_align_t)) {
        return calloc(1, size);
    }
    void *block = system_alloc(heap, size, alignment);
    if (block != NULL) {
        memset(block, 0, size);
    }
    return block;
}

static void system_free(tarn_heap *heap, void *block, size_t size)
{
    (void)heap;
    (void)size;
    free(block);
}

static void *system_move(tarn_heap *heap, void *block, size_t old_size, size_t new_size,
                         size_t alignment)
{
    (void)heap;
    (void)old_size;
    return alignment <= _Alignof(max_align_t) ? realloc(block, new_size) : NULL;
}

static const tarn_heap_ops system_ops = {
    .alloc = system_alloc,
    .alloc_zeroed = system_alloc_zeroed,
    .free = system_free,
    .move = system_move,
};

tarn_heap *tarn_system_heap(void)
{
    static tarn_heap heap = {&system_ops, "system"};
    return &heap;
}

/* ------------------------------------------------------------------------------------------------
 * Whether pools pool.
 */
enum { POOLING_UNKNOWN = 0, POOLING_ON, POOLING_OFF };

static _Atomic(int) pooling_state;

bool tarn_pooling(void)
{
    int state = atomic_load_explicit(&pooling_state, memory_order_relaxed);
    if (state == POOLING_UNKNOWN) {
        const char *wish = secure_getenv("TARN_POOLING");
        const int found = wish != NULL && strcmp(wish, "0") == 0 ? POOLING_OFF : POOLING_ON;
        /* Who was faster, perhaps by tarn_set_pooling(), is right. */
        if (atomic_compare_exchange_strong(&pooling_state, &state, found)) {
            state = found;
        }
    }
    return state == POOLING_ON;
}

void tarn_set_pooling(bool pooling)
{
    atomic_store(&pooling_state, pooling ? POOLING_ON : POOLING_OFF);
}
