/* SPDX-License-Identifier: MIT */
#include "tarn/heaps.h"
#include "tarn/pool.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/tools.h"

/*
 * Shared pools and threads that come and go: the one may end before the other, whichever way.
 */

enum { OBJECTS = 600 };

static tarn_pool pool;
static void *objects[8 * OBJECTS];

static size_t fewer_under_tools(size_t count)
{
    return IS_UNDER_NO_TOOL ? count : count / 8 + 1;
}

static tarn_pool_options limited_to(size_t count)
{
    return (tarn_pool_options){
        .size = 48, .threads = TARN_SHARED, .first_objects = count, .max_objects = count};
}

static void start(pthread_t *thread, void *(*run)(void *), void *argument)
{
    assert_int_equal(pthread_create(thread, NULL, run, argument), 0);
}

static void assert_balance(tarn_pool *it)
{
    char fault[200] = "";
    if (!tarn_pool_check(it, fault, sizeof fault)) {
        fail_msg("%s", fault);
    }
}

/* Every object can be had here, each once. */
static void assert_all_are_here(tarn_pool *it, size_t count)
{
    assert_int_equal(tarn_pool_stats(it).blocks, 0);
    assert_int_equal(tarn_pool_alloc_bulk(it, objects, count + 1), count);
    for (size_t i = 0; i < count; i++) {
        *(size_t *)objects[i] = i;
    }
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(*(size_t *)objects[i], i);
    }
    tarn_pool_free_bulk(it, objects, count);
    assert_balance(it);
}

/* Some objects come and go; some of the free ones stay in the thread's cache. */
static void use(tarn_pool *it, size_t count)
{
    void *own[100];
    for (size_t round = 0; round < count; round++) {
        size_t got = 0;
        for (size_t i = 0; i < 100; i++) {
            own[got] = tarn_pool_alloc(it);
            got += own[got] != NULL;
        }
        for (size_t i = 0; i < got; i++) {
            *(volatile int *)own[i] = 1;
            tarn_pool_free(it, own[i]);
        }
    }
}

