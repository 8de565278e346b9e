/* SPDX-License-Identifier: MIT */
#include "malloc/core.h"

#include "base/bits.h"
#include "base/record.h"

#include <string.h>

/*
 * First-class heaps, and the process's malloc as a heap. A first-class heap is the same machinery as a thread's
 * cache, under a lock and over a page heap of its own, so that all of it goes at once.
 *
 *     confined memory:  [ books | entries | records | chunk books ... |  unit | unit | unit | ... ]
 *
 * A confined heap's units are not in the map: nothing of it is anywhere but in the caller's memory.
 */

typedef struct own_heap {
    malloc_heap heap; /* first: the interface is at its start */
    page_heap pages;
} own_heap;

#define CONFINED_MIN ((size_t)256 << 10)
#define OWN_FIRST_UNITS 4

static os_lock registry_lock;
static malloc_heap *registry;
static own_heap
    *spare; /* destroyed ones; never unmapped, since a late look at one must be harmless */

static own_heap *own_of(tarn_heap *interface)
{
    return (own_heap *)interface;
}

/* ---- blocks ---- */

static uintptr_t entry_of(own_heap *own, const void *block)
{
    return own->pages.confined.start != NULL ? page_heap_find(&own->pages, (uintptr_t)block)
                                             : map_get((uintptr_t)block);
}

static bool is_span_entry(uintptr_t entry)
{
    return entry != 0 && (entry & 3) == MAP_SPAN;
}

/* The room of a block of this heap; anything else is misuse. */
static size_t room_of(own_heap *own, uintptr_t entry, const void *block)
{
    if (is_span_entry(entry)) {
        malloc_span *span = (malloc_span *)entry;
        if (span_is_slot(span, (uintptr_t)block) &&
            atomic_load_explicit(&span->owner, memory_order_acquire) == &own->heap) {
            return span->slot_size;
        }
    } else if (entry != 0 && page_heap_of(entry) == &own->pages) {
        if (page_heap_is_block(entry, (uintptr_t)block)) {
            return page_heap_size(entry, (uintptr_t)block);
        }
        if (page_heap_is_free(entry, (uintptr_t)block)) {
            base_fatal("double free", own->heap.interface.name, block);
        }
    }
    base_fatal("not a block", own->heap.interface.name, block);
}

static size_t checked_room(own_heap *own, uintptr_t entry, const void *block, size_t size)
{
    const size_t room = room_of(own, entry, block);
    if (size > room) {
        base_fatal("wrong size in sized free", own->heap.interface.name, block);
    }
    return room;
}

/* A slot of a larger class, when there is no memory for a span of the right one: a small confined heap has fewer units
 * than there are classes. */
static void *take_larger(own_heap *own, unsigned class_index, size_t alignment)
{
    for (unsigned index = class_index + 1; index < CLASS_COUNT; index++) {
        if (class_size(index) % alignment == 0 && heap_has_slot(&own->heap, index)) {
            return heap_take(&own->heap, index);
        }
    }
    return NULL;
}

static void *take(own_heap *own, size_t size, size_t alignment)
{
    const size_t request = class_request(alignment, size);
    bool clean = false;
    return request <= SMALL_MAX
               ? heap_take(&own->heap, class_of(request))
               : page_heap_take(&own->pages, size,
                                alignment < os_page_size() ? os_page_size() : alignment, &clean);
}

static void *take_or_make_room(own_heap *own, size_t size, size_t alignment)
{
    void *block = take(own, size, alignment);
    if (block == NULL) {
        /* The heap's own empty spans stand in the way of others. */
        heap_release_unused(&own->heap);
        (void)page_heap_purge(&own->pages, SIZE_MAX);
        block = take(own, size, alignment);
    }
    const size_t request = class_request(alignment, size);
    return block == NULL && request <= SMALL_MAX ? take_larger(own, class_of(request), alignment)
                                                 : block;
}

