/* SPDX-License-Identifier: MIT */
#include "pool/twolevel.h"
#include "base/bits.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/record.h"
#include "heap/books.h"
#include "heap/ledger.h"

/*
 *     request -- is it large? --yes--> first level: a block of upstream's, noted in the ledger
 *                     | no
 *                   list -- is there a block? --no--> refill: 20 blocks cut from a chunk
 *                     | yes
 *                   block
 *
 * The inline functions of the header do the last step alone, for as long as the instance is *open*.
 * A *closed* one keeps its lists where they do not look and has an empty span, so that every call
 * comes here: that is how locks, checks, tools, recorders and `use_malloc` cost an open one nothing. Another
 * thread may close an open instance, to have its thread come here once.
 *
 * Invariant: what a block was asked for as tells the list, by what the interface makes of the size.
 */

static tarn_twolevel *twolevel_of(tarn_heap *heap)
{
    return (tarn_twolevel *)(void *)heap;
}

static size_t served_size(size_t size)
{
    return size == 0 ? 1 : size;
}

/* ------------------------------------------------------------------------------------------------
 * Which list.
 */

/* Of the typed functions: a multiple of 16 has a multiple of 16, whatever the gap. */
static unsigned list_for(const tarn_twolevel_store *store, size_t size)
{
    if (pool_twolevel_is_large(store, size)) {
        return TWOLEVEL_FIRST;
    }
    return pool_twolevel_list_of(base_align_up(size + store->gap, TARN_TWOLEVEL_STEP));
}

/* Of the heap interface, whose free does not know the alignment. */
static unsigned list_for_heap(const tarn_twolevel_store *store, size_t size, size_t alignment)
{
    if (pool_twolevel_is_large(store, size) || alignment > TWOLEVEL_ALIGNMENT) {
        return TWOLEVEL_FIRST;
    }
    return pool_twolevel_list_of(base_align_up(size + store->gap, TWOLEVEL_ALIGNMENT));
}

/* Without the lock: whoever has a stray to free has seen that it was counted. */
static bool has_strays(const tarn_twolevel_store *store)
{
    return __atomic_load_n(&store->strays, __ATOMIC_RELAXED) != 0;
}

/* The same for a block that is there. Without strays the size tells. */
static unsigned list_of_heap_block(tarn_twolevel *twolevel, const void *block, size_t size)
{
    tarn_twolevel_store *store = twolevel->store;
    unsigned list = list_for_heap(store, size, TWOLEVEL_ALIGNMENT);
    if (list != TWOLEVEL_FIRST && has_strays(store)) {
        pool_twolevel_lock(twolevel);
        if (pool_twolevel_chunk_of(store, block) == NULL) {
            list = TWOLEVEL_FIRST;
        }
        pool_twolevel_unlock(twolevel);
    }
    return list;
}

/* ------------------------------------------------------------------------------------------------
 * Requests.
 */

/* What is asked for. */
typedef struct request {
    size_t size;
    size_t alignment; /* for the first level */
    unsigned list;
    bool zeroed; /* of the first level; lists do not care */
} request;

static void *take(tarn_twolevel *twolevel, const request *wanted)
{
    tarn_twolevel_store *store = twolevel->store;
    void **head = &pool_twolevel_lists(twolevel)[wanted->list];
    void *block = *head;
    if (block != NULL) {
        *head = pool_twolevel_next(store, block);
    } else {
        block = pool_twolevel_refill(twolevel, wanted->list);
        if (block == NULL) {
            return NULL;
        }
        if (store->has_checks) {
            /* As if it had been taken from the list, which the check below looks at. */
            pool_twolevel_set_next(store, block, *head);
        }
    }
    if (store->has_checks) {
        pool_twolevel_map_give(store, block, wanted->list, wanted->size);
        heap_books_give(&store->books, wanted->size);
    }
    return block;
}

static void *serve(tarn_twolevel *twolevel, const request *wanted)
{
    if (wanted->list != TWOLEVEL_FIRST) {
        return take(twolevel, wanted);
    }
    return pool_twolevel_first_alloc(twolevel->store, wanted->size, wanted->alignment,
                                     wanted->zeroed);
}

