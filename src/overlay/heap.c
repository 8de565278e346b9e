/* SPDX-License-Identifier: MIT */
#include "tarn/overlay_heap.h"

#include "base/bits.h"
#include "base/check.h"
#include "base/record.h"
#include "heap/books.h"
#include "heap/watch.h"
#include "overlay/sort.h"
#include "tarn/heaps.h"

#include <stdint.h>
#include <string.h>

/*
 *     names (sorted)    seats (in the order of offsets)      ends: a tree of the highest ends in use
 *     "a" --------.     0: offset, size, in use?                          max
 *     "b" ------. `---> 1: ...                                     max          max
 *     "c" -.    `-----> 2: ...                                  0: end  1: 0  2: end  3: 0
 *          `---------->
 *
 * A seat that is not in use has the end 0, and so has one that is not compared: of size 0, or with gaps.
 *
 * Invariant: the seats with an end are in use and apart from each other, so the first of them that ends behind
 * a new block's start is the only one that can be in its place.
 */
typedef struct overlay_seat {
    size_t offset;
    size_t size;
    const char *name;
    bool has_gaps;
    bool is_in_use;
} overlay_seat;

typedef struct overlay_label {
    const char *name;
    size_t seat;
} overlay_label;

static inline bool seat_is_before(const overlay_seat *a, const overlay_seat *b)
{
    return a->offset != b->offset ? a->offset < b->offset : strcmp(a->name, b->name) < 0;
}

static inline bool label_is_before(const overlay_label *a, const overlay_label *b)
{
    return strcmp(a->name, b->name) < 0;
}

OVERLAY_DEFINE_SORT(sort_seats, overlay_seat, seat_is_before)
OVERLAY_DEFINE_SORT(sort_labels, overlay_label, label_is_before)

/* -------------------------------------------------------------------------------------------------
 * The tree: node i has the children 2i and 2i + 1, and leaf i is node leaves + i.
 */
static void set_end(tarn_overlay_heap *heap, size_t seat, size_t end)
{
    size_t node = heap->leaves + seat;
    heap->ends[node] = end;
    for (node /= 2; node > 0; node /= 2) {
        const size_t left = heap->ends[2 * node];
        const size_t right = heap->ends[2 * node + 1];
        heap->ends[node] = left > right ? left : right;
    }
}

/* The first seat in use that ends behind `offset`; SIZE_MAX if none does. */
static size_t first_behind(const tarn_overlay_heap *heap, size_t offset)
{
    size_t node = 1;
    if (heap->ends[node] <= offset) {
        return SIZE_MAX;
    }
    while (node < heap->leaves) {
        node = 2 * node + (heap->ends[2 * node] <= offset);
    }
    return node - heap->leaves;
}

/* -------------------------------------------------------------------------------------------------
 * Starting and ending.
 */
static tarn_status look_at(const tarn_overlay_place *places, size_t count, size_t *height)
{
    *height = 0;
    if (places == NULL && count > 0) {
        return TARN_BAD_ARGUMENT;
    }
    for (size_t i = 0; i < count; i++) {
        size_t end;
        if (places[i].name == NULL) {
            return TARN_BAD_ARGUMENT;
        }
        if (!base_checked_add(places[i].offset, places[i].size, &end) || end > PTRDIFF_MAX) {
            return TARN_TOO_LARGE;
        }
        *height = end > *height ? end : *height;
    }
    return TARN_OK;
}

/* Lays the books out in one block; false if they are too large. */
static bool book_layout(tarn_overlay_heap *heap, size_t *names_at, size_t *ends_at)
{
    size_t ends;
    heap->leaves = 1;
    while (heap->leaves < heap->count) {
        if (!base_checked_mul(heap->leaves, 2, &heap->leaves)) {
            return false;
        }
    }
    return base_checked_mul(heap->count, sizeof *heap->seats, names_at) &&
           base_checked_mul(heap->count, sizeof *heap->names, ends_at) &&
           base_checked_add(*ends_at, *names_at, ends_at) &&
           base_checked_mul(heap->leaves, 2 * sizeof *heap->ends, &ends) &&
           base_checked_add(*ends_at, ends, &heap->book_size);
}

