/* SPDX-License-Identifier: MIT */
#include "base/bits.h"
#include "base/check.h"
#include "heap/books.h"
#include "heap/ledger.h"
#include "pool/twolevel.h"

#include <string.h>

/*
 *     store->chunks, in the order of addresses
 *        |
 *        +--> [ block | block | block | ...                          ]
 *        +--> [ multiples of 16 -->    |   rest    |    <-- others   ]
 *        |                            low         high
 *        `--> [ ...
 *
 * A chunk starts at a multiple of 16. Blocks whose size is a multiple of 16 are cut from the low
 * end of the rest, so that `low` stays one; all others from its high end. What is left when the
 * rest is too small is a multiple of 8 and starts at a multiple of 16: a block for the list of its
 * size.
 *
 * Invariant: every byte of a chunk belongs to a block in use, to one free block in one list, or to
 * the rest, unless the chunk is fresh. So the sum over the lists of blocks times size, the rest and
 * the fresh chunks is the sum of all chunks, and a chunk whose free bytes are all that it has can
 * go.
 */

enum { FIRST_CAPACITY = 8, GROWTH_SHIFT = 4 };

void pool_twolevel_hold(tarn_twolevel_store *store, size_t bytes)
{
    heap_books_hold(&store->books, bytes);
}

void pool_twolevel_let_go(tarn_twolevel_store *store, void *start, size_t bytes)
{
    store->books.footprint -= bytes;
    tarn_heap_free(store->upstream, start, bytes);
}

/* ------------------------------------------------------------------------------------------------
 * The table of chunks.
 */
tarn_twolevel_chunk *pool_twolevel_chunk_of(const tarn_twolevel_store *store, const void *address)
{
    /* `begin` ends behind the last chunk that starts at or before the address. */
    size_t begin = 0;
    size_t end = store->chunk_count;
    while (begin < end) {
        const size_t middle = begin + (end - begin) / 2;
        if ((uintptr_t)store->chunks[middle].start <= (uintptr_t)address) {
            begin = middle + 1;
        } else {
            end = middle;
        }
    }
    if (begin == 0) {
        return NULL;
    }
    tarn_twolevel_chunk *chunk = &store->chunks[begin - 1];
    return (uintptr_t)address - (uintptr_t)chunk->start < chunk->size ? chunk : NULL;
}

/* Makes room in the table for one more chunk. */
static bool prepare_entry(tarn_twolevel_store *store)
{
    if (store->chunk_count < store->chunk_capacity) {
        return true;
    }
    const size_t capacity = store->chunk_capacity == 0 ? FIRST_CAPACITY : store->chunk_capacity * 2;
    tarn_twolevel_chunk *chunks =
        tarn_heap_alloc(store->upstream, capacity * sizeof *store->chunks, 0);
    if (chunks == NULL) {
        return false;
    }
    pool_twolevel_hold(store, capacity * sizeof *chunks);
    if (store->chunks != NULL) {
        memcpy(chunks, store->chunks, store->chunk_count * sizeof *chunks);
        pool_twolevel_let_go(store, store->chunks, store->chunk_capacity * sizeof *chunks);
    }
    store->chunks = chunks;
    store->chunk_capacity = capacity;
    return true;
}

/* Takes a chunk of `size` bytes, a multiple of 16, from upstream, and makes it the rest. */
static bool add_chunk(tarn_twolevel *twolevel, size_t size)
{
    tarn_twolevel_store *store = twolevel->store;
    if (size > PTRDIFF_MAX / 2 || !prepare_entry(store)) {
        return false;
    }
    const size_t total = size + pool_twolevel_map_size(store, size);
    unsigned char *start = tarn_heap_alloc(store->upstream, total, TWOLEVEL_ALIGNMENT);
    if (start == NULL) {
        return false;
    }
    pool_twolevel_hold(store, total);
    store->held += size;

    size_t place = store->chunk_count;
    for (; place > 0 && (uintptr_t)store->chunks[place - 1].start > (uintptr_t)start; place--) {
        store->chunks[place] = store->chunks[place - 1];
    }
    store->chunks[place] = (tarn_twolevel_chunk){.start = start, .size = size};
    store->chunk_count++;
    if (store->has_checks) {
        pool_twolevel_map_clear(&store->chunks[place]);
    }
    if (store->is_watched) {
        heap_watch_hide(start, size);
    }
    store->low = start;
    store->high = start + size;
    pool_twolevel_open(twolevel);
    return true;
}

