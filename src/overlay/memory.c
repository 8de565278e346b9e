/* SPDX-License-Identifier: MIT */
#include "overlay/memory.h"

#include "base/bits.h"
#include "tarn/heaps.h"

#include <string.h>

/*
 *     newest -> [ links, size | one large thing ] <-> [ links, size | small | small | ... ] <-> ...
 *
 * Invariant: `used` is the sum of the sizes in the list.
 */

enum { HEAD_BYTES = 64, SMALL_MAX = 8 << 10, SHARED_BYTES = 128 << 10 };

struct overlay_block {
    struct overlay_block *before;
    struct overlay_block *after;
    size_t size; /* with this head */
};

_Static_assert(sizeof(struct overlay_block) <= HEAD_BYTES, "the head has room");

void overlay_memory_init(overlay_memory *memory, tarn_heap *upstream)
{
    memset(memory, 0, sizeof *memory);
    memory->upstream = upstream == NULL ? tarn_pages_heap() : upstream;
}

/* A block with so many zeroed bytes behind its head. */
static void *take_block(overlay_memory *memory, size_t bytes)
{
    if (!base_checked_add(bytes, HEAD_BYTES, &bytes)) {
        return NULL;
    }
    struct overlay_block *block = tarn_heap_calloc(memory->upstream, 1, bytes, HEAD_BYTES);
    if (block == NULL) {
        return NULL;
    }
    block->before = memory->newest;
    if (memory->newest != NULL) {
        memory->newest->after = block;
    }
    block->size = bytes;
    memory->newest = block;
    memory->used += bytes;
    if (memory->used > memory->peak) {
        memory->peak = memory->used;
    }
    return (unsigned char *)block + HEAD_BYTES;
}

void *overlay_take(overlay_memory *memory, size_t count, size_t size)
{
    size_t bytes;
    if (!base_checked_mul(count, size, &bytes)) {
        return NULL;
    }
    if (bytes > SMALL_MAX) {
        return take_block(memory, bytes);
    }
    bytes = base_align_up(bytes == 0 ? 1 : bytes, HEAD_BYTES);
    if (bytes > memory->shared_size) {
        unsigned char *shared = take_block(memory, SHARED_BYTES);
        if (shared == NULL) {
            return NULL;
        }
        memory->shared = shared;
        memory->shared_size = SHARED_BYTES;
    }
    void *thing = memory->shared;
    memory->shared += bytes;
    memory->shared_size -= bytes;
    return thing;
}

static void give_back_block(overlay_memory *memory, struct overlay_block *block)
{
    if (block->after != NULL) {
        block->after->before = block->before;
    } else {
        memory->newest = block->before;
    }
    if (block->before != NULL) {
        block->before->after = block->after;
    }
    memory->used -= block->size;
    tarn_heap_free(memory->upstream, block, block->size);
}

void overlay_give_back(overlay_memory *memory, void *thing, size_t count, size_t size)
{
    if (thing != NULL && count * size > SMALL_MAX) {
        give_back_block(memory, (void *)((unsigned char *)thing - HEAD_BYTES));
    }
}

void overlay_memory_deinit(overlay_memory *memory)
{
    while (memory->newest != NULL) {
        give_back_block(memory, memory->newest);
    }
    memory->shared_size = 0;
}
