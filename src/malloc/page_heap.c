/* SPDX-License-Identifier: MIT */
#include "malloc/core.h"

#include "base/bits.h"

#include <string.h>

/*
 *     chunk   [ unit 0 | unit 1 | unit 2 | ...                            | unit 63 ]
 *     pages   [ span   | span   | free   |  run  |free| run             |free| run ]
 *             units from the low end                          runs from the high end
 *
 * One bit for each page says that it is free, another that it may be resident. Units are taken lowest first and
 * runs from the high end of the tightest fit, so that the two kinds meet late. What is free and dirty goes
 * back to the kernel when it has been so for two ticks of the scavenger.
 *
 * Blocks past UNIT_RUN_MAX are mappings of their own, unmapped as soon as they are freed.
 *
 * Invariant, under the lock: a page is in exactly one of: free, a live run, a span's unit, the hands of a purge.
 */

#define FIRST_CHUNK_UNITS 32
#define SLACK_BYTES ((size_t)4 << 20)
#define NEAR_CHUNKS 8 /* chunks looked at whose longest run may or may not be long enough */

page_heap process_pages = {.next_units = {FIRST_CHUNK_UNITS, CHUNK_UNITS},
                           .run_max = {PAGE_RUN_MAX, UNIT_RUN_MAX}};

/* ---- bits of grains ---- */

static void bits_set(uint64_t *bits, unsigned start, unsigned count)
{
    while (count > 0) {
        const unsigned shift = start % 64;
        const unsigned here = count < 64 - shift ? count : 64 - shift;
        bits[start / 64] |= (~(uint64_t)0 >> (64 - here)) << shift;
        start += here;
        count -= here;
    }
}

static void bits_clear(uint64_t *bits, unsigned start, unsigned count)
{
    while (count > 0) {
        const unsigned shift = start % 64;
        const unsigned here = count < 64 - shift ? count : 64 - shift;
        bits[start / 64] &= ~((~(uint64_t)0 >> (64 - here)) << shift);
        start += here;
        count -= here;
    }
}

static unsigned bits_count(const uint64_t *bits, unsigned start, unsigned count)
{
    unsigned sum = 0;
    while (count > 0) {
        const unsigned shift = start % 64;
        const unsigned here = count < 64 - shift ? count : 64 - shift;
        sum += base_popcount(bits[start / 64] & ((~(uint64_t)0 >> (64 - here)) << shift));
        start += here;
        count -= here;
    }
    return sum;
}

/* The first run of set bits at or after `from`; its length, or 0 when there is none. */
static unsigned bits_run(const uint64_t *bits, unsigned limit, unsigned from, unsigned *start)
{
    unsigned word = from / 64;
    if (from >= limit) {
        return 0;
    }
    uint64_t rest = bits[word] & (~(uint64_t)0 << (from % 64));
    while (rest == 0) {
        if (++word * 64 >= limit) {
            return 0;
        }
        rest = bits[word];
    }
    const unsigned first = word * 64 + base_ctz(rest);
    rest = ~bits[word] & (~(uint64_t)0 << (first % 64));
    while (rest == 0) {
        if (++word * 64 >= limit) {
            *start = first;
            return limit - first;
        }
        rest = ~bits[word];
    }
    const unsigned end = word * 64 + base_ctz(rest);
    *start = first;
    return (end < limit ? end : limit) - first;
}

static unsigned longest_run(const malloc_chunk *chunk)
{
    unsigned longest = 0;
    unsigned start = 0;
    unsigned length = 0;
    for (unsigned from = 0; (length = bits_run(chunk->free, chunk->grain_count, from, &start)) > 0;
         from = start + length) {
        longest = length > longest ? length : longest;
    }
    return longest;
}

/* ---- chunks and their lists ---- */

static unsigned unit_pages(void)
{
    return (unsigned)(UNIT_SIZE / os_page_size());
}

static size_t grain_size(const malloc_chunk *chunk)
{
    return (size_t)1 << chunk->grain_shift;
}

static unsigned unit_count(const malloc_chunk *chunk)
{
    return (unsigned)((size_t)chunk->grain_count << chunk->grain_shift >> UNIT_SHIFT);
}

static bool unit_is_free(const malloc_chunk *chunk, unsigned unit)
{
    const unsigned pages = unit_pages();
    const unsigned start = unit * pages;
    const uint64_t mask = (~(uint64_t)0 >> (64 - pages)) << (start % 64);
    return (chunk->free[start / 64] & mask) == mask;
}

static void unlink_unit(malloc_chunk *chunk)
{
    if (chunk->next_unit != NULL) {
        chunk->next_unit->previous_unit = chunk->previous_unit;
    }
    if (chunk->previous_unit != NULL) {
        chunk->previous_unit->next_unit = chunk->next_unit;
    } else {
        chunk->pages->units = chunk->next_unit;
    }
}

static void link_unit(malloc_chunk *chunk)
{
    chunk->previous_unit = NULL;
    chunk->next_unit = chunk->pages->units;
    if (chunk->next_unit != NULL) {
        chunk->next_unit->previous_unit = chunk;
    }
    chunk->pages->units = chunk;
}

