/* SPDX-License-Identifier: MIT */
#include "base/bits.h"
#include "base/check.h"
#include "base/text.h"
#include "heap/books.h"
#include "heap/ledger.h"
#include "heap/watch.h"
#include "heap/wrapper.h"
#include "os/os.h"

#include <string.h>

/*
 *     chunk                     block        block + size
 *     [ front guard ][ zone ... ][ the user's ][ ... zone ][ rear guard ]
 *
 * Zones are filled with a known byte and looked at later. Guards are pages that nobody can touch;
 * they have no bytes in zone mode. In page mode the block stands as close to the rear guard as its
 * alignment allows.
 *
 * A freed block is filled with another known byte, or in page mode sealed: its whole chunk is a
 * guard.
 *
 * Invariant: the ledger has a record for each chunk; the freed ones are in the quarantine, a queue
 * through `next`, or could not be unsealed and stay for ever.
 */

HEAP_WRAPPER_IS_IN_PLACE(tarn_guarded);

enum {
    ZONE_BYTE = 0xfb,
    NEW_BYTE = 0xcd,
    FREED_BYTE = 0xdd,
};

enum {
    DEFAULT_ZONE = 32,
    DEFAULT_QUARANTINE = 1 << 20,
    ZONE_MAX = 1 << 30,
};

/* What is wrong with a block, in words. */
enum { TEXT_SIZE = 128 };

typedef struct guard_record {
    heap_ledger_entry entry; /* first; the block and its size */
    unsigned char *chunk;
    size_t chunk_size;
    size_t front_guard; /* bytes at the chunk's start that fault, whole pages; 0: none */
    size_t rear_guard;  /* the same at its end */
    uint32_t next;      /* record that leaves the quarantine after this one, plus one; 0: none */
    bool is_freed;
    bool is_sealed; /* freed, and everything between the guards faults too */
} guard_record;

/* Where a chunk's parts are, before it is allocated. */
typedef struct chunk_plan {
    size_t size;
    size_t alignment;
    size_t block; /* offset of the block */
    size_t front_guard;
    size_t rear_guard;
} chunk_plan;

static tarn_guarded *guarded_of(tarn_heap *heap)
{
    return (tarn_guarded *)heap;
}

static unsigned char *block_of(const guard_record *record)
{
    return record->entry.block;
}

/* ------------------------------------------------------------------------------------------------
 * Known bytes.
 */

static void fill(unsigned char *from, const unsigned char *to, unsigned char byte)
{
    memset(from, byte, (size_t)(to - from));
}

/* The first byte that is not as known, or NULL. These bytes are hidden from everybody else. */
HEAP_UNWATCHED static const unsigned char *
find_first_other(const unsigned char *from, const unsigned char *to, unsigned char byte)
{
    for (; from < to; from++) {
        if (*from != byte) {
            return from;
        }
    }
    return NULL;
}

HEAP_UNWATCHED static const unsigned char *
find_last_other(const unsigned char *from, const unsigned char *to, unsigned char byte)
{
    while (from < to) {
        to--;
        if (*to != byte) {
            return to;
        }
    }
    return NULL;
}

static unsigned char *front_zone(const guard_record *record)
{
    return record->chunk + record->front_guard;
}

static unsigned char *rear_zone(const guard_record *record)
{
    return block_of(record) + record->entry.size;
}

static unsigned char *rear_zone_end(const guard_record *record)
{
    return record->chunk + record->chunk_size - record->rear_guard;
}

/* Says where an address of the record's chunk is, seen from the block. */
static void word_place(base_text *text, const guard_record *record, const unsigned char *address)
{
    const size_t size = record->entry.size;
    base_text_add(text, "byte ");
    if (address < block_of(record)) {
        base_text_add_number(text, (size_t)(block_of(record) - address), 10);
        base_text_add(text, " before ");
    } else if (address >= rear_zone(record)) {
        base_text_add_number(text, (size_t)(address - rear_zone(record)), 10);
        base_text_add(text, " past the end of ");
    } else {
        base_text_add_number(text, (size_t)(address - block_of(record)), 10);
        base_text_add(text, " of ");
    }
    base_text_add(text, record->is_freed ? "a freed block of " : "a block of ");
    base_text_add_number(text, size, 10);
    base_text_add(text, size == 1 ? " byte" : " bytes");
}

