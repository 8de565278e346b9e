/* SPDX-License-Identifier: MIT */
#include "pool/core.h"

#include "heap/watch.h"

#include <string.h>

/*
 *     chunk     [ pool_chunk | map ][ slot | slot | slot | slot | never touched ... ]
 *                                     ^ first                     ^ touched
 *     map         0   1   0   1                                   a bit for each touched slot that nobody has
 *
 * An address finds its chunk by a hash table. It is cut into *cells*, and each chunk is entered
 * under every cell that its slots lie in. A cell is not much larger than the smallest chunk, so few
 * chunks share one, and not much smaller than the largest, so few cells have the same chunk.
 *
 * Invariants: the set bits of a chunk are its `free`; a chunk is on the list of roomy ones exactly
 * when it has set bits or untouched slots; the pool's `taken` is the sum of touched slots without
 * their bits set.
 */

typedef struct pool_cell {
    uintptr_t number;  /* address >> cell_shift */
    pool_chunk *chunk; /* NULL: no entry */
} pool_cell;

enum {
    FIRST_CELLS = 8,
    WINDOW = 16, /* times the slots of the pool: objects moved until it forgets what it needed */
    WANTED =
        8, /* times the slots: a chunk wanted again so soon after one went back was given back too early */
    BATCH_WRITTEN = 16,
    RESERVE_CHUNKS = 4096, /* that a reserve takes at most if one will not do */
    CACHE_LINE = 64        /* bytes */
};

/* ------------------------------------------------------------------------------------------------
 * Books.
 */
void *pool_books_take(tarn_pool *pool, size_t size, size_t alignment)
{
    void *memory = tarn_heap_alloc(pool->options.upstream, size, alignment);
    if (memory != NULL) {
        heap_books_hold(&pool->books, size);
    }
    return memory;
}

void pool_books_give(tarn_pool *pool, void *memory, size_t size)
{
    if (memory != NULL) {
        pool->books.footprint -= size;
        tarn_heap_free(pool->options.upstream, memory, size);
    }
}

/* ------------------------------------------------------------------------------------------------
 * The table of cells: open addressing, probed one by one, never more than half full.
 */
static size_t cell_slot(const tarn_pool *pool, uintptr_t number)
{
    return (size_t)((uint64_t)number * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (pool->cell_count - 1);
}

static void cell_add(tarn_pool *pool, uintptr_t number, pool_chunk *chunk)
{
    size_t slot = cell_slot(pool, number);
    while (pool->cells[slot].chunk != NULL) {
        slot = (slot + 1) & (pool->cell_count - 1);
    }
    pool->cells[slot] = (pool_cell){number, chunk};
    pool->cells_used++;
}

/* Entries behind move up, so that no search ends at the gap. */
static void cell_remove(tarn_pool *pool, uintptr_t number, const pool_chunk *chunk)
{
    const size_t mask = pool->cell_count - 1;
    size_t gap = cell_slot(pool, number);
    while (pool->cells[gap].chunk != chunk || pool->cells[gap].number != number) {
        gap = (gap + 1) & mask;
    }
    for (size_t at = (gap + 1) & mask; pool->cells[at].chunk != NULL; at = (at + 1) & mask) {
        const size_t home = cell_slot(pool, pool->cells[at].number);
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            pool->cells[gap] = pool->cells[at];
            gap = at;
        }
    }
    pool->cells[gap].chunk = NULL;
    pool->cells_used--;
}

static uintptr_t first_cell(const tarn_pool *pool, const pool_chunk *chunk)
{
    return (uintptr_t)chunk->first >> pool->cell_shift;
}

static uintptr_t last_cell(const tarn_pool *pool, const pool_chunk *chunk)
{
    return ((uintptr_t)chunk->first + chunk->span - 1) >> pool->cell_shift;
}

/* Moves the table to `count` entries, which are enough; false when there is no memory for them. */
static bool cells_move(tarn_pool *pool, size_t count)
{
    pool_cell *cells = pool_books_take(pool, count * sizeof *cells, 0);
    if (cells == NULL) {
        return false;
    }
    memset(cells, 0, count * sizeof *cells);
    pool_cell *old = pool->cells;
    const size_t old_count = pool->cell_count;
    pool->cells = cells;
    pool->cell_count = count;
    pool->cells_used = 0;
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].chunk != NULL) {
            cell_add(pool, old[i].number, old[i].chunk);
        }
    }
    pool_books_give(pool, old, old_count * sizeof *old);
    return true;
}

