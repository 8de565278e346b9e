/* SPDX-License-Identifier: MIT */
#include "tarn/heaps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pool/unpooled.h"
#include "unit/tools.h"

static void blocks_of_the_system_heap_are_aligned_and_keep_their_contents(void **state)
{
    (void)state;
    tarn_heap *heap = tarn_system_heap();
    for (size_t alignment = 1; alignment <= 4096; alignment *= 2) {
        unsigned char *block = tarn_heap_alloc(heap, 100, alignment);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % alignment, 0);
        memset(block, 0x5a, 100);
        block = tarn_heap_realloc(heap, block, 100, 5000, alignment);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % alignment, 0);
        assert_int_equal(block[0], 0x5a);
        assert_int_equal(block[99], 0x5a);
        tarn_heap_free(heap, block, 5000);
    }
}

static void the_system_heap_gives_zeroed_blocks_of_any_alignment(void **state)
{
    (void)state;
    for (size_t alignment = 8; alignment <= 256; alignment *= 2) {
        unsigned char *block = tarn_heap_calloc(tarn_system_heap(), 10, 30, alignment);
        assert_non_null(block);
        for (size_t i = 0; i < 300; i++) {
            assert_int_equal(block[i], 0);
        }
        tarn_heap_free(tarn_system_heap(), block, 300);
    }
}

static void the_system_heap_refuses_what_is_too_large(void **state)
{
    (void)state;
    assert_null(tarn_heap_alloc(tarn_system_heap(), SIZE_MAX / 2 + 1, 0));
    /* A sanitizer's malloc ends the program there, unless it is told not to. */
    if (IS_UNDER_NO_TOOL) {
        assert_null(tarn_heap_alloc(tarn_system_heap(), SIZE_MAX / 4, 0));
    }
}

static void pooling_is_on_until_the_program_says_no(void **state)
{
    (void)state;
    assert_true(tarn_pooling());
    tarn_set_pooling(false);
    assert_false(tarn_pooling());
    tarn_set_pooling(true);
    assert_true(tarn_pooling());
}

static bool add_sizes(void *context, void *block, size_t size)
{
    (void)block;
    *(size_t *)context += size;
    return true;
}

static void a_list_of_unpooled_blocks_knows_its_own_and_no_others(void **state)
{
    (void)state;
    pool_unpooled *list = pool_unpooled_create();
    assert_non_null(list);
    void *blocks[100];
    size_t live = 0;
    for (size_t i = 0; i < 100; i++) {
        blocks[i] = pool_unpooled_alloc(list, i + 1, 64);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 64, 0);
        assert_int_equal(pool_unpooled_size(list, blocks[i]), i + 1);
        live += i + 1;
    }
    int foreign;
    assert_false(pool_unpooled_free(list, &foreign));
    assert_int_equal(pool_unpooled_size(list, &foreign), 0);
    assert_true(pool_unpooled_free(list, blocks[40]));
    assert_false(pool_unpooled_free(list, blocks[40]));
    live -= 41;
    size_t seen = 0;
    assert_true(pool_unpooled_visit(list, add_sizes, &seen));
    assert_int_equal(seen, live);
    tarn_stats stats;
    pool_unpooled_stats(list, &stats);
    assert_int_equal(stats.live, live);
    assert_int_equal(stats.blocks, 99);
    pool_unpooled_free_all(list);
    pool_unpooled_stats(list, &stats);
    assert_int_equal(stats.live, 0);
    assert_int_equal(stats.footprint, 0);
    assert_non_null(pool_unpooled_alloc(list, 10, 16));
    pool_unpooled_destroy(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_the_system_heap_are_aligned_and_keep_their_contents),
        cmocka_unit_test(the_system_heap_gives_zeroed_blocks_of_any_alignment),
        cmocka_unit_test(the_system_heap_refuses_what_is_too_large),
        cmocka_unit_test(pooling_is_on_until_the_program_says_no),
        cmocka_unit_test(a_list_of_unpooled_blocks_knows_its_own_and_no_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