/* Asks the handler, without the lock, so that it may use the instance. */
static bool is_there_more(tarn_twolevel *twolevel, size_t size)
{
    const tarn_twolevel_store *store = twolevel->store;
    if (store->on_no_memory == NULL) {
        return false;
    }
    pool_twolevel_unlock(twolevel);
    const bool again = store->on_no_memory(store->context, size);
    pool_twolevel_lock(twolevel);
    return again;
}

/* Upstream may have what is wanted when it has the chunks back that nobody uses. */
static void *serve_after_trim(tarn_twolevel *twolevel, const request *wanted)
{
    return pool_twolevel_trim(twolevel) > 0 ? serve(twolevel, wanted) : NULL;
}

/* The first level of threads that share is the system heap, which has locks of its own. */
static bool needs_no_lock(const tarn_twolevel *twolevel, unsigned list)
{
    return list == TWOLEVEL_FIRST && pool_twolevel_is_family(twolevel->store);
}

/* The lock, if a block of the list needs it. */
static void lock_for(tarn_twolevel *twolevel, unsigned list)
{
    if (!needs_no_lock(twolevel, list)) {
        pool_twolevel_lock(twolevel);
    }
}

static void unlock_for(tarn_twolevel *twolevel, unsigned list)
{
    if (!needs_no_lock(twolevel, list)) {
        pool_twolevel_unlock(twolevel);
    }
}

static void *obtain_unseen(tarn_twolevel *twolevel, const request *wanted)
{
    const bool is_possible = wanted->size <= PTRDIFF_MAX;
    void *block = NULL;
    if (is_possible && needs_no_lock(twolevel, wanted->list)) {
        block = serve(twolevel, wanted);
        if (block != NULL) {
            return block;
        }
    }
    pool_twolevel_lock(twolevel);
    if (is_possible) {
        do {
            block = serve(twolevel, wanted);
            if (block == NULL) {
                block = serve_after_trim(twolevel, wanted);
            }
        } while (block == NULL && is_there_more(twolevel, wanted->size));
    }
    if (block == NULL) {
        twolevel->store->books.failures++;
    }
    pool_twolevel_unlock(twolevel);
    return block;
}

static void *obtain(tarn_twolevel *twolevel, const request *wanted)
{
    void *block = obtain_unseen(twolevel, wanted);
    base_record_alloc(twolevel->store->record, block, wanted->size, wanted->alignment);
    return block;
}

/* A look at the address alone: in the chunks or between them. */
static bool is_near(const tarn_twolevel_store *store, const void *block)
{
    if (store->chunk_count == 0) {
        return false;
    }
    const tarn_twolevel_chunk *last = &store->chunks[store->chunk_count - 1];
    return (uintptr_t)block >= (uintptr_t)store->chunks[0].start &&
           (uintptr_t)block < (uintptr_t)last->start + last->size;
}

static bool is_in_ledger(const tarn_twolevel_store *store, const void *block)
{
    return heap_ledger_find(&store->ledger, block) != NULL;
}

static void put(tarn_twolevel *twolevel, void *block, size_t size, unsigned list)
{
    tarn_twolevel_store *store = twolevel->store;
    void **head = &pool_twolevel_lists(twolevel)[list];
    if (store->has_checks) {
        TARN_CHECK(!is_in_ledger(store, block), "wrong size given back with the block", store->name,
                   block);
        pool_twolevel_map_take(store, block, list, size);
        heap_books_take(&store->books, size);
    } else {
        const bool is_near_enough = pool_twolevel_is_family(store) || is_near(store, block);
        TARN_CHECK(is_near_enough || !is_in_ledger(store, block),
                   "wrong size given back with the block", store->name, block);
        TARN_CHECK(is_near_enough && base_is_aligned(block, TARN_TWOLEVEL_STEP),
                   "not a block of this heap", store->name, block);
        TARN_CHECK(*head != block, "double free", store->name, block);
    }
    pool_twolevel_set_next(store, block, *head);
    *head = block;
}

static void give_back(tarn_twolevel *twolevel, void *block, size_t size, unsigned list)
{
    base_record_free(twolevel->store->record, block);
    if (pool_twolevel_is_asked(twolevel)) {
        pool_twolevel_hand_in(twolevel);
    }
    lock_for(twolevel, list);
    if (list == TWOLEVEL_FIRST) {
        pool_twolevel_first_free(twolevel->store, block, size);
    } else {
        put(twolevel, block, size, list);
    }
    unlock_for(twolevel, list);
}