static void *use_a_little(void *it)
{
    use(it, 3);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------
 * Threads end before the pool.
 */
static void hundreds_of_short_threads_leave_nothing_behind(void **state)
{
    (void)state;
    enum { AT_ONCE = 8 };
    const tarn_pool_options options = limited_to(8 * OBJECTS - 1);
    assert_int_equal(tarn_pool_init(&pool, &options), TARN_OK);
    size_t footprint = 0;
    for (size_t turn = 0; turn < fewer_under_tools(80); turn++) {
        pthread_t threads[AT_ONCE];
        for (size_t i = 0; i < AT_ONCE; i++) {
            start(&threads[i], use_a_little, &pool);
        }
        for (size_t i = 0; i < AT_ONCE; i++) {
            pthread_join(threads[i], NULL);
        }
        if (turn == 3) {
            footprint = tarn_pool_stats(&pool).peak_footprint;
        }
    }
    assert_true(tarn_pool_stats(&pool).peak_footprint <= footprint + (64 << 10));
    assert_all_are_here(&pool, 8 * OBJECTS - 1);
    tarn_pool_trim(&pool);
    assert_int_equal(tarn_pool_stats(&pool).footprint, 0);
    tarn_pool_deinit(&pool);
}

static void *destroy(void *it)
{
    tarn_pool_destroy(it);
    return NULL;
}

static void a_thread_that_never_used_a_pool_may_destroy_it(void **state)
{
    (void)state;
    for (size_t turn = 0; turn < fewer_under_tools(200); turn++) {
        tarn_counted counted;
        tarn_counted_init(&counted, &(tarn_counted_options){0});
        tarn_locked locked;
        tarn_locked_init(&locked, &(tarn_locked_options){.upstream = &counted.heap});
        tarn_pool_options options = limited_to(OBJECTS);
        options.upstream = &locked.heap;
        tarn_pool *made;
        assert_int_equal(tarn_pool_create(&made, &options), TARN_OK);
        pthread_t threads[3];
        for (size_t i = 0; i < 3; i++) {
            start(&threads[i], use_a_little, made);
        }
        for (size_t i = 0; i < 3; i++) {
            pthread_join(threads[i], NULL);
        }
        use(made, 1);
        start(&threads[0], destroy, made);
        pthread_join(threads[0], NULL);
        assert_int_equal(tarn_heap_stats(&counted.heap).live, 0);
    }
}

/* ------------------------------------------------------------------------------------------------
 * The pool ends before the thread does.
 */
enum { POOLS = 6 };

typedef struct leaver {
    tarn_pool *pools[POOLS];
    atomic_bool is_done;
} leaver;

/* When it is done it uses no pool any more, but it has yet to end. */
static void *use_some_and_leave(void *argument)
{
    leaver *it = argument;
    for (size_t i = 0; i < POOLS; i++) {
        use(it->pools[i], 1);
    }
    atomic_store(&it->is_done, true);
    return NULL;
}

static void a_pool_may_be_destroyed_while_a_thread_that_used_it_ends(void **state)
{
    (void)state;
    for (size_t turn = 0; turn < fewer_under_tools(500); turn++) {
        leaver it = {.is_done = false};
        for (size_t i = 0; i < POOLS; i++) {
            const tarn_pool_options options = limited_to(100);
            assert_int_equal(tarn_pool_create(&it.pools[i], &options), TARN_OK);
        }
        pthread_t thread;
        start(&thread, use_some_and_leave, &it);
        while (!atomic_load(&it.is_done)) {
            sched_yield();
        }
        for (size_t i = 0; i < POOLS; i++) {
            tarn_pool_destroy(it.pools[i]);
        }
        pthread_join(thread, NULL);
    }
}

typedef struct stayer {
    pthread_barrier_t barrier;
    atomic_uint faults;
} stayer;

/* Uses what is in the static pool in each turn. */
static void *use_pools_at_one_place(void *argument)
{
    stayer *it = argument;
    for (size_t turn = 0; turn < 40; turn++) {
        pthread_barrier_wait(&it->barrier);
        use(&pool, 1);
        void *own[20];
        const size_t size = pool.options.size;
        for (size_t i = 0; i < 20; i++) {
            own[i] = tarn_pool_alloc(&pool);
            memset(own[i], (int)i, size);
            atomic_fetch_add(&it->faults, !tarn_pool_owns(&pool, own[i]));
        }
        for (size_t i = 0; i < 20; i++) {
            atomic_fetch_add(&it->faults, ((unsigned char *)own[i])[size - 1] != i);
            tarn_pool_free(&pool, own[i]);
        }
        pthread_barrier_wait(&it->barrier);
    }
    return NULL;
}

/* A thread's cache of the pool that was there before is not one of the pool that is there now. */
static void pools_may_follow_each_other_at_one_place(void **state)
{
    (void)state;
    stayer it = {.faults = 0};
    pthread_barrier_init(&it.barrier, NULL, 3);
    pthread_t threads[2];
    start(&threads[0], use_pools_at_one_place, &it);
    start(&threads[1], use_pools_at_one_place, &it);
    for (size_t turn = 0; turn < 40; turn++) {
        assert_int_equal(tarn_pool_init(&pool, &(tarn_pool_options){.size = 16 + turn * 8,
                                                                    .threads = TARN_SHARED,
                                                                    .checks = turn % 5 == 4,
                                                                    .cache_objects = turn % 3 * 8}),
                         TARN_OK);
        use(&pool, 1);
        pthread_barrier_wait(&it.barrier);
        pthread_barrier_wait(&it.barrier);
        assert_int_equal(tarn_pool_stats(&pool).blocks, 0);
        assert_balance(&pool);
        tarn_pool_deinit(&pool);
    }
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert_int_equal(atomic_load(&it.faults), 0);
    pthread_barrier_destroy(&it.barrier);
}

enum { MANY_POOLS = 5000 };

static tarn_pool *many[MANY_POOLS];

static void *use_one_in_seven(void *first)
{
    for (size_t i = (size_t)(uintptr_t)first; i < fewer_under_tools(MANY_POOLS); i += 7) {
        void *object = tarn_pool_alloc(many[i]);
        void *other = tarn_pool_alloc(many[i]);
        tarn_pool_free(many[i], object);
        tarn_pool_free(many[i], other);
    }
    return NULL;
}

static void thousands_of_pools_live_side_by_side(void **state)
{
    (void)state;
    const size_t count = fewer_under_tools(MANY_POOLS);
    for (size_t turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(
                tarn_pool_create(
                    &many[i],
                    &(tarn_pool_options){.size = 16, .first_objects = 8, .threads = TARN_SHARED}),
                TARN_OK);
        }
        for (uintptr_t round = 0; round < 3; round++) {
            pthread_t threads[2];
            start(&threads[0], use_one_in_seven, (void *)round);
            start(&threads[1], use_one_in_seven, (void *)(round / 2));
            use_one_in_seven((void *)(round * 2));
            pthread_join(threads[0], NULL);
            pthread_join(threads[1], NULL);
        }
        for (size_t i = 0; i < count; i++) {
            const size_t which = turn == 0 ? i : count - 1 - i;
            assert_int_equal(tarn_pool_stats(many[which]).blocks, 0);
            if (which % 50 == 0) {
                assert_balance(many[which]);
            }
            tarn_pool_destroy(many[which]);
        }
    }
}

