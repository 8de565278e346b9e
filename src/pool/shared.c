/* SPDX-License-Identifier: MIT */
#include "pool/core.h"

#include "heap/lock.h"
#include "tarn/heaps.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

/*
 *     thread 1                  thread 2                  nobody
 *     [ loaded | previous ]     [ loaded | previous ]     idle caches
 *                `------- whole magazines ------'
 *                     depot: full, empty                  under the depot's lock
 *                            |
 *                         chunks                          under the pool's lock
 *
 * A thread takes from and gives to its loaded magazine. When that ends, it changes places with the
 * previous one, which is either full or empty; when that does not help, a magazine is exchanged
 * with the depot, or objects with the chunks. So between two locks there are at least as many calls
 * as a magazine has objects.
 *
 * Pools have numbers, and each thread has a table of caches by these numbers, in segments.
 * `registry` guards the numbers, the pools' lists of caches, and the caches against the end of a
 * pool. No other lock is taken under it but the pages heap's, so it may be taken under any:
 * upstream may be a shared pool, too.
 *
 * Invariants: a magazine is loaded or previous in one cache, or in the depot, or being exchanged. A
 * cache that is nobody's serves nothing: its top is above `nothing`, and its limit NULL.
 */

typedef struct pool_magazine {
    struct pool_magazine *next; /* in the depot */
    void *entries[];            /* NULL, then the objects */
} pool_magazine;

/* What several threads read is atomic; the owner alone writes it while the pool lives, but for
 * `limit`. */
typedef struct pool_cache {
    _Atomic(void **) top;
    _Atomic(void **) limit;
    _Atomic(pool_magazine *) loaded;
    pool_magazine *previous;
    _Atomic(size_t) previous_count; /* 0, or all that a magazine holds */
    tarn_pool *pool;                /* NULL: nobody's */
    struct pool_cache *next;        /* in the pool's list */
    struct pool_cache *before;
} pool_cache;

/* DEPOT_TURNS: times the slots, objects that pass the depot until it is emptied */
enum { DEPOT_TURNS = 4, SEGMENT = 64, THREAD_CACHES = 16, NUMBERS_GROW = 8, SEGMENTS_FIRST = 8 };

typedef struct pool_thread {
    pool_cache *
        *segments; /* of SEGMENT caches each, by the pools' numbers; NULL: none of these yet */
    size_t count;  /* of segments */
    bool has_ended;
} pool_thread;

static _Thread_local pool_thread thread_self;

static uint32_t registry;
static uint64_t *numbers; /* a bit for each number in use */
static size_t number_words;

static pthread_once_t begun = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool has_key;

static void *nothing[1];

#define LOAD(place) atomic_load_explicit(&(place), memory_order_relaxed)
#define STORE(place, value) atomic_store_explicit(&(place), (value), memory_order_relaxed)

/* ------------------------------------------------------------------------------------------------
 * Numbers of pools.
 */
static bool number_take(uint32_t *number)
{
    size_t word = 0;
    while (word < number_words && numbers[word] == UINT64_MAX) {
        word++;
    }
    if (word == number_words) {
        const size_t old_size = number_words * sizeof *numbers;
        const size_t new_size = (number_words + NUMBERS_GROW) * sizeof *numbers;
        uint64_t *grown = tarn_heap_realloc(tarn_pages_heap(), numbers, old_size, new_size, 0);
        if (grown == NULL) {
            return false;
        }
        numbers = grown;
        memset(numbers + number_words, 0, new_size - old_size);
        number_words += NUMBERS_GROW;
    }
    const unsigned bit = base_ctz(~numbers[word]);
    numbers[word] |= UINT64_C(1) << bit;
    *number = (uint32_t)(word * 64 + bit);
    return true;
}

static void number_give(uint32_t number)
{
    numbers[number / 64] &= ~(UINT64_C(1) << number % 64);
}

/* ------------------------------------------------------------------------------------------------
 * Magazines.
 */
static size_t magazine_bytes(const tarn_pool *pool)
{
    return sizeof(pool_magazine) + (pool->cache_size + 1) * sizeof(void *);
}

static pool_magazine *magazine_at(void *memory)
{
    pool_magazine *const magazine = memory;
    magazine->next = NULL;
    magazine->entries[0] = NULL;
    return magazine;
}