static void unlink_run(malloc_chunk *chunk)
{
    if (chunk->next_run != NULL) {
        chunk->next_run->previous_run = chunk->previous_run;
    }
    if (chunk->previous_run != NULL) {
        chunk->previous_run->next_run = chunk->next_run;
    } else {
        chunk->pages->runs[chunk->shelf][base_log2_floor(chunk->longest)] = chunk->next_run;
    }
}

static void link_run(malloc_chunk *chunk)
{
    struct malloc_chunk **first =
        &chunk->pages->runs[chunk->shelf][base_log2_floor(chunk->longest)];
    chunk->previous_run = NULL;
    chunk->next_run = *first;
    if (chunk->next_run != NULL) {
        chunk->next_run->previous_run = chunk;
    }
    *first = chunk;
}

static void refresh_units(malloc_chunk *chunk, unsigned start, unsigned count)
{
    const uint64_t before = chunk->free_units;
    const unsigned pages = unit_pages();
    for (unsigned unit = start / pages; unit <= (start + count - 1) / pages; unit++) {
        const uint64_t bit = (uint64_t)1 << unit;
        chunk->free_units =
            unit_is_free(chunk, unit) ? chunk->free_units | bit : chunk->free_units & ~bit;
    }
    if (before == 0 && chunk->free_units != 0) {
        link_unit(chunk);
    } else if (before != 0 && chunk->free_units == 0) {
        unlink_unit(chunk);
    }
}

/* Brings units and lists up to date after the free bits of [start, start + count) changed. */
static void refresh(malloc_chunk *chunk, unsigned start, unsigned count)
{
    if (chunk->shelf == SHELF_PAGES) {
        refresh_units(chunk, start, count);
    }
    const unsigned longest = longest_run(chunk);
    const bool moves = longest == 0 || chunk->longest == 0 ||
                       base_log2_floor(longest) != base_log2_floor(chunk->longest);
    if (moves && chunk->longest != 0) {
        unlink_run(chunk);
    }
    chunk->longest = longest;
    if (moves && longest != 0) {
        link_run(chunk);
    }
}

static void add_dirty(page_heap *pages, size_t size)
{
    atomic_store_explicit(&pages->dirty,
                          atomic_load_explicit(&pages->dirty, memory_order_relaxed) + size,
                          memory_order_relaxed);
}

static void take_pages(malloc_chunk *chunk, unsigned start, unsigned count)
{
    bits_clear(chunk->free, start, count);
    add_dirty(chunk->pages,
              (size_t)0 - (bits_count(chunk->dirty, start, count) * grain_size(chunk)));
    refresh(chunk, start, count);
}

static void give_pages(malloc_chunk *chunk, unsigned start, unsigned count)
{
    bits_set(chunk->free, start, count);
    add_dirty(chunk->pages, bits_count(chunk->dirty, start, count) * grain_size(chunk));
    refresh(chunk, start, count);
}

/* ---- address space ---- */

static void set_entry(page_heap *pages, uintptr_t address, uintptr_t entry)
{
    if (pages->confined.start != NULL) {
        pages->entries[(address - pages->first_unit) >> UNIT_SHIFT] = entry;
    } else {
        map_set(address, entry);
    }
}

uintptr_t page_heap_find(page_heap *pages, uintptr_t address)
{
    const uintptr_t unit = (address - pages->first_unit) >> UNIT_SHIFT;
    return unit < pages->confined_units ? pages->entries[unit] : 0;
}

static uintptr_t get_entry(page_heap *pages, uintptr_t address)
{
    return pages->confined.start != NULL ? page_heap_find(pages, address) : map_get(address);
}

static malloc_huge *take_record(page_heap *pages)
{
    malloc_huge *record = pages->spare_huge;
    if (record != NULL) {
        pages->spare_huge = record->next;
        /* Until now the map remembered the freed block, so that a second free could be told from nonsense. */
        if (record->start != 0 &&
            get_entry(pages, record->start) == ((uintptr_t)record | MAP_HUGE)) {
            set_entry(pages, record->start, 0);
        }
    } else {
        /* A confined heap has all the records that it can need from the start. */
        record = pages->confined.start == NULL ? meta_take(sizeof *record) : NULL;
    }
    if (record != NULL) {
        *record = (malloc_huge){.pages = pages};
    }
    return record;
}

static void spare_record(page_heap *pages, malloc_huge *record)
{
    record->next = pages->spare_huge;
    pages->spare_huge = record;
}

/* Takes `count` units from the confined memory at a multiple of alignment; 0 when there is no such range. */
static uintptr_t take_range(page_heap *pages, size_t size, size_t alignment)
{
    for (malloc_huge **link = &pages->free_ranges; *link != NULL; link = &(*link)->next) {
        malloc_huge *range = *link;
        const uintptr_t start = base_align_up(range->start, alignment);
        const size_t before = start - range->start;
        if (before > range->size || range->size - before < size) {
            continue;
        }
        const size_t after = range->size - before - size;
        if (before > 0 && after > 0) {
            malloc_huge *rest = take_record(pages);
            if (rest == NULL) {
                continue;
            }
            rest->start = start + size;
            rest->size = after;
            rest->next = range->next;
            range->next = rest;
            range->size = before;
        } else if (before > 0) {
            range->size = before;
        } else if (after > 0) {
            range->start = start + size;
            range->size = after;
        } else {
            *link = range->next;
            spare_record(pages, range);
        }
        return start;
    }
    return 0;
}

