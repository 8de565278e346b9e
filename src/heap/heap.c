/* SPDX-License-Identifier: MIT */
#include "tarn/heap.h"

#include "base/bits.h"
#include "base/bytes.h"

#include <stdint.h>

/*
 * Every check of what the user says is here, once, so that no heap repeats it: the ops see sizes
 * from 1 to PTRDIFF_MAX, alignments that are powers of two, and blocks that are not NULL.
 */

/* What a request of `size` is served as; 0 bytes are one byte, so that each block has an address of
 * its own. */
static size_t served_size(size_t size)
{
    return size == 0 ? 1 : size;
}

static size_t served_alignment(size_t alignment)
{
    return alignment == 0 ? _Alignof(max_align_t) : alignment;
}

/* A block larger than PTRDIFF_MAX could not even be measured by subtracting its ends. */
static bool can_be_served(size_t size, size_t alignment)
{
    return size <= PTRDIFF_MAX && base_is_power_of_two(alignment);
}

void *tarn_heap_alloc(tarn_heap *heap, size_t size, size_t alignment)
{
    size = served_size(size);
    alignment = served_alignment(alignment);
    if (!can_be_served(size, alignment)) {
        return NULL;
    }
    return heap->ops->alloc(heap, size, alignment);
}

void *tarn_heap_calloc(tarn_heap *heap, size_t count, size_t size, size_t alignment)
{
    size_t total;
    if (!base_checked_mul(count, size, &total)) {
        return NULL;
    }
    total = served_size(total);
    alignment = served_alignment(alignment);
    if (!can_be_served(total, alignment)) {
        return NULL;
    }
    if (heap->ops->alloc_zeroed != NULL) {
        return heap->ops->alloc_zeroed(heap, total, alignment);
    }
    void *block = heap->ops->alloc(heap, total, alignment);
    if (block != NULL) {
        base_zero(block, total);
    }
    return block;
}

void tarn_heap_free(tarn_heap *heap, void *block, size_t size)
{
    if (block != NULL) {
        heap->ops->free(heap, block, served_size(size));
    }
}

bool tarn_heap_resize(tarn_heap *heap, void *block, size_t old_size, size_t new_size)
{
    if (block == NULL || new_size > PTRDIFF_MAX || heap->ops->resize == NULL) {
        return false;
    }
    return heap->ops->resize(heap, block, served_size(old_size), served_size(new_size));
}

void *tarn_heap_realloc(tarn_heap *heap, void *block, size_t old_size, size_t new_size,
                        size_t alignment)
{
    if (block == NULL) {
        return tarn_heap_alloc(heap, new_size, alignment);
    }
    old_size = served_size(old_size);
    new_size = served_size(new_size);
    alignment = served_alignment(alignment);
    if (!can_be_served(new_size, alignment)) {
        return NULL;
    }
    if (heap->ops->resize != NULL && heap->ops->resize(heap, block, old_size, new_size)) {
        return block;
    }
    if (heap->ops->move != NULL) {
        void *moved = heap->ops->move(heap, block, old_size, new_size, alignment);
        if (moved != NULL) {
            return moved;
        }
    }
    void *copy = heap->ops->alloc(heap, new_size, alignment);
    if (copy != NULL) {
        base_copy(copy, block, old_size < new_size ? old_size : new_size);
        heap->ops->free(heap, block, old_size);
    }
    return copy;
}

size_t tarn_heap_trim(tarn_heap *heap)
{
    return heap->ops->trim != NULL ? heap->ops->trim(heap) : 0;
}

tarn_stats tarn_heap_stats(tarn_heap *heap)
{
    tarn_stats stats;
    base_zero(&stats, sizeof stats);
    if (heap->ops->stats != NULL) {
        heap->ops->stats(heap, &stats);
    }
    return stats;
}

bool tarn_heap_check(tarn_heap *heap, char *fault, size_t fault_size)
{
    char nowhere[1];
    if (fault == NULL || fault_size == 0) {
        fault = nowhere;
        fault_size = sizeof nowhere;
    }
    fault[0] = '\0';
    return heap->ops->check == NULL || heap->ops->check(heap, fault, fault_size);
}

tarn_status tarn_heap_visit(tarn_heap *heap, tarn_visitor *visitor, void *context)
{
    if (heap->ops->visit == NULL) {
        return TARN_UNSUPPORTED;
    }
    (void)heap->ops->visit(heap, visitor, context);
    return TARN_OK;
}

bool tarn_heap_should_move(tarn_heap *heap, void *block, size_t size)
{
    return block != NULL && heap->ops->should_move != NULL &&
           heap->ops->should_move(heap, block, served_size(size));
}

tarn_status tarn_heap_reset(tarn_heap *heap)
{
    return heap->ops->reset != NULL && heap->ops->reset(heap) ? TARN_OK : TARN_UNSUPPORTED;
}
