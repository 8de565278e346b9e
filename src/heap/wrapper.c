/* SPDX-License-Identifier: MIT */
#include "heap/wrapper.h"

#include "heap/books.h"

void heap_wrapper_init(tarn_heap *heap, const tarn_heap_ops *ops, tarn_heap *upstream,
                       const char *name, const char *default_name)
{
    tarn_wrapper *wrapper = heap_wrapper_of(heap);
    *wrapper = (tarn_wrapper){
        .ops = *ops,
        .upstream = upstream != NULL ? upstream : tarn_pages_heap(),
    };
    const tarn_heap_ops *can = wrapper->upstream->ops;
    if (can->resize == NULL) {
        wrapper->ops.resize = NULL;
    }
    if (can->move == NULL) {
        wrapper->ops.move = NULL;
    }
    if (can->visit == NULL) {
        wrapper->ops.visit = NULL;
    }
    if (can->alloc_zeroed == NULL) {
        wrapper->ops.alloc_zeroed = NULL;
    }
    if (can->should_move == NULL) {
        wrapper->ops.should_move = NULL;
    }
    *heap = (tarn_heap){.ops = &wrapper->ops, .name = name != NULL ? name : default_name};
}

static void *note_alloc(tarn_heap *heap, void *block, size_t size)
{
    if (block == NULL) {
        return heap_wrapper_refuse(heap);
    }
    heap_books_give(&heap_wrapper_of(heap)->books, size);
    return block;
}

void *heap_wrapper_alloc(tarn_heap *heap, size_t size, size_t alignment)
{
    tarn_heap *upstream = heap_wrapper_of(heap)->upstream;
    return note_alloc(heap, upstream->ops->alloc(upstream, size, alignment), size);
}

void *heap_wrapper_alloc_zeroed(tarn_heap *heap, size_t size, size_t alignment)
{
    tarn_heap *upstream = heap_wrapper_of(heap)->upstream;
    return note_alloc(heap, upstream->ops->alloc_zeroed(upstream, size, alignment), size);
}

void heap_wrapper_free(tarn_heap *heap, void *block, size_t size)
{
    tarn_wrapper *wrapper = heap_wrapper_of(heap);
    wrapper->upstream->ops->free(wrapper->upstream, block, size);
    heap_books_take(&wrapper->books, size);
}

bool heap_wrapper_resize(tarn_heap *heap, void *block, size_t old_size, size_t new_size)
{
    tarn_wrapper *wrapper = heap_wrapper_of(heap);
    if (!wrapper->upstream->ops->resize(wrapper->upstream, block, old_size, new_size)) {
        return false;
    }
    heap_books_resize(&wrapper->books, old_size, new_size);
    return true;
}

void *heap_wrapper_move(tarn_heap *heap, void *block, size_t old_size, size_t new_size,
                        size_t alignment)
{
    tarn_wrapper *wrapper = heap_wrapper_of(heap);
    void *moved =
        wrapper->upstream->ops->move(wrapper->upstream, block, old_size, new_size, alignment);
    if (moved != NULL) {
        heap_books_resize(&wrapper->books, old_size, new_size);
    }
    return moved;
}

void *heap_wrapper_refuse(tarn_heap *heap)
{
    heap_wrapper_of(heap)->books.failures++;
    return NULL;
}

size_t heap_wrapper_trim(tarn_heap *heap)
{
    return tarn_heap_trim(heap_wrapper_of(heap)->upstream);
}

void heap_wrapper_stats(tarn_heap *heap, tarn_stats *stats)
{
    tarn_wrapper *wrapper = heap_wrapper_of(heap);
    *stats = wrapper->books;
    stats->footprint = stats->live;
    stats->peak_footprint = stats->peak_live;
    stats->largest_free = tarn_heap_stats(wrapper->upstream).largest_free;
}

bool heap_wrapper_check(tarn_heap *heap, char *fault, size_t fault_size)
{
    return tarn_heap_check(heap_wrapper_of(heap)->upstream, fault, fault_size);
}

bool heap_wrapper_visit(tarn_heap *heap, tarn_visitor *visitor, void *context)
{
    tarn_heap *upstream = heap_wrapper_of(heap)->upstream;
    return upstream->ops->visit(upstream, visitor, context);
}

bool heap_wrapper_reset(tarn_heap *heap)
{
    tarn_wrapper *wrapper = heap_wrapper_of(heap);
    /* Another user of upstream would lose blocks that it still uses. */
    if (tarn_heap_stats(wrapper->upstream).blocks != wrapper->books.blocks ||
        tarn_heap_reset(wrapper->upstream) != TARN_OK) {
        return false;
    }
    heap_books_take_all(&wrapper->books);
    return true;
}

bool heap_wrapper_should_move(tarn_heap *heap, void *block, size_t size)
{
    tarn_heap *upstream = heap_wrapper_of(heap)->upstream;
    return upstream->ops->should_move(upstream, block, size);
}