/* Entries of a table for so many, from `count` on. */
static size_t cells_for(size_t used, size_t count)
{
    while (count / 2 < used) {
        count *= 2;
    }
    return count;
}

/* Makes room in the table for a chunk of `span` bytes wherever it may lie. */
static bool cells_prepare(tarn_pool *pool, size_t span)
{
    const size_t needed = pool->cells_used + (span >> pool->cell_shift) + 2;
    const size_t count = cells_for(needed, pool->cell_count == 0 ? FIRST_CELLS : pool->cell_count);
    return count == pool->cell_count || cells_move(pool, count);
}

/* After many chunks went: the table need not stay as large as it was for them. */
static void cells_trim(tarn_pool *pool)
{
    if (pool->chunks == NULL) {
        pool_books_give(pool, pool->cells, pool->cell_count * sizeof *pool->cells);
        pool->cells = NULL;
        pool->cell_count = 0;
        return;
    }
    const size_t count = cells_for(pool->cells_used, FIRST_CELLS);
    if (count < pool->cell_count / 4) {
        (void)cells_move(pool, count * 2);
    }
}

static pool_chunk *chunk_at(const tarn_pool *pool, const void *pointer)
{
    if (pool->cell_count == 0) {
        return NULL;
    }
    const uintptr_t number = (uintptr_t)pointer >> pool->cell_shift;
    for (size_t slot = cell_slot(pool, number);; slot = (slot + 1) & (pool->cell_count - 1)) {
        pool_chunk *chunk = pool->cells[slot].chunk;
        if (chunk == NULL) {
            return NULL;
        }
        if (pool->cells[slot].number == number &&
            (uintptr_t)pointer - (uintptr_t)chunk->first < chunk->span) {
            return chunk;
        }
    }
}

/* ------------------------------------------------------------------------------------------------
 * Slots.
 */
static unsigned char *slot_at(const tarn_pool *pool, const pool_chunk *chunk, size_t index)
{
    return chunk->first + index * pool->slot_size;
}

static size_t slot_of(const tarn_pool *pool, size_t offset)
{
#ifdef __SIZEOF_INT128__
    __extension__ typedef unsigned __int128 wide;
    if (pool->inverse != 0) {
        return (size_t)((wide)offset * pool->inverse >> 64);
    }
#endif
    return offset / pool->slot_size;
}

/* `hint` is a chunk that it may well be in. */
__attribute__((always_inline)) static inline pool_place
find_near(const tarn_pool *pool, const void *pointer, pool_chunk *hint)
{
    size_t offset = (uintptr_t)pointer - (uintptr_t)hint->first;
    if (base_unlikely(offset >= hint->span)) {
        hint = chunk_at(pool, pointer);
        if (hint == NULL) {
            return (pool_place){0};
        }
        offset = (uintptr_t)pointer - (uintptr_t)hint->first;
    }
    const size_t index = slot_of(pool, offset);
    const bool is_start = index * pool->slot_size == offset;
    return (pool_place){hint, index, is_start, is_start && index < hint->touched};
}

pool_place pool_find(const tarn_pool *pool, const void *pointer)
{
    pool_place place = {0};
    if (pool->chunks != NULL) {
        place = find_near(pool, pointer, pool->chunks);
    }
    return place;
}

/* ------------------------------------------------------------------------------------------------
 * The lists of chunks.
 */
static bool is_roomy(const pool_chunk *chunk)
{
    return chunk->free > 0 || chunk->touched < chunk->count;
}

/* To the end, so that the first chunk is used up while others may become empty. */
static void add_roomy(tarn_pool *pool, pool_chunk *chunk)
{
    chunk->next_roomy = NULL;
    chunk->previous_roomy = pool->last_roomy;
    if (pool->last_roomy != NULL) {
        pool->last_roomy->next_roomy = chunk;
    } else {
        pool->roomy = chunk;
    }
    pool->last_roomy = chunk;
}

static void remove_roomy(tarn_pool *pool, pool_chunk *chunk)
{
    if (chunk->previous_roomy != NULL) {
        chunk->previous_roomy->next_roomy = chunk->next_roomy;
    } else {
        pool->roomy = chunk->next_roomy;
    }
    if (chunk->next_roomy != NULL) {
        chunk->next_roomy->previous_roomy = chunk->previous_roomy;
    } else {
        pool->last_roomy = chunk->previous_roomy;
    }
}