static void give_range(page_heap *pages, uintptr_t start, size_t size)
{
    malloc_huge **link = &pages->free_ranges;
    malloc_huge *before = NULL;
    while (*link != NULL && (*link)->start < start) {
        before = *link;
        link = &before->next;
    }
    malloc_huge *after = *link;
    const bool joins_after = after != NULL && start + size == after->start;
    if (before != NULL && before->start + before->size == start) {
        before->size += size;
        if (joins_after) {
            before->size += after->size;
            before->next = after->next;
            spare_record(pages, after);
        }
    } else if (joins_after) {
        after->start = start;
        after->size += size;
    } else {
        /* Every range that is free beside others was split off one, which left a record behind for it. */
        malloc_huge *range = take_record(pages);
        if (range != NULL) {
            range->start = start;
            range->size = size;
            range->next = after;
            *link = range;
        }
    }
}

static uintptr_t map_more(page_heap *pages, size_t size, size_t alignment)
{
    if (pages->heap == NULL && pages->limit != 0 &&
        (size > pages->limit || pages->mapped > pages->limit - size)) {
        return 0;
    }
    uintptr_t start = 0;
    if (pages->confined.start != NULL) {
        start = take_range(pages, size, alignment);
    } else {
        start = (uintptr_t)os_pages_map(size, alignment);
        /* Of a mapping of its own only the first unit has an entry. */
        if (start != 0 && !map_reserve(start, size < CHUNK_PAGES * UNIT_SIZE ? size : UNIT_SIZE)) {
            os_pages_unmap((void *)start, size);
            start = 0;
        }
    }
    if (start != 0) {
        pages->mapped += size;
        if (pages->mapped > pages->peak_mapped) {
            pages->peak_mapped = pages->mapped;
        }
    }
    return start;
}

static void map_less(page_heap *pages, uintptr_t start, size_t size)
{
    pages->mapped -= size;
    if (pages->confined.start != NULL) {
        give_range(pages, start, size);
    } else {
        os_pages_unmap((void *)start, size);
    }
}

static malloc_chunk *take_books(page_heap *pages)
{
    malloc_chunk *chunk = pages->spare_books;
    if (chunk != NULL) {
        pages->spare_books = chunk->next_all;
        return chunk;
    }
    return pages->confined.start == NULL ? meta_take_tagged(sizeof *chunk) : NULL;
}

/* A new chunk with at least `units` units, all free; NULL when there is no memory. */
static malloc_chunk *grow(page_heap *pages, chunk_shelf shelf, unsigned units)
{
    malloc_chunk *chunk = take_books(pages);
    if (chunk == NULL) {
        return NULL;
    }
    unsigned count = pages->next_units[shelf] < units ? units : pages->next_units[shelf];
    uintptr_t base = 0;
    while ((base = map_more(pages, count * UNIT_SIZE, UNIT_SIZE)) == 0 && count > units) {
        count = count / 2 > units ? count / 2 : units;
    }
    if (base == 0) {
        chunk->next_all = pages->spare_books;
        pages->spare_books = chunk;
        return NULL;
    }
    const unsigned most = shelf == SHELF_PAGES ? CHUNK_UNITS : CHUNK_PAGES;
    const unsigned twice = 2 * pages->next_units[shelf];
    pages->next_units[shelf] = twice < most ? twice : most;
    chunk->pages = pages;
    chunk->base = base;
    chunk->shelf = shelf;
    chunk->grain_shift = shelf == SHELF_PAGES ? base_log2_floor(os_page_size()) : UNIT_SHIFT;
    chunk->grain_count = (unsigned)(count * UNIT_SIZE >> chunk->grain_shift);
    chunk->longest = 0;
    chunk->free_units = 0;
    memset(chunk->free, 0, sizeof chunk->free);
    memset(chunk->dirty, 0, sizeof chunk->dirty);
    memset(chunk->old, 0, sizeof chunk->old);
    if (pages->confined.start != NULL) {
        bits_set(chunk->dirty, 0, chunk->grain_count); /* the caller's memory holds anything */
    }
    for (unsigned unit = 0; unit < count; unit++) {
        set_entry(pages, base + unit * UNIT_SIZE, (uintptr_t)chunk | MAP_RUNS);
        if (shelf == SHELF_PAGES) {
            malloc_span *span = &chunk->spans[unit];
            span->unit = UNIT_NONE;
            span->base = base + unit * UNIT_SIZE;
            span->chunk = chunk;
        }
    }
    chunk->previous_all = NULL;
    chunk->next_all = pages->all;
    if (chunk->next_all != NULL) {
        chunk->next_all->previous_all = chunk;
    }
    pages->all = chunk;
    give_pages(chunk, 0, chunk->grain_count);
    return chunk;
}

static void add_footprint(page_heap *pages, size_t size)
{
    pages->footprint += size;
    if (pages->footprint > pages->peak_footprint) {
        pages->peak_footprint = pages->footprint;
        if (pages->footprint >= WORTH_BYTES) {
            atomic_store_explicit(&scavenger_is_worth, true, memory_order_relaxed);
        }
    }
}