/* The byte nearest to the block that somebody has overwritten, or NULL. */
static const unsigned char *find_overwritten(const guard_record *record)
{
    if (record->is_sealed) {
        return NULL;
    }
    const unsigned char *place = NULL;
    if (record->is_freed) {
        place = find_first_other(block_of(record), rear_zone(record), FREED_BYTE);
    }
    if (place == NULL) {
        place = find_first_other(rear_zone(record), rear_zone_end(record), ZONE_BYTE);
    }
    if (place == NULL) {
        place = find_last_other(front_zone(record), block_of(record), ZONE_BYTE);
    }
    return place;
}

static void word_overwritten(base_text *text, const guard_record *record,
                             const unsigned char *place)
{
    word_place(text, record, place);
    base_text_add(text, " was overwritten");
}

static void check_bytes(const tarn_guarded *guarded, const guard_record *record)
{
    heap_watch_pause();
    const unsigned char *place = find_overwritten(record);
    heap_watch_resume();
    if (base_unlikely(place != NULL)) {
        char words[TEXT_SIZE];
        base_text text = base_text_in(words, sizeof words);
        word_overwritten(&text, record, place);
        base_fatal(words, guarded->heap.name, block_of(record));
    }
}

/* ------------------------------------------------------------------------------------------------
 * Chunks.
 */
static bool plan_zones(const tarn_guarded *guarded, size_t size, size_t alignment, chunk_plan *plan)
{
    const size_t grain = _Alignof(max_align_t);
    plan->alignment = alignment < grain ? grain : alignment;
    plan->front_guard = 0;
    plan->rear_guard = 0;
    return base_checked_align_up(guarded->zone, plan->alignment, &plan->block) &&
           base_checked_add(plan->block, size, &plan->size) &&
           base_checked_add(plan->size, guarded->zone, &plan->size);
}

static bool plan_pages(size_t size, size_t alignment, chunk_plan *plan)
{
    const size_t page_size = os_page_size();
    plan->alignment = alignment < page_size ? page_size : alignment;
    plan->front_guard = plan->alignment; /* more than a page only to keep what follows aligned */
    plan->rear_guard = page_size;
    size_t body;
    size_t tail;
    if (!base_checked_align_up(size, alignment, &tail) ||
        !base_checked_align_up(size, plan->alignment, &body) ||
        !base_checked_add(body, plan->front_guard, &plan->size)) {
        return false;
    }
    plan->block = plan->size - tail;
    return base_checked_add(plan->size, plan->rear_guard, &plan->size);
}

/* Makes the guards fault; without them the zones reach to the chunk's ends. */
static void protect_guards(guard_record *record)
{
    if (record->rear_guard == 0) {
        return;
    }
    unsigned char *rear_guard = rear_zone_end(record);
    if (os_pages_protect(record->chunk, record->front_guard, false)) {
        if (os_pages_protect(rear_guard, record->rear_guard, false)) {
            return;
        }
        (void)os_pages_protect(record->chunk, record->front_guard, true);
    }
    record->front_guard = 0;
    record->rear_guard = 0;
}

/* Makes a freed block fault, or fills it where that cannot be. */
static void seal(guard_record *record)
{
    record->is_freed = true;
    if (record->rear_guard != 0) {
        record->is_sealed = os_pages_protect(
            front_zone(record), (size_t)(rear_zone_end(record) - front_zone(record)), false);
    }
    if (!record->is_sealed) {
        fill(block_of(record), rear_zone(record), FREED_BYTE);
    }
}

/* Gives the chunk back to upstream and forgets the record. False if the kernel would not make its
 * pages accessible again: upstream could not use it, so it stays. */