/* ------------------------------------------------------------------------------------------------
 * Destructors of thread-specific data use the pool while the thread ends.
 */
static pthread_key_t early_key;
static pthread_key_t late_key;
static atomic_uint destructor_runs;

typedef struct last_will {
    pthread_key_t key;
    unsigned turns; /* how often it is to be run again */
} last_will;

static void use_at_the_end(void *argument)
{
    last_will *it = argument;
    atomic_fetch_add(&destructor_runs, 1);
    use(&pool, 1);
    if (it->turns > 0) {
        it->turns--;
        pthread_setspecific(it->key, it);
    } else {
        tarn_pool_free(&pool, it);
    }
}

static void *leave_a_will(void *argument)
{
    const size_t which = (size_t)(uintptr_t)argument;
    for (size_t i = 0; i < 2; i++) {
        if ((which >> i & 1) != 0) {
            last_will *it = tarn_pool_alloc(&pool);
            it->key = i == 0 ? early_key : late_key;
            it->turns = (unsigned)(which / 4);
            pthread_setspecific(it->key, it);
        }
    }
    if (which % 2 == 0) {
        use(&pool, 1);
    }
    return NULL;
}

static void destructors_of_thread_specific_data_may_use_the_pool(void **state)
{
    (void)state;
    const tarn_pool_options options = limited_to(OBJECTS);
    assert_int_equal(pthread_key_create(&early_key, use_at_the_end), 0);
    assert_int_equal(tarn_pool_init(&pool, &options), TARN_OK);
    use(&pool, 1);
    tarn_pool_flush(&pool);
    assert_int_equal(pthread_key_create(&late_key, use_at_the_end), 0);
    for (size_t turn = 0; turn < fewer_under_tools(400); turn++) {
        pthread_t thread;
        /* Less often than libc looks again. */
        start(&thread, leave_a_will, (void *)(uintptr_t)(turn % 12));
        pthread_join(thread, NULL);
        assert_all_are_here(&pool, OBJECTS);
        tarn_pool_flush(&pool);
    }
    assert_true(atomic_load(&destructor_runs) > 0);
    tarn_pool_deinit(&pool);
    pthread_key_delete(early_key);
    pthread_key_delete(late_key);
}

