/* SPDX-License-Identifier: MIT */
#ifndef TARN_HEAP_WRAPPER_H
#define TARN_HEAP_WRAPPER_H

/*
 * What the wrapping heaps share: their upstream, the books of what passed through, and the calls
 * that they hand on.
 */

#include "tarn/heaps.h"

/* Every wrapping heap has its wrapper right behind its heap; each asserts it with this. */
#define HEAP_WRAPPER_IS_IN_PLACE(type)                                                             \
    _Static_assert(offsetof(type, heap) == 0 && offsetof(type, wrapper) == sizeof(tarn_heap),      \
                   "heap_wrapper_of() finds the wrapper")

static inline tarn_wrapper *heap_wrapper_of(tarn_heap *heap)
{
    return (tarn_wrapper *)(void *)(heap + 1);
}

/* Sets `heap` and its wrapper up over `upstream` (NULL: the pages heap). Of `ops` those that only
 * hand on, below or of the heap's own, remain if upstream has them. A NULL `name` becomes
 * `default_name`. */
void heap_wrapper_init(tarn_heap *heap, const tarn_heap_ops *ops, tarn_heap *upstream,
                       const char *name, const char *default_name);

/* The requests, handed on with the books kept. Failing changes nothing but the count of
 * failures. */
void *heap_wrapper_alloc(tarn_heap *heap, size_t size, size_t alignment);
void *heap_wrapper_alloc_zeroed(tarn_heap *heap, size_t size, size_t alignment);
void heap_wrapper_free(tarn_heap *heap, void *block, size_t size);
bool heap_wrapper_resize(tarn_heap *heap, void *block, size_t old_size, size_t new_size);
void *heap_wrapper_move(tarn_heap *heap, void *block, size_t old_size, size_t new_size,
                        size_t alignment);

/* The request is not handed on. Returns NULL. */
void *heap_wrapper_refuse(tarn_heap *heap);

/* The rest, as tarn/heaps.h says of wrapping heaps. */
size_t heap_wrapper_trim(tarn_heap *heap);
void heap_wrapper_stats(tarn_heap *heap, tarn_stats *stats);
bool heap_wrapper_check(tarn_heap *heap, char *fault, size_t fault_size);
bool heap_wrapper_visit(tarn_heap *heap, tarn_visitor *visitor, void *context);
bool heap_wrapper_reset(tarn_heap *heap);
bool heap_wrapper_should_move(tarn_heap *heap, void *block, size_t size);

#endif
