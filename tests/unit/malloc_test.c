/* SPDX-License-Identifier: MIT */
#include "tarn/malloc.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fatal.h"

/* The process-wide malloc by its own names. What libc's names promise is tested in tests/preload. */

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

static const size_t sizes[] = {0,     1,     7,      8,    9,       16,      17,    100,
                               1000,  1024,  4096,   5000, 20000,   32767,   32768, 32769,
                               40000, 65536, 100000, MIB,  3 * MIB, 20 * MIB};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

/* Keeps the compiler from knowing that a size is too large. */
static size_t opaque(size_t size)
{
    volatile size_t hidden = size;
    return hidden;
}

static void blocks_of_any_size_are_aligned_and_roomy(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        unsigned char *block = tarn_malloc(sizes[i]);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % (sizes[i] <= 8 ? 8 : 16), 0);
        const size_t room = tarn_malloc_usable_size(block);
        assert_true(room >= sizes[i]);
        memset(block, 0xa5, room);
        tarn_free(block);
        unsigned char *zeroed = tarn_calloc(1, sizes[i]);
        assert_non_null(zeroed);
        for (size_t j = 0; j < sizes[i]; j++) {
            assert_int_equal(zeroed[j], 0);
        }
        memset(zeroed, 0xa5, sizes[i]);
        tarn_free_sized(zeroed, sizes[i]);
    }
    assert_int_equal(tarn_malloc_usable_size(NULL), 0);
    tarn_free(NULL);
    tarn_free_sized(NULL, 100);
}

static void requests_of_zero_bytes_are_distinct(void **state)
{
    (void)state;
    void *one = tarn_malloc(0);
    void *two = tarn_calloc(0, 10);
    void *three = tarn_aligned_alloc(64, 0);
    assert_non_null(one);
    assert_non_null(two);
    assert_non_null(three);
    assert_ptr_not_equal(one, two);
    assert_ptr_not_equal(two, three);
    assert_ptr_not_equal(one, three);
    tarn_free(one);
    tarn_free(two);
    tarn_free(three);
}

static void failures_are_null_and_enomem(void **state)
{
    (void)state;
    const size_t too_large[] = {(size_t)PTRDIFF_MAX + 1, SIZE_MAX, SIZE_MAX - 4095,
                                (size_t)1 << 48};
    void *old = tarn_malloc(100);
    memset(old, 1, 100);
    for (size_t i = 0; i < sizeof too_large / sizeof too_large[0]; i++) {
        const size_t size = opaque(too_large[i]);
        errno = 0;
        assert_null(tarn_malloc(size));
        assert_int_equal(errno, ENOMEM);
        errno = 0;
        assert_null(tarn_calloc(size, 1));
        assert_int_equal(errno, ENOMEM);
        errno = 0;
        assert_null(tarn_calloc(size, 4));
        assert_int_equal(errno, ENOMEM);
        errno = 0;
        assert_null(tarn_realloc(old, size));
        assert_int_equal(errno, ENOMEM);
        errno = 0;
        assert_null(tarn_reallocarray(old, size, 4));
        assert_int_equal(errno, ENOMEM);
        errno = 0;
        assert_null(tarn_aligned_alloc(4096, size));
        assert_int_equal(errno, ENOMEM);
    }
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(((unsigned char *)old)[i], 1);
    }
    tarn_free(old);
}

static void alignments_that_are_no_power_of_two_are_einval(void **state)
{
    (void)state;
    const size_t bad[] = {0, 3, 24, 100, 4097, SIZE_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        errno = 0;
        assert_null(tarn_aligned_alloc(opaque(bad[i]), 64));
        assert_int_equal(errno, EINVAL);
    }
    for (size_t alignment = 1; alignment <= 8 * MIB; alignment *= 2) {
        for (size_t i = 0; i < SIZES; i++) {
            void *block = tarn_aligned_alloc(alignment, sizes[i]);
            assert_non_null(block);
            assert_int_equal((uintptr_t)block % alignment, 0);
            memset(block, 1, sizes[i] < 4096 ? sizes[i] : 4096);
            tarn_free(block);
        }
    }
}