/* A first-class heap's own limit is on what it has handed out. */
static bool within_limit(const page_heap *pages, size_t size)
{
    return pages->heap == NULL || pages->limit == 0 ||
           (size <= pages->limit && pages->footprint <= pages->limit - size);
}

/* Freed memory that waits to be used again or to go back costs nothing as long as all of it together is not more than
 * was in use at once, and some. Returns the bytes that are too many; the lock is held, clean memory was just handed out. */
static size_t excess(const page_heap *pages)
{
    const size_t most = pages->peak_footprint + pages->peak_footprint / 4 + SLACK_BYTES;
    const size_t held =
        pages->footprint + atomic_load_explicit(&pages->dirty, memory_order_relaxed);
    return pages->confined.start == NULL && malloc_conf.decay_ms >= 0 && held > most ? held - most
                                                                                     : 0;
}

/* ---- units ---- */

/* The lowest free unit of the chunk that may be resident; -1 when there is none. */
static int dirty_unit(const malloc_chunk *chunk)
{
    for (uint64_t rest = chunk->free_units; rest != 0; rest &= rest - 1) {
        const unsigned unit = base_ctz(rest);
        if (bits_count(chunk->dirty, unit * unit_pages(), unit_pages()) != 0) {
            return (int)unit;
        }
    }
    return -1;
}

/* Hands out a unit; the lock is held. */
static malloc_span *take_unit(malloc_chunk *chunk, unsigned unit)
{
    page_heap *pages = chunk->pages;
    malloc_span *span = &chunk->spans[unit];
    take_pages(chunk, unit * unit_pages(), unit_pages());
    add_footprint(pages, UNIT_SIZE);
    set_entry(pages, span->base, (uintptr_t)span | MAP_SPAN);
    return span;
}

malloc_span *page_heap_take_dirty_unit(page_heap *pages)
{
    malloc_span *span = NULL;
    if (atomic_load_explicit(&pages->dirty, memory_order_relaxed) == 0) {
        return NULL;
    }
    os_lock_take(&pages->lock);
    unsigned tries = NEAR_CHUNKS;
    for (malloc_chunk *chunk = pages->units; chunk != NULL && span == NULL && tries > 0;
         chunk = chunk->next_unit, tries--) {
        const int unit = dirty_unit(chunk);
        if (unit >= 0 && within_limit(pages, UNIT_SIZE)) {
            span = take_unit(chunk, (unsigned)unit);
        }
    }
    os_lock_release(&pages->lock);
    return span;
}

malloc_span *page_heap_take_unit(page_heap *pages)
{
    malloc_span *span = NULL;
    os_lock_take(&pages->lock);
    malloc_chunk *chunk = pages->units;
    if (within_limit(pages, UNIT_SIZE) &&
        (chunk != NULL || (chunk = grow(pages, SHELF_PAGES, 1)) != NULL)) {
        span = take_unit(chunk, base_ctz(chunk->free_units));
    }
    const size_t much = excess(pages);
    os_lock_release(&pages->lock);
    if (much > 0) {
        (void)page_heap_purge(pages, much);
    }
    return span;
}

void page_heap_give_unit(malloc_span *span)
{
    malloc_chunk *chunk = span->chunk;
    page_heap *pages = chunk->pages;
    const unsigned count = unit_pages();
    const unsigned start = (unsigned)((span->base - chunk->base) >> UNIT_SHIFT) * count;
    os_lock_take(&pages->lock);
    set_entry(pages, span->base, (uintptr_t)chunk | MAP_RUNS);
    const unsigned page = (unsigned)os_page_size();
    for (unsigned index = 0; index < count && index * page < span->reach; index++) {
        if ((span->purged >> index & 1) == 0) {
            bits_set(chunk->dirty, start + index, 1);
            bits_clear(chunk->old, start + index, 1);
        }
    }
    pages->footprint -= UNIT_SIZE;
    give_pages(chunk, start, count);
    os_lock_release(&pages->lock);
}

/* ---- runs ---- */

/* Where in the chunk's free runs `count` grains go, at a multiple of `align`: into the tightest run, resident ones before
 * others. False when nowhere. */
static bool fit(const malloc_chunk *chunk, unsigned count, unsigned align, unsigned *found)
{
    unsigned best = UINT32_MAX;
    unsigned start = 0;
    unsigned length = 0;
    for (unsigned from = 0; (length = bits_run(chunk->free, chunk->grain_count, from, &start)) > 0;
         from = start + length) {
        const unsigned place = (start + length - count) & ~(align - 1);
        if (length < count || place < start || place > start + length - count) {
            continue;
        }
        /* A run that is mostly clean counts as longer than any other. */
        const bool is_dirty = 2 * bits_count(chunk->dirty, place, count) > count;
        const unsigned rank = is_dirty ? length : length + CHUNK_PAGES;
        if (rank <= best) {
            best = rank;
            *found = place;
        }
    }
    return best != UINT32_MAX;
}

