/* SPDX-License-Identifier: MIT */
#include "movable/core.h"

#include <string.h>

/*
 *     chunk                                                     chunk + held
 *     [ base: head | arena | gap | table | tracts ][ what upstream did not take back ]
 *
 * The table and the tracts are moved along when the end moves, so that the gap is one. They are a small part of the
 * whole, and each growth is by a part of the whole.
 */

#define FIRST_SIZE ((size_t)32 << 10)
#define LARGE_PAGES_FROM ((size_t)4 << 20) /* bytes from which a heap is worth large pages */
#define LARGE_PAGE ((size_t)2 << 20) /* bytes that one begins at a multiple of, on most machines */
#define GROWTH_PART 4                /* a heap grows by at least this part of itself */

/* Bytes that head, arena and table need, as they are now. */
static uint64_t used_size(const movable_head *head)
{
    return (uint64_t)head->end * GRANULE + (uint64_t)head->count * sizeof(tarn_movable_entry);
}

/* The size, in whole pages, of a heap with room for so many bytes beside the tracts. */
static uint64_t size_for(uint64_t bytes)
{
    const size_t page = os_page_size();
    uint64_t size = base_align_up(bytes, page);
    while (size - tracts_size(size) < bytes) {
        size += page;
    }
    return size;
}

/* Rewrites the table when the heap has grown past what places in bytes can name, or has shrunk to that again. */
static void set_kind_of_places(tarn_movable *heap)
{
    const movable_head *head = movable_head_of(heap);
    const bool is_large = head->size > SMALL_HEAP_MAX;
    if (is_large == heap->is_large) {
        return;
    }
    for (uint32_t number = 1; number <= head->count; number++) {
        tarn_movable_entry *entry = entry_at(heap, number);
        const entry_view seen = entry_load(heap, entry);
        heap->is_large = is_large;
        entry_store(heap, entry, seen.place, seen.state);
        heap->is_large = !is_large;
    }
    heap->is_large = is_large;
}

void stretch_lay(tarn_movable *heap, uint64_t size)
{
    movable_head *head = movable_head_of(heap);
    const uint64_t old_size = head->size;
    unsigned char *old_table = heap->base + old_size - tracts_size(old_size);
    unsigned char *new_table = heap->base + size - tracts_size(size);
    const size_t entries = head->count * sizeof(tarn_movable_entry);
    /* What goes up makes way from the top, what goes down from the bottom. */
    if (size < old_size) {
        memmove(new_table - entries, old_table - entries, entries);
        memmove(new_table, old_table, tracts_size(size));
    } else {
        const size_t kept = tracts_size(old_size);
        memmove(new_table, old_table, kept);
        memset(new_table + kept, 0, tracts_size(size) - kept);
        memmove(new_table - entries, old_table - entries, entries);
    }
    head->size = size;
    stretch_set_table(heap, new_table);
    set_kind_of_places(heap);
}

/* Compaction keeps the pages full; large ones then save most of the walks through page tables. */
static void ask_for_large_pages(const tarn_movable *heap)
{
    if (heap->options.memory.start == NULL && heap->held >= LARGE_PAGES_FROM) {
        os_pages_are_dense(heap->chunk, base_align_down(heap->held, os_page_size()));
    }
}

/* Lays an empty heap over the memory that is held. */
static void lay_empty(tarn_movable *heap, uint64_t size)
{
    movable_head *head = movable_head_of(heap);
    memset(head, 0, sizeof *head);
    head->size = size;
    heap->is_large = size > SMALL_HEAP_MAX;
    head->version = MOVABLE_VERSION;
    head->residue = (uint32_t)((uintptr_t)heap->base % PAGE_ALIGNMENT);
    head->alignment_max = (uint32_t)1 << base_ctz(head->residue | PAGE_ALIGNMENT);
    head->has_threads = heap->options.threads;
    head->end = FIRST_PLACE;
    head->touched = FIRST_PLACE;
    head->generation = 1u << GENERATION_SHIFT;
    stretch_set_table(heap, heap->base + size - tracts_size(size));
    memset(heap->table, 0, tracts_size(size));
    if (!movable_is_fixed(heap)) {
        head->touched = (uint32_t)((size - tracts_size(size)) / GRANULE);
    }
    head->magic = MOVABLE_MAGIC;
    stretch_note_footprint(heap);
}