static void realloc_keeps_contents_between_all_sizes(void **state)
{
    (void)state;
    for (size_t from = 0; from < SIZES; from++) {
        for (size_t to = 0; to < SIZES; to++) {
            if (sizes[to] == 0) {
                continue;
            }
            unsigned char *block = tarn_malloc(sizes[from]);
            const size_t kept = sizes[from] < sizes[to] ? sizes[from] : sizes[to];
            memset(block, 0x3c, sizes[from]);
            block = tarn_realloc(block, sizes[to]);
            assert_non_null(block);
            for (size_t i = 0; i<kept; i += kept> 100000 ? 997 : 1) {
                assert_int_equal(block[i], 0x3c);
            }
            memset(block, 0x4d, sizes[to]);
            tarn_free_sized(block, sizes[to]);
        }
    }
    void *block = tarn_realloc(NULL, 100);
    assert_non_null(block);
    assert_null(tarn_realloc(block, 0));
    block = tarn_reallocarray(NULL, 10, 10);
    assert_non_null(block);
    tarn_free(block);
}

static void the_process_wide_malloc_is_a_heap(void **state)
{
    (void)state;
    tarn_heap *heap = tarn_malloc_heap();
    assert_non_null(heap);
    assert_ptr_equal(heap, tarn_malloc_heap());
    assert_non_null(heap->name);
    void *block = tarn_heap_alloc(heap, 1000, 0);
    assert_non_null(block);
    tarn_free(block);
    block = tarn_malloc(1000);
    tarn_heap_free(heap, block, 1000);
    block = tarn_heap_calloc(heap, 10, 100, 256);
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % 256, 0);
    block = tarn_heap_realloc(heap, block, 1000, 100000, 256);
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % 256, 0);
    tarn_heap_free(heap, block, 100000);
    /* What is asked of a pool whose blocks are everybody's. */
    assert_true(tarn_heap_check(heap, NULL, 0));
    assert_int_equal(tarn_heap_reset(heap), TARN_UNSUPPORTED);
    const tarn_stats before = tarn_heap_stats(heap);
    void *large = tarn_malloc(5 * MIB);
    assert_non_null(large);
    const tarn_stats after = tarn_heap_stats(heap);
    assert_true(after.live >= before.live + 5 * MIB);
    assert_true(after.footprint >= after.live);
    assert_true(after.peak_footprint >= after.footprint);
    tarn_free(large);
}

static void trim_tells_what_it_gave_back(void **state)
{
    (void)state;
    static void *blocks[20000];
    (void)tarn_malloc_trim();
    for (size_t i = 0; i < 20000; i++) {
        blocks[i] = tarn_malloc(1000);
        memset(blocks[i], 1, 1000);
    }
    for (size_t i = 0; i < 20000; i++) {
        tarn_free(blocks[i]);
    }
    /* The decay may have been quicker with a part. */
    tarn_malloc_stats stats;
    (void)tarn_malloc_trim();
    tarn_malloc_stats_get(&stats, sizeof stats);
    assert_true(stats.dirty < MIB);
    assert_true(tarn_malloc_trim() < MIB);
}

static void misuse_ends_in_the_fatal_handler(void **state)
{
    (void)state;
    char *block = tarn_malloc(100);
    long local = 0;
    assert_fatal((tarn_free(block), tarn_free(block)), "double free", "malloc", block);
    assert_fatal(tarn_free(block + 16), "not a block", "malloc", block + 16);
    assert_fatal(tarn_free(&local), "not a block", "malloc", &local);
    assert_fatal(tarn_free_sized(block, 5000), "wrong size in sized free", "malloc", block);
    assert_fatal((void)tarn_realloc(&local, 10), "not a block", "malloc", &local);
    assert_fatal((void)tarn_malloc_usable_size(&local), "not a block", "malloc", &local);
    tarn_free(block);
}

static void errno_is_kept_by_free(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        void *block = tarn_malloc(sizes[i]);
        errno = 777;
        tarn_free(block);
        assert_int_equal(errno, 777);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_any_size_are_aligned_and_roomy),
        cmocka_unit_test(requests_of_zero_bytes_are_distinct),
        cmocka_unit_test(failures_are_null_and_enomem),
        cmocka_unit_test(alignments_that_are_no_power_of_two_are_einval),
        cmocka_unit_test(realloc_keeps_contents_between_all_sizes),
        cmocka_unit_test(the_process_wide_malloc_is_a_heap),
        cmocka_unit_test(trim_tells_what_it_gave_back),
        cmocka_unit_test(misuse_ends_in_the_fatal_handler),
        cmocka_unit_test(errno_is_kept_by_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
