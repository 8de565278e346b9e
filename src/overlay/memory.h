/* SPDX-License-Identifier: MIT */
#ifndef TARN_OVERLAY_MEMORY_H
#define TARN_OVERLAY_MEMORY_H

#include "tarn/heap.h"

/*
 * What the planner takes from upstream, in a list, so that all of it goes back at once however a
 * call ends. Small things share a block: upstream may be the kernel, and a small problem should
 * not cost it a hundred calls. For one thread at a time.
 */

struct overlay_block;

typedef struct overlay_memory {
    tarn_heap *upstream;
    struct overlay_block *newest;
    unsigned char *shared; /* zeroed room for small things */
    size_t shared_size;    /* bytes left of it */
    size_t used;           /* bytes taken and not given back */
    size_t peak;           /* the most that `used` ever was */
} overlay_memory;

void overlay_memory_init(overlay_memory *memory, tarn_heap *upstream);

/* `count` zeroed things of `size` bytes, at a multiple of 64; NULL when upstream refuses or the
 * product overflows. A count of 0 is served. */
void *overlay_take(overlay_memory *memory, size_t count, size_t size);

/* Gives a thing back before the others, with the count and size that it was taken with; ignores
 * NULL. A small one goes with the rest. */
void overlay_give_back(overlay_memory *memory, void *thing, size_t count, size_t size);

/* Gives everything back. */
void overlay_memory_deinit(overlay_memory *memory);

#endif
