/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tarn/heaps.h"
#include "tarn/ring.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/fatal.h"
#include "unit/space_tools.h"
#include "unit/tools.h"

static void what_passes_the_end_is_still_one_stretch(void **state)
{
    (void)state;
    static tarn_ring ring;
    size_t size = 0;
    assert_int_equal(tarn_ring_init(&ring, &(tarn_ring_options){.size = 5000}), TARN_OK);
    (void)tarn_ring_data(&ring, &size);
    assert_int_equal(size, 0);
    (void)tarn_ring_space(&ring, &size);
    assert_int_equal(size, 8192);
    for (unsigned turn = 0; turn < 100; turn++) {
        unsigned char *to = tarn_ring_space(&ring, &size);
        assert_int_equal(size, 8192);
        for (size_t i = 0; i < 3000; i++) {
            to[i] = (unsigned char)(i + turn);
        }
        tarn_ring_commit(&ring, 3000);
        const unsigned char *from = tarn_ring_data(&ring, &size);
        assert_int_equal(size, 3000);
        for (size_t i = 0; i < 3000; i++) {
            assert_int_equal(from[i], (unsigned char)(i + turn));
        }
        tarn_ring_consume(&ring, 3000);
    }
    tarn_ring_deinit(&ring);
}

static void the_mirrors_are_the_same_memory(void **state)
{
    (void)state;
    static tarn_ring ring;
    size_t size = 0;
    assert_int_equal(tarn_ring_init(&ring, &(tarn_ring_options){.size = 3 * 4096}), TARN_OK);
    volatile unsigned char *start = tarn_ring_space(&ring, &size);
    for (size_t i = 0; i < size; i += 1000) {
        start[i] = (unsigned char)(i / 1000 + 1);
        assert_int_equal(start[size + i], i / 1000 + 1);
        start[size + i] = 0;
        assert_int_equal(start[i], 0);
    }
    tarn_ring_deinit(&ring);
}

static void it_fills_up_and_empties_to_the_last_byte(void **state)
{
    (void)state;
    static tarn_ring ring;
    size_t size = 0;
    assert_int_equal(tarn_ring_init(&ring, &(tarn_ring_options){.size = 1}), TARN_OK);
    tarn_ring_commit(&ring, 4000);
    tarn_ring_consume(&ring, 4000);
    tarn_ring_commit(&ring, 4096);
    (void)tarn_ring_space(&ring, &size);
    assert_int_equal(size, 0);
    (void)tarn_ring_data(&ring, &size);
    assert_int_equal(size, 4096);
    assert_fatal(tarn_ring_commit(&ring, 1), "more was committed than there is space for", "ring",
                 &ring);
    assert_fatal(tarn_ring_consume(&ring, 4097), "more was consumed than there is", "ring", &ring);
    tarn_ring_consume(&ring, 4096);
    tarn_ring_deinit(&ring);
}

enum { BYTES = 3000000 };

static void *produce(void *context)
{
    tarn_ring *ring = context;
    uint32_t next = 1;
    for (size_t sent = 0; sent < BYTES;) {
        size_t size = 0;
        unsigned char *to = tarn_ring_space(ring, &size);
        size = size < BYTES - sent ? size : BYTES - sent;
        for (size_t i = 0; i < size; i++) {
            next = next * 1664525 + 1013904223;
            to[i] = (unsigned char)(next >> 24);
        }
        tarn_ring_commit(ring, size);
        sent += size;
        if (size == 0) {
            sched_yield();
        }
    }
    return NULL;
}

static void two_threads_pass_bytes_without_a_lock(void **state)
{
    (void)state;
    static tarn_ring ring;
    pthread_t thread;
    uint32_t next = 1;
    assert_int_equal(tarn_ring_init(&ring, &(tarn_ring_options){.size = 10000}), TARN_OK);
    assert_int_equal(pthread_create(&thread, NULL, produce, &ring), 0);
    for (size_t got = 0; got < BYTES;) {
        size_t size = 0;
        const unsigned char *from = tarn_ring_data(&ring, &size);
        for (size_t i = 0; i < size; i++) {
            next = next * 1664525 + 1013904223;
            assert_int_equal(from[i], (unsigned char)(next >> 24));
        }
        tarn_ring_consume(&ring, size);
        got += size;
        if (size == 0) {
            sched_yield();
        }
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    tarn_ring_deinit(&ring);
}

static void frames_of_the_callers_are_given_back(void **state)
{
    (void)state;
    static tarn_ring ring;
    tarn_frames frames;
    make_frames(&frames, 4);
    assert_int_equal(tarn_ring_init(&ring, &(tarn_ring_options){.size = 12288, .frames = &frames}),
                     TARN_OK);
    assert_int_equal(tarn_frames_stats(&frames).used, 3);
    tarn_ring_deinit(&ring);
    assert_int_equal(
        tarn_ring_init(&ring, &(tarn_ring_options){.size = 5 * 4096, .frames = &frames}),
        TARN_NO_ROOM);
    end_frames(&frames);
}

static void rings_that_cannot_be_are_refused_and_nothing_is_left(void **state)
{
    (void)state;
    static tarn_ring ring;
    tarn_frames frames;
    assert_int_equal(tarn_ring_init(&ring, &(tarn_ring_options){.size = 0}), TARN_BAD_LAYOUT);
    assert_int_equal(tarn_ring_init(&ring, &(tarn_ring_options){.size = SIZE_MAX}), TARN_TOO_LARGE);
    assert_int_equal(tarn_ring_init(&ring, &(tarn_ring_options){.size = PTRDIFF_MAX / 2}),
                     TARN_TOO_LARGE);
    make_frames(&frames, 4);
    tarn_status status = TARN_NO_MEMORY;
    unsigned failures = 0;
    for (uint64_t nth = 1; status != TARN_OK; nth++) {
        tarn_failing failing;
        tarn_failing_init(&failing, &(tarn_failing_options){.plan = {.at = nth}});
        status = tarn_ring_init(
            &ring,
            &(tarn_ring_options){.size = 12288, .frames = &frames, .upstream = &failing.heap});
        if (status == TARN_OK) {
            tarn_ring_deinit(&ring);
        } else {
            assert_int_equal(status, TARN_NO_MEMORY);
            failures++;
        }
        assert_int_equal(tarn_heap_stats(&failing.heap).live, 0);
        assert_int_equal(tarn_frames_stats(&frames).used, 0);
    }
    assert_true(failures >= 4);
    end_frames(&frames);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_passes_the_end_is_still_one_stretch),
        cmocka_unit_test(the_mirrors_are_the_same_memory),
        cmocka_unit_test(it_fills_up_and_empties_to_the_last_byte),
        cmocka_unit_test(two_threads_pass_bytes_without_a_lock),
        cmocka_unit_test(frames_of_the_callers_are_given_back),
        cmocka_unit_test(rings_that_cannot_be_are_refused_and_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
