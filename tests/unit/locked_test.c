/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tarn/heaps.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    THREADS = 4,
    ROUNDS = 10000,
    HELD = 16,
};

static _Alignas(64) unsigned char memory[1 << 20];
static tarn_buffer buffer;
static tarn_counted counted;
static tarn_locked locked;

/* Blocks on their way from thread to thread; the first byte is the size. */
static _Atomic(unsigned char *) exchange[HELD];
static atomic_int faults;
static pthread_barrier_t start; /* so that no thread is done before the next begins */

static bool count_block(void *context, void *block, size_t size)
{
    (void)block;
    (void)size;
    ++*(uint64_t *)context;
    return true;
}

static void *use_heap(void *context)
{
    uint64_t random = (uintptr_t)context;
    pthread_barrier_wait(&start);
    for (int round = 0; round < ROUNDS; round++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const size_t size = 2 + (size_t)(random >> 40) % 200;
        unsigned char *block = tarn_heap_alloc(&locked.heap, size, 0);
        if (block == NULL) {
            atomic_fetch_add(&faults, 1);
            continue;
        }
        memset(block, (int)size, size);
        block = atomic_exchange(&exchange[(random >> 33) % HELD], block);
        if (block != NULL) {
            const size_t other_size = block[0];
            if (block[other_size - 1] != other_size) {
                atomic_fetch_add(&faults, 1);
            }
            tarn_heap_free(&locked.heap, block, other_size);
        }
        if (round % 256 == 0) {
            uint64_t visited = 0;
            if (!tarn_heap_check(&locked.heap, NULL, 0) ||
                tarn_heap_visit(&locked.heap, count_block, &visited) != TARN_OK ||
                tarn_heap_stats(&locked.heap).blocks > HELD + THREADS) {
                atomic_fetch_add(&faults, 1);
            }
        }
    }
    return NULL;
}

static void threads_share_a_heap_that_is_for_one(void **state)
{
    (void)state;
    tarn_buffer_init(&buffer, (tarn_memory){memory, sizeof memory}, NULL);
    tarn_counted_init(&counted, &(tarn_counted_options){.upstream = &buffer.heap});
    tarn_locked_init(&locked, &(tarn_locked_options){.upstream = &counted.heap});
    pthread_t threads[THREADS];
    pthread_barrier_init(&start, NULL, THREADS);
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, use_heap, (void *)(i + 1)), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&start);
    assert_int_equal(faults, 0);
    assert_int_equal(counted.counts.allocs, THREADS * ROUNDS);
    for (int i = 0; i < HELD; i++) {
        unsigned char *block = exchange[i];
        tarn_heap_free(&locked.heap, block, block != NULL ? block[0] : 0);
    }
    const tarn_stats stats = tarn_heap_stats(&locked.heap);
    assert_int_equal(stats.live, 0);
    assert_int_equal(stats.allocs, THREADS * ROUNDS);
    assert_true(tarn_heap_check(&locked.heap, NULL, 0));
    tarn_buffer_deinit(&buffer);
}

static void it_shows_the_books_of_its_upstream(void **state)
{
    (void)state;
    tarn_buffer_init(&buffer, (tarn_memory){memory, sizeof memory}, NULL);
    tarn_locked_init(&locked, &(tarn_locked_options){.upstream = &buffer.heap, .name = "gate"});
    assert_string_equal(locked.heap.name, "gate");
    void *block = tarn_heap_alloc(&locked.heap, 100, 0);
    assert_true(tarn_heap_resize(&locked.heap, block, 100, 200));
    assert_false(tarn_heap_resize(&locked.heap, block, 200, sizeof memory));
    const tarn_stats own = tarn_heap_stats(&locked.heap);
    const tarn_stats upstream = tarn_heap_stats(&buffer.heap);
    assert_memory_equal(&own, &upstream, sizeof own);
    assert_int_equal(own.live, 200);
    assert_int_equal(tarn_heap_reset(&locked.heap), TARN_OK);
    assert_int_equal(tarn_heap_stats(&buffer.heap).live, 0);
    tarn_buffer_deinit(&buffer);
}

static void what_its_upstream_cannot_it_cannot(void **state)
{
    (void)state;
    tarn_guarded guarded;
    tarn_locked_init(&locked, NULL);
    assert_int_equal(tarn_heap_reset(&locked.heap), TARN_UNSUPPORTED);
    tarn_guarded_init(&guarded, NULL);
    tarn_locked_init(&locked, &(tarn_locked_options){.upstream = &guarded.heap});
    char *block = tarn_heap_calloc(&locked.heap, 1, 10, 0);
    assert_int_equal(block[9], 0);
    assert_false(tarn_heap_resize(&locked.heap, block, 10, 5));
    tarn_heap_free(&locked.heap, block, 10);
    assert_int_equal(tarn_heap_reset(&locked.heap), TARN_OK);
    tarn_guarded_deinit(&guarded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_share_a_heap_that_is_for_one),
        cmocka_unit_test(it_shows_the_books_of_its_upstream),
        cmocka_unit_test(what_its_upstream_cannot_it_cannot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
