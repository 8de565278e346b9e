/* SPDX-License-Identifier: MIT */
#include "tarn/heaps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static _Alignas(64) unsigned char memory[8192];

static void requests_are_counted_by_kind_and_size(void **state)
{
    (void)state;
    tarn_buffer buffer;
    tarn_counted counted;
    tarn_buffer_init(&buffer, (tarn_memory){memory, sizeof memory}, NULL);
    assert_int_equal(tarn_counted_init(&counted, &(tarn_counted_options){.upstream = &buffer.heap,
                                                                         .name = "tally"}),
                     TARN_OK);
    assert_string_equal(counted.heap.name, "tally");
    const tarn_counts *counts = &counted.counts;

    void *a = tarn_heap_alloc(&counted.heap, 0, 0);
    void *b = tarn_heap_alloc(&counted.heap, 127, 0);
    void *c = tarn_heap_calloc(&counted.heap, 2, 64, 0);
    assert_null(tarn_heap_alloc(&counted.heap, 100000, 0));
    assert_int_equal(counts->allocs, 3);
    assert_int_equal(counts->failures, 1);
    assert_int_equal(counts->sizes[0], 1);
    assert_int_equal(counts->sizes[6], 1);
    assert_int_equal(counts->sizes[7], 1);
    assert_int_equal(counts->alloced_bytes, 1 + 127 + 128);
    assert_int_equal(counts->largest, 128);

    assert_true(tarn_heap_resize(&counted.heap, c, 128, 1000));
    assert_false(tarn_heap_resize(&counted.heap, b, 127, 1000));
    assert_true(tarn_heap_resize(&counted.heap, c, 1000, 500));
    assert_int_equal(counts->resizes, 2);
    assert_int_equal(counts->alloced_bytes, 1 + 127 + 1000);
    assert_int_equal(counts->largest, 1000);
    assert_int_equal(counts->moves, 0);

    tarn_heap_free(&counted.heap, a, 0);
    assert_int_equal(counts->frees, 1);
    tarn_stats stats = tarn_heap_stats(&counted.heap);
    assert_int_equal(stats.live, 127 + 500);
    assert_int_equal(stats.peak_live, 1 + 127 + 1000);
    assert_int_equal(stats.failures, 1);
    assert_int_equal(tarn_heap_reset(&counted.heap), TARN_OK);
    assert_int_equal(counts->frees, 3);
    assert_int_equal(tarn_heap_stats(&counted.heap).live, 0);
    tarn_buffer_deinit(&buffer);
}

static void moves_of_upstream_are_counted(void **state)
{
    (void)state;
    tarn_counted counted;
    tarn_counted_init(&counted, NULL);
    void *block = tarn_heap_alloc(&counted.heap, 10000, 0);
    block = tarn_heap_realloc(&counted.heap, block, 10000, 10000000, 0);
    assert_non_null(block);
    assert_int_equal(counted.counts.moves + counted.counts.resizes, 1);
    assert_int_equal(counted.counts.allocs, 1);
    assert_int_equal(counted.counts.largest, 10000000);
    assert_int_equal(counted.counts.alloced_bytes, 10000000);
    tarn_heap_free(&counted.heap, block, 10000000);
    assert_int_equal(tarn_heap_stats(&counted.heap).live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_counted_by_kind_and_size),
        cmocka_unit_test(moves_of_upstream_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