static tarn_status fill_books(tarn_overlay_heap *heap, const tarn_overlay_place *places)
{
    heap->is_watched = true;
    for (size_t i = 0; i < heap->count; i++) {
        heap->seats[i] = (overlay_seat){.offset = places[i].offset,
                                        .size = places[i].size,
                                        .name = places[i].name,
                                        .has_gaps = places[i].has_gaps};
        heap->is_watched &= !places[i].has_gaps;
    }
    sort_seats(heap->seats, heap->count);
    for (size_t i = 0; i < heap->count; i++) {
        heap->names[i] = (overlay_label){.name = heap->seats[i].name, .seat = i};
    }
    sort_labels(heap->names, heap->count);
    for (size_t i = 1; i < heap->count; i++) {
        if (strcmp(heap->names[i - 1].name, heap->names[i].name) == 0) {
            return TARN_BAD_ARGUMENT;
        }
    }
    return TARN_OK;
}

static tarn_status take_memory(tarn_overlay_heap *heap, const tarn_overlay_heap_options *options,
                               size_t alignment)
{
    if (options->memory.start != NULL) {
        heap->memory = options->memory.start;
        return TARN_OK;
    }
    heap->owns_memory = true;
    heap->memory_size = heap->memory_size > 0 ? heap->memory_size : 1;
    heap->memory = tarn_heap_alloc(heap->upstream, heap->memory_size, alignment);
    return heap->memory != NULL ? TARN_OK : TARN_NO_MEMORY;
}

static void hide_all(const tarn_overlay_heap *heap)
{
    if (heap->is_watched) {
        heap_watch_hide(heap->memory, heap->memory_size);
    }
}

static void give_back_books(tarn_overlay_heap *heap)
{
    tarn_heap_free(heap->upstream, heap->books, heap->book_size);
}

tarn_status tarn_overlay_heap_init(tarn_overlay_heap *heap, const tarn_overlay_place *places,
                                   size_t count, const tarn_overlay_heap_options *options)
{
    static const tarn_overlay_heap_options usual = {.alignment = 0};
    options = options != NULL ? options : &usual;
    const size_t alignment = options->alignment != 0 ? options->alignment : _Alignof(max_align_t);
    tarn_overlay_heap made = {.count = count,
                              .name = options->name != NULL ? options->name : "overlay",
                              .upstream = options->upstream != NULL ? options->upstream
                                                                    : tarn_pages_heap()};
    size_t names_at;
    size_t ends_at;
    tarn_status status = look_at(places, count, &made.memory_size);
    if (status != TARN_OK) {
        return status;
    }
    if (!base_is_power_of_two(alignment) ||
        (options->memory.start != NULL && !base_is_aligned(options->memory.start, alignment))) {
        return TARN_BAD_LAYOUT;
    }
    if (options->memory.start != NULL && options->memory.size < made.memory_size) {
        return TARN_NO_ROOM;
    }
    if (!book_layout(&made, &names_at, &ends_at)) {
        return TARN_TOO_LARGE;
    }
    made.books = tarn_heap_calloc(made.upstream, 1, made.book_size, _Alignof(max_align_t));
    if (made.books == NULL) {
        return TARN_NO_MEMORY;
    }
    made.seats = made.books;
    made.names = (overlay_label *)(void *)((unsigned char *)made.books + names_at);
    made.ends = (size_t *)(void *)((unsigned char *)made.books + ends_at);
    status = fill_books(&made, places);
    if (status == TARN_OK) {
        status = take_memory(&made, options, alignment);
    }
    if (status != TARN_OK) {
        give_back_books(&made);
        return status;
    }
    heap_books_hold(&made.stats, made.book_size + (made.owns_memory ? made.memory_size : 0));
    hide_all(&made);
    made.record = base_record_open(heap, made.upstream, "overlay", made.name);
    *heap = made;
    return TARN_OK;
}

void tarn_overlay_heap_deinit(tarn_overlay_heap *heap)
{
    base_record_close(heap->record);
    if (heap->is_watched) {
        heap_watch_show(heap->memory, heap->memory_size);
    }
    if (heap->owns_memory) {
        tarn_heap_free(heap->upstream, heap->memory, heap->memory_size);
    }
    give_back_books(heap);
}

/* -------------------------------------------------------------------------------------------------
 * Blocks.
 */