static void count_live(malloc_heap *heap, size_t size)
{
    heap->live += size;
    if (heap->live > heap->peak_live) {
        heap->peak_live = heap->live;
    }
}

/* What free() gives back was asked for through this heap; its size as asked is not known. */
static void uncount_live(malloc_heap *heap, size_t size)
{
    heap->live -= size < heap->live ? size : heap->live;
    heap->frees++;
}

void heaps_note_free(malloc_heap *heap, const void *block, size_t size)
{
    base_record_free(heap->record, block);
    os_lock_take(&heap->lock);
    uncount_live(heap, size);
    os_lock_release(&heap->lock);
}

/* True once for each time that the footprint passes the soft limit; the lock is held. */
static bool passes_soft_limit(own_heap *own)
{
    const size_t limit = own->heap.options.soft_limit;
    const bool passed = limit != 0 && own->pages.footprint > limit;
    const bool crossing = passed && !own->heap.soft_passed;
    own->heap.soft_passed = passed;
    return crossing && own->heap.options.on_soft_limit != NULL;
}

static void *own_alloc(tarn_heap *interface, size_t size, size_t alignment)
{
    own_heap *own = own_of(interface);
    os_lock_take(&own->heap.lock);
    heap_collect(&own->heap);
    void *block = take_or_make_room(own, size, alignment);
    if (block != NULL) {
        own->heap.allocs++;
        count_live(&own->heap, size);
    } else {
        own->heap.failures++;
    }
    const bool crossing = block != NULL && passes_soft_limit(own);
    const size_t footprint = own->pages.footprint;
    os_lock_release(&own->heap.lock);
    base_record_alloc(own->heap.record, block, size, alignment);
    scavenger_prepare();
    if (crossing) {
        own->heap.options.on_soft_limit(own->heap.options.context, interface, footprint);
    }
    return block;
}

static void own_free(tarn_heap *interface, void *block, size_t size)
{
    own_heap *own = own_of(interface);
    const uintptr_t entry = entry_of(own, block);
    base_record_free(own->heap.record, block);
    os_lock_take(&own->heap.lock);
    (void)checked_room(own, entry, block, size);
    if (is_span_entry(entry)) {
        heap_check_free(&own->heap, (malloc_span *)entry, block);
        heap_give(&own->heap, (malloc_span *)entry, block);
    } else if (!page_heap_give(entry, (uintptr_t)block)) {
        base_fatal("double free", own->heap.interface.name, block);
    }
    uncount_live(&own->heap, size);
    (void)passes_soft_limit(own);
    os_lock_release(&own->heap.lock);
    scavenger_notice(&own->pages);
}

/* True if the next block of the class would come from a span with more slots in use than this one of the same heap: if
 * all blocks for which it is true move, the emptiest spans drain into the fuller ones. The heap stands still. */
static bool should_leave(malloc_heap *heap, malloc_span *span)
{
    malloc_span *target = heap->current[span->class_index];
    if (target == &nil_span) {
        target = heap->partial[span->class_index].first;
    }
    return target != NULL && target != span && span_used(span) < span_used(target);
}

static bool own_should_move(tarn_heap *interface, void *block, size_t size)
{
    own_heap *own = own_of(interface);
    const uintptr_t entry = entry_of(own, block);
    os_lock_take(&own->heap.lock);
    (void)checked_room(own, entry, block, size);
    const bool should = is_span_entry(entry) && should_leave(&own->heap, (malloc_span *)entry);
    os_lock_release(&own->heap.lock);
    return should;
}

/* The recorder hears of a block that has become another one. */
static void note_resized(const own_heap *own, const void *block, const void *resized,
                         size_t new_size)
{
    base_record_free(own->heap.record, block);
    base_record_alloc(own->heap.record, resized, new_size, 0);
}

