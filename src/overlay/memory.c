/* SPDX-License-Identifier: MIT */
#include "overlay/memory.h"

#include "base/bits.h"
#include "tarn/heaps.h"

#include <string.h>

/*
 *     newest -> [ link, size | things ] -> [ link, size | things ] -> NULL
 *
 * Invariant: `used` is the sum of the sizes in the list.
 */

enum { HEAD_BYTES = 64 };

struct overlay_block {
    struct overlay_block *before;
    size_t size; /* with this head */
};

_Static_assert(sizeof(struct overlay_block) <= HEAD_BYTES, "the head has room");

void overlay_memory_init(overlay_memory *memory, tarn_heap *upstream)
{
    memset(memory, 0, sizeof *memory);
    memory->upstream = upstream == NULL ? tarn_pages_heap() : upstream;
}

void *overlay_take(overlay_memory *memory, size_t count, size_t size)
{
    size_t bytes;
    if (!base_checked_mul(count, size, &bytes) || !base_checked_add(bytes, HEAD_BYTES, &bytes)) {
        return NULL;
    }
    struct overlay_block *block = tarn_heap_calloc(memory->upstream, 1, bytes, HEAD_BYTES);
    if (block == NULL) {
        return NULL;
    }
    block->before = memory->newest;
    block->size = bytes;
    memory->newest = block;
    memory->used += bytes;
    if (memory->used > memory->peak) {
        memory->peak = memory->used;
    }
    return (unsigned char *)block + HEAD_BYTES;
}

static void *give_back_newest(overlay_memory *memory)
{
    struct overlay_block *block = memory->newest;
    memory->newest = block->before;
    memory->used -= block->size;
    tarn_heap_free(memory->upstream, block, block->size);
    return (unsigned char *)block + HEAD_BYTES;
}

void overlay_give_back_to(overlay_memory *memory, const void *block)
{
    while (block != NULL && memory->newest != NULL && give_back_newest(memory) != block) {
    }
}

void overlay_memory_deinit(overlay_memory *memory)
{
    while (memory->newest != NULL) {
        give_back_newest(memory);
    }
}
