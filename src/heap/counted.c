/* SPDX-License-Identifier: MIT */
#include "base/bits.h"
#include "heap/wrapper.h"

HEAP_WRAPPER_IS_IN_PLACE(tarn_counted);
_Static_assert(TARN_COUNTED_SIZES >= sizeof(size_t) * 8, "every size has a class");

static tarn_counts *counts_of(tarn_heap *heap)
{
    return &((tarn_counted *)heap)->counts;
}

static void count_size(tarn_counts *counts, size_t size)
{
    if (size > counts->largest) {
        counts->largest = size;
    }
}

static void *count_alloc(tarn_counts *counts, void *block, size_t size)
{
    if (block == NULL) {
        counts->failures++;
        return NULL;
    }
    counts->allocs++;
    counts->alloced_bytes += size;
    counts->sizes[base_log2_floor(size)]++;
    count_size(counts, size);
    return block;
}

static void count_growth(tarn_counts *counts, size_t old_size, size_t new_size)
{
    if (new_size > old_size) {
        counts->alloced_bytes += new_size - old_size;
        count_size(counts, new_size);
    }
}

static void *counted_alloc(tarn_heap *heap, size_t size, size_t alignment)
{
    return count_alloc(counts_of(heap), heap_wrapper_alloc(heap, size, alignment), size);
}

static void *counted_alloc_zeroed(tarn_heap *heap, size_t size, size_t alignment)
{
    return count_alloc(counts_of(heap), heap_wrapper_alloc_zeroed(heap, size, alignment), size);
}

static void counted_free(tarn_heap *heap, void *block, size_t size)
{
    heap_wrapper_free(heap, block, size);
    counts_of(heap)->frees++;
}

static bool counted_resize(tarn_heap *heap, void *block, size_t old_size, size_t new_size)
{
    if (!heap_wrapper_resize(heap, block, old_size, new_size)) {
        return false;
    }
    counts_of(heap)->resizes++;
    count_growth(counts_of(heap), old_size, new_size);
    return true;
}

static void *counted_move(tarn_heap *heap, void *block, size_t old_size, size_t new_size,
                          size_t alignment)
{
    void *moved = heap_wrapper_move(heap, block, old_size, new_size, alignment);
    if (moved != NULL) {
        counts_of(heap)->moves++;
        count_growth(counts_of(heap), old_size, new_size);
    }
    return moved;
}

static bool counted_reset(tarn_heap *heap)
{
    const uint64_t blocks = heap_wrapper_of(heap)->books.blocks;
    if (!heap_wrapper_reset(heap)) {
        return false;
    }
    counts_of(heap)->frees += blocks;
    return true;
}

tarn_status tarn_counted_init(tarn_counted *counted, const tarn_counted_options *options)
{
    static const tarn_heap_ops ops = {
        .alloc = counted_alloc,
        .free = counted_free,
        .resize = counted_resize,
        .move = counted_move,
        .trim = heap_wrapper_trim,
        .stats = heap_wrapper_stats,
        .check = heap_wrapper_check,
        .visit = heap_wrapper_visit,
        .reset = counted_reset,
        .alloc_zeroed = counted_alloc_zeroed,
        .should_move = heap_wrapper_should_move,
    };
    static const tarn_counted_options none;
    if (options == NULL) {
        options = &none;
    }
    counted->counts = (tarn_counts){0};
    heap_wrapper_init(&counted->heap, &ops, options->upstream, options->name, "counted");
    return TARN_OK;
}