static bool own_resize(tarn_heap *interface, void *block, size_t old_size, size_t new_size)
{
    own_heap *own = own_of(interface);
    const uintptr_t entry = entry_of(own, block);
    os_lock_take(&own->heap.lock);
    const size_t room = checked_room(own, entry, block, old_size);
    const bool done = is_span_entry(entry) ? new_size <= room
                      : new_size <= room && new_size > room / 2
                          ? true
                          : page_heap_resize(entry, (uintptr_t)block, new_size);
    if (done) {
        own->heap.live -= old_size < own->heap.live ? old_size : own->heap.live;
        count_live(&own->heap, new_size);
        note_resized(own, block, block, new_size);
    }
    os_lock_release(&own->heap.lock);
    return done;
}

static void *own_move(tarn_heap *interface, void *block, size_t old_size, size_t new_size,
                      size_t alignment)
{
    own_heap *own = own_of(interface);
    const uintptr_t entry = entry_of(own, block);
    void *moved = NULL;
    os_lock_take(&own->heap.lock);
    (void)checked_room(own, entry, block, old_size);
    if (!is_span_entry(entry) && alignment <= UNIT_SIZE) {
        moved = page_heap_move(entry, (uintptr_t)block, new_size);
    }
    if (moved != NULL) {
        own->heap.live -= old_size < own->heap.live ? old_size : own->heap.live;
        count_live(&own->heap, new_size);
        note_resized(own, block, moved, new_size);
    }
    os_lock_release(&own->heap.lock);
    return moved;
}

static size_t own_trim(tarn_heap *interface)
{
    own_heap *own = own_of(interface);
    os_lock_take(&own->heap.lock);
    heap_collect(&own->heap);
    heap_release_unused(&own->heap);
    const size_t given = page_heap_purge(&own->pages, SIZE_MAX);
    os_lock_release(&own->heap.lock);
    return given;
}

static void own_stats(tarn_heap *interface, tarn_stats *stats)
{
    own_heap *own = own_of(interface);
    os_lock_take(&own->heap.lock);
    heap_collect(&own->heap);
    *stats = (tarn_stats){
        .live = own->heap.live,
        .peak_live = own->heap.peak_live,
        .footprint = own->pages.footprint,
        .peak_footprint = own->pages.peak_footprint,
        .largest_free = page_heap_largest(&own->pages),
        .blocks = own->heap.allocs - own->heap.frees,
        .allocs = own->heap.allocs,
        .frees = own->heap.frees,
        .failures = own->heap.failures,
    };
    os_lock_release(&own->heap.lock);
}

typedef struct span_walk {
    tarn_visitor *visitor;
    void *context;
    malloc_span *broken;
    bool ended;
} span_walk;

static void check_one(void *context, malloc_span *span)
{
    span_walk *walk = context;
    if (walk->broken == NULL && !span_check(span)) {
        walk->broken = span;
    }
}

static void visit_one(void *context, malloc_span *span)
{
    span_walk *walk = context;
    walk->ended = walk->ended || !span_visit(span, walk->visitor, walk->context);
}

static void say(char *fault, size_t fault_size, const char *text)
{
    if (fault_size > 0) {
        const size_t length = strlen(text) < fault_size ? strlen(text) : fault_size - 1;
        memcpy(fault, text, length);
        fault[length] = '\0';
    }
}

static bool own_check(tarn_heap *interface, char *fault, size_t fault_size)
{
    own_heap *own = own_of(interface);
    span_walk walk = {.broken = NULL};
    os_lock_take(&own->heap.lock);
    heap_collect(&own->heap);
    page_heap_visit_spans(&own->pages, check_one, &walk);
    os_lock_release(&own->heap.lock);
    if (walk.broken != NULL) {
        say(fault, fault_size, "the free list of a span does not hold its free slots");
    }
    return walk.broken == NULL;
}

static bool visit_run(void *context, uintptr_t block, size_t size)
{
    span_walk *walk = context;
    walk->ended = !walk->visitor(walk->context, (void *)block, size);
    return !walk->ended;
}