static malloc_chunk *find_run(page_heap *pages, chunk_shelf shelf, unsigned count, unsigned align,
                              unsigned *found)
{
    for (unsigned power = base_log2_floor(count); power < 11; power++) {
        /* Chunks of the first power may or may not be long enough: a few are tried. */
        unsigned tries = NEAR_CHUNKS;
        malloc_chunk *chunk = pages->runs[shelf][power];
        for (; chunk != NULL && tries > 0; chunk = chunk->next_run, tries--) {
            if (chunk->longest >= count && fit(chunk, count, align, found)) {
                return chunk;
            }
        }
    }
    const unsigned in_unit = shelf == SHELF_PAGES ? unit_pages() : 1;
    malloc_chunk *chunk = grow(pages, shelf, (count + in_unit - 1) / in_unit);
    return chunk != NULL && fit(chunk, count, align, found) ? chunk : NULL;
}

static void *take_run(page_heap *pages, chunk_shelf shelf, size_t size, size_t alignment,
                      bool *clean)
{
    const size_t grain = shelf == SHELF_PAGES ? os_page_size() : UNIT_SIZE;
    const unsigned count = (unsigned)((size + grain - 1) / grain);
    const unsigned align = alignment > grain ? (unsigned)(alignment / grain) : 1;
    unsigned start = 0;
    malloc_chunk *chunk = find_run(pages, shelf, count, align, &start);
    if (chunk == NULL) {
        return NULL;
    }
    *clean = bits_count(chunk->dirty, start, count) == 0;
    take_pages(chunk, start, count);
    chunk->run[start] = (uint16_t)count;
    pages->large_bytes += count * grain;
    pages->large_count++;
    return (void *)(chunk->base + start * grain);
}

static void give_run(malloc_chunk *chunk, unsigned start)
{
    page_heap *pages = chunk->pages;
    const unsigned count = chunk->run[start];
    const size_t size = count * grain_size(chunk);
    chunk->run[start] = 0;
    bits_set(chunk->dirty, start, count);
    bits_clear(chunk->old, start, count);
    pages->large_bytes -= size;
    pages->large_count--;
    pages->footprint -= size;
    give_pages(chunk, start, count);
}

/* ---- mappings of their own ---- */

static void link_huge(malloc_huge **first, malloc_huge *record)
{
    record->previous = NULL;
    record->next = *first;
    if (record->next != NULL) {
        record->next->previous = record;
    }
    *first = record;
}

static void unlink_huge(malloc_huge **first, malloc_huge *record)
{
    if (record->next != NULL) {
        record->next->previous = record->previous;
    }
    if (record->previous != NULL) {
        record->previous->next = record->next;
    } else {
        *first = record->next;
    }
}

static void *take_huge(page_heap *pages, size_t size, size_t alignment, bool *clean)
{
    if (pages->confined.start != NULL) {
        size = base_align_up(size, UNIT_SIZE);
    }
    malloc_huge *record = take_record(pages);
    if (record == NULL) {
        return NULL;
    }
    record->start = map_more(pages, size, alignment < UNIT_SIZE ? UNIT_SIZE : alignment);
    if (record->start == 0) {
        spare_record(pages, record);
        return NULL;
    }
    record->size = size;
    record->is_live = true;
    *clean = pages->confined.start == NULL;
    link_huge(&pages->live_huge, record);
    set_entry(pages, record->start, (uintptr_t)record | MAP_HUGE);
    pages->huge_bytes += size;
    pages->huge_count++;
    return (void *)record->start;
}

static void forget_huge(page_heap *pages, malloc_huge *record)
{
    unlink_huge(&pages->live_huge, record);
    record->is_live = false;
    pages->huge_bytes -= record->size;
    pages->huge_count--;
}

static void give_huge(page_heap *pages, malloc_huge *record)
{
    forget_huge(pages, record);
    pages->footprint -= record->size;
    map_less(pages, record->start, record->size);
    spare_record(pages, record);
}

/* ---- the front ---- */

void *page_heap_take(page_heap *pages, size_t size, size_t alignment, bool *clean)
{
    size = base_align_up(size, os_page_size());
    void *block = NULL;
    os_lock_take(&pages->lock);
    if (within_limit(pages, size)) {
        if (size <= pages->run_max[SHELF_PAGES] && alignment <= UNIT_SIZE) {
            block = take_run(pages, SHELF_PAGES, size, alignment, clean);
        } else if (size <= pages->run_max[SHELF_UNITS] && alignment <= UNIT_SIZE) {
            block = take_run(pages, SHELF_UNITS, size, alignment, clean);
        } else {
            block = take_huge(pages, size, alignment, clean);
        }
    }
    if (block != NULL) {
        const uintptr_t entry = get_entry(pages, (uintptr_t)block);
        add_footprint(pages, page_heap_size(entry, (uintptr_t)block));
    }
    const size_t much = *clean ? excess(pages) : 0;
    os_lock_release(&pages->lock);
    if (much > 0) {
        (void)page_heap_purge(pages, much);
    }
    return block;
}

static malloc_chunk *chunk_of(uintptr_t entry)
{
    return (malloc_chunk *)(entry & ~(uintptr_t)3);
}

static malloc_huge *huge_of(uintptr_t entry)
{
    return (malloc_huge *)(entry & ~(uintptr_t)3);
}

