/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "os/os.h"
#include "tarn/heaps.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fatal.h"
#include "tools.h"

static void blocks_are_zeroed_pages_at_the_alignment_asked_for(void **state)
{
    (void)state;
    tarn_pages pages;
    tarn_pages_init(&pages, NULL);
    const size_t page_size = os_page_size();
    for (size_t alignment = 1; alignment <= 64 * page_size; alignment *= 2) {
        unsigned char *block = tarn_heap_calloc(&pages.heap, 1, 3 * page_size + 1, alignment);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % (alignment < page_size ? page_size : alignment), 0);
        for (size_t i = 0; i < 3 * page_size + 1; i += 509) {
            assert_int_equal(block[i], 0);
        }
    }
    tarn_pages_deinit(&pages);
}

static void footprint_is_whole_pages_and_the_ledgers_own(void **state)
{
    (void)state;
    tarn_pages pages;
    tarn_pages_init(&pages, NULL);
    const size_t page_size = os_page_size();
    assert_int_equal(tarn_heap_stats(&pages.heap).footprint, 0);
    void *block = tarn_heap_alloc(&pages.heap, page_size + 1, 0);
    const size_t ledger = tarn_heap_stats(&pages.heap).footprint - 2 * page_size;
    assert_true(ledger > 0 && ledger % page_size == 0);
    assert_int_equal(tarn_heap_stats(&pages.heap).live, page_size + 1);
    assert_int_equal(tarn_heap_trim(&pages.heap), 0);
    tarn_heap_free(&pages.heap, block, page_size + 1);
    assert_int_equal(tarn_heap_stats(&pages.heap).footprint, ledger);
    assert_int_equal(tarn_heap_trim(&pages.heap), ledger);
    assert_int_equal(tarn_heap_stats(&pages.heap).footprint, 0);
    assert_int_equal(tarn_heap_stats(&pages.heap).peak_footprint, ledger + 2 * page_size);
    tarn_pages_deinit(&pages);
}

static void what_the_kernel_refuses_is_null_and_leaves_errno_alone(void **state)
{
    (void)state;
    tarn_pages pages;
    tarn_pages_init(&pages, NULL);
    unsigned char *block = tarn_heap_alloc(&pages.heap, 100, 0);
    block[99] = 7;
    errno = 4321;
    assert_null(tarn_heap_alloc(&pages.heap, PTRDIFF_MAX, 0));
    assert_null(tarn_heap_alloc(&pages.heap, PTRDIFF_MAX - 4095, (size_t)1 << 62));
    assert_null(tarn_heap_alloc(&pages.heap, 1, SIZE_MAX / 2 + 1));
    assert_false(tarn_heap_resize(&pages.heap, block, 100, PTRDIFF_MAX));
    assert_null(tarn_heap_realloc(&pages.heap, block, 100, PTRDIFF_MAX, 0));
    assert_int_equal(errno, 4321);
    assert_int_equal(block[99], 7);
    const tarn_stats stats = tarn_heap_stats(&pages.heap);
    assert_int_equal(stats.failures, 4);
    assert_int_equal(stats.blocks, 1);
    assert_int_equal(stats.live, 100);
    assert_true(tarn_heap_check(&pages.heap, NULL, 0));
    tarn_pages_deinit(&pages);
}

/* Bytes of the process's mappings, and of those what is in memory. */
static void ask_sizes(size_t *mapped, size_t *resident)
{
    unsigned long mapped_pages = 0;
    unsigned long resident_pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &mapped_pages, &resident_pages), 2);
    fclose(file);
    *mapped = mapped_pages * os_page_size();
    *resident = resident_pages * os_page_size();
}

static size_t resident_size(void)
{
    size_t mapped;
    size_t resident;
    ask_sizes(&mapped, &resident);
    return resident;
}

static size_t mapped_size(void)
{
    size_t mapped;
    size_t resident;
    ask_sizes(&mapped, &resident);
    return mapped;
}

