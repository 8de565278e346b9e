/* SPDX-License-Identifier: MIT */
#include "tarn/heaps.h"
#include "tarn/movable.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unit/tools.h"

enum { SHARED = 500, READERS = 2 };

static tarn_movable heap;
static tarn_handle shared[SHARED];
static atomic_bool stop;
static atomic_uint faults;
static atomic_ulong pins;

static size_t shared_size(size_t i)
{
    return 40 + i * 13 % 700;
}

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* Pins, reads all of the block, and unpins; some pins overlap. */
static void *read_shared(void *argument)
{
    uint32_t seed = (uint32_t)(uintptr_t)argument;
    while (!atomic_load(&stop)) {
        const size_t i = next(&seed) % SHARED;
        const size_t j = next(&seed) % SHARED;
        const unsigned char *first = tarn_pin(&heap, shared[i]);
        const unsigned char *second = tarn_pin(&heap, shared[j]);
        bool good = true;
        for (size_t k = 0; k < shared_size(i); k++) {
            good = good && first[k] == (unsigned char)i;
        }
        good = good && second[shared_size(j) - 1] == (unsigned char)j;
        atomic_fetch_add(&faults, !good || first != tarn_movable_find(&heap, shared[i]));
        tarn_unpin(&heap, shared[j]);
        tarn_unpin(&heap, shared[i]);
        atomic_fetch_add(&pins, 2);
    }
    return NULL;
}

/* Makes and ends blocks of its own, so that there is always something to compact. */
static void *churn(void *argument)
{
    uint32_t seed = (uint32_t)(uintptr_t)argument;
    tarn_handle own[200] = {0};
    while (!atomic_load(&stop)) {
        tarn_handle *handle = &own[next(&seed) % 200];
        if (*handle == 0) {
            const size_t size = 1 + next(&seed) % 2000;
            *handle = tarn_movable_alloc(&heap, size, 8);
            if (*handle != 0) {
                TARN_PINNED(block, &heap, *handle);
                memset(block.block, 0x5a, size);
            }
        } else {
            const size_t size = tarn_movable_size(&heap, *handle);
            const unsigned char *block = tarn_pin(&heap, *handle);
            atomic_fetch_add(&faults, block[0] != 0x5a || block[size - 1] != 0x5a);
            tarn_unpin(&heap, *handle);
            if (next(&seed) % 4 == 0 && size > 1) {
                (void)tarn_movable_resize(&heap, *handle, size / 2);
            } else {
                tarn_movable_free(&heap, *handle);
                *handle = 0;
            }
        }
    }
    for (size_t i = 0; i < 200; i++) {
        tarn_movable_free(&heap, own[i]);
    }
    return NULL;
}

static void threads_pin_and_read_while_another_compacts(void **state)
{
    (void)state;
    assert_int_equal(
        tarn_movable_init(&heap, &(tarn_movable_options){.capacity = 2 << 20, .threads = true}),
        TARN_OK);
    tarn_handle between[SHARED];
    for (size_t i = 0; i < SHARED; i++) {
        shared[i] = tarn_movable_alloc(&heap, shared_size(i), 0);
        between[i] = tarn_movable_alloc(&heap, 100, 0);
        memset(tarn_deref(&heap, shared[i]), (int)i, shared_size(i));
    }
    for (size_t i = 0; i < SHARED; i++) {
        tarn_movable_free(&heap, between[i]);
    }
    pthread_t threads[READERS + 1];
    for (uintptr_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_shared, (void *)(i + 1)), 0);
    }
    assert_int_equal(pthread_create(&threads[READERS], NULL, churn, (void *)(uintptr_t)99), 0);
    /* Once more, until there was enough of everything. */
    for (unsigned turn = 0; turn < 400 || (atomic_load(&pins) < 2000 && turn < 1000000); turn++) {
        const tarn_movable_budget budget = {turn % 3 == 1 ? 20000 : 0, turn % 3 == 2 ? 100 : 0};
        assert_int_equal(tarn_movable_compact(&heap, &budget, NULL), TARN_OK);
        if (turn % 10 == 0) {
            char fault[200];
            if (!tarn_movable_check(&heap, fault, sizeof fault)) {
                fail_msg("%s", fault);
            }
        }
        if (turn % 7 == 0) {
            tarn_movable_pass pass;
            tarn_movable_move moves[8];
            const size_t wanted = 1 + turn % 8;
            assert_int_equal(tarn_movable_begin(&heap, &pass, NULL), TARN_OK);
            const size_t count = tarn_movable_next_moves(&pass, moves, wanted);
            for (size_t i = 0; i < count; i++) {
                memcpy(moves[i].to, moves[i].from, moves[i].size);
                moves[i].veto = i % 3 == 2;
            }
            tarn_movable_commit(&pass, NULL);
        }
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < READERS + 1; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&faults), 0);
    assert_true(atomic_load(&pins) >= 2000);
    assert_true(tarn_movable_history(&heap).blocks_moved > 100);
    assert_int_equal(tarn_movable_stats(&heap).blocks, SHARED);
    for (size_t i = 0; i < SHARED; i++) {
        const unsigned char *block = tarn_deref(&heap, shared[i]);
        assert_int_equal(block[0], (unsigned char)i);
        assert_int_equal(block[shared_size(i) - 1], (unsigned char)i);
    }
    assert_true(tarn_movable_check(&heap, NULL, 0));
    tarn_movable_deinit(&heap);
}

typedef struct pin_wait {
    tarn_handle handle;
    atomic_bool begun;
    void *pinned;
} pin_wait;

static void *pin_and_tell(void *argument)
{
    pin_wait *wait = argument;
    atomic_store(&wait->begun, true);
    wait->pinned = tarn_pin(&heap, wait->handle);
    return NULL;
}

static void who_pins_a_block_of_a_batch_gets_its_new_place(void **state)
{
    (void)state;
    assert_int_equal(
        tarn_movable_init(&heap, &(tarn_movable_options){.capacity = 1 << 20, .threads = true}),
        TARN_OK);
    static tarn_handle handles[1000];
    for (size_t i = 0; i < 1000; i++) {
        handles[i] = tarn_movable_alloc(&heap, 100, 8);
    }
    for (size_t i = 0; i < 1000; i++) {
        if (i < 500 ? i % 2 == 0 : i % 10 != 0) {
            tarn_movable_free(&heap, handles[i]);
        }
    }
    tarn_movable_pass pass;
    tarn_movable_move move;
    assert_int_equal(tarn_movable_begin(&heap, &pass, NULL), TARN_OK);
    assert_int_equal(tarn_movable_next_moves(&pass, &move, 1), 1);
    pin_wait wait = {.handle = move.handle};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, pin_and_tell, &wait), 0);
    while (!atomic_load(&wait.begun)) {
    }
    memcpy(move.to, move.from, move.size);
    tarn_movable_commit(&pass, NULL);
    pthread_join(thread, NULL);
    assert_true(wait.pinned == move.to || wait.pinned == move.from);
    assert_ptr_equal(wait.pinned, tarn_movable_find(&heap, move.handle));
    tarn_unpin(&heap, move.handle);
    tarn_movable_deinit(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_pin_and_read_while_another_compacts),
        cmocka_unit_test(who_pins_a_block_of_a_batch_gets_its_new_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