/* Takes a chunk of `most` bytes, of half as many if upstream refuses that, and so on down to
 * `least`. Were the second try the least, then an upstream without large blocks would be used up in
 * crumbs, each with an entry in the table. */
static bool add_chunk_between(tarn_twolevel *twolevel, size_t most, size_t least)
{
    for (size_t size = most; size > least; size /= 2) {
        if (add_chunk(twolevel, base_align_up(size, TWOLEVEL_ALIGNMENT))) {
            return true;
        }
    }
    return add_chunk(twolevel, base_align_up(least, TWOLEVEL_ALIGNMENT));
}

static bool is_in_rest(const tarn_twolevel_store *store, const tarn_twolevel_chunk *chunk)
{
    return store->low < store->high &&
           (uintptr_t)store->low - (uintptr_t)chunk->start < chunk->size;
}

/* ------------------------------------------------------------------------------------------------
 * Blocks.
 */

/* Makes a free block of so many bytes, which are nothing else's, and puts it into its list. */
static void add_block(tarn_twolevel *twolevel, void *block, size_t bytes)
{
    tarn_twolevel_store *store = twolevel->store;
    const unsigned list = pool_twolevel_list_of(bytes);
    void **lists = pool_twolevel_lists(twolevel);
    pool_twolevel_set_next(store, block, lists[list]);
    lists[list] = block;
    store->blocks[list]++;
    if (store->has_checks) {
        pool_twolevel_map_add(store, block, list);
    }
}

/* The rest becomes a block of the list that it fits. It is smaller than the largest block. */
static void list_rest(tarn_twolevel *twolevel)
{
    tarn_twolevel_store *store = twolevel->store;
    const size_t bytes = (size_t)(store->high - store->low);
    if (bytes > 0) {
        add_block(twolevel, store->low, bytes);
    }
    store->low = NULL;
    store->high = NULL;
}

/* Makes a free block that is larger than those of `list` the rest. False if there is none. */
static bool cut_up_larger(tarn_twolevel *twolevel, unsigned list)
{
    tarn_twolevel_store *store = twolevel->store;
    for (unsigned larger = list + 1; larger < TARN_TWOLEVEL_LISTS; larger++) {
        for (tarn_twolevel *it = twolevel; it != NULL; it = pool_twolevel_after(twolevel, it)) {
            void **lists = pool_twolevel_lists(it);
            unsigned char *block = lists[larger];
            if (block == NULL) {
                continue;
            }
            lists[larger] = pool_twolevel_next(store, block);
            store->blocks[larger]--;
            if (store->has_checks) {
                pool_twolevel_map_remove(store, block);
            }
            store->low = block;
            store->high = block + pool_twolevel_bytes(larger);
            if (!base_is_aligned(block, TWOLEVEL_ALIGNMENT)) {
                /* What is left is still large enough, for the block was larger by 8 at least. */
                add_block(twolevel, block, TARN_TWOLEVEL_STEP);
                store->low += TARN_TWOLEVEL_STEP;
            }
            return true;
        }
    }
    return false;
}

static bool has_rest_for(const tarn_twolevel_store *store, unsigned list)
{
    return (size_t)(store->high - store->low) >= pool_twolevel_bytes(list);
}

static bool take_fresh_chunk(tarn_twolevel_store *store)
{
    if (store->fresh_count == 0) {
        return false;
    }
    /* The lowest is taken first, and no chunk is added while there is one: so they are the last. */
    const tarn_twolevel_chunk *chunk = &store->chunks[store->chunk_count - store->fresh_count];
    store->fresh_count--;
    store->low = chunk->start;
    store->high = chunk->start + chunk->size;
    return true;
}