static bool own_visit(tarn_heap *interface, tarn_visitor *visitor, void *context)
{
    own_heap *own = own_of(interface);
    span_walk walk = {.visitor = visitor, .context = context};
    os_lock_take(&own->heap.lock);
    heap_collect(&own->heap);
    page_heap_visit_spans(&own->pages, visit_one, &walk);
    if (!walk.ended) {
        page_heap_visit(&own->pages, visit_run, &walk);
    }
    os_lock_release(&own->heap.lock);
    return !walk.ended;
}

static void forget_all(own_heap *own)
{
    for (unsigned index = 0; index < REMOTE_LISTS; index++) {
        atomic_store_explicit(&own->heap.remote[index], NULL, memory_order_relaxed);
    }
    for (unsigned index = 0; index < CLASS_COUNT; index++) {
        own->heap.current[index] = &nil_span;
        own->heap.partial[index] = (span_queue){0};
        own->heap.reserve[index] = NULL;
    }
    own->heap.full = (span_queue){0};
    atomic_store_explicit(&own->heap.span_count, 0, memory_order_relaxed);
    own->heap.frees = own->heap.allocs;
    own->heap.live = 0;
    page_heap_reset(&own->pages);
}

static bool own_reset(tarn_heap *interface)
{
    own_heap *own = own_of(interface);
    base_record_reset(own->heap.record);
    os_lock_take(&own->heap.lock);
    forget_all(own);
    os_lock_release(&own->heap.lock);
    return true;
}

static const tarn_heap_ops own_ops = {
    .alloc = own_alloc,
    .free = own_free,
    .resize = own_resize,
    .move = own_move,
    .trim = own_trim,
    .stats = own_stats,
    .check = own_check,
    .visit = own_visit,
    .reset = own_reset,
    .should_move = own_should_move,
};

/* ---- making and destroying ---- */

static void init(own_heap *own, const tarn_malloc_options *options)
{
    heap_init(&own->heap, HEAP_OWN, &own->pages);
    own->heap.interface.ops = &own_ops;
    own->heap.interface.name = options->name != NULL ? options->name : "malloc heap";
    own->heap.options = *options;
    own->pages.heap = &own->heap;
    own->pages.limit = options->hard_limit;
}

static own_heap *make(const tarn_malloc_options *options)
{
    os_lock_take(&registry_lock);
    own_heap *own = spare;
    if (own != NULL) {
        spare = (own_heap *)own->heap.next;
    }
    os_lock_release(&registry_lock);
    if (own != NULL) {
        /* The books of its chunks are worth keeping. */
        malloc_chunk *books = own->pages.spare_books;
        malloc_huge *records = own->pages.spare_huge;
        memset(own, 0, sizeof *own);
        own->pages.spare_books = books;
        own->pages.spare_huge = records;
    } else {
        own = meta_take(sizeof *own);
    }
    if (own != NULL) {
        init(own, options);
        own->pages.next_units[SHELF_PAGES] = OWN_FIRST_UNITS;
        own->pages.next_units[SHELF_UNITS] = CHUNK_UNITS;
        own->pages.run_max[SHELF_PAGES] = PAGE_RUN_MAX;
        own->pages.run_max[SHELF_UNITS] = UNIT_RUN_MAX;
    }
    return own;
}