/* ------------------------------------------------------------------------------------------------
 * Threads that rest while something happens to the pool.
 */
typedef struct rester {
    pthread_barrier_t barrier;
    void *got[OBJECTS];
    size_t count;
} rester;

static void *rest_with_a_full_cache(void *argument)
{
    rester *it = argument;
    use(&pool, 1);
    pthread_barrier_wait(&it->barrier);
    pthread_barrier_wait(&it->barrier);
    it->count = tarn_pool_alloc_bulk(&pool, it->got, OBJECTS / 2);
    pthread_barrier_wait(&it->barrier);
    pthread_barrier_wait(&it->barrier);
    tarn_pool_free_bulk(&pool, it->got, it->count);
    return NULL;
}

static void a_reset_empties_the_caches_of_threads_that_rest(void **state)
{
    (void)state;
    for (size_t turn = 0; turn < fewer_under_tools(100); turn++) {
        static rester it;
        const tarn_pool_options options = limited_to(OBJECTS);
        assert_int_equal(tarn_pool_init(&pool, &options), TARN_OK);
        pthread_barrier_init(&it.barrier, NULL, 2);
        pthread_t thread;
        start(&thread, rest_with_a_full_cache, &it);
        pthread_barrier_wait(&it.barrier);
        use(&pool, 1);
        assert_non_null(tarn_pool_alloc(&pool)); /* ends with the reset */
        if (turn % 2 == 0) {
            tarn_pool_reset(&pool);
        } else {
            assert_int_equal(tarn_heap_reset(&pool.heap), TARN_OK);
        }
        assert_int_equal(tarn_pool_stats(&pool).blocks, 0);
        assert_balance(&pool);
        pthread_barrier_wait(&it.barrier);
        pthread_barrier_wait(&it.barrier);
        /* Nobody has what another has. */
        const size_t mine = tarn_pool_alloc_bulk(&pool, objects, OBJECTS / 2 + 1);
        assert_true(it.count >= OBJECTS / 2 && mine > 0);
        for (size_t i = 0; i < it.count; i++) {
            *(size_t *)it.got[i] = i;
        }
        for (size_t i = 0; i < mine; i++) {
            *(size_t *)objects[i] = 1000000 + i;
        }
        for (size_t i = 0; i < it.count; i++) {
            assert_int_equal(*(size_t *)it.got[i], i);
        }
        assert_balance(&pool);
        tarn_pool_free_bulk(&pool, objects, mine);
        pthread_barrier_wait(&it.barrier);
        pthread_join(thread, NULL);
        assert_all_are_here(&pool, OBJECTS);
        tarn_pool_deinit(&pool);
        pthread_barrier_destroy(&it.barrier);
    }
}

static void *use_and_flush(void *argument)
{
    rester *it = argument;
    use(&pool, 3);
    tarn_pool_flush(&pool);
    pthread_barrier_wait(&it->barrier);
    pthread_barrier_wait(&it->barrier);
    return NULL;
}

static void what_a_resting_thread_flushed_is_there_for_others(void **state)
{
    (void)state;
    static rester it;
    const tarn_pool_options options = limited_to(OBJECTS);
    assert_int_equal(tarn_pool_init(&pool, &options), TARN_OK);
    pthread_barrier_init(&it.barrier, NULL, 2);
    pthread_t thread;
    start(&thread, use_and_flush, &it);
    pthread_barrier_wait(&it.barrier);
    assert_all_are_here(&pool, OBJECTS);
    tarn_pool_trim(&pool);
    assert_true(tarn_pool_stats(&pool).footprint < OBJECTS * 48);
    pthread_barrier_wait(&it.barrier);
    pthread_join(thread, NULL);
    tarn_pool_trim(&pool);
    assert_int_equal(tarn_pool_stats(&pool).footprint, 0);
    tarn_pool_deinit(&pool);
    pthread_barrier_destroy(&it.barrier);
}

/* ------------------------------------------------------------------------------------------------
 * Figures that stay exact.
 */