/* Gets another rest, of at least one block of the list. */
static bool renew_rest(tarn_twolevel *twolevel, unsigned list)
{
    tarn_twolevel_store *store = twolevel->store;
    const size_t need = pool_twolevel_bytes(list) * TWOLEVEL_BATCH;
    list_rest(twolevel);
    while (take_fresh_chunk(store)) {
        if (has_rest_for(store, list)) {
            return true;
        }
        /* It was taken when upstream had hardly anything left. */
        list_rest(twolevel);
    }
    size_t wish = 2 * need + base_align_up(store->held >> GROWTH_SHIFT, TWOLEVEL_ALIGNMENT);
    if (wish < store->chunk_min) {
        wish = base_align_up(store->chunk_min, TWOLEVEL_ALIGNMENT);
    }
    return add_chunk_between(twolevel, wish, need) || cut_up_larger(twolevel, list) ||
           add_chunk_between(twolevel, need / 2, pool_twolevel_bytes(list));
}

/* Cuts a batch of blocks, or as many as the rest has, which is at least one; all but one go to the
 * list. */
static void *cut(tarn_twolevel *twolevel, unsigned list)
{
    tarn_twolevel_store *store = twolevel->store;
    const size_t bytes = pool_twolevel_bytes(list);
    size_t count = (size_t)(store->high - store->low) / bytes;
    count = count < TWOLEVEL_BATCH ? count : TWOLEVEL_BATCH;
    unsigned char *first = store->low;
    if (bytes % TWOLEVEL_ALIGNMENT == 0) {
        store->low += count * bytes;
    } else {
        store->high -= count * bytes;
        first = store->high;
    }
    void **head = &pool_twolevel_lists(twolevel)[list];
    for (size_t i = count; i-- > 1;) {
        pool_twolevel_set_next(store, first + i * bytes, *head);
        *head = first + i * bytes;
    }
    store->blocks[list] += count;
    for (size_t i = 0; store->has_checks && i < count; i++) {
        pool_twolevel_map_add(store, first + i * bytes, list);
    }
    return first;
}

void *pool_twolevel_refill(tarn_twolevel *twolevel, unsigned list)
{
    tarn_twolevel_store *store = twolevel->store;
    if (pool_twolevel_is_family(store)) {
        void *block = pool_twolevel_draw(twolevel, list);
        if (block == NULL && !has_rest_for(store, list)) {
            block = pool_twolevel_draw_idle(twolevel, list);
        }
        if (block != NULL) {
            return block;
        }
    }
    if (!has_rest_for(store, list) && !renew_rest(twolevel, list)) {
        return NULL;
    }
    return cut(twolevel, list);
}

size_t pool_twolevel_length(const tarn_twolevel_store *store, const void *list, size_t most)
{
    size_t length = 0;
    for (const void *block = list; block != NULL && length <= most; length++) {
        block = pool_twolevel_next(store, block);
    }
    return length;
}

/* ------------------------------------------------------------------------------------------------
 * Giving chunks back.
 */

/* The chunk of a free block. Blocks of a list are often neighbours, so the last one's is tried
 * first. */
static tarn_twolevel_chunk *chunk_of_free(const tarn_twolevel_store *store, const void *block,
                                          tarn_twolevel_chunk *last)
{
    if (last != NULL && (uintptr_t)block - (uintptr_t)last->start < last->size) {
        return last;
    }
    tarn_twolevel_chunk *chunk = pool_twolevel_chunk_of(store, block);
    TARN_CHECK(chunk != NULL, "the links lead to what is no block of this heap", store->name,
               block);
    return chunk;
}

/* Counts the free bytes of each chunk. True if one of them is all free. */
static bool count_free(tarn_twolevel *twolevel)
{
    tarn_twolevel_store *store = twolevel->store;
    for (size_t i = 0; i < store->chunk_count; i++) {
        tarn_twolevel_chunk *chunk = &store->chunks[i];
        chunk->free = pool_twolevel_is_fresh(store, i) ? chunk->size : 0;
        if (is_in_rest(store, chunk)) {
            chunk->free += (size_t)(store->high - store->low);
        }
    }
    for (unsigned list = 0; list < TARN_TWOLEVEL_LISTS; list++) {
        size_t promised = store->blocks[list];
        for (tarn_twolevel *it = twolevel; it != NULL; it = pool_twolevel_after(twolevel, it)) {
            tarn_twolevel_chunk *chunk = NULL;
            const void *block = pool_twolevel_lists(it)[list];
            for (; block != NULL; block = pool_twolevel_next(store, block), promised--) {
                /* A list that has become a ring has more blocks than there are. */
                TARN_CHECK(promised > 0, "double free", store->name, block);
                chunk = chunk_of_free(store, block, chunk);
                chunk->free += pool_twolevel_bytes(list);
            }
        }
    }
    for (size_t i = 0; i < store->chunk_count; i++) {
        if (store->chunks[i].free == store->chunks[i].size) {
            return true;
        }
    }
    return false;
}