static unsigned page_of(const malloc_chunk *chunk, uintptr_t block)
{
    return (unsigned)((block - chunk->base) >> chunk->grain_shift);
}

page_heap *page_heap_of(uintptr_t entry)
{
    return (entry & 3) == MAP_RUNS ? chunk_of(entry)->pages : huge_of(entry)->pages;
}

bool page_heap_is_block(uintptr_t entry, uintptr_t block)
{
    if ((entry & 3) == MAP_HUGE) {
        return huge_of(entry)->start == block && huge_of(entry)->is_live;
    }
    const malloc_chunk *chunk = chunk_of(entry);
    return (block & (grain_size(chunk) - 1)) == 0 && chunk->run[page_of(chunk, block)] != 0;
}

size_t page_heap_size(uintptr_t entry, uintptr_t block)
{
    if ((entry & 3) == MAP_HUGE) {
        return huge_of(entry)->size;
    }
    const malloc_chunk *chunk = chunk_of(entry);
    return (size_t)chunk->run[page_of(chunk, block)] << chunk->grain_shift;
}

bool page_heap_give(uintptr_t entry, uintptr_t block)
{
    page_heap *pages = page_heap_of(entry);
    os_lock_take(&pages->lock);
    /* Asked again under the lock: of two threads that free one block, one finds it gone. */
    const bool is_block = page_heap_is_block(entry, block);
    if (is_block) {
        if ((entry & 3) == MAP_HUGE) {
            give_huge(pages, huge_of(entry));
        } else {
            give_run(chunk_of(entry), page_of(chunk_of(entry), block));
        }
    }
    os_lock_release(&pages->lock);
    return is_block;
}

static bool resize_run(malloc_chunk *chunk, unsigned start, unsigned count)
{
    page_heap *pages = chunk->pages;
    const unsigned before = chunk->run[start];
    const size_t page = grain_size(chunk);
    if (count < before) {
        chunk->run[start] = (uint16_t)count;
        bits_set(chunk->dirty, start + count, before - count);
        bits_clear(chunk->old, start + count, before - count);
        pages->footprint -= (before - count) * page;
        give_pages(chunk, start + count, before - count);
    } else if (count > before) {
        const unsigned more = count - before;
        if (start + count > chunk->grain_count ||
            bits_count(chunk->free, start + before, more) != more ||
            !within_limit(pages, more * page)) {
            return false;
        }
        take_pages(chunk, start + before, more);
        chunk->run[start] = (uint16_t)count;
        add_footprint(pages, more * page);
    }
    pages->large_bytes += count * page;
    pages->large_bytes -= before * page;
    return true;
}

static bool resize_huge(page_heap *pages, malloc_huge *record, size_t size)
{
    if (pages->confined.start != NULL) {
        return size <= record->size && size > record->size / 2;
    }
    if (size > record->size) {
        const size_t more = size - record->size;
        if (!within_limit(pages, more) ||
            (pages->heap == NULL && pages->limit != 0 && pages->mapped + more > pages->limit) ||
            !os_pages_resize((void *)record->start, record->size, size)) {
            return false;
        }
        pages->mapped += more;
        if (pages->mapped > pages->peak_mapped) {
            pages->peak_mapped = pages->mapped;
        }
        add_footprint(pages, more);
        pages->huge_bytes += more;
    } else if (size < record->size) {
        const size_t less = record->size - size;
        os_pages_unmap((unsigned char *)record->start + size, less);
        pages->mapped -= less;
        pages->footprint -= less;
        pages->huge_bytes -= less;
    }
    record->size = size;
    return true;
}

/* A run stays on its shelf as long as its size belongs there. */
static bool belongs(const malloc_chunk *chunk, size_t size)
{
    const size_t *most = chunk->pages->run_max;
    return chunk->shelf == SHELF_PAGES ? size > SMALL_MAX && size <= most[SHELF_PAGES]
                                       : size > most[SHELF_PAGES] && size <= most[SHELF_UNITS];
}

bool page_heap_resize(uintptr_t entry, uintptr_t block, size_t size)
{
    page_heap *pages = page_heap_of(entry);
    size = base_align_up(size, os_page_size());
    bool done = false;
    os_lock_take(&pages->lock);
    if ((entry & 3) == MAP_HUGE) {
        done = size > pages->run_max[SHELF_UNITS] && resize_huge(pages, huge_of(entry), size);
    } else {
        malloc_chunk *chunk = chunk_of(entry);
        done = belongs(chunk, size) &&
               resize_run(chunk, page_of(chunk, block),
                          (unsigned)((size + grain_size(chunk) - 1) >> chunk->grain_shift));
    }
    os_lock_release(&pages->lock);
    return done;
}

static void *move_huge(page_heap *pages, malloc_huge *record, size_t size)
{
    const size_t before = record->size;
    const size_t more = size - before;
    if (pages->heap == NULL && pages->limit != 0 && pages->mapped + more > pages->limit) {
        return NULL;
    }
    void *moved = os_pages_map(size, UNIT_SIZE);
    if (moved == NULL) {
        return NULL;
    }
    if (!map_reserve((uintptr_t)moved, UNIT_SIZE) ||
        !os_pages_move_to((void *)record->start, before, moved, size)) {
        os_pages_unmap(moved, size);
        return NULL;
    }
    set_entry(pages, record->start, 0);
    record->start = (uintptr_t)moved;
    record->size = size;
    set_entry(pages, record->start, (uintptr_t)record | MAP_HUGE);
    pages->mapped += more;
    if (pages->mapped > pages->peak_mapped) {
        pages->peak_mapped = pages->mapped;
    }
    add_footprint(pages, more);
    pages->huge_bytes += more;
    return moved;
}

