/* SPDX-License-Identifier: MIT */
#include "tarn/pool.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/tools.h"

enum { THREADS = 4, OWN = 600, EXCHANGE = 256 };

static unsigned rounds;

static tarn_pool pool;
static _Atomic(uint64_t *) exchange[EXCHANGE];
static atomic_uint faults;
static atomic_uint refused;

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static void fill(uint64_t *object, uint64_t what)
{
    object[0] = what;
    object[5] = ~what;
}

static void look_and_free(uint64_t *object)
{
    atomic_fetch_add(&faults, object[0] != ~object[5]);
    object[0] = 1;
    object[5] = 1;
    tarn_pool_free(&pool, object);
}

/* Allocates and frees in an order of chance; some objects change hands. */
static void *churn(void *argument)
{
    uint32_t seed = (uint32_t)(uintptr_t)argument;
    static _Thread_local uint64_t *own[OWN];
    memset(own, 0, sizeof own);
    for (unsigned round = 0; round < rounds; round++) {
        uint64_t **place = &own[next(&seed) % OWN];
        if (*place == NULL) {
            *place = tarn_pool_alloc(&pool);
            if (*place != NULL) {
                fill(*place, (uint64_t)(uintptr_t)argument << 32 | round);
            } else {
                atomic_fetch_add(&refused, 1);
            }
        } else if (next(&seed) % 4 == 0) {
            *place = atomic_exchange(&exchange[next(&seed) % EXCHANGE], *place);
        } else {
            look_and_free(*place);
            *place = NULL;
        }
        if (round % 5000 == 4999) {
            (void)tarn_pool_stats(&pool);
            if (round % 3 == 0) {
                (void)tarn_pool_trim(&pool);
            } else {
                tarn_pool_flush(&pool);
            }
        }
    }
    for (size_t i = 0; i < OWN; i++) {
        if (own[i] != NULL) {
            look_and_free(own[i]);
        }
    }
    return NULL;
}

static void run_churn(const tarn_pool_options *options)
{
    rounds = IS_UNDER_NO_TOOL ? 200000 : 15000;
    atomic_store(&faults, 0);
    assert_int_equal(tarn_pool_init(&pool, options), TARN_OK);
    for (unsigned generation = 0; generation < 3; generation++) {
        pthread_t threads[THREADS];
        for (uintptr_t i = 0; i < THREADS; i++) {
            assert_int_equal(
                pthread_create(&threads[i], NULL, churn, (void *)(i + 1 + generation * 10)), 0);
        }
        for (size_t i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
        }
        assert_int_equal(atomic_load(&faults), 0);
        char fault[200];
        if (!tarn_pool_check(&pool, fault, sizeof fault)) {
            fail_msg("%s", fault);
        }
    }
    for (size_t i = 0; i < EXCHANGE; i++) {
        uint64_t *object = atomic_exchange(&exchange[i], NULL);
        if (object != NULL) {
            look_and_free(object);
        }
    }
    assert_int_equal(tarn_pool_stats(&pool).blocks, 0);
    (void)tarn_pool_trim(&pool);
    assert_true(tarn_pool_check(&pool, NULL, 0));
    tarn_pool_deinit(&pool);
}

static void threads_share_a_pool_and_free_each_others_objects(void **state)
{
    (void)state;
    run_churn(&(tarn_pool_options){.size = 48, .threads = TARN_SHARED});
    run_churn(&(tarn_pool_options){.size = 48, .threads = TARN_SHARED, .cache_objects = 8});
}

static void threads_share_a_pool_that_sees_each_call(void **state)
{
    (void)state;
    run_churn(&(tarn_pool_options){.size = 48, .threads = TARN_SHARED, .checks = true});
    run_churn(&(tarn_pool_options){.size = 48, .threads = TARN_SHARED, .cache_objects = 1});
}

static void threads_share_a_pool_that_is_too_small_for_all(void **state)
{
    (void)state;
    atomic_store(&refused, 0);
    run_churn(&(tarn_pool_options){
        .size = 48, .threads = TARN_SHARED, .max_objects = 900, .preallocate = true});
    assert_true(atomic_load(&refused) > 0);
    run_churn(&(tarn_pool_options){.size = 48,
                                   .threads = TARN_SHARED,
                                   .max_objects = 900,
                                   .preallocate = true,
                                   .thread_caches = 2});
}

enum { BOUNDED = 64, PASSED = 20000 };

static _Atomic(void *) slot;

static void *consume(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < PASSED;) {
        void *object = atomic_exchange(&slot, NULL);
        if (object != NULL) {
            tarn_pool_free(&pool, object);
            i++;
        } else {
            sched_yield();
        }
    }
    return NULL;
}

static size_t others_got;

static void *alloc_all(void *argument)
{
    others_got = tarn_pool_alloc_bulk(&pool, argument, 400);
    return NULL;
}

/* The consumer could keep all objects in its cache, were it as large as it is asked to be. */
static void a_consumers_cache_does_not_starve_the_producer(void **state)
{
    (void)state;
    assert_int_equal(tarn_pool_init(&pool, &(tarn_pool_options){.size = 32,
                                                                .threads = TARN_SHARED,
                                                                .max_objects = BOUNDED,
                                                                .cache_objects = 2 * BOUNDED,
                                                                .preallocate = true}),
                     TARN_OK);
    pthread_t consumer;
    assert_int_equal(pthread_create(&consumer, NULL, consume, NULL), 0);
    for (unsigned i = 0; i < PASSED;) {
        void *object = tarn_pool_alloc(&pool);
        void *expected = NULL;
        if (object == NULL) {
            sched_yield();
            continue;
        }
        while (!atomic_compare_exchange_weak(&slot, &expected, object)) {
            expected = NULL;
            sched_yield();
        }
        i++;
    }
    pthread_join(consumer, NULL);
    assert_int_equal(tarn_pool_stats(&pool).blocks, 0);
    tarn_pool_deinit(&pool);
}

