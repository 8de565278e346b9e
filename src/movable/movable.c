/* SPDX-License-Identifier: MIT */
#include "movable/core.h"

#include "base/record.h"
#include "heap/books.h"

#include <string.h>

/*
 *     handle --> entry (table.c) --> chunk (chunks.c) in the arena (stretch.c); compact.c moves chunks
 *
 * Invariant: each live entry names the place behind the word of one live chunk, whose word names the entry.
 */

_Noreturn void movable_fatal(const tarn_movable *heap, const char *what, tarn_handle handle)
{
    base_fatal(what, movable_name(heap), (const void *)(uintptr_t)handle);
}

/* The entry of a handle that must not be stale. */
static tarn_movable_entry *entry_of(const tarn_movable *heap, tarn_handle handle, entry_view *seen)
{
    tarn_movable_entry *entry = entry_find(heap, handle, seen);
    if (base_unlikely(entry == NULL)) {
        movable_fatal(heap, "not a handle of this heap, or freed already", handle);
    }
    return entry;
}

static uint32_t chunk_of(const tarn_movable *heap, entry_view seen, tarn_handle handle)
{
    const uint32_t place = seen.place - 1;
    const uint64_t word = *word_at(heap, place);
    if (base_unlikely(word_is_free(word) || word_number(word) != handle_number(handle))) {
        movable_fatal(heap, "the bytes before the block were overwritten", handle);
    }
    return place;
}

/* ---- the heap ---- */

/* A recorder knows blocks by their handles: they move. */
static const void *name_of(tarn_handle handle)
{
    return (const void *)(uintptr_t)handle;
}

static bool note_block(void *context, tarn_handle handle, void *block, size_t size)
{
    const tarn_movable *heap = context;
    (void)block;
    base_record_alloc(heap->record, name_of(handle), size, 0);
    return true;
}

void movable_note_made(tarn_movable *heap)
{
    const tarn_movable_options *options = &heap->options;
    heap->record = base_record_open(heap, options->upstream, "movable",
                                    options->name != NULL ? options->name : "movable");
    if (heap->record != 0) {
        tarn_movable_visit(heap, note_block, heap);
    }
}

tarn_status tarn_movable_init(tarn_movable *heap, const tarn_movable_options *options)
{
    const tarn_status status = stretch_init(heap, options, 0);
    if (status == TARN_OK) {
        movable_note_made(heap);
    }
    return status;
}

void tarn_movable_deinit(tarn_movable *heap)
{
    base_record_close(heap->record);
    stretch_deinit(heap);
}

tarn_status tarn_movable_attach(tarn_movable *heap, const tarn_movable_options *options)
{
    if (options == NULL || options->memory.start == NULL) {
        return TARN_BAD_ARGUMENT;
    }
    tarn_movable seen = {.options = *options};
    seen.chunk = options->memory.start;
    seen.held = options->memory.size;
    seen.base = base_align_pointer(seen.chunk, _Alignof(max_align_t));
    const size_t before = (size_t)(seen.base - (unsigned char *)seen.chunk);
    if (seen.held < before + sizeof(movable_head)) {
        return TARN_BAD_DATA;
    }
    const movable_head *head = movable_head_of(&seen);
    const uint64_t size = head->size;
    if (head->magic != MOVABLE_MAGIC || head->version != MOVABLE_VERSION ||
        size > seen.held - before || size % GRANULE != 0 ||
        size < FIRST_PLACE * GRANULE + tracts_size(size) ||
        head->residue != (uintptr_t)seen.base % PAGE_ALIGNMENT) {
        return TARN_BAD_DATA;
    }
    stretch_set_table(&seen, seen.base + size - tracts_size(size));
    seen.options.threads = head->has_threads != 0;
    seen.is_large = size > SMALL_HEAP_MAX;
    if (!tarn_movable_check(&seen, NULL, 0)) {
        return TARN_BAD_DATA;
    }
    *heap = seen;
    return TARN_OK;
}

void tarn_movable_detach(tarn_movable *heap)
{
    *heap = (tarn_movable){.base = NULL};
}

/* ---- alloc ---- */

typedef struct request {
    uint32_t granules;
    uint32_t alignment; /* granules */
} request;