static void touch_a_gigabyte_lightly(tarn_heap *heap)
{
    const size_t gigabyte = (size_t)1 << 30;
    const size_t before = resident_size();
    unsigned char *block = tarn_heap_calloc(heap, 1, gigabyte, 0);
    assert_non_null(block);
    memset(block, 1, 1 << 20);
    /* A neighbour behind the block makes it move. */
    void *neighbour = tarn_heap_alloc(heap, 1, 0);
    block = tarn_heap_realloc(heap, block, gigabyte, 2 * gigabyte, 0);
    assert_non_null(block);
    assert_int_equal(block[0] + block[(1 << 20) - 1] + block[1 << 20], 2);
    assert_int_equal(block[2 * gigabyte - 1], 0);
    assert_true(resident_size() < before + ((size_t)8 << 20));
    tarn_heap_free(heap, block, 2 * gigabyte);
    tarn_heap_free(heap, neighbour, 1);
    assert_true(resident_size() < before + ((size_t)1 << 20));
}

static void calloc_and_realloc_of_a_gigabyte_touch_only_what_the_user_did(void **state)
{
    (void)state;
    if (!IS_UNDER_NO_TOOL) {
        skip();
    }
    tarn_pages pages;
    tarn_pages_init(&pages, NULL);
    touch_a_gigabyte_lightly(&pages.heap);
    tarn_pages_deinit(&pages);
    touch_a_gigabyte_lightly(tarn_pages_heap());
}

static void many_blocks_are_found_again(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    static void *blocks[COUNT];
    tarn_pages pages;
    tarn_pages_init(&pages, NULL);
    const size_t mapped = mapped_size();
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            blocks[i] = tarn_heap_alloc(&pages.heap, i + 1, 0);
            assert_non_null(blocks[i]);
        }
        assert_true(tarn_heap_check(&pages.heap, NULL, 0));
        for (size_t i = 0; i < COUNT; i++) {
            const size_t which = i * 7 % COUNT;
            tarn_heap_free(&pages.heap, blocks[which], which + 1);
        }
        assert_true(tarn_heap_check(&pages.heap, NULL, 0));
        assert_int_equal(tarn_heap_stats(&pages.heap).live, 0);
    }
    tarn_heap_trim(&pages.heap);
    assert_true(!IS_UNDER_NO_TOOL || mapped_size() == mapped);
    tarn_pages_deinit(&pages);
}

static void the_shared_heap_cannot_be_reset(void **state)
{
    (void)state;
    char *block = tarn_heap_alloc(tarn_pages_heap(), 10, 0);
    block[9] = 'x';
    assert_int_equal(tarn_heap_reset(tarn_pages_heap()), TARN_UNSUPPORTED);
    assert_int_equal(block[9], 'x');
    tarn_heap_free(tarn_pages_heap(), block, 10);
}

static void deinit_gives_live_blocks_back_to_the_kernel(void **state)
{
    (void)state;
    if (!IS_UNDER_NO_TOOL) {
        skip();
    }
    const size_t size = (size_t)32 << 20;
    const size_t before = resident_size();
    tarn_pages pages;
    tarn_pages_init(&pages, NULL);
    memset(tarn_heap_alloc(&pages.heap, size, 0), 1, size);
    assert_true(resident_size() >= before + size);
    tarn_pages_deinit(&pages);
    assert_true(resident_size() < before + size / 2);
}

static void misuse_of_blocks_is_fatal(void **state)
{
    (void)state;
    tarn_pages pages;
    tarn_pages_init(&pages, &(tarn_pages_options){.name = "atlas"});
    char *block = tarn_heap_alloc(&pages.heap, 100, 0);
    char other = 0;
    const char *lost = "not a block of this heap, or freed already";
    const char *size = "wrong size given back with the block";
    assert_fatal(tarn_heap_free(&pages.heap, &other, 1), lost, "atlas", &other);
    assert_fatal(tarn_heap_free(&pages.heap, block + 16, 100), lost, "atlas", block + 16);
    assert_fatal(tarn_heap_free(&pages.heap, block, 101), size, "atlas", block);
    assert_fatal(tarn_heap_free(&pages.heap, block, SIZE_MAX), size, "atlas", block);
    assert_fatal(tarn_heap_resize(&pages.heap, block, 99, 10000), size, "atlas", block);
    tarn_heap_free(&pages.heap, block, 100);
    assert_fatal(tarn_heap_free(&pages.heap, block, 100), lost, "atlas", block);
    assert_fatal(tarn_heap_realloc(&pages.heap, block, 100, 200, 0), lost, "atlas", block);
    tarn_pages_deinit(&pages);
}