/* The recorder hears of a block that has become another one. */
static void note_resized(const tarn_twolevel *twolevel, const void *block, const void *resized,
                         size_t new_size)
{
    base_record_free(twolevel->store->record, block);
    base_record_alloc(twolevel->store->record, resized, new_size, 0);
}

/* Makes a block of a list new_size bytes, which the list serves too. */
static void resize_in_list(tarn_twolevel *twolevel, void *block, unsigned list, size_t old_size,
                           size_t new_size)
{
    tarn_twolevel_store *store = twolevel->store;
    if (store->has_checks) {
        pool_twolevel_lock(twolevel);
        pool_twolevel_map_resize(store, block, list, old_size, new_size);
        heap_books_resize(&store->books, old_size, new_size);
        pool_twolevel_unlock(twolevel);
    }
    note_resized(twolevel, block, block, new_size);
}

/* ------------------------------------------------------------------------------------------------
 * The typed functions.
 */
void *tarn_twolevel_alloc_slow(tarn_twolevel *twolevel, size_t size)
{
    size = served_size(size);
    return obtain(twolevel, &(request){.size = size,
                                       .alignment = TWOLEVEL_ALIGNMENT,
                                       .list = list_for(twolevel->store, size)});
}

void tarn_twolevel_free_slow(tarn_twolevel *twolevel, void *block, size_t size)
{
    if (block != NULL) {
        size = served_size(size);
        give_back(twolevel, block, size, list_for(twolevel->store, size));
    }
}

static void *first_realloc(tarn_twolevel *twolevel, void *block, size_t old_size, size_t new_size,
                           size_t alignment)
{
    /* Once it has moved, another thread may get its address from upstream, and say so. */
    base_record_free(twolevel->store->record, block);
    lock_for(twolevel, TWOLEVEL_FIRST);
    void *moved =
        pool_twolevel_first_realloc(twolevel->store, block, old_size, new_size, alignment);
    unlock_for(twolevel, TWOLEVEL_FIRST);
    base_record_alloc(twolevel->store->record, moved != NULL ? moved : block,
                      moved != NULL ? new_size : old_size, 0);
    return moved;
}

void *tarn_twolevel_realloc(tarn_twolevel *twolevel, void *block, size_t old_size, size_t new_size)
{
    if (block == NULL) {
        return tarn_twolevel_alloc(twolevel, new_size);
    }
    old_size = served_size(old_size);
    new_size = served_size(new_size);
    const unsigned old_list = list_for(twolevel->store, old_size);
    const unsigned new_list = list_for(twolevel->store, new_size);
    if (old_list == new_list && old_list != TWOLEVEL_FIRST) {
        resize_in_list(twolevel, block, old_list, old_size, new_size);
        return block;
    }
    if (old_list == new_list && new_size <= PTRDIFF_MAX) {
        void *moved = first_realloc(twolevel, block, old_size, new_size, TWOLEVEL_ALIGNMENT);
        if (moved != NULL) {
            return moved;
        }
    }
    /* Of the first level this is what trims and calls the handler. */
    void *copy = tarn_twolevel_alloc(twolevel, new_size);
    if (copy != NULL) {
        base_copy(copy, block, old_size < new_size ? old_size : new_size);
        tarn_twolevel_free(twolevel, block, old_size);
    }
    return copy;
}

bool tarn_twolevel_owns(tarn_twolevel *twolevel, const void *address)
{
    pool_twolevel_lock(twolevel);
    const bool owns = pool_twolevel_chunk_of(twolevel->store, address) != NULL;
    pool_twolevel_unlock(twolevel);
    return owns;
}

size_t tarn_twolevel_trim(tarn_twolevel *twolevel)
{
    pool_twolevel_lock(twolevel);
    const size_t given = pool_twolevel_trim(twolevel);
    if (pool_twolevel_is_family(twolevel->store)) {
        pool_twolevel_ask(twolevel);
    }
    pool_twolevel_unlock(twolevel);
    return given;
}

tarn_status tarn_twolevel_reset(tarn_twolevel *twolevel)
{
    tarn_twolevel_store *store = twolevel->store;
    if (twolevel->heap.ops->reset == NULL) {
        return TARN_UNSUPPORTED;
    }
    base_record_reset(store->record);
    pool_twolevel_lock(twolevel);
    pool_twolevel_first_reset(store);
    pool_twolevel_renew(twolevel);
    heap_books_take_all(&store->books);
    pool_twolevel_unlock(twolevel);
    return TARN_OK;
}