/* Takes a chunk and, where `number` is not NULL, an entry for it; or neither. */
static uint32_t take(tarn_movable *heap, request wanted, uint32_t *number, uint64_t *word)
{
    movable_head *head = movable_head_of(heap);
    const bool needs_room = number != NULL && head->vacant == 0;
    const size_t for_entry = needs_room ? sizeof(tarn_movable_entry) : 0;
    const size_t gap = stretch_gap(heap);
    if (gap < for_entry || (needs_room && head->count == NUMBER_MAX)) {
        return 0;
    }
    uint32_t place = chunk_take_hole(heap, wanted.granules, wanted.alignment, NULL, word);
    if (place == 0) {
        const uint64_t before = chunk_gap(head->end, wanted.alignment);
        if ((before + wanted.granules) * GRANULE > gap - for_entry) {
            return 0;
        }
        place = chunk_take_end(heap, wanted.granules, wanted.alignment, word);
    }
    if (number != NULL) {
        *number = entry_take(heap);
    }
    return place;
}

/* Purges until `size` bytes are free or nothing is left to purge; returns the bytes. */
static size_t purge(tarn_movable *heap, size_t size);

/* Bytes that an arena without holes would have free. */
static size_t free_size(const tarn_movable *heap)
{
    return (size_t)movable_head_of(heap)->hole_granules * GRANULE + stretch_gap(heap);
}

/* One more try after making room by `bytes` needed at most: first what costs nobody anything. */
static uint32_t take_somehow(tarn_movable *heap, request wanted, uint32_t *number, uint64_t *word)
{
    const movable_head *head = movable_head_of(heap);
    const size_t needed =
        ((size_t)wanted.granules + wanted.alignment) * GRANULE + sizeof(tarn_movable_entry);
    uint32_t place = take(heap, wanted, number, word);
    if (place != 0 || (number != NULL && head->vacant == 0 && head->count == NUMBER_MAX)) {
        return place;
    }
    if (stretch_grow(heap, needed)) {
        return take(heap, wanted, number, word);
    }
    if (head->is_in_pass) {
        return 0;
    }
    /* Less than `needed` may do, where the alignment happens to fit. */
    const size_t least = (size_t)wanted.granules * GRANULE;
    do {
        if (free_size(heap) >= least) {
            compact_all(heap, NULL);
            place = take(heap, wanted, number, word);
        }
    } while (place == 0 &&
             purge(heap, free_size(heap) < needed ? needed - free_size(heap) : 1) > 0);
    return place;
}

/* Granules that an alignment in bytes is for places; false if blocks cannot have it. */
static bool granules_of_alignment(const tarn_movable *heap, size_t alignment, uint32_t *granules)
{
    if (alignment == 0) {
        alignment = _Alignof(max_align_t);
    }
    *granules = alignment <= GRANULE ? 1 : (uint32_t)(alignment / GRANULE);
    return base_is_power_of_two(alignment) && alignment <= movable_head_of(heap)->alignment_max;
}

tarn_handle tarn_movable_alloc(tarn_movable *heap, size_t size, size_t alignment)
{
    request wanted;
    size = size == 0 ? 1 : size;
    movable_lock(heap);
    tarn_handle handle = 0;
    uint32_t number = 0;
    uint64_t word = 0;
    uint32_t place = 0;
    if (size <= BLOCK_MAX && granules_of_alignment(heap, alignment, &wanted.alignment)) {
        wanted.granules = chunk_granules(size);
        place = take_somehow(heap, wanted, &number, &word);
    }
    movable_head *head = movable_head_of(heap);
    if (place != 0) {
        *word_at(heap, place) =
            word | word_of_block(number, wanted.granules, base_ctz(wanted.alignment));
        chunk_set_size(heap, place, size);
        tarn_movable_entry *entry = entry_at(heap, number);
        const uint32_t state = (entry_load(heap, entry).state & STATE_GENERATION) | KIND_LIVE;
        entry_store(heap, entry, place + 1, state | STATE_USED);
        handle = handle_of(number, state);
        heap_books_give(&head->books, size);
    } else {
        head->books.failures++;
    }
    movable_unlock(heap);
    base_record_alloc(heap->record, name_of(handle), size, alignment);
    return handle;
}

/* ---- free, resize, purge ---- */