/* The pages of a run of units move into a longer one, or into a mapping of their own; the hole they leave is clean. */
static void *move_run(page_heap *pages, malloc_chunk *chunk, unsigned start, size_t size)
{
    const size_t before = (size_t)chunk->run[start] << chunk->grain_shift;
    unsigned char *old = (unsigned char *)(chunk->base + ((size_t)start << chunk->grain_shift));
    bool clean = false;
    void *moved = size <= pages->run_max[SHELF_UNITS]
                      ? take_run(pages, SHELF_UNITS, size, UNIT_SIZE, &clean)
                      : take_huge(pages, size, UNIT_SIZE, &clean);
    if (moved == NULL) {
        return NULL;
    }
    const uintptr_t entry = get_entry(pages, (uintptr_t)moved);
    add_footprint(pages, page_heap_size(entry, (uintptr_t)moved));
    if (!os_pages_move(old, moved, before)) {
        if ((entry & 3) == MAP_HUGE) {
            give_huge(pages, huge_of(entry));
        } else {
            give_run(chunk_of(entry), page_of(chunk_of(entry), (uintptr_t)moved));
        }
        return NULL;
    }
    const unsigned count = chunk->run[start];
    give_run(chunk, start);
    /* Nothing is resident where the pages were. */
    add_dirty(pages, (size_t)0 - before);
    bits_clear(chunk->dirty, start, count);
    return moved;
}

void *page_heap_move(uintptr_t entry, uintptr_t block, size_t size)
{
    page_heap *pages = page_heap_of(entry);
    size = base_align_up(size, os_page_size());
    void *moved = NULL;
    os_lock_take(&pages->lock);
    const size_t before = page_heap_size(entry, block);
    if (pages->confined.start == NULL && size > before && within_limit(pages, size - before)) {
        if ((entry & 3) == MAP_HUGE) {
            moved = move_huge(pages, huge_of(entry), size);
        } else if (chunk_of(entry)->shelf == SHELF_UNITS && within_limit(pages, size)) {
            moved = move_run(pages, chunk_of(entry), page_of(chunk_of(entry), block), size);
        }
    }
    os_lock_release(&pages->lock);
    return moved;
}

/* ---- giving back ---- */

/* Unmaps a chunk that is wholly free. */
static void drop_chunk(malloc_chunk *chunk)
{
    page_heap *pages = chunk->pages;
    take_pages(chunk, 0, chunk->grain_count);
    if (chunk->next_all != NULL) {
        chunk->next_all->previous_all = chunk->previous_all;
    }
    if (chunk->previous_all != NULL) {
        chunk->previous_all->next_all = chunk->next_all;
    } else {
        pages->all = chunk->next_all;
    }
    for (unsigned unit = 0; unit < unit_count(chunk); unit++) {
        set_entry(pages, chunk->base + unit * UNIT_SIZE, 0);
    }
    map_less(pages, chunk->base, unit_count(chunk) * UNIT_SIZE);
    chunk->next_all = pages->spare_books;
    pages->spare_books = chunk;
}

/* Gives back the chunk's dirty pages, all or those that are due. The lock is let go meanwhile: the pages are nobody's. */
static size_t purge_chunk(malloc_chunk *chunk, bool all)
{
    page_heap *pages = chunk->pages;
    const size_t page = grain_size(chunk);
    uint64_t due[CHUNK_PAGES / 64];
    unsigned count = 0;
    for (unsigned word = 0; word < CHUNK_PAGES / 64; word++) {
        const uint64_t dirty = chunk->dirty[word] & chunk->free[word];
        due[word] = all ? dirty : dirty & chunk->old[word];
        chunk->old[word] = dirty;
        chunk->free[word] &= ~due[word];
        count += base_popcount(due[word]);
    }
    if (count == 0) {
        return 0;
    }
    add_dirty(pages, (size_t)0 - count * page);
    refresh(chunk, 0, chunk->grain_count);
    os_lock_release(&pages->lock);
    unsigned start = 0;
    unsigned length = 0;
    bool purged = true;
    for (unsigned from = 0; (length = bits_run(due, chunk->grain_count, from, &start)) > 0;
         from = start + length) {
        purged &= os_pages_purge((void *)(chunk->base + start * page), length * page);
    }
    os_lock_take(&pages->lock);
    for (unsigned word = 0; word < CHUNK_PAGES / 64; word++) {
        chunk->free[word] |= due[word];
        if (purged) {
            chunk->dirty[word] &= ~due[word];
            chunk->old[word] &= ~due[word];
        }
    }
    if (!purged) {
        add_dirty(pages, count * page);
    }
    refresh(chunk, 0, chunk->grain_count);
    pages->purges++;
    pages->purged += purged ? count * page : 0;
    return purged ? count * page : 0;
}