/* ------------------------------------------------------------------------------------------------
 * Chunks come and go.
 */
/* Of the first slot: slots that fit into cache lines, or that lines fit into, do not straddle
 * them needlessly. */
static size_t first_alignment(const tarn_pool *pool)
{
    const size_t divides = pool->slot_size & (~pool->slot_size + 1);
    const size_t line = divides < CACHE_LINE ? divides : CACHE_LINE;
    return pool->alignment > line ? pool->alignment : line;
}

/* What upstream is asked for: no more than objects need, for it may not have more. */
static size_t chunk_alignment(const tarn_pool *pool)
{
    return pool->alignment > 16 ? pool->alignment : 16;
}

static size_t live_words(const tarn_pool *pool, size_t count)
{
    return pool->mode == POOL_CHECKED || pool->is_watched ? base_bitmap_words_for(count) : 0;
}

/* Bytes of a chunk before its first slot, at least. */
static size_t books_size(const tarn_pool *pool, size_t count)
{
    const size_t words = base_bitmap_words(count) + live_words(pool, count);
    const size_t red_zone = pool->is_watched ? POOL_RED_ZONE : 0;
    return base_align_up(sizeof(pool_chunk), sizeof(uint64_t)) + words * sizeof(uint64_t) +
           red_zone;
}

/* The same with what alignment may ask for wherever upstream puts the chunk. */
static size_t books_room(const tarn_pool *pool, size_t count)
{
    const size_t given = chunk_alignment(pool);
    const size_t wanted = first_alignment(pool);
    return base_align_up(books_size(pool, count), given) + (wanted > given ? wanted - given : 0);
}

size_t pool_chunk_size(const tarn_pool *pool, size_t count)
{
    size_t span;
    size_t size;
    /* The books take less than the slots would if each had 8 bytes more. */
    if (count > PTRDIFF_MAX / 16 || pool->alignment > PTRDIFF_MAX / 4 ||
        !base_checked_mul(count, pool->slot_size, &span) ||
        !base_checked_add(span, books_room(pool, count), &size) || size > PTRDIFF_MAX) {
        return 0;
    }
    return size;
}

/* Takes a chunk of `count` slots from upstream. */
static pool_chunk *add_chunk(tarn_pool *pool, size_t count)
{
    const size_t size = pool_chunk_size(pool, count);
    pool_chunk *chunk = size != 0 ? pool_books_take(pool, size, chunk_alignment(pool)) : NULL;
    if (chunk == NULL) {
        return NULL;
    }
    if (!cells_prepare(pool, count * pool->slot_size)) {
        pool_books_give(pool, chunk, size);
        return NULL;
    }
    if (count * pool->slot_size > UINT64_MAX / pool->slot_size) {
        pool->inverse = 0; /* would not be exact */
    }
    *chunk = (pool_chunk){.size = size, .span = count * pool->slot_size, .count = count};
    chunk->first =
        base_align_pointer((unsigned char *)chunk + books_size(pool, count), first_alignment(pool));
    uint64_t *const words = (uint64_t *)(void *)((unsigned char *)chunk +
                                                 base_align_up(sizeof *chunk, sizeof(uint64_t)));
    base_bitmap_init(&chunk->map, words, count);
    chunk->live = live_words(pool, count) != 0 ? words + base_bitmap_words(count) : NULL;
    if (pool->is_watched) {
        heap_watch_hide(chunk->first - POOL_RED_ZONE, POOL_RED_ZONE + chunk->span);
    }
    chunk->next = pool->chunks;
    if (chunk->next != NULL) {
        chunk->next->previous = chunk;
    }
    pool->chunks = chunk;
    add_roomy(pool, chunk);
    for (uintptr_t cell = first_cell(pool, chunk); cell <= last_cell(pool, chunk); cell++) {
        cell_add(pool, cell, chunk);
    }
    /* The depot looks at it without the lock. */
    __atomic_store_n(&pool->slots, pool->slots + count, __ATOMIC_RELAXED);
    if (pool->since / WANTED <= pool->slots) {
        /* Given back too early: what is wanted in turns is kept. */
        pool->keep = pool->slots;
        pool->window = pool->slots <= SIZE_MAX / WINDOW ? pool->slots * WINDOW : SIZE_MAX;
        pool->high = pool->taken;
    }
    return chunk;
}