/* Waits for the end of the block's move, without the lock. */
static void wait_for_move(tarn_movable_entry *entry, uint32_t state, unsigned turn)
{
    if (turn > 1000) {
        /* Nobody wakes: the wait is one for time. */
        os_wait((_Atomic(uint32_t) *)(void *)&entry->state, state, 1);
        return;
    }
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

void tarn_movable_free(tarn_movable *heap, tarn_handle handle)
{
    if (handle == 0) {
        return;
    }
    movable_lock(heap);
    movable_head *head = movable_head_of(heap);
    entry_view seen;
    (void)entry_of(heap, handle, &seen);
    if ((seen.state & KIND_MASK) != KIND_PURGED) {
        const uint32_t place = chunk_of(heap, seen, handle);
        if ((seen.state & KIND_MASK) == KIND_MOVING) {
            movable_fatal(heap, "freed while a pass moves it", handle);
        }
        if ((seen.state & STATE_PINS) != 0) {
            movable_fatal(heap, "freed while it is pinned", handle);
        }
        base_record_free(heap->record, name_of(handle));
        head->purgeable -= (seen.state & STATE_PURGEABLE) != 0;
        heap_books_take(&head->books, chunk_size(heap, place));
        (void)chunk_release(heap, place);
    }
    entry_give(heap, handle_number(handle));
    movable_unlock(heap);
}

/* Gives the block another chunk; false if there is none. */
static bool resize_elsewhere(tarn_movable *heap, tarn_handle handle, size_t size)
{
    entry_view seen;
    (void)entry_of(heap, handle, &seen);
    const request wanted = {chunk_granules(size), word_alignment(*word_at(heap, seen.place - 1))};
    uint64_t word = 0;
    const uint32_t place = take_somehow(heap, wanted, NULL, &word);
    if (place == 0) {
        return false;
    }
    *word_at(heap, place) =
        word | word_of_block(handle_number(handle), wanted.granules, base_ctz(wanted.alignment));
    /* Making room may have moved the heap and the block, and have purged it. */
    tarn_movable_entry *entry = entry_of(heap, handle, &seen);
    if (!entry_seize(heap, entry)) {
        (void)chunk_release(heap, place);
        return false;
    }
    const uint32_t old = seen.place - 1;
    const uint32_t old_granules = word_granules(*word_at(heap, old));
    const uint32_t kept = old_granules < wanted.granules ? old_granules : wanted.granules;
    memcpy(word_at(heap, place + 1), word_at(heap, old + 1), (kept - 1) * GRANULE);
    chunk_set_size(heap, place, size);
    entry_release(heap, entry, place + 1);
    (void)chunk_release(heap, old);
    return true;
}

bool tarn_movable_resize(tarn_movable *heap, tarn_handle handle, size_t new_size)
{
    new_size = new_size == 0 ? 1 : new_size;
    movable_lock(heap);
    movable_head *head = movable_head_of(heap);
    entry_view seen;
    (void)entry_of(heap, handle, &seen);
    bool done = false;
    if ((seen.state & KIND_MASK) == KIND_LIVE && new_size <= BLOCK_MAX) {
        const uint32_t place = chunk_of(heap, seen, handle);
        const size_t old_size = chunk_size(heap, place);
        if (chunk_resize(heap, place, chunk_granules(new_size), stretch_gap(heap))) {
            chunk_set_size(heap, place, new_size);
            done = true;
        } else {
            done = (seen.state & STATE_PINS) == 0 && resize_elsewhere(heap, handle, new_size);
            head = movable_head_of(heap);
        }
        if (done) {
            heap_books_resize(&head->books, old_size, new_size);
            base_record_free(heap->record, name_of(handle));
            base_record_alloc(heap->record, name_of(handle), new_size, 0);
        }
    }
    head->books.failures += !done;
    movable_unlock(heap);
    return done;
}

bool tarn_movable_set_purgeable(tarn_movable *heap, tarn_handle handle, bool purgeable)
{
    movable_lock(heap);
    entry_view seen;
    tarn_movable_entry *entry = entry_of(heap, handle, &seen);
    bool done = (seen.state & KIND_MASK) != KIND_PURGED;
    while (done && !entry_exchange(heap, entry, &seen, seen.place,
                                   purgeable ? seen.state | STATE_PURGEABLE
                                             : seen.state & ~STATE_PURGEABLE)) {
    }
    if (done) {
        movable_head *head = movable_head_of(heap);
        head->purgeable += purgeable;
        head->purgeable -= (seen.state & STATE_PURGEABLE) != 0;
    }
    movable_unlock(heap);
    return done;
}

/* Purges the block of a seized entry unless its owner objects; returns its bytes, or 0. */
static size_t purge_block(tarn_movable *heap, uint32_t number)
{
    movable_head *head = movable_head_of(heap);
    tarn_movable_entry *entry = entry_at(heap, number);
    const entry_view seen = entry_load(heap, entry);
    const uint32_t place = seen.place - 1;
    const size_t size = chunk_size(heap, place);
    const tarn_movable_options *options = &heap->options;
    if (options->on_purge != NULL &&
        !options->on_purge(options->context, handle_of(number, seen.state),
                           word_at(heap, place + 1), size)) {
        entry_release(heap, entry, seen.place);
        return 0;
    }
    entry_store(heap, entry, 0, (seen.state & STATE_GENERATION) | KIND_PURGED);
    base_record_free(heap->record, name_of(handle_of(number, seen.state)));
    head->purgeable--;
    heap_books_take(&head->books, size);
    (void)chunk_release(heap, place);
    return size;
}

/* The clock of page replacement: a hand goes round the table and takes what was not used since it last passed. */
static size_t purge(tarn_movable *heap, size_t size)
{
    movable_head *head = movable_head_of(heap);
    size_t purged = 0;
    for (uint64_t looks = 2 * (uint64_t)head->count;
         looks > 0 && purged < size && head->purgeable > 0; looks--) {
        head->hand = head->hand < head->count ? head->hand + 1 : 1;
        tarn_movable_entry *entry = entry_at(heap, head->hand);
        entry_view seen = entry_load(heap, entry);
        if ((seen.state & KIND_MASK) != KIND_LIVE || (seen.state & STATE_PURGEABLE) == 0) {
            continue;
        }
        if ((seen.state & STATE_USED) != 0) {
            /* A pin that comes between has used it again. */
            (void)entry_exchange(heap, entry, &seen, seen.place, seen.state & ~STATE_USED);
        } else if (entry_seize(heap, entry)) {
            purged += purge_block(heap, head->hand);
        }
    }
    return purged;
}

size_t tarn_movable_purge(tarn_movable *heap, size_t size)
{
    movable_lock(heap);
    const size_t purged = purge(heap, size);
    movable_unlock(heap);
    return purged;
}

/* ---- looking ---- */

tarn_movable_look tarn_movable_look_at(const tarn_movable *heap, tarn_handle handle)
{
    entry_view seen;
    if (entry_find(heap, handle, &seen) == NULL) {
        return TARN_MOVABLE_STALE;
    }
    return (seen.state & KIND_MASK) == KIND_PURGED ? TARN_MOVABLE_PURGED : TARN_MOVABLE_LIVE;
}

void *tarn_movable_find(const tarn_movable *heap, tarn_handle handle)
{
    entry_view seen;
    if (entry_find(heap, handle, &seen) == NULL || (seen.state & KIND_MASK) == KIND_PURGED) {
        return NULL;
    }
    return word_at(heap, seen.place);
}

size_t tarn_movable_size(const tarn_movable *heap, tarn_handle handle)
{
    movable_lock(heap);
    entry_view seen;
    (void)entry_of(heap, handle, &seen);
    const size_t size = (seen.state & KIND_MASK) == KIND_PURGED
                            ? 0
                            : chunk_size(heap, chunk_of(heap, seen, handle));
    movable_unlock(heap);
    return size;
}

void tarn_movable_check_access(const tarn_movable *heap, tarn_handle handle, size_t offset,
                               size_t size)
{
    entry_view seen;
    (void)entry_of(heap, handle, &seen);
    if ((seen.state & KIND_MASK) == KIND_PURGED) {
        movable_fatal(heap, "used after it was purged", handle);
    }
    if (offset == 0 && size == 0) {
        return;
    }
    const size_t limit = tarn_movable_size(heap, handle);
    if (offset > limit || size > limit - offset) {
        movable_fatal(heap, "access past the block's limit", handle);
    }
}

void tarn_movable_set_root(tarn_movable *heap, tarn_handle handle)
{
    movable_lock(heap);
    movable_head_of(heap)->root = handle;
    movable_unlock(heap);
}

tarn_handle tarn_movable_root(const tarn_movable *heap)
{
    movable_lock(heap);
    const tarn_handle root = movable_head_of(heap)->root;
    movable_unlock(heap);
    return root;
}

/* ---- pins ---- */

void *tarn_pin(tarn_movable *heap, tarn_handle handle)
{
    entry_view seen;
    tarn_movable_entry *entry = entry_of(heap, handle, &seen);
    unsigned turn = 0;
    for (;;) {
        const uint32_t kind = seen.state & KIND_MASK;
        if (kind == KIND_MOVING) {
            wait_for_move(entry, seen.state, turn++);
            entry = entry_of(heap, handle, &seen);
        } else if (kind == KIND_PURGED) {
            return NULL;
        } else if ((seen.state & STATE_PINS) == STATE_PINS) {
            movable_fatal(heap, "pinned too many times", handle);
        } else if (entry_exchange(heap, entry, &seen, seen.place,
                                  (seen.state + STATE_PIN) | STATE_USED)) {
            break;
        } else {
            entry = entry_of(heap, handle, &seen);
        }
    }
    movable_head *head = movable_head_of(heap);
    if (!head->has_threads && (seen.state & STATE_PINS) == 0) {
        head->pinned++;
    }
    return word_at(heap, seen.place);
}

void tarn_unpin(tarn_movable *heap, tarn_handle handle)
{
    entry_view seen;
    tarn_movable_entry *entry = entry_of(heap, handle, &seen);
    do {
        if ((seen.state & STATE_PINS) == 0) {
            movable_fatal(heap, "unpinned more often than pinned", handle);
        }
    } while (!entry_exchange(heap, entry, &seen, seen.place, seen.state - STATE_PIN));
    movable_head *head = movable_head_of(heap);
    if (!head->has_threads && (seen.state & STATE_PINS) == STATE_PIN) {
        head->pinned--;
    }
}

/* ---- books ---- */

tarn_stats tarn_movable_stats(const tarn_movable *heap)
{
    movable_lock(heap);
    const movable_head *head = movable_head_of(heap);
    tarn_stats stats = head->books;
    stats.footprint = stretch_footprint(heap);
    if (stats.footprint > stats.peak_footprint) {
        stats.peak_footprint = stats.footprint;
    }
    size_t gap = stretch_gap(heap);
    gap -= gap < sizeof(tarn_movable_entry) ? gap : sizeof(tarn_movable_entry);
    const size_t hole = holes_largest(heap);
    stats.largest_free = (gap > hole ? gap : hole) / GRANULE * GRANULE;
    stats.largest_free -= stats.largest_free < GRANULE ? stats.largest_free : GRANULE;
    movable_unlock(heap);
    return stats;
}

tarn_movable_report tarn_movable_history(const tarn_movable *heap)
{
    movable_lock(heap);
    const tarn_movable_report history = movable_head_of(heap)->history;
    movable_unlock(heap);
    return history;
}

bool tarn_movable_check(const tarn_movable *heap, char *fault, size_t fault_size)
{
    char nowhere[1];
    if (fault == NULL || fault_size == 0) {
        fault = nowhere;
        fault_size = sizeof nowhere;
    }
    fault[0] = '\0';
    movable_lock(heap);
    const bool balances = movable_check(heap, fault, fault_size);
    movable_unlock(heap);
    return balances;
}

void tarn_movable_visit(const tarn_movable *heap, tarn_movable_visitor *visitor, void *context)
{
    movable_lock(heap);
    const movable_head *head = movable_head_of(heap);
    bool goes_on = true;
    for (uint32_t place = FIRST_PLACE; goes_on && place != head->end;
         place += word_granules(*word_at(heap, place))) {
        const uint64_t word = *word_at(heap, place);
        if (word_is_free(word)) {
            continue;
        }
        const entry_view seen = entry_load(heap, entry_at(heap, word_number(word)));
        /* The place that a pass has set aside for a block is no block. */
        if (seen.place == place + 1) {
            goes_on = visitor(context, handle_of(word_number(word), seen.state),
                              word_at(heap, place + 1), chunk_size(heap, place));
        }
    }
    movable_unlock(heap);
}

size_t tarn_movable_trim(tarn_movable *heap)
{
    movable_lock(heap);
    stretch_note_footprint(heap);
    size_t given = holes_clean(heap);
    (void)table_trim(heap);
    given += stretch_shrink(heap);
    movable_unlock(heap);
    return given;
}

static bool has_pins(const tarn_movable *heap)
{
    for (uint32_t number = movable_head_of(heap)->count; number > 0; number--) {
        if ((entry_load(heap, entry_at(heap, number)).state & STATE_PINS) != 0) {
            return true;
        }
    }
    return false;
}

tarn_status tarn_movable_reset(tarn_movable *heap)
{
    tarn_status status = TARN_BAD_ARGUMENT;
    movable_lock(heap);
    movable_head *head = movable_head_of(heap);
    if (!head->is_in_pass && !has_pins(heap)) {
        base_record_reset(heap->record);
        stretch_note_footprint(heap);
        for (uint32_t number = 1; number <= head->count; number++) {
            const entry_view seen = entry_load(heap, entry_at(heap, number));
            if ((seen.state & KIND_MASK) != KIND_VACANT) {
                entry_give(heap, number);
            }
        }
        (void)table_trim(heap);
        heap_books_take_all(&head->books);
        holes_forget(head);
        memset(heap->table, 0, tracts_size(head->size));
        head->end = FIRST_PLACE;
        head->purgeable = 0;
        head->root = 0;
        head->changes++;
        head->stage = STAGE_REST;
        status = TARN_OK;
    }
    movable_unlock(heap);
    return status;
}