static bool release(tarn_guarded *guarded, guard_record *record)
{
    if (record->rear_guard != 0 && !os_pages_protect(record->chunk, record->chunk_size, true)) {
        return false;
    }
    tarn_heap *upstream = guarded->wrapper.upstream;
    heap_watch_show(record->chunk, record->chunk_size);
    upstream->ops->free(upstream, record->chunk, record->chunk_size);
    guarded->wrapper.books.footprint -= record->chunk_size;
    heap_ledger_remove(&guarded->ledger, record);
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * The quarantine.
 */
static void quarantine_add(tarn_guarded *guarded, guard_record *record)
{
    const uint32_t numbered = heap_ledger_number(&guarded->ledger, record) + 1;
    record->next = 0;
    if (guarded->newest != 0) {
        guard_record *newest = heap_ledger_at(&guarded->ledger, guarded->newest - 1);
        newest->next = numbered;
    } else {
        guarded->oldest = numbered;
    }
    guarded->newest = numbered;
    guarded->quarantine += record->chunk_size;
}

/* Lets the oldest blocks go until the quarantine is within `limit` bytes. */
static void quarantine_cut(tarn_guarded *guarded, size_t limit)
{
    while (guarded->quarantine > limit) {
        guard_record *record = heap_ledger_at(&guarded->ledger, guarded->oldest - 1);
        check_bytes(guarded, record);
        guarded->oldest = record->next;
        if (guarded->oldest == 0) {
            guarded->newest = 0;
        }
        guarded->quarantine -= record->chunk_size;
        (void)release(guarded, record);
    }
}

/* Takes from upstream; before that has nothing, the quarantine has nothing. */
static void *take_chunk(tarn_guarded *guarded, size_t size, size_t alignment)
{
    tarn_heap *upstream = guarded->wrapper.upstream;
    void *chunk = upstream->ops->alloc(upstream, size, alignment);
    if (chunk == NULL && guarded->quarantine > 0) {
        quarantine_cut(guarded, 0);
        chunk = upstream->ops->alloc(upstream, size, alignment);
    }
    if (chunk != NULL) {
        heap_books_hold(&guarded->wrapper.books, size);
    }
    return chunk;
}

static void give_chunk(tarn_guarded *guarded, tarn_memory chunk)
{
    if (chunk.start != NULL) {
        tarn_heap *upstream = guarded->wrapper.upstream;
        upstream->ops->free(upstream, chunk.start, chunk.size);
        guarded->wrapper.books.footprint -= chunk.size;
    }
}

/* ------------------------------------------------------------------------------------------------
 * The heap.
 */

/* Makes room in the ledger for one more block. */
static bool prepare_record(tarn_guarded *guarded)
{
    if (!heap_ledger_is_full(&guarded->ledger)) {
        return true;
    }
    const size_t size = heap_ledger_next_size(&guarded->ledger);
    void *memory = size > PTRDIFF_MAX ? NULL : take_chunk(guarded, size, _Alignof(max_align_t));
    if (memory == NULL) {
        return false;
    }
    give_chunk(guarded, heap_ledger_house(&guarded->ledger, (tarn_memory){memory, size}));
    return true;
}

static void *guarded_alloc(tarn_heap *heap, size_t size, size_t alignment)
{
    tarn_guarded *guarded = guarded_of(heap);
    chunk_plan plan = {0};
    const bool is_planned = guarded->mode == TARN_GUARD_PAGES
                                ? plan_pages(size, alignment, &plan)
                                : plan_zones(guarded, size, alignment, &plan);
    if (!is_planned || plan.size > PTRDIFF_MAX || !prepare_record(guarded)) {
        return heap_wrapper_refuse(heap);
    }
    unsigned char *chunk = take_chunk(guarded, plan.size, plan.alignment);
    if (chunk == NULL) {
        return heap_wrapper_refuse(heap);
    }
    guard_record *record = heap_ledger_add(&guarded->ledger, chunk + plan.block, size);
    *record = (guard_record){
        .entry = record->entry,
        .chunk = chunk,
        .chunk_size = plan.size,
        .front_guard = plan.front_guard,
        .rear_guard = plan.rear_guard,
    };
    protect_guards(record);
    fill(front_zone(record), block_of(record), ZONE_BYTE);
    fill(block_of(record), rear_zone(record), NEW_BYTE);
    fill(rear_zone(record), rear_zone_end(record), ZONE_BYTE);
    heap_watch_hide(chunk, plan.size);
    heap_watch_give(block_of(record), size);
    heap_books_give(&guarded->wrapper.books, size);
    return block_of(record);
}

/* The record that has the address in its chunk, or NULL. */
static const guard_record *find_around(const tarn_guarded *guarded, const void *address)
{
    for (uint32_t number = 0; number < guarded->ledger.touched; number++) {
        const guard_record *record = heap_ledger_at(&guarded->ledger, number);
        if (record != NULL && (uintptr_t)address - (uintptr_t)record->chunk < record->chunk_size) {
            return record;
        }
    }
    return NULL;
}

/* Ends with what is wrong about a block given back: no record, a freed one, or another size. */
_Noreturn static void refuse_block(const tarn_guarded *guarded, const guard_record *record,
                                   const void *block, size_t size)
{
    char words[TEXT_SIZE];
    base_text text = base_text_in(words, sizeof words);
    if (record == NULL) {
        const guard_record *around = find_around(guarded, block);
        base_text_add(&text, "not a block of this heap");
        if (around != NULL) {
            base_text_add(&text, ", but ");
            word_place(&text, around, block);
        }
    } else if (record->is_freed) {
        base_text_add(&text, "double free of a block of ");
        base_text_add_number(&text, record->entry.size, 10);
        base_text_add(&text, record->entry.size == 1 ? " byte" : " bytes");
    } else {
        base_text_add(&text, "wrong size, ");
        base_text_add_number(&text, size, 10);
        base_text_add(&text, ", given back with a block of ");
        base_text_add_number(&text, record->entry.size, 10);
        base_text_add(&text, record->entry.size == 1 ? " byte" : " bytes");
    }
    base_fatal(words, guarded->heap.name, block);
}

static void guarded_free(tarn_heap *heap, void *block, size_t size)
{
    tarn_guarded *guarded = guarded_of(heap);
    guard_record *record = heap_ledger_find(&guarded->ledger, block);
    if (base_unlikely(record == NULL || record->is_freed || record->entry.size != size)) {
        refuse_block(guarded, record, block, size);
    }
    check_bytes(guarded, record);
    seal(record);
    heap_watch_take(block, size);
    heap_books_take(&guarded->wrapper.books, size);
    quarantine_add(guarded, record);
    quarantine_cut(guarded, guarded->quarantine_limit);
}

/* Gives the ledger's memory back when it has no record; returns the bytes. */
static size_t release_ledger(tarn_guarded *guarded)
{
    if (guarded->ledger.count > 0) {
        return 0;
    }
    const tarn_memory memory = heap_ledger_empty(&guarded->ledger);
    give_chunk(guarded, memory);
    return memory.start != NULL ? memory.size : 0;
}

static size_t guarded_trim(tarn_heap *heap)
{
    tarn_guarded *guarded = guarded_of(heap);
    const size_t footprint = guarded->wrapper.books.footprint;
    quarantine_cut(guarded, 0);
    release_ledger(guarded);
    return footprint - guarded->wrapper.books.footprint + tarn_heap_trim(guarded->wrapper.upstream);
}

static void guarded_stats(tarn_heap *heap, tarn_stats *stats)
{
    const tarn_wrapper *wrapper = heap_wrapper_of(heap);
    *stats = wrapper->books;
    stats->largest_free = tarn_heap_stats(wrapper->upstream).largest_free;
}

static bool check_records(const tarn_guarded *guarded, char *fault, size_t fault_size)
{
    size_t live = 0;
    size_t footprint = guarded->ledger.memory.size;
    for (uint32_t number = 0; number < guarded->ledger.touched; number++) {
        const guard_record *record = heap_ledger_at(&guarded->ledger, number);
        if (record == NULL) {
            continue;
        }
        live += record->is_freed ? 0 : record->entry.size;
        footprint += record->chunk_size;
        heap_watch_pause();
        const unsigned char *place = find_overwritten(record);
        heap_watch_resume();
        if (place != NULL) {
            char words[TEXT_SIZE];
            base_text text = base_text_in(words, sizeof words);
            word_overwritten(&text, record, place);
            return heap_fault(fault, fault_size, "%s (block %p)", words, record->entry.block);
        }
    }
    if (live != guarded->wrapper.books.live) {
        return heap_fault(fault, fault_size, "the blocks have %zu bytes but the books have %zu",
                          live, guarded->wrapper.books.live);
    }
    if (footprint != guarded->wrapper.books.footprint) {
        return heap_fault(fault, fault_size, "the chunks have %zu bytes but the books have %zu",
                          footprint, guarded->wrapper.books.footprint);
    }
    return true;
}

static bool guarded_check(tarn_heap *heap, char *fault, size_t fault_size)
{
    const tarn_guarded *guarded = guarded_of(heap);
    return heap_ledger_check(&guarded->ledger, fault, fault_size) &&
           check_records(guarded, fault, fault_size) &&
           tarn_heap_check(guarded->wrapper.upstream, fault, fault_size);
}

static bool guarded_visit(tarn_heap *heap, tarn_visitor *visitor, void *context)
{
    const tarn_guarded *guarded = guarded_of(heap);
    for (uint32_t number = 0; number < guarded->ledger.touched; number++) {
        const guard_record *record = heap_ledger_at(&guarded->ledger, number);
        if (record != NULL && !record->is_freed &&
            !visitor(context, record->entry.block, record->entry.size)) {
            return false;
        }
    }
    return true;
}

static bool guarded_reset(tarn_heap *heap)
{
    tarn_guarded *guarded = guarded_of(heap);
    quarantine_cut(guarded, 0);
    for (uint32_t number = 0; number < guarded->ledger.touched; number++) {
        guard_record *record = heap_ledger_at(&guarded->ledger, number);
        if (record != NULL && !record->is_freed) {
            check_bytes(guarded, record);
            heap_watch_take(record->entry.block, record->entry.size);
            record->is_freed = true;
            (void)release(guarded, record);
        }
    }
    heap_books_take_all(&guarded->wrapper.books);
    return true;
}

tarn_status tarn_guarded_init(tarn_guarded *guarded, const tarn_guarded_options *options)
{
    static const tarn_heap_ops ops = {
        .alloc = guarded_alloc,
        .free = guarded_free,
        .trim = guarded_trim,
        .stats = guarded_stats,
        .check = guarded_check,
        .visit = guarded_visit,
        .reset = guarded_reset,
    };
    static const tarn_guarded_options none;
    if (options == NULL) {
        options = &none;
    }
    if (options->mode != TARN_GUARD_ZONES && options->mode != TARN_GUARD_PAGES) {
        return TARN_BAD_ARGUMENT;
    }
    if (options->zone > ZONE_MAX) {
        return TARN_TOO_LARGE;
    }
    *guarded = (tarn_guarded){
        .mode = options->mode,
        .zone = options->zone != 0 ? options->zone : DEFAULT_ZONE,
        .quarantine_limit = options->quarantine != 0 ? options->quarantine : DEFAULT_QUARANTINE,
    };
    heap_ledger_init(&guarded->ledger, sizeof(guard_record));
    heap_wrapper_init(&guarded->heap, &ops, options->upstream, options->name, "guarded");
    guarded->heap.ops = &ops; /* none is handed on, so upstream need not have it */
    return TARN_OK;
}

void tarn_guarded_deinit(tarn_guarded *guarded)
{
    guarded_reset(&guarded->heap);
    release_ledger(guarded);
}

bool tarn_guarded_explain(const tarn_guarded *guarded, const void *address, char *text, size_t size,
                          void **block)
{
    const guard_record *record = find_around(guarded, address);
    base_text words = base_text_in(text, size);
    if (record == NULL) {
        return false;
    }
    word_place(&words, record, address);
    if (block != NULL) {
        *block = record->entry.block;
    }
    return true;
}