/* Objects are destructed and the memory goes back; the bits are not looked at. */
static void remove_chunk(tarn_pool *pool, pool_chunk *chunk)
{
    for (uintptr_t cell = first_cell(pool, chunk); cell <= last_cell(pool, chunk); cell++) {
        cell_remove(pool, cell, chunk);
    }
    if (is_roomy(chunk)) {
        remove_roomy(pool, chunk);
    }
    if (chunk->previous != NULL) {
        chunk->previous->next = chunk->next;
    } else {
        pool->chunks = chunk->next;
    }
    if (chunk->next != NULL) {
        chunk->next->previous = chunk->previous;
    }
    __atomic_store_n(&pool->slots, pool->slots - chunk->count, __ATOMIC_RELAXED);
    if (pool->spare == chunk) {
        pool->spare = NULL;
    }
    if (pool->is_watched) {
        heap_watch_show(chunk->first - POOL_RED_ZONE, POOL_RED_ZONE + chunk->span);
    }
    if (pool->options.destruct != NULL) {
        for (size_t index = 0; index < chunk->touched; index++) {
            pool->options.destruct(pool->options.context, slot_at(pool, chunk, index));
        }
    }
    pool_books_give(pool, chunk, chunk->size);
}

static bool is_empty(const pool_chunk *chunk)
{
    return chunk->free == chunk->touched;
}

/* Room for half as many must be left, or the chunk would be wanted again soon. */
static bool may_go(const tarn_pool *pool, const pool_chunk *chunk)
{
    const size_t rest = pool->slots - chunk->count;
    return is_empty(chunk) && !pool->options.preallocate && rest >= pool->keep &&
           rest >= pool->reserved && rest - pool->taken >= chunk->count / 2;
}

/* A chunk has become empty, and goes back if it may. Of two that are empty only one is kept, so
 * what is left when nothing is in use is a single chunk at most. True if this one went. */
__attribute__((noinline)) static bool consider(tarn_pool *pool, pool_chunk *chunk)
{
    pool_chunk *const spare = pool->spare;
    pool->spare = NULL;
    if (spare != NULL && spare != chunk && may_go(pool, spare)) {
        remove_chunk(pool, spare);
        pool->since = 0;
    } else {
        pool->spare = spare;
    }
    if (may_go(pool, chunk)) {
        remove_chunk(pool, chunk);
        pool->since = 0;
        return true;
    }
    if (pool->spare == NULL || !is_empty(pool->spare)) {
        pool->spare = chunk;
    }
    return false;
}

/* The next chunk, of twice the size; smaller when upstream has no more. */
static pool_chunk *grow(tarn_pool *pool, size_t least)
{
    if (pool->options.preallocate && pool->slots > 0) {
        return NULL;
    }
    size_t count = pool->next_slots > least ? pool->next_slots : least;
    if (pool->options.max_objects != 0) {
        const size_t left = pool->options.max_objects - pool->slots;
        count = count < left ? count : left;
    }
    pool_chunk *chunk = NULL;
    for (; count > 0 && count >= least; count /= 2) {
        chunk = add_chunk(pool, count);
        if (chunk != NULL) {
            break;
        }
    }
    if (chunk != NULL) {
        const size_t most = pool->options.chunk_objects_max;
        const size_t next = count <= most / 2 ? count * 2 : most;
        pool->next_slots = next > pool->next_slots ? next : pool->next_slots;
    }
    return chunk;
}

bool pool_chunks_begin(tarn_pool *pool)
{
    return pool->roomy != NULL || grow(pool, 1) != NULL;
}

/* Chunks that were made after `last` go again; nothing in them is in use. */
static void undo(tarn_pool *pool, const pool_chunk *last)
{
    while (pool->chunks != last) {
        remove_chunk(pool, pool->chunks);
    }
    cells_trim(pool);
}

