/* SPDX-License-Identifier: MIT */
#include "tarn/pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { THREADS = 4, OBJECTS = 200 };

static void each_eight_bytes_have_a_pool(void **state)
{
    (void)state;
    assert_null(tarn_pool_of_process(0));
    assert_null(tarn_pool_of_process(TARN_POOL_OF_PROCESS_MAX + 1));
    assert_null(tarn_pool_of_process(SIZE_MAX));
    for (size_t size = 1; size <= TARN_POOL_OF_PROCESS_MAX; size++) {
        tarn_pool *pool = tarn_pool_of_process(size);
        assert_non_null(pool);
        assert_ptr_equal(pool, tarn_pool_of_process(size));
        if (size > 1) {
            const bool is_same = pool == tarn_pool_of_process(size - 1);
            assert_int_equal(is_same, (size - 1) % 8 != 0);
        }
    }
}

static void objects_are_aligned_as_far_as_their_size_allows(void **state)
{
    (void)state;
    static void *objects[40];
    for (size_t size = 8; size <= TARN_POOL_OF_PROCESS_MAX; size += 8) {
        tarn_pool *pool = tarn_pool_of_process(size);
        const size_t divides = size & (~size + 1);
        for (size_t i = 0; i < 40; i++) {
            objects[i] = tarn_pool_alloc(pool);
            assert_non_null(objects[i]);
            assert_int_equal((uintptr_t)objects[i] % (divides < 64 ? divides : 64), 0);
            memset(objects[i], (int)i, size);
        }
        for (size_t i = 0; i < 40; i++) {
            assert_int_equal(((unsigned char *)objects[i])[0], i);
            assert_int_equal(((unsigned char *)objects[i])[size - 1], i);
            tarn_pool_free(pool, objects[i]);
        }
        assert_int_equal(tarn_pool_stats(pool).blocks, 0);
        assert_true(tarn_pool_check(pool, NULL, 0));
    }
}

static void *asked[THREADS];
static void *objects_of[THREADS][OBJECTS];
static pthread_barrier_t barrier;

static void *ask(void *argument)
{
    const size_t number = (size_t)(uintptr_t)argument;
    pthread_barrier_wait(&barrier);
    tarn_pool *pool = tarn_pool_of_process(sizeof(uint64_t));
    asked[number] = pool;
    for (size_t i = 0; i < OBJECTS; i++) {
        objects_of[number][i] = tarn_pool_alloc(pool);
    }
    pthread_barrier_wait(&barrier);
    for (size_t i = 0; i < OBJECTS; i++) {
        tarn_pool_free(pool, objects_of[(number + 1) % THREADS][i]);
    }
    return NULL;
}

/* Runs first, so that the pool is not there yet. */
static void threads_that_ask_at_once_get_the_same_pool(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ask, (void *)(uintptr_t)i), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_non_null(asked[i]);
        assert_ptr_equal(asked[i], asked[0]);
    }
    pthread_barrier_destroy(&barrier);
    assert_int_equal(tarn_pool_stats(tarn_pool_of_process(sizeof(uint64_t))).blocks, 0);
    assert_true(tarn_pool_check(tarn_pool_of_process(sizeof(uint64_t)), NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_that_ask_at_once_get_the_same_pool),
        cmocka_unit_test(each_eight_bytes_have_a_pool),
        cmocka_unit_test(objects_are_aligned_as_far_as_their_size_allows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