static void *use_much(void *it)
{
    use(it, fewer_under_tools(300));
    return NULL;
}

static void use_by_threads(tarn_pool *it, size_t count)
{
    pthread_t threads[6];
    for (size_t i = 0; i < count; i++) {
        start(&threads[i], use_much, it);
    }
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void history_is_exact_for_many_threads(void **state)
{
    (void)state;
    assert_int_equal(
        tarn_pool_init(&pool,
                       &(tarn_pool_options){.size = 48, .threads = TARN_SHARED, .history = true}),
        TARN_OK);
    use_by_threads(&pool, 4);
    const tarn_stats stats = tarn_pool_stats(&pool);
    assert_int_equal(stats.allocs, 4 * 100 * fewer_under_tools(300));
    assert_int_equal(stats.frees, stats.allocs);
    assert_int_equal(stats.blocks, 0);
    assert_true(stats.peak_live >= 100 * 48 && stats.peak_live <= 4 * 100 * 48);
    tarn_pool_deinit(&pool);
}

static atomic_uint constructs;
static atomic_uint destructs;

static bool construct(void *context, void *object)
{
    (void)context;
    atomic_fetch_add(&constructs, 1);
    ((unsigned *)object)[8] = 0xc0de;
    return true;
}

static void destruct(void *context, void *object)
{
    unsigned *faults = context;
    atomic_fetch_add(&destructs, 1);
    *faults += ((unsigned *)object)[8] != 0xc0de;
}

static void each_slot_is_constructed_once_for_many_threads(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 4; way++) {
        unsigned faults = 0;
        tarn_pool_options options = limited_to(3 * OBJECTS);
        options.construct = construct;
        options.destruct = destruct;
        options.context = &faults;
        options.preallocate = (way & 1) != 0;
        options.cache_objects = (way & 2) != 0 ? 10 : 0;
        atomic_store(&constructs, 0);
        atomic_store(&destructs, 0);
        assert_int_equal(tarn_pool_init(&pool, &options), TARN_OK);
        use_by_threads(&pool, 4);
        if (options.preallocate) {
            assert_true(atomic_load(&constructs) <= 3 * OBJECTS);
            assert_int_equal(atomic_load(&destructs), 0);
        }
        tarn_pool_trim(&pool);
        tarn_pool_deinit(&pool);
        assert_int_equal(atomic_load(&constructs), atomic_load(&destructs));
        assert_int_equal(faults, 0);
    }
}

static void a_preallocated_pool_asks_nothing_whatever_the_threads_do(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 4; way++) {
        tarn_counted counted;
        tarn_counted_init(&counted, &(tarn_counted_options){0});
        tarn_failing failing;
        tarn_failing_init(&failing, &(tarn_failing_options){.upstream = &counted.heap});
        tarn_pool_options options = limited_to(2000);
        options.upstream = &failing.heap;
        options.preallocate = true;
        options.thread_caches = (way & 1) != 0 ? 2 : 0;
        options.cache_objects = (way & 2) != 0 ? 16 : 0;
        assert_int_equal(tarn_pool_init(&pool, &options), TARN_OK);
        tarn_failing_restart(&failing, &(tarn_failing_plan){.from = 1});
        for (unsigned turn = 0; turn < 5; turn++) {
            use_by_threads(&pool, 6);
            assert_all_are_here(&pool, 2000);
            tarn_pool_flush(&pool);
        }
        assert_int_equal(failing.requests, 0);
        assert_int_equal(counted.counts.frees, 0);
        tarn_pool_deinit(&pool);
        assert_int_equal(tarn_heap_stats(&counted.heap).live, 0);
    }
}