tarn_status pool_chunks_reserve(tarn_pool *pool, size_t count)
{
    if (count > PTRDIFF_MAX) {
        return TARN_NO_MEMORY;
    }
    const size_t wanted = pool->taken + count;
    if (count <= pool->slots - pool->taken) {
        pool->reserved = wanted > pool->reserved ? wanted : pool->reserved;
        return TARN_OK;
    }
    const size_t next_slots = pool->next_slots;
    const pool_chunk *const last = pool->chunks;
    if (grow(pool, wanted - pool->slots) == NULL) {
        /* Not in one piece; perhaps in some. */
        for (unsigned left = RESERVE_CHUNKS; pool->slots < wanted; left--) {
            if (left == 0 || grow(pool, 1) == NULL) {
                undo(pool, last);
                pool->next_slots = next_slots;
                return TARN_NO_MEMORY;
            }
        }
    }
    pool->reserved = wanted;
    return TARN_OK;
}

void pool_chunks_trim(tarn_pool *pool, bool all)
{
    if (all) {
        pool->keep = 0;
        pool->reserved = 0;
    }
    for (pool_chunk *chunk = pool->chunks, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        if (all ? is_empty(chunk) && !pool->options.preallocate : may_go(pool, chunk)) {
            remove_chunk(pool, chunk);
        }
    }
    cells_trim(pool);
    if (pool->slots == 0) {
        pool->next_slots = pool->options.first_objects;
    }
}

/* The window ends: what the pool needed before it is forgotten. */
__attribute__((noinline)) static void end_window(tarn_pool *pool)
{
    pool->keep = pool->high < pool->keep ? pool->high : pool->keep;
    pool->high = pool->taken;
    pool->window = pool->slots <= SIZE_MAX / WINDOW ? pool->slots * WINDOW : SIZE_MAX;
    pool_chunks_trim(pool, false);
}

/* Objects have moved between chunks and caches: the clock of what the pool remembers. */
static inline void note_moved(tarn_pool *pool, size_t count)
{
    pool->since = pool->since > SIZE_MAX - count ? SIZE_MAX : pool->since + count;
    if (pool->keep != 0) {
        if (pool->window <= count) {
            end_window(pool);
        } else {
            pool->window -= count;
        }
    }
}

/* ------------------------------------------------------------------------------------------------
 * Objects come and go.
 */
static void note_taken(tarn_pool *pool, size_t count)
{
    pool->taken += count;
    if (pool->taken > pool->peak_taken) {
        pool->peak_taken = pool->taken;
    }
    if (pool->taken > pool->high) {
        pool->high = pool->taken;
    }
}

/* Up to `count` of those whose bits are set. */
static size_t take_free(tarn_pool *pool, pool_chunk *chunk, void **out, ptrdiff_t step,
                        size_t count)
{
    count = count < chunk->free ? count : chunk->free;
    const size_t slot_size = pool->slot_size;
    size_t left = count;
    while (left > 0) {
        const size_t at = base_bitmap_first_word(&chunk->map);
        uint64_t word = chunk->map.levels[0][at];
        unsigned char *const first = chunk->first + at * 64 * slot_size;
        do {
            *out = first + base_ctz(word) * slot_size;
            out += step;
            word &= word - 1;
            left--;
        } while (word != 0 && left > 0);
        chunk->map.levels[0][at] = word;
        if (word == 0) {
            base_bitmap_note_empty(&chunk->map, at);
        }
    }
    chunk->free -= count;
    pool->returned = pool->returned > SIZE_MAX - count ? SIZE_MAX : pool->returned + count;
    return count;
}

/* Up to `count` that nobody had yet. */
static size_t take_untouched(tarn_pool *pool, pool_chunk *chunk, void **out, ptrdiff_t step,
                             size_t count)
{
    const size_t left = chunk->count - chunk->touched;
    count = count < left ? count : left;
    /* What is written to is touched ahead of its use: not too far. */
    if ((pool->options.construct != NULL || pool->options.poison) && count > BATCH_WRITTEN) {
        count = BATCH_WRITTEN;
    }
    size_t done = 0;
    for (; done < count; done++) {
        unsigned char *slot = slot_at(pool, chunk, chunk->touched + done);
        if (pool->is_watched) {
            heap_watch_give(slot, pool->options.size);
        }
        if (pool->options.poison) {
            memset(slot, POOL_POISON, pool->options.size);
        }
        if (pool->options.construct != NULL &&
            !pool->options.construct(pool->options.context, slot)) {
            break;
        }
        *out = slot;
        out += step;
    }
    base_bitmap_open(&chunk->map, chunk->touched + done);
    if (chunk->live != NULL) {
        for (size_t word = base_bitmap_words_for(chunk->touched);
             word < base_bitmap_words_for(chunk->touched + done); word++) {
            chunk->live[word] = 0;
        }
    }
    chunk->touched += done;
    return done;
}

