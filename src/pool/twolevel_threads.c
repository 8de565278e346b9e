/* SPDX-License-Identifier: MIT */
#include "base/check.h"
#include "base/record.h"
#include "heap/ledger.h"
#include "pool/twolevel.h"

#include <pthread.h>

/*
 *     thread A      thread B        (thread C has ended)
 *        |             |
 *     instance      instance          idle instance        instance of the process
 *     [ lists ]     [ lists ]          [ lists ]            [ lists ] under the lock
 *         ^             |                  |                  |   ^
 *         |             `--- hands in -----|------------------|---'
 *         `--------- draws 20 at a time ---+------------------'
 *         |
 *         `--------- cuts 20 at a time --- chunks of the store, under the lock
 *
 * A block knows no instance: it is in use, or in the list of one of them. So it may be freed to
 * any.
 *
 * What B frees for A would pile up in B's lists while A has the chunks grow. So before they grow, B
 * is *asked*: its instance is closed by emptying its span, B's next free comes here, leaves a batch
 * in the list and hands in what is behind it.
 *
 * Invariant, under the lock: an instance is in the list of idle ones exactly when no thread has it;
 * lists of idle ones, and those of the process, change under the lock alone.
 */

static tarn_twolevel_store family = {.has_lock = true, .name = "twolevel"};
static tarn_twolevel common;      /* the instance of the process, or alone under tools */
static tarn_twolevel first_level; /* the same for files that use malloc for everything */
static tarn_twolevel *known;      /* all instances of threads, ever; under the family's lock */
static size_t known_count;        /* of these */
static size_t refills_since_ask;  /* at least */
/* About how many blocks each list of the process's instance has, and below how many more are asked
 * for. */
static size_t spare[TARN_TWOLEVEL_LISTS];
static size_t low_water[TARN_TWOLEVEL_LISTS];
static uint32_t start_lock; /* guards what is below */
static bool is_common_ready;
static bool is_first_level_ready;
static bool has_end_key;
static bool has_fork_handlers;
static pthread_key_t end_key;

__thread tarn_twolevel *tarn_twolevel_mine;

/* ------------------------------------------------------------------------------------------------
 * Blocks between instances.
 */
/* Draws up to a batch of blocks from the process's list, and returns one of them. NULL if it is
 * empty. */
static void *draw(tarn_twolevel *twolevel, unsigned list, size_t *count)
{
    void **source = &common.closed_lists[list];
    void *first = *source;
    *count = 0;
    if (first == NULL) {
        return NULL;
    }
    void *last = first;
    void *next = pool_twolevel_next(&family, last);
    for (*count = 1; *count < TWOLEVEL_BATCH && next != NULL; ++*count) {
        last = next;
        next = pool_twolevel_next(&family, last);
    }
    *source = next;
    pool_twolevel_set_next(&family, last, NULL);
    pool_twolevel_lists(twolevel)[list] = pool_twolevel_next(&family, first);
    return first;
}

void pool_twolevel_ask(const tarn_twolevel *twolevel)
{
    refills_since_ask = 0;
    for (tarn_twolevel *it = known; it != NULL; it = it->next_known) {
        if (it != twolevel && !it->is_idle) {
            it->is_asked = true;
            __atomic_store_n(&it->span, 0, __ATOMIC_RELAXED);
        }
    }
}

/* The same, if there were so many refills that a look at every thread is a small part of their
 * cost. */
static void ask_now_and_then(const tarn_twolevel *twolevel)
{
    if (refills_since_ask >= known_count) {
        pool_twolevel_ask(twolevel);
    }
}

void *pool_twolevel_draw(tarn_twolevel *twolevel, unsigned list)
{
    size_t count = 0;
    void *block = twolevel != &common ? draw(twolevel, list, &count) : NULL;
    refills_since_ask++;
    spare[list] = block == NULL || spare[list] < count ? 0 : spare[list] - count;
    if (spare[list] <= low_water[list]) {
        ask_now_and_then(twolevel);
    }
    return block;
}

/* Returns a block of the process's list, which has some, and draws more if that is not the caller's
 * own. */
static void *take_from_common(tarn_twolevel *twolevel, unsigned list)
{
    size_t count;
    if (twolevel != &common) {
        return draw(twolevel, list, &count);
    }
    void *block = common.closed_lists[list];
    common.closed_lists[list] = pool_twolevel_next(&family, block);
    return block;
}

void *pool_twolevel_draw_idle(tarn_twolevel *twolevel, unsigned list)
{
    for (tarn_twolevel *it = common.next; it != NULL; it = it->next) {
        if (it->lists[list] != NULL) {
            /* The process's list is empty. It gets all, so that the next threads need not look. */
            common.closed_lists[list] = it->lists[list];
            it->lists[list] = NULL;
            return take_from_common(twolevel, list);
        }
    }
    pool_twolevel_ask(twolevel);
    return NULL;
}

/* Hands in all of the list but a batch. The walk to its end, along blocks that this thread has
 * freed, is done without the lock. */