/* A buffer heap is for one thread at a time; nobody else uses this one. */
static void one_pool_calls_its_upstream_one_thread_at_a_time(void **state)
{
    (void)state;
    static _Alignas(64) unsigned char memory[256 << 10];
    tarn_buffer buffer;
    tarn_buffer_init(&buffer, (tarn_memory){memory, sizeof memory}, NULL);
    for (unsigned way = 0; way < 3; way++) {
        assert_int_equal(tarn_pool_init(&pool, &(tarn_pool_options){.size = 200,
                                                                    .upstream = &buffer.heap,
                                                                    .threads = TARN_SHARED,
                                                                    .cache_objects = way * 8,
                                                                    .first_objects = 4,
                                                                    .chunk_objects_max = 12}),
                         TARN_OK);
        use_by_threads(&pool, 6);
        assert_balance(&pool);
        tarn_pool_trim(&pool);
        assert_int_equal(tarn_heap_stats(&buffer.heap).blocks, 0);
        tarn_pool_deinit(&pool);
        assert_true(tarn_heap_check(&buffer.heap, NULL, 0));
    }
    tarn_buffer_deinit(&buffer);
}

static tarn_pool upper;

/* Calls everything that any thread may call at any time. */
static void *call_everything(void *argument)
{
    uint32_t seed = (uint32_t)(uintptr_t)argument;
    void *own[64] = {NULL};
    for (size_t round = 0; round < fewer_under_tools(40000); round++) {
        seed = seed * 1664525 + 1013904223;
        const size_t which = (seed >> 8) % 32;
        switch (seed >> 28) {
        case 0:
            (void)tarn_pool_reserve(&upper, which);
            break;
        case 1:
            (void)tarn_pool_stats(&upper);
            break;
        case 2:
            if (round % 8 == 0) {
                (void)tarn_pool_trim(&upper);
            }
            break;
        case 3:
            tarn_pool_flush(&upper);
            break;
        case 4:
            (void)tarn_pool_owns(&upper, own[which]);
            (void)tarn_pool_owns(&upper, (void *)(uintptr_t)seed);
            break;
        case 5: {
            const size_t got = tarn_pool_alloc_bulk(&upper, own + 32, 32);
            for (size_t i = 0; i < got; i++) {
                *(volatile int *)own[32 + i] = 1;
            }
            tarn_pool_free_bulk(&upper, own + 32, got);
            break;
        }
        case 6:
            (void)tarn_heap_stats(&upper.heap);
            tarn_heap_free(&upper.heap, tarn_heap_alloc(&upper.heap, 40, 8), 40);
            break;
        default:
            if (own[which] == NULL) {
                own[which] =
                    which % 2 == 0 ? tarn_pool_alloc(&upper) : tarn_pool_alloc_zeroed(&upper);
                if (own[which] != NULL) {
                    *(volatile int *)own[which] = 1;
                }
            } else {
                tarn_pool_free(&upper, own[which]);
                own[which] = NULL;
            }
            break;
        }
    }
    for (size_t i = 0; i < 32; i++) {
        tarn_pool_free(&upper, own[i]);
    }
    return NULL;
}

/* The upper pool's chunks are objects of the lower one, which is shared, too. */
static void every_function_may_be_called_from_any_thread_and_shared_pools_stack(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 6; way++) {
        assert_int_equal(tarn_pool_init(&pool, &(tarn_pool_options){.size = 8192,
                                                                    .threads = TARN_SHARED,
                                                                    .cache_objects = way % 2 * 4}),
                         TARN_OK);
        assert_int_equal(tarn_pool_init(&upper, &(tarn_pool_options){.size = 40,
                                                                     .upstream = &pool.heap,
                                                                     .threads = TARN_SHARED,
                                                                     .first_objects = 20,
                                                                     .chunk_objects_max = 100,
                                                                     .cache_objects = way * 4,
                                                                     .checks = way == 5}),
                         TARN_OK);
        pthread_t threads[4];
        for (uintptr_t i = 0; i < 4; i++) {
            start(&threads[i], call_everything, (void *)(i + 17));
        }
        for (size_t i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
        }
        assert_int_equal(tarn_pool_stats(&upper).blocks, 0);
        assert_balance(&upper);
        assert_balance(&pool);
        tarn_pool_trim(&upper);
        assert_int_equal(tarn_pool_stats(&pool).blocks, 0);
        tarn_pool_deinit(&upper);
        tarn_pool_trim(&pool);
        assert_int_equal(tarn_pool_stats(&pool).footprint, 0);
        tarn_pool_deinit(&pool);
    }
}