/* A thread that found the pool exhausted gets what another has at hand, once that one frees. */
static void an_exhausted_pool_asks_the_caches_for_their_objects(void **state)
{
    (void)state;
    assert_int_equal(tarn_pool_init(&pool, &(tarn_pool_options){.size = 32,
                                                                .threads = TARN_SHARED,
                                                                .max_objects = 400,
                                                                .first_objects = 400}),
                     TARN_OK);
    void *objects[400];
    assert_int_equal(tarn_pool_alloc_bulk(&pool, objects, 400), 400);
    tarn_pool_free_bulk(&pool, objects, 20);
    void *mine[400];
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, alloc_all, mine), 0);
    pthread_join(thread, NULL);
    /* What the thread could not get is here still; it has asked. */
    const size_t before = others_got;
    tarn_pool_free(&pool, objects[20]);
    assert_int_equal(pthread_create(&thread, NULL, alloc_all, mine), 0);
    pthread_join(thread, NULL);
    assert_int_equal(before + others_got, 21);
    tarn_pool_deinit(&pool);
}

static void *alloc_and_end(void *argument)
{
    void **objects = argument;
    for (size_t i = 0; i < 100; i++) {
        objects[i] = tarn_pool_alloc(&pool);
    }
    for (size_t i = 50; i < 100; i++) {
        tarn_pool_free(&pool, objects[i]);
    }
    return NULL;
}

static void what_an_ended_thread_kept_goes_back(void **state)
{
    (void)state;
    assert_int_equal(tarn_pool_init(&pool, &(tarn_pool_options){.size = 48,
                                                                .threads = TARN_SHARED,
                                                                .first_objects = 100,
                                                                .max_objects = 100}),
                     TARN_OK);
    for (unsigned turn = 0; turn < 50; turn++) {
        void *objects[100];
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, alloc_and_end, objects), 0);
        pthread_join(thread, NULL);
        assert_int_equal(tarn_pool_stats(&pool).blocks, 50);
        /* All that are free can be had here. */
        void *others[50];
        assert_int_equal(tarn_pool_alloc_bulk(&pool, others, 50), 50);
        assert_null(tarn_pool_alloc(&pool));
        tarn_pool_free_bulk(&pool, others, 50);
        tarn_pool_free_bulk(&pool, objects, 50);
        tarn_pool_flush(&pool);
        assert_int_equal(tarn_pool_stats(&pool).blocks, 0);
    }
    tarn_pool_deinit(&pool);
}

static void *destroy(void *argument)
{
    tarn_pool_destroy(argument);
    return NULL;
}

static void many_pools_come_and_go_on_several_threads(void **state)
{
    (void)state;
    enum { POOLS = 700 };
    static tarn_pool *pools[POOLS];
    for (unsigned turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < POOLS; i++) {
            assert_int_equal(
                tarn_pool_create(
                    &pools[i],
                    &(tarn_pool_options){.size = 16, .first_objects = 16, .threads = TARN_SHARED}),
                TARN_OK);
            void *object = tarn_pool_alloc(pools[i]);
            assert_non_null(object);
            tarn_pool_free(pools[i], object);
        }
        for (size_t i = 0; i < POOLS; i++) {
            pthread_t thread;
            if (i % 7 == 0) {
                assert_int_equal(pthread_create(&thread, NULL, destroy, pools[i]), 0);
                pthread_join(thread, NULL);
            } else {
                tarn_pool_destroy(pools[i]);
            }
        }
    }
}

static atomic_bool has_forked;

static void *make_and_end_pools(void *argument)
{
    (void)argument;
    while (!atomic_load(&has_forked)) {
        tarn_pool *made;
        if (tarn_pool_create(&made, &(tarn_pool_options){.size = 48, .threads = TARN_SHARED}) ==
            TARN_OK) {
            tarn_pool_free(made, tarn_pool_alloc(made));
            tarn_pool_destroy(made);
        }
    }
    return NULL;
}

/* In the child no lock may be held by a thread that it does not have. */
static void a_child_forked_meanwhile_can_make_pools(void **state)
{
    (void)state;
    enum { CHILDREN = 60 };
    pthread_t threads[2];
    atomic_store(&has_forked, false);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, make_and_end_pools, NULL), 0);
    }
    unsigned good = 0;
    for (unsigned i = 0; i < CHILDREN; i++) {
        const pid_t child = fork();
        if (child == 0) {
            tarn_pool *made;
            alarm(20);
            const bool done =
                tarn_pool_create(&made, &(tarn_pool_options){.size = 48, .threads = TARN_SHARED}) ==
                    TARN_OK &&
                tarn_pool_alloc(made) != NULL;
            _exit(done ? 0 : 1);
        }
        int status = 1;
        assert_int_equal(waitpid(child, &status, 0), child);
        good += status == 0;
    }
    atomic_store(&has_forked, true);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(good, CHILDREN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_share_a_pool_and_free_each_others_objects),
        cmocka_unit_test(threads_share_a_pool_that_sees_each_call),
        cmocka_unit_test(threads_share_a_pool_that_is_too_small_for_all),
        cmocka_unit_test(a_consumers_cache_does_not_starve_the_producer),
        cmocka_unit_test(an_exhausted_pool_asks_the_caches_for_their_objects),
        cmocka_unit_test(what_an_ended_thread_kept_goes_back),
        cmocka_unit_test(many_pools_come_and_go_on_several_threads),
        cmocka_unit_test(a_child_forked_meanwhile_can_make_pools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