/* Lays everything out in the caller's memory: see the picture at the top. */
static own_heap *make_confined(const tarn_malloc_options *options)
{
    unsigned char *start = options->memory.start;
    const size_t size = options->memory.size;
    if (size < CONFINED_MIN) {
        return NULL;
    }
    const size_t units = size / UNIT_SIZE;
    const size_t chunks = units / CHUNK_UNITS + 2;
    const size_t records = units + 2;
    const uintptr_t base = base_align_up((uintptr_t)start, 2 * CACHE_LINE);
    const uintptr_t entries = base_align_up(base + sizeof(own_heap), 2 * CACHE_LINE);
    const uintptr_t first_record =
        base_align_up(entries + units * sizeof(uintptr_t), 2 * CACHE_LINE);
    const uintptr_t first_chunk =
        base_align_up(first_record + records * sizeof(malloc_huge), 2 * CACHE_LINE);
    const uintptr_t first_unit =
        base_align_up(first_chunk + chunks * sizeof(malloc_chunk), UNIT_SIZE);
    const uintptr_t end = (uintptr_t)start + size;
    if (first_unit + UNIT_SIZE > end) {
        return NULL;
    }
    memset((void *)base, 0, first_chunk + chunks * sizeof(malloc_chunk) - base);
    own_heap *own = (own_heap *)base;
    init(own, options);
    page_heap *pages = &own->pages;
    pages->confined = options->memory;
    pages->entries = (uintptr_t *)entries;
    pages->first_unit = first_unit;
    pages->confined_units = (end - first_unit) / UNIT_SIZE;
    pages->next_units[SHELF_PAGES] = CHUNK_UNITS;
    pages->run_max[SHELF_PAGES] = CHUNK_SIZE;
    for (size_t index = 0; index < records; index++) {
        malloc_huge *record = (malloc_huge *)first_record + index;
        record->next = pages->spare_huge;
        pages->spare_huge = record;
    }
    for (size_t index = 0; index < chunks; index++) {
        malloc_chunk *chunk = (malloc_chunk *)first_chunk + index;
        chunk->next_all = pages->spare_books;
        pages->spare_books = chunk;
    }
    malloc_huge *range = pages->spare_huge;
    pages->spare_huge = range->next;
    *range = (malloc_huge){.start = first_unit, .size = pages->confined_units * UNIT_SIZE};
    pages->free_ranges = range;
    return own;
}

static void enter(malloc_heap *heap)
{
    os_lock_take(&registry_lock);
    heap->previous = NULL;
    heap->next = registry;
    if (heap->next != NULL) {
        heap->next->previous = heap;
    }
    registry = heap;
    os_lock_release(&registry_lock);
}

static void leave(malloc_heap *heap)
{
    os_lock_take(&registry_lock);
    if (heap->next != NULL) {
        heap->next->previous = heap->previous;
    }
    if (heap->previous != NULL) {
        heap->previous->next = heap->next;
    } else {
        registry = heap->next;
    }
    os_lock_release(&registry_lock);
}

tarn_heap *tarn_malloc_create(const tarn_malloc_options *options)
{
    static const tarn_malloc_options defaults;
    if (options == NULL) {
        options = &defaults;
    }
    own_heap *own = options->memory.start != NULL ? make_confined(options) : make(options);
    if (own == NULL) {
        return NULL;
    }
    enter(&own->heap);
    own->heap.record =
        base_record_open(&own->heap.interface, NULL, "malloc heap", own->heap.interface.name);
    return &own->heap.interface;
}

void tarn_malloc_destroy(tarn_heap *interface)
{
    if (interface == NULL) {
        return;
    }
    own_heap *own = own_of(interface);
    TARN_CHECK(interface->ops == &own_ops, "not a malloc heap", interface->name, interface);
    base_record_close(own->heap.record);
    leave(&own->heap);
    if (own->pages.confined.start != NULL) {
        interface->ops = NULL;
        return;
    }
    forget_all(own);
    interface->ops = NULL;
    os_lock_take(&registry_lock);
    own->heap.next = (malloc_heap *)spare;
    spare = own;
    os_lock_release(&registry_lock);
}

void heaps_visit(void (*visit)(void *context, malloc_heap *heap), void *context)
{
    os_lock_take(&registry_lock);
    for (malloc_heap *heap = registry; heap != NULL; heap = heap->next) {
        visit(context, heap);
    }
    os_lock_release(&registry_lock);
}

void heaps_fork(bool before)
{
    if (before) {
        os_lock_take(&registry_lock);
        for (malloc_heap *heap = registry; heap != NULL; heap = heap->next) {
            os_lock_take(&heap->lock);
            page_heap_fork(heap->pages, true);
        }
    } else {
        for (malloc_heap *heap = registry; heap != NULL; heap = heap->next) {
            page_heap_fork(heap->pages, false);
            os_lock_release(&heap->lock);
        }
        os_lock_release(&registry_lock);
    }
}