static void *fill_a_cache(void *it)
{
    void *own[200];
    for (size_t i = 0; i < 200; i++) {
        own[i] = tarn_pool_alloc(it);
    }
    for (size_t i = 0; i < 200; i++) {
        tarn_pool_free(it, own[i]);
    }
    return NULL;
}

/* Chunks of the one become empty then and go to the other, whichever of them the thread has left before. */
static void a_thread_that_ends_gives_back_what_it_has_of_pools_that_stack(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 8; way++) {
        tarn_pool *lower = way % 2 == 0 ? &pool : &upper;
        tarn_pool *higher = way % 2 == 0 ? &upper : &pool;
        const tarn_pool_options lower_options = {
            .size = 8192, .threads = TARN_SHARED, .cache_objects = way / 2 % 2 * 4};
        const tarn_pool_options higher_options = {.size = 40,
                                                  .upstream = &lower->heap,
                                                  .threads = TARN_SHARED,
                                                  .first_objects = 8,
                                                  .chunk_objects_max = 8,
                                                  .cache_objects = 400};
        /* The one made first has the lower number. */
        assert_int_equal(way < 4 ? tarn_pool_init(lower, &lower_options)
                                 : tarn_pool_init(higher, &higher_options),
                         TARN_OK);
        assert_int_equal(way < 4 ? tarn_pool_init(higher, &higher_options)
                                 : tarn_pool_init(lower, &lower_options),
                         TARN_OK);
        for (unsigned turn = 0; turn < 3; turn++) {
            pthread_t thread;
            start(&thread, fill_a_cache, higher);
            pthread_join(thread, NULL);
            assert_balance(lower);
            assert_balance(higher);
            assert_int_equal(tarn_pool_stats(higher).blocks, 0);
        }
        tarn_pool_trim(higher);
        assert_int_equal(tarn_pool_stats(lower).blocks, 0);
        tarn_pool_deinit(higher);
        tarn_pool_trim(lower);
        assert_int_equal(tarn_pool_stats(lower).footprint, 0);
        tarn_pool_deinit(lower);
    }
}

/* An object of the one pool has a part that is an object of the other; its users write to its first word. */
static bool construct_with_a_part(void *parts, void *object)
{
    void **const part = (void **)object + 1;
    *part = tarn_pool_alloc(parts);
    return *part != NULL;
}

static void destruct_with_a_part(void *parts, void *object)
{
    tarn_pool_free(parts, ((void **)object)[1]);
}

