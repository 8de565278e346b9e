/* SPDX-License-Identifier: MIT */
#ifndef TARN_OVERLAY_MEMORY_H
#define TARN_OVERLAY_MEMORY_H

#include "tarn/heap.h"

/*
 * What the planner takes from upstream, in a list, so that all of it goes back at once however a call ends.
 * For one thread at a time.
 */

struct overlay_block;

typedef struct overlay_memory {
    tarn_heap *upstream;
    struct overlay_block *newest;
    size_t used; /* bytes taken and not given back */
    size_t peak; /* the most that `used` ever was */
} overlay_memory;

void overlay_memory_init(overlay_memory *memory, tarn_heap *upstream);

/* `count` zeroed things of `size` bytes, at a multiple of 64; NULL when upstream refuses or the product
 * overflows. A count of 0 is served. */
void *overlay_take(overlay_memory *memory, size_t count, size_t size);

/* Gives back what was taken last, up to and including `block`; ignores NULL. */
void overlay_give_back_to(overlay_memory *memory, const void *block);

/* Gives everything back. */
void overlay_memory_deinit(overlay_memory *memory);

#endif