/* Takes the blocks of chunks that are all free out of the list. */
static void sift(tarn_twolevel_store *store, void **head, unsigned list)
{
    tarn_twolevel_chunk *chunk = NULL;
    void *last = NULL;
    void *next;
    for (void *block = *head; block != NULL; block = next) {
        next = pool_twolevel_next(store, block);
        chunk = chunk_of_free(store, block, chunk);
        if (chunk->free != chunk->size) {
            last = block;
            continue;
        }
        if (last == NULL) {
            *head = next;
        } else {
            pool_twolevel_set_next(store, last, next);
        }
        store->blocks[list]--;
    }
}

static void give_chunk_back(tarn_twolevel_store *store, const tarn_twolevel_chunk *chunk)
{
    if (is_in_rest(store, chunk)) {
        store->low = NULL;
        store->high = NULL;
    }
    if (store->is_watched) {
        heap_watch_show(chunk->start, chunk->size);
    }
    store->held -= chunk->size;
    pool_twolevel_let_go(store, chunk->start,
                         chunk->size + pool_twolevel_map_size(store, chunk->size));
}

/* Gives those back that are all free, fresh ones among them. */
static void give_free_back(tarn_twolevel *twolevel)
{
    tarn_twolevel_store *store = twolevel->store;
    size_t kept = 0;
    store->fresh_count = 0;
    for (size_t i = 0; i < store->chunk_count; i++) {
        if (store->chunks[i].free == store->chunks[i].size) {
            give_chunk_back(store, &store->chunks[i]);
        } else {
            store->chunks[kept++] = store->chunks[i];
        }
    }
    store->chunk_count = kept;
    pool_twolevel_open(twolevel);
}

size_t pool_twolevel_trim(tarn_twolevel *twolevel)
{
    tarn_twolevel_store *store = twolevel->store;
    const size_t before = store->books.footprint;
    if (count_free(twolevel)) {
        for (unsigned list = 0; list < TARN_TWOLEVEL_LISTS; list++) {
            for (tarn_twolevel *it = twolevel; it != NULL; it = pool_twolevel_after(twolevel, it)) {
                sift(store, &pool_twolevel_lists(it)[list], list);
            }
        }
        give_free_back(twolevel);
    }
    if (store->chunk_count == 0 && store->chunks != NULL) {
        pool_twolevel_let_go(store, store->chunks, store->chunk_capacity * sizeof *store->chunks);
        store->chunks = NULL;
        store->chunk_capacity = 0;
    }
    if (store->ledger.count == 0 && store->ledger.memory.start != NULL) {
        const tarn_memory memory = heap_ledger_empty(&store->ledger);
        pool_twolevel_let_go(store, memory.start, memory.size);
    }
    return before - store->books.footprint;
}

void pool_twolevel_renew(tarn_twolevel *twolevel)
{
    tarn_twolevel_store *store = twolevel->store;
    memset(pool_twolevel_lists(twolevel), 0, sizeof twolevel->lists);
    memset(store->blocks, 0, sizeof store->blocks);
    store->low = NULL;
    store->high = NULL;
    store->fresh_count = store->chunk_count;
    for (size_t i = 0; i < store->chunk_count; i++) {
        const tarn_twolevel_chunk *chunk = &store->chunks[i];
        if (store->has_checks) {
            pool_twolevel_map_clear(chunk);
        }
        if (store->is_watched) {
            heap_watch_hide(chunk->start, chunk->size);
        }
    }
}