static void check_finds_books_that_do_not_balance(void **state)
{
    (void)state;
    tarn_pages pages;
    char fault[100];
    tarn_pages_init(&pages, NULL);
    void *block = tarn_heap_alloc(&pages.heap, 100, 0);
    assert_true(tarn_heap_check(&pages.heap, fault, sizeof fault));
    pages.books.live++;
    assert_false(tarn_heap_check(&pages.heap, fault, sizeof fault));
    assert_string_equal(fault, "the blocks have 100 bytes but the books have 101");
    pages.books.live--;
    pages.books.footprint -= os_page_size();
    assert_false(tarn_heap_check(&pages.heap, fault, sizeof fault));
    pages.books.footprint += os_page_size();
    pages.books.blocks++;
    assert_false(tarn_heap_check(&pages.heap, fault, sizeof fault));
    assert_string_equal(fault, "the ledger has 1 blocks but the books have 2");
    pages.books.blocks--;
    pages.ledger.index[0] ^= 1;
    pages.ledger.count++;
    assert_false(tarn_heap_check(&pages.heap, fault, sizeof fault));
    pages.ledger.count--;
    pages.ledger.index[0] ^= 1;
    assert_true(tarn_heap_check(&pages.heap, fault, sizeof fault));
    tarn_heap_free(&pages.heap, block, 100);
    tarn_pages_deinit(&pages);
}

static pthread_barrier_t start; /* so that no thread is done before the next begins */

static void *allocate_and_free(void *context)
{
    const size_t own = (size_t)(uintptr_t)context;
    pthread_barrier_wait(&start);
    for (size_t round = 0; round < 1000; round++) {
        const size_t size = (round * 37 + own * 1009) % 20000 + 1;
        unsigned char *block = tarn_heap_alloc(tarn_pages_heap(), size, 0);
        assert_non_null(block);
        memset(block, (int)own, size);
        block = tarn_heap_realloc(tarn_pages_heap(), block, size, size + 10000, 0);
        assert_non_null(block);
        assert_int_equal(block[size - 1], own);
        tarn_heap_free(tarn_pages_heap(), block, size + 10000);
    }
    return NULL;
}

static void threads_share_the_pages_heap(void **state)
{
    (void)state;
    pthread_t threads[4];
    const uint64_t blocks = tarn_heap_stats(tarn_pages_heap()).blocks;
    pthread_barrier_init(&start, NULL, 4);
    for (uintptr_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, allocate_and_free, (void *)(i + 1)), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&start);
    assert_int_equal(tarn_heap_stats(tarn_pages_heap()).blocks, blocks);
    assert_true(tarn_heap_check(tarn_pages_heap(), NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zeroed_pages_at_the_alignment_asked_for),
        cmocka_unit_test(footprint_is_whole_pages_and_the_ledgers_own),
        cmocka_unit_test(what_the_kernel_refuses_is_null_and_leaves_errno_alone),
        cmocka_unit_test(calloc_and_realloc_of_a_gigabyte_touch_only_what_the_user_did),
        cmocka_unit_test(many_blocks_are_found_again),
        cmocka_unit_test(the_shared_heap_cannot_be_reset),
        cmocka_unit_test(deinit_gives_live_blocks_back_to_the_kernel),
        cmocka_unit_test(misuse_of_blocks_is_fatal),
        cmocka_unit_test(check_finds_books_that_do_not_balance),
        cmocka_unit_test(threads_share_the_pages_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