size_t page_heap_purge(page_heap *pages, size_t want)
{
    const bool all = want > 0;
    size_t given = 0;
    os_lock_take(&pages->purge_lock);
    os_lock_take(&pages->lock);
    for (malloc_chunk *chunk = pages->all, *next = NULL; chunk != NULL && (!all || given < want);
         chunk = next) {
        /* Confined memory stays as it is, but what is free is free for any use. */
        given += pages->confined.start == NULL ? purge_chunk(chunk, all) : 0;
        next = chunk->next_all;
        const bool is_unused = bits_count(chunk->free, 0, chunk->grain_count) == chunk->grain_count;
        const bool is_clean =
            pages->confined.start != NULL || bits_count(chunk->dirty, 0, chunk->grain_count) == 0;
        if (is_unused && is_clean && (next != NULL || chunk->previous_all != NULL || all)) {
            drop_chunk(chunk);
        }
    }
    os_lock_release(&pages->lock);
    os_lock_release(&pages->purge_lock);
    return given;
}

void page_heap_visit(page_heap *pages, page_heap_visitor *visit, void *context)
{
    for (malloc_chunk *chunk = pages->all; chunk != NULL; chunk = chunk->next_all) {
        const size_t page = grain_size(chunk);
        for (unsigned start = 0; start < chunk->grain_count; start++) {
            if (chunk->run[start] != 0 &&
                !visit(context, chunk->base + start * page, chunk->run[start] * page)) {
                return;
            }
        }
    }
    for (malloc_huge *record = pages->live_huge; record != NULL; record = record->next) {
        if (!visit(context, record->start, record->size)) {
            return;
        }
    }
}

void page_heap_visit_units(page_heap *pages, void (*visit)(void *context, malloc_span *span),
                           void *context)
{
    for (malloc_chunk *chunk = pages->all; chunk != NULL; chunk = chunk->next_all) {
        for (unsigned unit = 0; chunk->shelf == SHELF_PAGES && unit < unit_count(chunk); unit++) {
            visit(context, &chunk->spans[unit]);
        }
    }
}

void page_heap_visit_spans(page_heap *pages, void (*visit)(void *context, malloc_span *span),
                           void *context)
{
    for (malloc_chunk *chunk = pages->all; chunk != NULL; chunk = chunk->next_all) {
        for (unsigned unit = 0; chunk->shelf == SHELF_PAGES && unit < unit_count(chunk); unit++) {
            if (chunk->spans[unit].unit != UNIT_NONE) {
                visit(context, &chunk->spans[unit]);
            }
        }
    }
}

/* Frees everything at once; what was handed out is forgotten. */
void page_heap_reset(page_heap *pages)
{
    os_lock_take(&pages->purge_lock);
    os_lock_take(&pages->lock);
    while (pages->live_huge != NULL) {
        malloc_huge *record = pages->live_huge;
        forget_huge(pages, record);
        map_less(pages, record->start, record->size);
        spare_record(pages, record);
    }
    while (pages->all != NULL) {
        malloc_chunk *chunk = pages->all;
        memset(chunk->run, 0, sizeof chunk->run);
        for (unsigned unit = 0; chunk->shelf == SHELF_PAGES && unit < unit_count(chunk); unit++) {
            chunk->spans[unit].unit = UNIT_NONE;
            chunk->spans[unit].state = SPAN_FREE;
            chunk->spans[unit].is_young = false;
        }
        unsigned start = 0;
        while (start < chunk->grain_count) {
            if ((chunk->free[start / 64] >> (start % 64) & 1) == 0) {
                give_pages(chunk, start, 1);
            }
            start++;
        }
        drop_chunk(chunk);
    }
    pages->footprint = 0;
    pages->large_bytes = 0;
    pages->large_count = 0;
    os_lock_release(&pages->lock);
    os_lock_release(&pages->purge_lock);
}

bool page_heap_is_free(uintptr_t entry, uintptr_t block)
{
    if (entry == 0) {
        return false;
    }
    if ((entry & 3) == MAP_HUGE) {
        return huge_of(entry)->start == block && !huge_of(entry)->is_live;
    }
    const malloc_chunk *chunk = chunk_of(entry);
    const unsigned page = page_of(chunk, block);
    return (entry & 3) == MAP_RUNS && (chunk->free[page / 64] >> (page % 64) & 1) != 0;
}

void page_heap_fork(page_heap *pages, bool before)
{
    if (before) {
        os_lock_take(&pages->purge_lock);
        os_lock_take(&pages->lock);
    } else {
        os_lock_release(&pages->lock);
        os_lock_release(&pages->purge_lock);
    }
}

size_t page_heap_largest(page_heap *pages)
{
    size_t largest = 0;
    os_lock_take(&pages->lock);
    for (malloc_chunk *chunk = pages->all; chunk != NULL; chunk = chunk->next_all) {
        const size_t run = (size_t)chunk->longest << chunk->grain_shift;
        largest = run > largest ? run : largest;
    }
    for (malloc_huge *record = pages->free_ranges; record != NULL; record = record->next) {
        largest = record->size > largest ? record->size : largest;
    }
    os_lock_release(&pages->lock);
    return largest;
}