static void constructors_may_use_another_pool(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 4; way++) {
        tarn_pool *parts = way % 2 == 0 ? &pool : &upper;
        tarn_pool *wholes = way % 2 == 0 ? &upper : &pool;
        const tarn_pool_options part_options = {
            .size = 24, .threads = TARN_SHARED, .first_objects = 8, .chunk_objects_max = 8};
        const tarn_pool_options whole_options = {.size = 40,
                                                 .threads = TARN_SHARED,
                                                 .first_objects = 8,
                                                 .chunk_objects_max = 8,
                                                 .cache_objects = 400,
                                                 .construct = construct_with_a_part,
                                                 .destruct = destruct_with_a_part,
                                                 .context = parts};
        assert_int_equal(way < 2 ? tarn_pool_init(parts, &part_options)
                                 : tarn_pool_init(wholes, &whole_options),
                         TARN_OK);
        assert_int_equal(way < 2 ? tarn_pool_init(wholes, &whole_options)
                                 : tarn_pool_init(parts, &part_options),
                         TARN_OK);
        for (unsigned turn = 0; turn < 3; turn++) {
            pthread_t threads[2];
            start(&threads[0], fill_a_cache, wholes);
            start(&threads[1], use_a_little, wholes);
            pthread_join(threads[0], NULL);
            pthread_join(threads[1], NULL);
            assert_balance(parts);
            assert_balance(wholes);
            assert_int_equal(tarn_pool_stats(wholes).blocks, 0);
        }
        tarn_pool_deinit(wholes);
        assert_int_equal(tarn_pool_stats(parts).blocks, 0);
        tarn_pool_deinit(parts);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Fork.
 */
static void a_forked_child_goes_on_with_the_pool(void **state)
{
    (void)state;
    if (IS_UNDER_TSAN) {
        skip();
    }
    const tarn_pool_options options = limited_to(OBJECTS);
    assert_int_equal(tarn_pool_init(&pool, &options), TARN_OK);
    use(&pool, 2);
    int *object = tarn_pool_alloc(&pool);
    *object = 1;
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool is_good = *object == 1;
        *object = 2;
        tarn_pool_free(&pool, object);
        use(&pool, 5);
        pthread_t thread;
        is_good = is_good && pthread_create(&thread, NULL, use_a_little, &pool) == 0;
        pthread_join(thread, NULL);
        is_good = is_good && tarn_pool_check(&pool, NULL, 0) &&
                  tarn_pool_stats(&pool).blocks == 0 &&
                  tarn_pool_alloc_bulk(&pool, objects, OBJECTS) == OBJECTS;
        tarn_pool_deinit(&pool);
        _exit(is_good ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(*object, 1);
    tarn_pool_free(&pool, object);
    assert_all_are_here(&pool, OBJECTS);
    tarn_pool_deinit(&pool);
}

/* Threads were there before, and have ended. */
static void a_child_forked_after_threads_have_ended_has_what_they_left(void **state)
{
    (void)state;
    if (IS_UNDER_TSAN) {
        skip();
    }
    const tarn_pool_options options = limited_to(OBJECTS);
    assert_int_equal(tarn_pool_init(&pool, &options), TARN_OK);
    use_by_threads(&pool, 4);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const bool is_good = tarn_pool_stats(&pool).blocks == 0 &&
                             tarn_pool_alloc_bulk(&pool, objects, OBJECTS) == OBJECTS;
        _exit(is_good ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_all_are_here(&pool, OBJECTS);
    tarn_pool_deinit(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hundreds_of_short_threads_leave_nothing_behind),
        cmocka_unit_test(a_thread_that_never_used_a_pool_may_destroy_it),
        cmocka_unit_test(a_pool_may_be_destroyed_while_a_thread_that_used_it_ends),
        cmocka_unit_test(pools_may_follow_each_other_at_one_place),
        cmocka_unit_test(thousands_of_pools_live_side_by_side),
        cmocka_unit_test(destructors_of_thread_specific_data_may_use_the_pool),
        cmocka_unit_test(a_reset_empties_the_caches_of_threads_that_rest),
        cmocka_unit_test(what_a_resting_thread_flushed_is_there_for_others),
        cmocka_unit_test(history_is_exact_for_many_threads),
        cmocka_unit_test(each_slot_is_constructed_once_for_many_threads),
        cmocka_unit_test(a_preallocated_pool_asks_nothing_whatever_the_threads_do),
        cmocka_unit_test(one_pool_calls_its_upstream_one_thread_at_a_time),
        cmocka_unit_test(every_function_may_be_called_from_any_thread_and_shared_pools_stack),
        cmocka_unit_test(a_thread_that_ends_gives_back_what_it_has_of_pools_that_stack),
        cmocka_unit_test(constructors_may_use_another_pool),
        cmocka_unit_test(a_forked_child_goes_on_with_the_pool),
        cmocka_unit_test(a_child_forked_after_threads_have_ended_has_what_they_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