static void hand_in_list(tarn_twolevel *twolevel, unsigned list)
{
    void *kept = twolevel->lists[list];
    for (unsigned count = 1; count < TWOLEVEL_BATCH && kept != NULL; count++) {
        kept = pool_twolevel_next(&family, kept);
    }
    void *first = kept != NULL ? pool_twolevel_next(&family, kept) : NULL;
    if (first == NULL) {
        return;
    }
    size_t count = 1;
    void *last = first;
    for (void *next; (next = pool_twolevel_next(&family, last)) != NULL; count++) {
        last = next;
    }
    pool_twolevel_set_next(&family, kept, NULL);
    pool_twolevel_lock(twolevel);
    pool_twolevel_set_next(&family, last, common.closed_lists[list]);
    common.closed_lists[list] = first;
    spare[list] += count;
    low_water[list] = spare[list] / 2;
    pool_twolevel_unlock(twolevel);
}

void pool_twolevel_hand_in(tarn_twolevel *twolevel)
{
    pool_twolevel_lock(twolevel);
    twolevel->is_asked = false;
    pool_twolevel_open(twolevel);
    pool_twolevel_unlock(twolevel);
    for (unsigned list = 0; list < TARN_TWOLEVEL_LISTS; list++) {
        hand_in_list(twolevel, list);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Threads begin and end.
 */

/* The lock is held. */
static void put_idle(tarn_twolevel *twolevel)
{
    twolevel->is_idle = true;
    twolevel->next = common.next;
    common.next = twolevel;
}

static void thread_end(void *value)
{
    tarn_twolevel *twolevel = value;
    /* What other destructors of this thread do comes to the process's instance. */
    tarn_twolevel_mine = &common;
    pool_twolevel_lock(twolevel);
    put_idle(twolevel);
    pool_twolevel_unlock(twolevel);
}

/* Every lock that a lasting instance may need in the child. */
static uint32_t *const fork_locks[] = {
    &start_lock,
    &family.lock,
    &common.own_store.lock,
    &first_level.own_store.lock,
};

enum { FORK_LOCKS = sizeof fork_locks / sizeof fork_locks[0] };

static void before_fork(void)
{
    for (size_t i = 0; i < FORK_LOCKS; i++) {
        heap_lock_take(fork_locks[i]);
    }
}

static void after_fork(void)
{
    for (size_t i = FORK_LOCKS; i-- > 0;) {
        heap_lock_release(fork_locks[i]);
    }
}

/* The threads of the other instances are not in the child. The block that one was about to put into
 * a list or had just taken out of it is lost to the child, and so is what it was handing in. */
static void after_fork_in_child(void)
{
    for (tarn_twolevel *it = known; it != NULL; it = it->next_known) {
        if (it != tarn_twolevel_mine && !it->is_idle) {
            put_idle(it);
        }
    }
    after_fork();
}

tarn_twolevel *tarn_twolevel_of_process_as(bool use_malloc)
{
    static const tarn_twolevel_options options = {.threads = true};
    use_malloc = use_malloc || TARN_TWOLEVEL_USES_MALLOC;
    tarn_twolevel *twolevel = use_malloc ? &first_level : &common;
    bool *is_ready = use_malloc ? &is_first_level_ready : &is_common_ready;
    if (__atomic_load_n(is_ready, __ATOMIC_ACQUIRE)) {
        return twolevel;
    }
    heap_lock_take(&start_lock);
    if (!*is_ready) {
        if (use_malloc || !tarn_pooling() || heap_watch_is_on() || base_record_is_there() ||
            TARN_HARDENED) {
            (void)tarn_twolevel_init_as(twolevel, &options, use_malloc);
        } else {
            family.upstream = tarn_system_heap();
            family.common = &common;
            pool_twolevel_found(&common, &family, true);
            has_end_key = pthread_key_create(&end_key, thread_end) == 0;
        }
        if (!has_fork_handlers) {
            has_fork_handlers = pthread_atfork(before_fork, after_fork, after_fork_in_child) == 0;
        }
        pool_twolevel_make_lasting(twolevel);
        __atomic_store_n(is_ready, true, __ATOMIC_RELEASE);
    }
    heap_lock_release(&start_lock);
    return twolevel;
}

/* An instance that waits for a thread, or a new one; NULL: no memory. The lock is held. */
static tarn_twolevel *take_idle(void)
{
    tarn_twolevel *twolevel = common.next;
    if (twolevel != NULL) {
        common.next = twolevel->next;
        twolevel->next = NULL;
        twolevel->is_idle = false;
        return twolevel;
    }
    twolevel = tarn_heap_calloc(family.upstream, 1, sizeof *twolevel, 0);
    if (twolevel != NULL) {
        pool_twolevel_found(twolevel, &family, false);
        pool_twolevel_make_lasting(twolevel);
        twolevel->next_known = known;
        known = twolevel;
        known_count++;
    }
    return twolevel;
}

tarn_twolevel *tarn_twolevel_join_thread(void)
{
    tarn_twolevel *process = tarn_twolevel_of_process_as(false);
    tarn_twolevel *twolevel = NULL;
    if (pool_twolevel_is_family(process->store) && has_end_key && has_fork_handlers) {
        pool_twolevel_lock(process);
        twolevel = take_idle();
        pool_twolevel_unlock(process);
    }
    if (twolevel != NULL && pthread_setspecific(end_key, twolevel) != 0) {
        thread_end(twolevel);
        twolevel = NULL;
    }
    tarn_twolevel_mine = twolevel != NULL ? twolevel : process;
    return tarn_twolevel_mine;
}