size_t pool_take(tarn_pool *pool, void **out, ptrdiff_t step, size_t count)
{
    size_t taken = 0;
    while (taken < count) {
        pool_chunk *chunk = pool->roomy;
        if (chunk == NULL) {
            if (taken > 0 || grow(pool, 1) == NULL) {
                break;
            }
            continue;
        }
        void **const at = out + step * (ptrdiff_t)taken;
        const size_t got = chunk->free > 0 ? take_free(pool, chunk, at, step, count - taken)
                                           : take_untouched(pool, chunk, at, step, count - taken);
        if (!is_roomy(chunk)) {
            remove_roomy(pool, chunk);
        }
        taken += got;
        if (got == 0) {
            break; /* construct refused */
        }
    }
    note_taken(pool, taken);
    note_moved(pool, taken);
    return taken;
}

/* One of those whose bits are set. */
static size_t take_bit(const tarn_pool *pool, pool_chunk *chunk)
{
    size_t bit;
    if (base_unlikely(pool->is_watched)) {
        /* Going round makes it long until an object is reused, and misuse shows. */
        bit = base_bitmap_next(&chunk->map, chunk->rover, SIZE_MAX);
        if (bit == SIZE_MAX) {
            bit = base_bitmap_next(&chunk->map, 0, SIZE_MAX);
        }
        chunk->rover = bit + 1;
    } else {
        const size_t word = base_bitmap_first_word(&chunk->map);
        bit = word * 64 + base_ctz(chunk->map.levels[0][word]);
    }
    base_bitmap_clear(&chunk->map, bit);
    chunk->free--;
    return bit;
}

void *pool_take_one(tarn_pool *pool)
{
    pool_chunk *chunk = pool->roomy != NULL ? pool->roomy : grow(pool, 1);
    void *object = NULL;
    if (chunk == NULL) {
        return NULL;
    }
    /* Where misuse is looked for, what was never used comes before what was. */
    const bool is_new = chunk->free == 0 || pool->is_watched;
    if (!is_new || take_untouched(pool, chunk, &object, 1, 1) == 0) {
        if (chunk->free == 0) {
            return NULL;
        }
        object = slot_at(pool, chunk, take_bit(pool, chunk));
    }
    if (!is_roomy(chunk)) {
        remove_roomy(pool, chunk);
    }
    note_taken(pool, 1);
    note_moved(pool, 1);
    return object;
}

/* `hint` is a chunk that it may well be in, or NULL when there is none at all. */
__attribute__((always_inline)) static inline pool_place
find_live(const tarn_pool *pool, const void *object, pool_chunk *hint)
{
    TARN_CHECK(hint != NULL, "not an object of this pool", pool->heap.name, object);
    const pool_place place = find_near(pool, object, hint);
    TARN_CHECK(place.chunk != NULL, "not an object of this pool", pool->heap.name, object);
    TARN_CHECK(place.is_start, "not the start of an object of this pool", pool->heap.name, object);
    TARN_CHECK(place.is_touched, "not an object in use", pool->heap.name, object);
    TARN_CHECK(!base_bitmap_test(&place.chunk->map, place.index), "double free", pool->heap.name,
               object);
    return place;
}

/* True if the chunk went back upstream. */
__attribute__((always_inline)) static inline bool give_at(tarn_pool *pool, pool_place place)
{
    pool_chunk *const chunk = place.chunk;
    base_bitmap_set(&chunk->map, place.index);
    if (base_unlikely(!is_roomy(chunk))) {
        add_roomy(pool, chunk);
    }
    chunk->free++;
    pool->taken--;
    return base_unlikely(is_empty(chunk)) && consider(pool, chunk);
}

pool_place pool_find_live(tarn_pool *pool, const void *object)
{
    return find_live(pool, object, pool->chunks);
}

void pool_give_one(tarn_pool *pool, pool_place place)
{
    (void)give_at(pool, place);
    note_moved(pool, 1);
}

void pool_tell(pool_place place)
{
    place.chunk->live[place.index / 64] |= UINT64_C(1) << place.index % 64;
}

bool pool_take_told(pool_place place)
{
    uint64_t *const word = &place.chunk->live[place.index / 64];
    const uint64_t bit = UINT64_C(1) << place.index % 64;
    const bool was_told = (*word & bit) != 0;
    *word &= ~bit;
    return was_told;
}