static overlay_seat *find_seat(const tarn_overlay_heap *heap, const char *name)
{
    size_t low = 0;
    size_t high = heap->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(name, heap->names[middle].name);
        if (order == 0) {
            return &heap->seats[heap->names[middle].seat];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

static bool is_compared(const overlay_seat *seat)
{
    return seat->size > 0 && !seat->has_gaps;
}

void *tarn_overlay_heap_alloc(tarn_overlay_heap *heap, const char *name, size_t size)
{
    overlay_seat *seat = name != NULL ? find_seat(heap, name) : NULL;
    if (seat == NULL || size > seat->size) {
        heap->stats.failures++;
        base_record_alloc(heap->record, NULL, size, 0);
        return NULL;
    }
    unsigned char *block = heap->memory + seat->offset;
    TARN_CHECK(!seat->is_in_use, "this name is in use already", heap->name, block);
    if (is_compared(seat)) {
        const size_t other = first_behind(heap, seat->offset);
        TARN_CHECK(other == SIZE_MAX || heap->seats[other].offset >= seat->offset + seat->size,
                   "another block is in the place of this one", heap->name, block);
        set_end(heap, (size_t)(seat - heap->seats), seat->offset + seat->size);
    }
    seat->is_in_use = true;
    heap_books_give(&heap->stats, seat->size);
    if (heap->is_watched) {
        heap_watch_give(block, size);
    }
    base_record_alloc(heap->record, block, size, 0);
    return block;
}

static void release(tarn_overlay_heap *heap, overlay_seat *seat)
{
    base_record_free(heap->record, heap->memory + seat->offset);
    if (is_compared(seat)) {
        set_end(heap, (size_t)(seat - heap->seats), 0);
    }
    seat->is_in_use = false;
    heap_books_take(&heap->stats, seat->size);
    if (heap->is_watched) {
        heap_watch_take(heap->memory + seat->offset, seat->size);
    }
}

void tarn_overlay_heap_free(tarn_overlay_heap *heap, const char *name)
{
    if (name == NULL) {
        return;
    }
    overlay_seat *seat = find_seat(heap, name);
    TARN_CHECK(seat != NULL, "free of a name that has no place", heap->name, name);
    TARN_CHECK(seat->is_in_use, "free of a name that is not in use", heap->name,
               heap->memory + seat->offset);
    release(heap, seat);
}

void *tarn_overlay_heap_find(const tarn_overlay_heap *heap, const char *name)
{
    const overlay_seat *seat = name != NULL ? find_seat(heap, name) : NULL;
    return seat != NULL && seat->is_in_use ? heap->memory + seat->offset : NULL;
}

void tarn_overlay_heap_reset(tarn_overlay_heap *heap)
{
    for (size_t i = 0; i < heap->count; i++) {
        if (heap->seats[i].is_in_use) {
            release(heap, &heap->seats[i]);
        }
    }
}

tarn_stats tarn_overlay_heap_stats(const tarn_overlay_heap *heap)
{
    return heap->stats;
}

bool tarn_overlay_heap_check(const tarn_overlay_heap *heap, char *fault, size_t fault_size)
{
    size_t live = 0;
    size_t blocks = 0;
    size_t end = 0;
    for (size_t i = 0; i < heap->count; i++) {
        const overlay_seat *seat = &heap->seats[i];
        const bool has_end = seat->is_in_use && is_compared(seat);
        if (heap->ends[heap->leaves + i] != (has_end ? seat->offset + seat->size : 0)) {
            return heap_fault(fault, fault_size, "'%s' has a wrong end in the tree", seat->name);
        }
        if (has_end && seat->offset < end) {
            return heap_fault(fault, fault_size, "'%s' overlaps one before it", seat->name);
        }
        end = has_end ? seat->offset + seat->size : end;
        live += seat->is_in_use ? seat->size : 0;
        blocks += seat->is_in_use;
    }
    for (size_t node = heap->leaves; node-- > 1;) {
        const size_t left = heap->ends[2 * node];
        const size_t right = heap->ends[2 * node + 1];
        if (heap->ends[node] != (left > right ? left : right)) {
            return heap_fault(fault, fault_size, "node %zu of the tree is wrong", node);
        }
    }
    if (live != heap->stats.live || blocks != heap->stats.blocks) {
        return heap_fault(fault, fault_size, "%zu blocks of %zu bytes are in use, not %zu of %zu",
                          blocks, live, (size_t)heap->stats.blocks, heap->stats.live);
    }
    return true;
}