tarn_status stretch_init(tarn_movable *heap, const tarn_movable_options *options, uint64_t size)
{
    static const tarn_movable_options none;
    heap->options = options != NULL ? *options : none;
    options = &heap->options;
    if (options->threads && !movable_is_fixed(heap)) {
        return TARN_BAD_ARGUMENT;
    }
    uint64_t wanted = size_for(size > FIRST_SIZE ? size : FIRST_SIZE);
    if (options->memory.start != NULL) {
        heap->chunk = options->memory.start;
        heap->held = options->memory.size;
        heap->base = base_align_pointer(heap->chunk, _Alignof(max_align_t));
        const size_t before = (size_t)(heap->base - (unsigned char *)heap->chunk);
        wanted = heap->held > before ? base_align_down(heap->held - before, GRANULE) : 0;
    } else if (options->capacity != 0) {
        wanted = base_align_down(options->capacity, GRANULE);
    }
    if (wanted > HEAP_MAX) {
        return TARN_TOO_LARGE;
    }
    if (wanted < FIRST_PLACE * GRANULE + tracts_size(wanted) + 2 * sizeof(tarn_movable_entry) ||
        wanted - tracts_size(wanted) < size) {
        return TARN_NO_ROOM;
    }
    if (options->memory.start == NULL) {
        if (heap->options.upstream == NULL) {
            heap->options.upstream = tarn_pages_heap();
        }
        heap->held = (size_t)wanted;
        heap->alignment = wanted < LARGE_PAGES_FROM ? PAGE_ALIGNMENT : LARGE_PAGE;
        heap->chunk = tarn_heap_alloc(heap->options.upstream, heap->held, heap->alignment);
        if (heap->chunk == NULL && heap->alignment != PAGE_ALIGNMENT) {
            heap->alignment = PAGE_ALIGNMENT;
            heap->chunk = tarn_heap_alloc(heap->options.upstream, heap->held, heap->alignment);
        }
        if (heap->chunk == NULL) {
            return TARN_NO_MEMORY;
        }
        heap->base = heap->chunk;
        ask_for_large_pages(heap);
    }
    lay_empty(heap, wanted);
    return TARN_OK;
}

void stretch_deinit(tarn_movable *heap)
{
    movable_head_of(heap)->magic = 0;
    if (heap->options.memory.start == NULL) {
        tarn_heap_free(heap->options.upstream, heap->chunk, heap->held);
    }
    heap->base = NULL;
    heap->table = NULL;
    heap->chunk = NULL;
}

/* A copy of the chunk, which goes back to upstream; NULL if there is none to be had. Both are held for a moment, which is
 * what a footprint at its peak has to tell; it is noted in the head before that is copied. */
static void *copy_chunk(tarn_movable *heap, uint64_t size, size_t alignment)
{
    void *chunk = tarn_heap_alloc(heap->options.upstream, (size_t)size, alignment);
    if (chunk != NULL) {
        tarn_stats *books = &movable_head_of(heap)->books;
        const size_t both = stretch_footprint(heap) + (size_t)size;
        books->peak_footprint = both > books->peak_footprint ? both : books->peak_footprint;
        memcpy(chunk, heap->chunk, heap->held);
        tarn_heap_free(heap->options.upstream, heap->chunk, heap->held);
        heap->alignment = alignment;
    }
    return chunk;
}

/* The chunk elsewhere and larger; NULL if upstream has no room. */
static void *move_chunk(tarn_movable *heap, uint64_t size)
{
    tarn_heap *upstream = heap->options.upstream;
    void *chunk = NULL;
    /* The first time that the heap is worth large pages it begins where they can, so that later moves of it by upstream
     * leave them whole. */
    if (size >= LARGE_PAGES_FROM && heap->alignment < LARGE_PAGE) {
        chunk = copy_chunk(heap, size, LARGE_PAGE);
    }
    if (chunk == NULL && upstream->ops->move != NULL) {
        chunk =
            upstream->ops->move(upstream, heap->chunk, heap->held, (size_t)size, heap->alignment);
    }
    return chunk != NULL ? chunk : copy_chunk(heap, size, heap->alignment);
}

/* Makes the chunk at least `size` bytes, where it is or, if nobody minds, elsewhere. */
static bool hold(tarn_movable *heap, uint64_t size)
{
    const movable_head *head = movable_head_of(heap);
    if (size <= heap->held) {
        return true;
    }
    if (tarn_heap_resize(heap->options.upstream, heap->chunk, heap->held, (size_t)size)) {
        heap->held = (size_t)size;
        return true;
    }
    if (head->pinned > 0 || head->is_in_pass) {
        return false;
    }
    void *chunk = move_chunk(heap, size);
    if (chunk == NULL) {
        return false;
    }
    stretch_set_table(heap, (unsigned char *)chunk + ((unsigned char *)heap->table - heap->base));
    heap->chunk = chunk;
    heap->base = chunk;
    heap->held = (size_t)size;
    return true;
}