void pool_note_live(tarn_pool *pool, const void *object)
{
    const pool_place place = find_near(pool, object, pool->chunks);
    TARN_CHECK(place.chunk != NULL, "not an object of this pool", pool->heap.name, object);
    place.chunk->live[place.index / 64] |= UINT64_C(1) << place.index % 64;
}

void pool_note_free(tarn_pool *pool, const void *object)
{
    const pool_place place = find_live(pool, object, pool->chunks);
    uint64_t *const word = &place.chunk->live[place.index / 64];
    const uint64_t bit = UINT64_C(1) << place.index % 64;
    TARN_CHECK((*word & bit) != 0, "double free", pool->heap.name, object);
    *word &= ~bit;
}

/* The bits of a word of slots that were never touched, for which the map has no word or zeros. */
static inline uint64_t untouched_bits(const pool_chunk *chunk, size_t word)
{
    const size_t left = chunk->touched - word * 64;
    return left >= 64 ? 0 : ~UINT64_C(0) << left;
}

/* Sets `bits`, which are `count`, in a word. True if the chunk went back upstream. */
__attribute__((always_inline)) static inline bool
give_word(tarn_pool *pool, pool_chunk *chunk, size_t word, uint64_t bits, size_t count)
{
    const uint64_t before = chunk->map.levels[0][word];
    chunk->map.levels[0][word] = before | bits;
    if (before == 0) {
        base_bitmap_note_used(&chunk->map, word);
    }
    if (base_unlikely(!is_roomy(chunk))) {
        add_roomy(pool, chunk);
    }
    chunk->free += count;
    pool->taken -= count;
    return base_unlikely(is_empty(chunk)) && consider(pool, chunk);
}

/* Objects that are given back together often lie together: their bits are gathered as long as
 * they are of one word. What ends a word, a fault perhaps, is looked at again as the first of
 * the next. */
void pool_give(tarn_pool *pool, void *const *objects, size_t count)
{
    const size_t slot_size = pool->slot_size;
    pool_chunk *chunk = pool->chunks;
    for (size_t i = 0; i < count;) {
        const pool_place place = find_live(pool, objects[i], chunk);
        chunk = place.chunk;
        const size_t word = place.index / 64;
        const uintptr_t start = (uintptr_t)slot_at(pool, chunk, word * 64);
        const uint64_t not_live = chunk->map.levels[0][word] | untouched_bits(chunk, word);
        uint64_t seen = not_live | UINT64_C(1) << place.index % 64;
        const size_t first = i;
        for (i++; i < count; i++) {
            const size_t offset = (uintptr_t)objects[i] - start;
            if (offset >= 64 * slot_size) {
                break;
            }
            const size_t index = slot_of(pool, offset);
            if (index * slot_size != offset || (seen >> index & 1) != 0) {
                break;
            }
            seen |= UINT64_C(1) << index;
        }
        if (give_word(pool, chunk, word, seen & ~not_live, i - first)) {
            chunk = pool->chunks;
        }
    }
    note_moved(pool, count);
}

static bool is_live(const tarn_pool *pool, const pool_chunk *chunk, size_t index)
{
    return pool->mode == POOL_CHECKED ? (chunk->live[index / 64] >> index % 64 & 1) != 0
                                      : !base_bitmap_test(&chunk->map, index);
}

static void poison_live(const tarn_pool *pool, const pool_chunk *chunk)
{
    for (size_t index = 0; index < chunk->touched; index++) {
        if (is_live(pool, chunk, index)) {
            memset(slot_at(pool, chunk, index), POOL_POISON, pool->options.size);
        }
    }
}

void pool_chunks_reset(tarn_pool *pool)
{
    for (pool_chunk *chunk = pool->chunks; chunk != NULL; chunk = chunk->next) {
        if (!is_roomy(chunk)) {
            add_roomy(pool, chunk);
        }
        if (pool->options.poison) {
            poison_live(pool, chunk);
        } else if (pool->options.construct == NULL && pool->options.destruct == NULL) {
            base_bitmap_close(&chunk->map);
            chunk->touched = 0;
            chunk->free = 0;
        }
        for (size_t word = 0; chunk->live != NULL && word < base_bitmap_words_for(chunk->touched);
             word++) {
            chunk->live[word] = 0;
        }
        for (size_t index = 0; chunk->free < chunk->touched; index++) {
            if (!base_bitmap_test(&chunk->map, index)) {
                base_bitmap_set(&chunk->map, index);
                chunk->free++;
            }
        }
        if (pool->is_watched) {
            heap_watch_hide(chunk->first, chunk->span);
        }
    }
    pool->taken = 0;
}