/* ------------------------------------------------------------------------------------------------
 * The heap interface.
 */

/* An open instance does not remember what a block was asked for as: what the inline functions do
 * with the size rounded up is the same. */
static bool is_plain(const tarn_twolevel *twolevel, size_t size)
{
    return !twolevel->is_closed && size <= TARN_TWOLEVEL_MAX;
}

static void *heap_alloc(tarn_heap *heap, size_t size, size_t alignment)
{
    tarn_twolevel *twolevel = twolevel_of(heap);
    if (is_plain(twolevel, size) && alignment <= TWOLEVEL_ALIGNMENT) {
        return tarn_twolevel_alloc(twolevel, base_align_up(size, TWOLEVEL_ALIGNMENT));
    }
    return obtain(twolevel, &(request){.size = size,
                                       .alignment = alignment,
                                       .list = list_for_heap(twolevel->store, size, alignment)});
}

static void *heap_alloc_zeroed(tarn_heap *heap, size_t size, size_t alignment)
{
    tarn_twolevel *twolevel = twolevel_of(heap);
    const unsigned list = list_for_heap(twolevel->store, size, alignment);
    void *block = obtain(
        twolevel, &(request){.size = size, .alignment = alignment, .list = list, .zeroed = true});
    if (block != NULL && list != TWOLEVEL_FIRST) {
        base_zero(block, size);
    }
    return block;
}

static void heap_free(tarn_heap *heap, void *block, size_t size)
{
    tarn_twolevel *twolevel = twolevel_of(heap);
    if (is_plain(twolevel, size) && !has_strays(twolevel->store)) {
        tarn_twolevel_free(twolevel, block, base_align_up(size, TWOLEVEL_ALIGNMENT));
        return;
    }
    give_back(twolevel, block, size, list_of_heap_block(twolevel, block, size));
}

static bool heap_resize(tarn_heap *heap, void *block, size_t old_size, size_t new_size)
{
    tarn_twolevel *twolevel = twolevel_of(heap);
    const unsigned old_list = list_of_heap_block(twolevel, block, old_size);
    if (old_list == TWOLEVEL_FIRST) {
        lock_for(twolevel, TWOLEVEL_FIRST);
        const bool done = pool_twolevel_first_resize(twolevel->store, block, old_size, new_size);
        unlock_for(twolevel, TWOLEVEL_FIRST);
        if (done) {
            note_resized(twolevel, block, block, new_size);
        }
        return done;
    }
    if (list_for_heap(twolevel->store, new_size, TWOLEVEL_ALIGNMENT) != old_list) {
        return false;
    }
    resize_in_list(twolevel, block, old_list, old_size, new_size);
    return true;
}

static void *heap_move(tarn_heap *heap, void *block, size_t old_size, size_t new_size,
                       size_t alignment)
{
    tarn_twolevel *twolevel = twolevel_of(heap);
    return list_of_heap_block(twolevel, block, old_size) == TWOLEVEL_FIRST
               ? first_realloc(twolevel, block, old_size, new_size, alignment)
               : NULL;
}

static size_t heap_trim(tarn_heap *heap)
{
    return tarn_twolevel_trim(twolevel_of(heap));
}

static bool heap_reset(tarn_heap *heap)
{
    return tarn_twolevel_reset(twolevel_of(heap)) == TARN_OK;
}

/* What all have in common, and what some have: only an instance that is alone on its store can be
 * reset, and only one that knows its blocks can show them. */
#define OPS(reset_, visit_)                                                                        \
    {                                                                                              \
        .alloc = heap_alloc, .free = heap_free, .resize = heap_resize, .move = heap_move,          \
        .trim = heap_trim, .stats = pool_twolevel_stats, .check = pool_twolevel_check,             \
        .visit = (visit_), .reset = (reset_), .alloc_zeroed = heap_alloc_zeroed,                   \
    }

static const tarn_heap_ops plain_ops = OPS(heap_reset, NULL);
static const tarn_heap_ops exact_ops = OPS(heap_reset, pool_twolevel_visit);
static const tarn_heap_ops lasting_ops = OPS(NULL, NULL);

/* ------------------------------------------------------------------------------------------------
 * Set up and end.
 */