/* ---- the process's malloc as a heap ---- */

static void *process_alloc(tarn_heap *interface, size_t size, size_t alignment)
{
    (void)interface;
    return malloc_aligned(alignment, size);
}

static void process_free(tarn_heap *interface, void *block, size_t size)
{
    TARN_CHECK(size <= tarn_malloc_usable_size(block), "wrong size in sized free", interface->name,
               block);
    tarn_free(block);
}

static bool process_resize(tarn_heap *interface, void *block, size_t old_size, size_t new_size)
{
    (void)interface;
    (void)old_size;
    const uintptr_t entry = map_get((uintptr_t)block);
    const size_t room = tarn_malloc_usable_size(block);
    if (is_span_entry(entry) || (new_size <= room && new_size > room / 2)) {
        return new_size <= room;
    }
    return page_heap_resize(entry, (uintptr_t)block, new_size);
}

static void *process_move(tarn_heap *interface, void *block, size_t old_size, size_t new_size,
                          size_t alignment)
{
    (void)interface;
    (void)old_size;
    const uintptr_t entry = map_get((uintptr_t)block);
    return !is_span_entry(entry) && entry != 0 && alignment <= UNIT_SIZE
               ? page_heap_move(entry, (uintptr_t)block, new_size)
               : NULL;
}

static size_t process_trim(tarn_heap *interface)
{
    (void)interface;
    return scavenger_trim();
}

static void process_stats(tarn_heap *interface, tarn_stats *stats)
{
    (void)interface;
    tarn_malloc_stats all;
    tarn_malloc_stats_get(&all, sizeof all);
    *stats = (tarn_stats){
        .live = all.small_live + all.large_live + all.huge_live,
        .blocks = all.large_blocks + all.huge_blocks,
    };
    os_lock_take(&process_pages.lock);
    stats->footprint = process_pages.footprint;
    stats->peak_footprint = process_pages.peak_footprint;
    os_lock_release(&process_pages.lock);
    for (uint32_t index = 0; index < all.class_count; index++) {
        stats->blocks += all.classes[index].live;
    }
}

/* Looks at the calling thread's spans: others do not stand still. */
static bool process_check(tarn_heap *interface, char *fault, size_t fault_size)
{
    (void)interface;
    malloc_heap *heap = thread_self.heap;
    bool good = true;
    for (unsigned index = 0; heap != NULL && index < CLASS_COUNT; index++) {
        good = good && (heap->current[index] == &nil_span || span_check(heap->current[index]));
        for (malloc_span *span = heap->partial[index].first; span != NULL; span = span->next) {
            good = good && span_check(span);
        }
    }
    if (!good) {
        say(fault, fault_size, "the free list of a span does not hold its free slots");
    }
    return good;
}

/* Speaks of the calling thread's own spans: where others' blocks would go is not for it to say. */
static bool process_should_move(tarn_heap *interface, void *block, size_t size)
{
    (void)interface;
    (void)size;
    const uintptr_t entry = map_get((uintptr_t)block);
    if (!is_span_entry(entry)) {
        return false;
    }
    malloc_span *span = (malloc_span *)entry;
    malloc_heap *heap = thread_self.heap;
    return heap != NULL && span_is_slot(span, (uintptr_t)block) &&
           atomic_load_explicit(&span->owner, memory_order_acquire) == heap &&
           should_leave(heap, span);
}

tarn_heap *tarn_malloc_heap(void)
{
    static const tarn_heap_ops ops = {
        .alloc = process_alloc,
        .free = process_free,
        .resize = process_resize,
        .move = process_move,
        .trim = process_trim,
        .stats = process_stats,
        .check = process_check,
        .should_move = process_should_move,
    };
    static tarn_heap heap = {.ops = &ops, .name = "malloc"};
    return &heap;
}