bool stretch_grow(tarn_movable *heap, size_t bytes)
{
    const movable_head *head = movable_head_of(heap);
    const uint64_t most = base_align_down(HEAP_MAX, os_page_size());
    if (movable_is_fixed(heap) || bytes > HEAP_MAX) {
        return false;
    }
    const uint64_t least = size_for(used_size(head) + bytes);
    uint64_t wanted = base_align_up(head->size + head->size / GROWTH_PART, os_page_size());
    wanted = wanted < least ? least : wanted;
    wanted = wanted > most ? most : wanted;
    if (least > most) {
        return false;
    }
    if (!hold(heap, wanted)) {
        wanted = least;
        if (!hold(heap, wanted)) {
            return false;
        }
    }
    ask_for_large_pages(heap);
    stretch_lay(heap, wanted);
    /* What upstream gives counts as held, be it touched or not. */
    movable_head_of(heap)->touched =
        (uint32_t)((movable_head_of(heap)->size - tracts_size(wanted)) / GRANULE);
    stretch_note_footprint(heap);
    return true;
}

/* The free whole pages of the gap that may be resident. */
static tarn_memory gap_pages(const tarn_movable *heap)
{
    const movable_head *head = movable_head_of(heap);
    const size_t page = os_page_size();
    unsigned char *start = base_align_pointer(heap->base + head->end * GRANULE, page);
    const uintptr_t low = (uintptr_t)entry_at(heap, head->count);
    const uintptr_t touched = (uintptr_t)heap->base + head->touched * GRANULE;
    uintptr_t end = base_align_up(touched, page);
    if (end > base_align_down(low, page)) {
        end = base_align_down(low, page);
    }
    return (tarn_memory){start, end > (uintptr_t)start ? end - (uintptr_t)start : 0};
}

size_t stretch_clean(tarn_movable *heap, size_t bytes)
{
    movable_head *head = movable_head_of(heap);
    tarn_memory pages = gap_pages(heap);
    if (heap->options.keep_pages || pages.size == 0) {
        return 0;
    }
    const size_t given = pages.size < bytes ? pages.size : base_align_up(bytes, os_page_size());
    unsigned char *first = (unsigned char *)pages.start + (pages.size - given);
    if (given == 0 || given > pages.size || !os_pages_purge(first, given)) {
        return 0;
    }
    const uint32_t touched = (uint32_t)((size_t)(first - heap->base) / GRANULE);
    head->touched = touched > head->end ? touched : head->end;
    head->history.bytes_given_back += given;
    return given;
}

size_t stretch_shrink(tarn_movable *heap)
{
    movable_head *head = movable_head_of(heap);
    if (movable_is_fixed(heap)) {
        return stretch_clean(heap, SIZE_MAX / 2);
    }
    const uint64_t size = size_for(used_size(head) > FIRST_SIZE ? used_size(head) : FIRST_SIZE);
    if (size >= heap->held) {
        return 0;
    }
    if (size < head->size) {
        stretch_lay(heap, size);
        head = movable_head_of(heap);
        head->touched = (uint32_t)((size - tracts_size(size)) / GRANULE);
    }
    const size_t given = heap->held - (size_t)size;
    if (!tarn_heap_resize(heap->options.upstream, heap->chunk, heap->held, (size_t)size)) {
        return 0;
    }
    heap->held = (size_t)size;
    head->history.bytes_given_back += given;
    return given;
}

size_t stretch_footprint(const tarn_movable *heap)
{
    const movable_head *head = movable_head_of(heap);
    const size_t page = os_page_size();
    const uintptr_t low = base_align_down((uintptr_t)entry_at(heap, head->count), page);
    const uintptr_t touched = base_align_up((uintptr_t)heap->base + head->touched * GRANULE, page);
    const size_t untouched = low > touched ? low - touched : 0;
    return heap->held - head->clean - untouched;
}

void stretch_note_footprint(tarn_movable *heap)
{
    tarn_stats *books = &movable_head_of(heap)->books;
    books->footprint = stretch_footprint(heap);
    if (books->footprint > books->peak_footprint) {
        books->peak_footprint = books->footprint;
    }
}