static pool_magazine *magazine_make(tarn_pool *pool)
{
    void *const memory = pool_books_take(pool, magazine_bytes(pool), 0);
    return memory != NULL ? magazine_at(memory) : NULL;
}

static void **bottom_of(pool_magazine *magazine)
{
    return magazine->entries + 1;
}

/* The cache works with the magazine, which has `count` objects. */
static void load(pool_cache *cache, pool_magazine *magazine, size_t count)
{
    STORE(cache->loaded, magazine);
    STORE(cache->top, bottom_of(magazine) + count);
    STORE(cache->limit, bottom_of(magazine) + cache->pool->cache_size);
}

static void swap(pool_cache *cache)
{
    pool_magazine *const loaded = LOAD(cache->loaded);
    const size_t count = (size_t)(LOAD(cache->top) - bottom_of(loaded));
    const size_t previous_count = LOAD(cache->previous_count);
    load(cache, cache->previous, previous_count);
    cache->previous = loaded;
    STORE(cache->previous_count, count);
}

static void push(pool_magazine **list, pool_magazine *magazine)
{
    magazine->next = *list;
    *list = magazine;
}

static pool_magazine *pop(pool_magazine **list)
{
    pool_magazine *const magazine = *list;
    if (magazine != NULL) {
        *list = magazine->next;
    }
    return magazine;
}

/* Full magazines that the depot keeps at most: what passes between threads, not what lies idle. */
static size_t depot_most(const tarn_pool *pool)
{
    return 4 + 2 * __atomic_load_n(&pool->cache_count, __ATOMIC_RELAXED);
}

/* A full magazine for an empty one; NULL: the depot has none. */
static pool_magazine *depot_take(tarn_pool *pool, pool_magazine *empty)
{
    heap_lock_take(&pool->depot_lock);
    pool_magazine *const full = pop(&pool->full);
    if (full != NULL) {
        pool->full_count--;
        pool->exchanged += pool->cache_size;
        push(&pool->empty, empty);
    }
    heap_lock_release(&pool->depot_lock);
    return full;
}

/* An empty magazine for a full one; NULL: the depot has enough full ones, or no empty one, which
 * `lacks` tells. `is_due`: it is time to empty the depot. */
static pool_magazine *depot_give(tarn_pool *pool, pool_magazine *full, bool *lacks, bool *is_due)
{
    pool_magazine *empty = NULL;
    heap_lock_take(&pool->depot_lock);
    *lacks = false;
    if (pool->full_count < depot_most(pool)) {
        empty = pop(&pool->empty);
        *lacks = empty == NULL;
        if (empty != NULL) {
            push(&pool->full, full);
            pool->full_count++;
        }
    }
    *is_due = pool->exchanged / DEPOT_TURNS >= __atomic_load_n(&pool->slots, __ATOMIC_RELAXED);
    heap_lock_release(&pool->depot_lock);
    return empty;
}

/* One magazine more for the depot, which it gets for a full one; NULL: there is no memory. */
static pool_magazine *depot_grow(tarn_pool *pool, pool_magazine *full)
{
    if (pool->options.preallocate) {
        return NULL;
    }
    heap_lock_take(&pool->lock);
    pool_magazine *const made = magazine_make(pool);
    heap_lock_release(&pool->lock);
    if (made != NULL) {
        heap_lock_take(&pool->depot_lock);
        push(&pool->full, full);
        pool->full_count++;
        heap_lock_release(&pool->depot_lock);
    }
    return made;
}