void pool_twolevel_open(tarn_twolevel *twolevel)
{
    const tarn_twolevel_store *store = twolevel->store;
    if (twolevel->is_closed) {
        return;
    }
    uintptr_t low = 0;
    uintptr_t span = 0;
    if (pool_twolevel_is_family(store)) {
        /* Chunks come and go with other threads: everything but NULL, unless they ask for
         * something. */
        low = 1;
        span = twolevel->is_asked ? 0 : UINTPTR_MAX;
    } else if (store->chunk_count > 0) {
        const tarn_twolevel_chunk *last = &store->chunks[store->chunk_count - 1];
        low = (uintptr_t)store->chunks[0].start;
        span = (uintptr_t)last->start + last->size - low;
    }
    twolevel->low = low;
    __atomic_store_n(&twolevel->span, span, __ATOMIC_RELAXED);
}

void pool_twolevel_found(tarn_twolevel *twolevel, tarn_twolevel_store *store, bool is_closed)
{
    const bool knows_blocks = store->has_checks || store->is_malloc;
    twolevel->heap.name = store->name;
    twolevel->heap.ops = knows_blocks ? &exact_ops : &plain_ops;
    twolevel->store = store;
    twolevel->is_closed = is_closed;
    pool_twolevel_open(twolevel);
}

void pool_twolevel_make_lasting(tarn_twolevel *twolevel)
{
    twolevel->heap.ops = &lasting_ops;
}

tarn_status tarn_twolevel_init_as(tarn_twolevel *twolevel, const tarn_twolevel_options *options,
                                  bool use_malloc)
{
    static const tarn_twolevel_options defaults = {0};
    const tarn_twolevel_options *wanted = options != NULL ? options : &defaults;
    const bool is_pooling = tarn_pooling();
    *twolevel = (tarn_twolevel){0};
    tarn_twolevel_store *store = &twolevel->own_store;
    store->upstream =
        wanted->upstream != NULL && is_pooling ? wanted->upstream : tarn_system_heap();
    store->name = wanted->name != NULL ? wanted->name : "twolevel";
    store->on_no_memory = wanted->on_no_memory;
    store->context = wanted->context;
    store->chunk_min = wanted->chunk_min < PTRDIFF_MAX / 2 ? wanted->chunk_min : PTRDIFF_MAX / 2;
    store->has_lock = wanted->threads;
    store->is_malloc = wanted->use_malloc || use_malloc || TARN_TWOLEVEL_USES_MALLOC || !is_pooling;
    store->is_watched = !store->is_malloc && heap_watch_is_on();
    store->has_checks = !store->is_malloc && (wanted->checks || store->is_watched || TARN_HARDENED);
    store->gap = store->is_watched ? TWOLEVEL_GAP : 0;
    heap_ledger_init(&store->ledger, sizeof(heap_ledger_entry));
    heap_lock_init(&store->lock);
    store->record = base_record_open(&twolevel->heap, store->upstream, "two-level", store->name);
    pool_twolevel_found(twolevel, store,
                        store->has_lock || store->has_checks || store->is_malloc ||
                            store->record != 0);
    return TARN_OK;
}

void tarn_twolevel_deinit(tarn_twolevel *twolevel)
{
    base_record_close(twolevel->store->record);
    twolevel->store->record = 0;
    TARN_CHECK(tarn_twolevel_reset(twolevel) == TARN_OK,
               "the instance of a thread or of the process cannot be ended", twolevel->heap.name,
               twolevel);
    (void)tarn_twolevel_trim(twolevel);
}

tarn_twolevel *tarn_twolevel_create_as(const tarn_twolevel_options *options, bool use_malloc)
{
    tarn_heap *upstream =
        options != NULL && options->upstream != NULL ? options->upstream : tarn_system_heap();
    tarn_twolevel *twolevel = tarn_heap_alloc(upstream, sizeof *twolevel, 0);
    if (twolevel != NULL) {
        (void)tarn_twolevel_init_as(twolevel, options, use_malloc);
        /* Where the storage is from: without pooling the store's upstream is another. */
        twolevel->home = upstream;
    }
    return twolevel;
}

void tarn_twolevel_destroy(tarn_twolevel *twolevel)
{
    if (twolevel != NULL) {
        tarn_twolevel_deinit(twolevel);
        tarn_heap_free(twolevel->home, twolevel, sizeof *twolevel);
    }
}