void pool_chunks_end(tarn_pool *pool)
{
    while (pool->chunks != NULL) {
        remove_chunk(pool, pool->chunks);
    }
    cells_trim(pool);
}

/* ------------------------------------------------------------------------------------------------
 * Checks.
 */
bool pool_chunks_mark(tarn_pool *pool, void *const *objects, size_t count, bool set, size_t *done)
{
    for (*done = 0; *done < count; ++*done) {
        const pool_place place = pool_find(pool, objects[*done]);
        if (place.chunk == NULL || !place.is_touched ||
            base_bitmap_test(&place.chunk->map, place.index) == set) {
            return false;
        }
        if (set) {
            base_bitmap_set(&place.chunk->map, place.index);
        } else {
            base_bitmap_clear(&place.chunk->map, place.index);
        }
    }
    return true;
}

/* Each word of a level has its bit in the level above exactly if it is not 0. */
static bool has_true_levels(const base_bitmap *map)
{
    size_t words = base_bitmap_words_for(map->opened);
    for (unsigned level = 1; level < map->depth; level++) {
        for (size_t word = 0; word < words; word++) {
            const bool is_told = (map->levels[level][word / 64] >> word % 64 & 1) != 0;
            if (is_told != (map->levels[level - 1][word] != 0)) {
                return false;
            }
        }
        words = base_bitmap_words_for(words);
    }
    return true;
}

static bool check_chunk(tarn_pool *pool, const pool_chunk *chunk, char *fault, size_t fault_size)
{
    size_t set = 0;
    for (size_t word = 0; word < base_bitmap_words_for(chunk->map.opened); word++) {
        set += base_popcount(chunk->map.levels[0][word]);
    }
    if (chunk->touched > chunk->count || chunk->map.opened != chunk->touched) {
        return heap_fault(fault, fault_size, "chunk %p has %zu slots and %zu are touched",
                          (const void *)chunk, chunk->count, chunk->touched);
    }
    if (set != chunk->free) {
        return heap_fault(fault, fault_size, "chunk %p has %zu free objects but %zu bits are set",
                          (const void *)chunk, chunk->free, set);
    }
    for (size_t word = 0; chunk->live != NULL && word < base_bitmap_words_for(chunk->touched);
         word++) {
        if ((chunk->live[word] & chunk->map.levels[0][word]) != 0) {
            return heap_fault(fault, fault_size, "chunk %p has objects that are live and free",
                              (const void *)chunk);
        }
    }
    if (!has_true_levels(&chunk->map)) {
        return heap_fault(fault, fault_size, "the map of chunk %p contradicts itself",
                          (const void *)chunk);
    }
    if (chunk_at(pool, chunk->first) != chunk ||
        chunk_at(pool, chunk->first + chunk->span - 1) != chunk) {
        return heap_fault(fault, fault_size, "chunk %p is not found by its addresses",
                          (const void *)chunk);
    }
    return true;
}

bool pool_chunks_check(tarn_pool *pool, char *fault, size_t fault_size)
{
    size_t slots = 0;
    size_t taken = 0;
    size_t roomy = 0;
    for (const pool_chunk *chunk = pool->chunks; chunk != NULL; chunk = chunk->next) {
        if (!check_chunk(pool, chunk, fault, fault_size)) {
            return false;
        }
        slots += chunk->count;
        taken += chunk->touched - chunk->free;
        roomy += is_roomy(chunk);
    }
    for (const pool_chunk *chunk = pool->roomy; chunk != NULL; chunk = chunk->next_roomy) {
        if (!is_roomy(chunk) || roomy-- == 0) {
            return heap_fault(fault, fault_size, "the list of chunks with room is wrong at %p",
                              (const void *)chunk);
        }
    }
    if (roomy != 0 || slots != pool->slots || taken != pool->taken) {
        return heap_fault(fault, fault_size,
                          "%zu slots and %zu taken, but chunks have %zu and %zu, %zu not listed",
                          pool->slots, pool->taken, slots, taken, roomy);
    }
    return true;
}