/* The depot's objects go to the chunks; the pool's lock is held. */
static void depot_empty(tarn_pool *pool)
{
    pool_magazine *full = NULL;
    heap_lock_take(&pool->depot_lock);
    full = pool->full;
    pool->full = NULL;
    pool->full_count = 0;
    pool->exchanged = 0;
    heap_lock_release(&pool->depot_lock);
    while (full != NULL) {
        pool_magazine *const magazine = pop(&full);
        pool_give(pool, bottom_of(magazine), pool->cache_size);
        heap_lock_take(&pool->depot_lock);
        push(&pool->empty, magazine);
        heap_lock_release(&pool->depot_lock);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Caches.
 */
static void cache_clear(pool_cache *cache)
{
    cache->pool = NULL;
    STORE(cache->limit, NULL);
    STORE(cache->top, nothing + 1);
}

/* An empty magazine for a cache: from the depot, or new; NULL: there is no memory. */
static pool_magazine *magazine_get(tarn_pool *pool)
{
    heap_lock_take(&pool->depot_lock);
    pool_magazine *magazine = pop(&pool->empty);
    heap_lock_release(&pool->depot_lock);
    if (magazine == NULL && !pool->options.preallocate) {
        heap_lock_take(&pool->lock);
        magazine = magazine_make(pool);
        heap_lock_release(&pool->lock);
    }
    return magazine;
}

static void magazine_put(tarn_pool *pool, pool_magazine *magazine)
{
    if (magazine != NULL) {
        heap_lock_take(&pool->depot_lock);
        push(&pool->empty, magazine);
        heap_lock_release(&pool->depot_lock);
    }
}

static void list_add(pool_cache **list, pool_cache *cache)
{
    cache->before = NULL;
    cache->next = *list;
    if (cache->next != NULL) {
        cache->next->before = cache;
    }
    *list = cache;
}

static void list_remove(pool_cache **list, pool_cache *cache)
{
    if (cache->before != NULL) {
        cache->before->next = cache->next;
    } else {
        *list = cache->next;
    }
    if (cache->next != NULL) {
        cache->next->before = cache->before;
    }
}

/* All that the cache has goes to the chunks; the pool's lock is held. */
static void cache_empty(pool_cache *cache)
{
    tarn_pool *const pool = cache->pool;
    pool_magazine *const loaded = LOAD(cache->loaded);
    pool_give(pool, bottom_of(loaded), (size_t)(LOAD(cache->top) - bottom_of(loaded)));
    load(cache, loaded, 0);
    pool_give(pool, bottom_of(cache->previous), LOAD(cache->previous_count));
    STORE(cache->previous_count, 0);
}

/* Gives the cache up: it is in no list then, and its pool waits until leave_end(). The registry
 * is locked. */
static void leave_begin(pool_cache *cache)
{
    tarn_pool *const pool = cache->pool;
    list_remove(&pool->caches, cache);
    __atomic_store_n(&pool->cache_count, pool->cache_count - 1, __ATOMIC_RELAXED);
    pool->leaving++;
}

/* What was in it goes to the chunks, and its magazines to the depot. */
static void leave_end(pool_cache *cache)
{
    tarn_pool *const pool = cache->pool;
    heap_lock_take(&pool->lock);
    cache_empty(cache);
    heap_lock_release(&pool->lock);
    magazine_put(pool, LOAD(cache->loaded));
    magazine_put(pool, cache->previous);
    cache_clear(cache);
    heap_lock_take(&registry);
    pool->leaving--;
    heap_lock_release(&registry);
}

static void thread_end(void *value)
{
    pool_thread *const self = value;
    /* Giving one up may free a chunk to another shared pool, which must not make the thread a
     * cache again. */
    self->has_ended = true;
    for (size_t i = 0; i < self->count; i++) {
        for (size_t j = 0; self->segments[i] != NULL && j < SEGMENT; j++) {
            pool_cache *const cache = &self->segments[i][j];
            heap_lock_take(&registry);
            const bool is_used = cache->pool != NULL;
            if (is_used) {
                leave_begin(cache);
            }
            heap_lock_release(&registry);
            if (is_used) {
                leave_end(cache);
            }
        }
    }
    const size_t count = self->count;
    self->count = 0;
    for (size_t i = 0; i < count; i++) {
        tarn_heap_free(tarn_pages_heap(), self->segments[i], SEGMENT * sizeof(pool_cache));
    }
    tarn_heap_free(tarn_pages_heap(), self->segments, count * sizeof *self->segments);
    self->segments = NULL;
}

static void before_fork(void)
{
    heap_lock_take(&registry);
}

static void after_fork(void)
{
    heap_lock_release(&registry);
}

/* What the first shared pool needs. The pages heap, whose lock is taken under the registry's,
 * takes care of forks by itself; a fork's handlers run in the reverse order of their coming. */
static void begin(void)
{
    (void)tarn_pages_heap();
    (void)pthread_atfork(before_fork, after_fork, after_fork);
    has_key = pthread_key_create(&key, thread_end) == 0;
}

/* The thread's cache of the pool, or one that serves nothing; NULL: there is not even a place
 * for it. */
static inline pool_cache *find_cache(const tarn_pool *pool)
{
    const pool_thread *const self = &thread_self;
    if (base_unlikely(pool->segment >= self->count)) {
        return NULL;
    }
    pool_cache *const segment = self->segments[pool->segment];
    if (base_unlikely(segment == NULL)) {
        return NULL;
    }
    return (pool_cache *)(void *)((unsigned char *)segment + pool->place);
}

/* The thread's place for a cache of the pool; NULL: there is no memory. */
static pool_cache *make_place(const tarn_pool *pool)
{
    pool_thread *const self = &thread_self;
    if (pool->segment >= self->count) {
        size_t count = self->count == 0 ? SEGMENTS_FIRST : self->count;
        while (count <= pool->segment) {
            count *= 2;
        }
        pool_cache **const grown = tarn_heap_calloc(tarn_pages_heap(), count, sizeof *grown, 0);
        if (grown == NULL) {
            return NULL;
        }
        const size_t old_size = self->count * sizeof *grown;
        if (old_size > 0) {
            memcpy(grown, self->segments, old_size);
            tarn_heap_free(tarn_pages_heap(), self->segments, old_size);
        }
        self->segments = grown;
        self->count = count;
    }
    pool_cache **const segment = &self->segments[pool->segment];
    if (*segment == NULL) {
        *segment = tarn_heap_alloc(tarn_pages_heap(), SEGMENT * sizeof **segment, 64);
        for (size_t i = 0; *segment != NULL && i < SEGMENT; i++) {
            cache_clear(&(*segment)[i]);
        }
    }
    return find_cache(pool);
}

/* The same, if it is made already. */
static pool_cache *find_own_cache(const tarn_pool *pool)
{
    pool_cache *const cache = find_cache(pool);
    return cache != NULL && cache->pool != NULL ? cache : NULL;
}

static bool may_have_cache(const tarn_pool *pool)
{
    const size_t caches = __atomic_load_n(&pool->cache_count, __ATOMIC_RELAXED);
    return !thread_self.has_ended && has_key &&
           (!pool->options.preallocate || caches < pool->options.thread_caches);
}

/* A cache for the thread; NULL: there is no memory, or the thread is about to end. */
static pool_cache *make_cache(tarn_pool *pool)
{
    pool_cache *const cache = may_have_cache(pool) ? make_place(pool) : NULL;
    if (cache == NULL) {
        return NULL;
    }
    pool_magazine *const loaded = magazine_get(pool);
    pool_magazine *const previous = loaded != NULL ? magazine_get(pool) : NULL;
    heap_lock_take(&registry);
    bool is_ready = previous != NULL && pthread_setspecific(key, &thread_self) == 0;
    if (is_ready && pool->options.preallocate) {
        is_ready = pool->cache_count < pool->options.thread_caches;
    }
    if (is_ready) {
        cache->pool = pool;
        cache->previous = previous;
        STORE(cache->previous_count, 0);
        load(cache, loaded, 0);
        list_add(&pool->caches, cache);
        __atomic_store_n(&pool->cache_count, pool->cache_count + 1, __ATOMIC_RELAXED);
    }
    heap_lock_release(&registry);
    if (!is_ready) {
        magazine_put(pool, loaded);
        magazine_put(pool, previous);
        return NULL;
    }
    return cache;
}

/* ------------------------------------------------------------------------------------------------
 * What pools call.
 */
bool pool_shared_init(tarn_pool *pool)
{
    (void)pthread_once(&begun, begin);
    heap_lock_take(&registry);
    const bool done = number_take(&pool->id);
    heap_lock_release(&registry);
    pool->has_number = done;
    pool->segment = pool->id / SEGMENT;
    pool->place = pool->id % SEGMENT * (uint32_t)sizeof(pool_cache);
    return done;
}

bool pool_shared_prepare(tarn_pool *pool)
{
    if (pool->options.thread_caches == 0) {
        pool->options.thread_caches = THREAD_CACHES;
    }
    /* Two for each thread, and as many for the depot as it may need for it; all in one piece. */
    size_t count;
    size_t size;
    if (!base_checked_mul(pool->options.thread_caches, 4, &count) ||
        !base_checked_mul(count, magazine_bytes(pool), &size)) {
        return false;
    }
    pool->magazines = (tarn_memory){pool_books_take(pool, size, 0), size};
    if (pool->magazines.start == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        void *const place = (unsigned char *)pool->magazines.start + i * magazine_bytes(pool);
        push(&pool->empty, magazine_at(place));
    }
    return true;
}

static void magazines_free(tarn_pool *pool, pool_magazine *list)
{
    while (list != NULL) {
        pool_magazine *const magazine = pop(&list);
        pool_books_give(pool, magazine, magazine_bytes(pool));
    }
}

void pool_shared_deinit(tarn_pool *pool)
{
    heap_lock_take(&registry);
    while (pool->leaving > 0) {
        heap_lock_release(&registry);
        sched_yield();
        heap_lock_take(&registry);
    }
    pool_magazine *of_caches = NULL;
    for (pool_cache *cache = pool->caches; cache != NULL; cache = cache->next) {
        push(&of_caches, LOAD(cache->loaded));
        push(&of_caches, cache->previous);
        cache_clear(cache);
    }
    pool->caches = NULL;
    if (pool->has_number) {
        number_give(pool->id);
        pool->has_number = false;
    }
    heap_lock_release(&registry);
    if (pool->options.preallocate) {
        pool_books_give(pool, pool->magazines.start, pool->magazines.size);
        return;
    }
    magazines_free(pool, of_caches);
    magazines_free(pool, pool->full);
    magazines_free(pool, pool->empty);
}

/* Asks all caches for what they have: each finds itself full with its next free. One that is
 * exchanging magazines right now may miss it, until it is asked again. */
static void ask_for_objects(tarn_pool *pool)
{
    heap_lock_take(&registry);
    for (pool_cache *cache = pool->caches; cache != NULL; cache = cache->next) {
        STORE(cache->limit, NULL);
    }
    heap_lock_release(&registry);
}

/* A single object, for threads without a cache. */
static void *take_one(tarn_pool *pool)
{
    void *object = NULL;
    heap_lock_take(&pool->lock);
    if (pool_take(pool, &object, 1, 1) == 0) {
        object = NULL;
        pool->books.failures++;
    }
    heap_lock_release(&pool->lock);
    if (object == NULL) {
        ask_for_objects(pool);
    }
    return object;
}

static void give_one(tarn_pool *pool, void *object)
{
    heap_lock_take(&pool->lock);
    pool_give(pool, &object, 1);
    heap_lock_release(&pool->lock);
}

/* Objects for an empty loaded magazine from the chunks; false when there are none. */
static bool fetch(tarn_pool *pool, pool_cache *cache)
{
    pool_magazine *const loaded = LOAD(cache->loaded);
    void **const bottom = bottom_of(loaded);
    heap_lock_take(&pool->lock);
    const size_t wanted = pool->batch;
    const size_t count = pool_take(pool, bottom + wanted - 1, -1, wanted);
    if (pool->batch <= pool->cache_size / 2) {
        pool->batch *= 2;
    }
    pool->books.failures += count == 0;
    heap_lock_release(&pool->lock);
    if (count < wanted) {
        memmove(bottom, bottom + wanted - count, count * sizeof *bottom);
    }
    load(cache, loaded, count);
    return count > 0;
}

/* What is not the common way of an alloc. */
__attribute__((noinline)) static void *alloc_slow(tarn_pool *pool, pool_cache *cache)
{
    if (cache == NULL || cache->pool == NULL) {
        cache = make_cache(pool);
        if (cache == NULL) {
            return take_one(pool);
        }
    }
    if (LOAD(cache->previous_count) > 0) {
        swap(cache);
    } else {
        pool_magazine *const full = depot_take(pool, LOAD(cache->loaded));
        if (full != NULL) {
            load(cache, full, pool->cache_size);
        } else if (!fetch(pool, cache)) {
            ask_for_objects(pool);
            return NULL;
        }
    }
    void **const top = LOAD(cache->top) - 1;
    STORE(cache->top, top);
    return *top;
}

void *pool_shared_alloc(tarn_pool *pool)
{
    pool_cache *const cache = find_cache(pool);
    if (base_likely(cache != NULL)) {
        void **const top = LOAD(cache->top);
        void *const object = top[-1];
        if (base_likely(object != NULL)) {
            STORE(cache->top, top - 1);
            return object;
        }
    }
    return alloc_slow(pool, cache);
}

/* Somebody found the pool exhausted: all that this thread keeps is for everybody. */
static void share(tarn_pool *pool, pool_cache *cache)
{
    heap_lock_take(&pool->lock);
    cache_empty(cache);
    depot_empty(pool);
    heap_lock_release(&pool->lock);
}

/* The loaded magazine is full: another one. */
static void spill(tarn_pool *pool, pool_cache *cache)
{
    if (LOAD(cache->previous_count) == 0) {
        swap(cache);
        return;
    }
    bool lacks;
    bool is_due;
    pool_magazine *empty = depot_give(pool, cache->previous, &lacks, &is_due);
    if (is_due) {
        /* What lies in the depot for long holds chunks that could go. */
        heap_lock_take(&pool->lock);
        depot_empty(pool);
        heap_lock_release(&pool->lock);
    }
    if (empty == NULL && lacks) {
        empty = depot_grow(pool, cache->previous);
    }
    if (empty == NULL) {
        empty = cache->previous;
        heap_lock_take(&pool->lock);
        pool_give(pool, bottom_of(empty), pool->cache_size);
        heap_lock_release(&pool->lock);
    }
    cache->previous = LOAD(cache->loaded);
    load(cache, empty, 0);
}

/* What is not the common way of a free. */
__attribute__((noinline)) static void free_slow(tarn_pool *pool, pool_cache *cache, void *object)
{
    if (cache == NULL || cache->pool == NULL) {
        cache = make_cache(pool);
        if (cache == NULL) {
            give_one(pool, object);
            return;
        }
    }
    if (LOAD(cache->limit) == NULL) {
        share(pool, cache);
        give_one(pool, object);
        return;
    }
    if (LOAD(cache->top) == bottom_of(LOAD(cache->loaded)) + pool->cache_size) {
        spill(pool, cache);
    }
    void **const top = LOAD(cache->top);
    *top = object;
    STORE(cache->top, top + 1);
}

void pool_shared_free(tarn_pool *pool, void *object)
{
    pool_cache *const cache = find_cache(pool);
    if (base_likely(cache != NULL)) {
        void **const top = LOAD(cache->top);
        if (base_likely(top < LOAD(cache->limit))) {
            *top = object;
            STORE(cache->top, top + 1);
            return;
        }
    }
    free_slow(pool, cache, object);
}

size_t pool_shared_alloc_bulk(tarn_pool *pool, void **objects, size_t count)
{
    size_t done = 0;
    while (done < count) {
        pool_cache *const cache = find_cache(pool);
        if (cache != NULL) {
            void **top = LOAD(cache->top);
            while (done < count && top[-1] != NULL) {
                objects[done++] = *--top;
            }
            STORE(cache->top, top);
        }
        if (done < count) {
            void *const object = alloc_slow(pool, cache);
            if (object == NULL) {
                break;
            }
            objects[done++] = object;
        }
    }
    return done;
}

void pool_shared_free_bulk(tarn_pool *pool, void *const *objects, size_t count)
{
    size_t done = 0;
    while (done < count) {
        pool_cache *const cache = find_cache(pool);
        if (cache != NULL) {
            void **top = LOAD(cache->top);
            void **const limit = LOAD(cache->limit);
            while (done < count && top < limit) {
                TARN_CHECK(objects[done] != NULL, "not an object of this pool", pool->heap.name,
                           NULL);
                *top++ = objects[done++];
            }
            STORE(cache->top, top);
        }
        if (done < count) {
            TARN_CHECK(objects[done] != NULL, "not an object of this pool", pool->heap.name, NULL);
            free_slow(pool, cache, objects[done++]);
        }
    }
}

/* ------------------------------------------------------------------------------------------------
 * All caches at once.
 */
void pool_shared_flush(tarn_pool *pool)
{
    pool_cache *const cache = find_own_cache(pool);
    if (cache != NULL) {
        heap_lock_take(&pool->lock);
        cache_empty(cache);
        heap_lock_release(&pool->lock);
    }
}

void pool_shared_trim(tarn_pool *pool)
{
    pool_cache *const own = find_own_cache(pool);
    if (own != NULL) {
        heap_lock_take(&registry);
        leave_begin(own);
        heap_lock_release(&registry);
        leave_end(own);
    }
    heap_lock_take(&pool->lock);
    depot_empty(pool);
    if (!pool->options.preallocate) {
        heap_lock_take(&pool->depot_lock);
        pool_magazine *const empty = pool->empty;
        pool->empty = NULL;
        heap_lock_release(&pool->depot_lock);
        magazines_free(pool, empty);
    }
    heap_lock_release(&pool->lock);
}

size_t pool_shared_prepare_thread(tarn_pool *pool)
{
    pool_cache *cache = find_own_cache(pool);
    if (cache == NULL) {
        cache = make_cache(pool);
        if (cache == NULL) {
            return 0;
        }
    }
    const size_t loaded = (size_t)(LOAD(cache->top) - bottom_of(LOAD(cache->loaded)));
    return loaded + LOAD(cache->previous_count);
}

void pool_shared_flush_all(tarn_pool *pool)
{
    heap_lock_take(&pool->lock);
    for (pool_cache *cache = pool->caches; cache != NULL; cache = cache->next) {
        cache_empty(cache);
    }
    depot_empty(pool);
    heap_lock_release(&pool->lock);
}

void pool_shared_forget(tarn_pool *pool)
{
    for (pool_cache *cache = pool->caches; cache != NULL; cache = cache->next) {
        load(cache, LOAD(cache->loaded), 0);
        STORE(cache->previous_count, 0);
    }
    for (pool_magazine *magazine; (magazine = pop(&pool->full)) != NULL;) {
        push(&pool->empty, magazine);
    }
    pool->full_count = 0;
}

size_t pool_shared_count(tarn_pool *pool)
{
    size_t sum = 0;
    heap_lock_take(&registry);
    for (const pool_cache *cache = pool->caches; cache != NULL; cache = cache->next) {
        /* While its owner exchanges magazines, the two may not belong together. */
        const uintptr_t bytes =
            (uintptr_t)LOAD(cache->top) - (uintptr_t)bottom_of(LOAD(cache->loaded));
        const size_t count = bytes / sizeof(void *);
        sum += (count <= pool->cache_size ? count : 0) + LOAD(cache->previous_count);
    }
    heap_lock_release(&registry);
    heap_lock_take(&pool->depot_lock);
    sum += pool->full_count * pool->cache_size;
    heap_lock_release(&pool->depot_lock);
    return sum;
}

/* Calls `call` for each stretch of objects in caches and the depot, until it returns false. */
static bool each_stretch(tarn_pool *pool, bool (*call)(tarn_pool *, void *const *, size_t, void *),
                         void *context)
{
    for (pool_cache *cache = pool->caches; cache != NULL; cache = cache->next) {
        void **const bottom = bottom_of(LOAD(cache->loaded));
        if (!call(pool, bottom, (size_t)(LOAD(cache->top) - bottom), context) ||
            !call(pool, bottom_of(cache->previous), LOAD(cache->previous_count), context)) {
            return false;
        }
    }
    for (pool_magazine *full = pool->full; full != NULL; full = full->next) {
        if (!call(pool, bottom_of(full), pool->cache_size, context)) {
            return false;
        }
    }
    return true;
}

typedef struct marking {
    bool set;
    size_t stretches; /* marked, or left to clear */
} marking;

static bool mark(tarn_pool *pool, void *const *objects, size_t count, void *context)
{
    marking *const state = context;
    size_t done = 0;
    size_t undone = 0;
    if (!state->set && state->stretches-- == 0) {
        return false;
    }
    const bool good = pool_chunks_mark(pool, objects, count, state->set, &done);
    if (!good && state->set) {
        (void)pool_chunks_mark(pool, objects, done, false, &undone);
    }
    state->stretches += good && state->set;
    return good;
}

bool pool_shared_check(tarn_pool *pool)
{
    marking marks = {.set = true};
    const bool good = each_stretch(pool, mark, &marks);
    marks.set = false;
    (void)each_stretch(pool, mark, &marks);
    return good;
}
