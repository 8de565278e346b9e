/* SPDX-License-Identifier: MIT */
#include "tarn/heaps.h"
#include "tarn/movable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unit/fatal.h"

static tarn_movable heap;

static int make_heap(void **state)
{
    (void)state;
    return tarn_movable_init(&heap, NULL) != TARN_OK;
}

static int end_heap(void **state)
{
    (void)state;
    char fault[200];
    const bool balances = tarn_movable_check(&heap, fault, sizeof fault);
    if (!balances) {
        print_error("%s\n", fault);
    }
    tarn_movable_deinit(&heap);
    return !balances;
}

static tarn_handle alloc_filled(size_t size, unsigned char byte)
{
    const tarn_handle handle = tarn_movable_alloc(&heap, size, 0);
    assert_true(handle != 0);
    memset(tarn_deref(&heap, handle), byte, size);
    return handle;
}

static void assert_filled(tarn_handle handle, size_t size, unsigned char byte)
{
    const unsigned char *block = tarn_deref(&heap, handle);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(block[i], byte);
    }
}

static void assert_balanced(void)
{
    char fault[200];
    if (!tarn_movable_check(&heap, fault, sizeof fault)) {
        fail_msg("%s", fault);
    }
}

static void *handle_as_pointer(tarn_handle handle)
{
    return (void *)(uintptr_t)handle;
}

static void blocks_have_their_size_and_alignment(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 7, 8, 9, 16, 100, 4096, 100000};
    static const size_t alignments[] = {0, 1, 2, 8, 16, 64, 512, 4096};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t j = 0; j < sizeof alignments / sizeof *alignments; j++) {
            const tarn_handle handle = tarn_movable_alloc(&heap, sizes[i], alignments[j]);
            assert_true(handle != 0);
            const size_t alignment = alignments[j] == 0 ? _Alignof(max_align_t) : alignments[j];
            assert_int_equal((uintptr_t)tarn_deref(&heap, handle) % alignment, 0);
            assert_int_equal(tarn_movable_size(&heap, handle), sizes[i] == 0 ? 1 : sizes[i]);
            memset(tarn_deref(&heap, handle), 1, sizes[i]);
        }
    }
    assert_balanced();
    tarn_movable_compact(&heap, NULL, NULL);
    assert_balanced();
}

static void what_cannot_be_served_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    const tarn_handle kept = alloc_filled(100, 1);
    assert_true(tarn_movable_alloc(&heap, SIZE_MAX, 0) == 0);
    assert_true(tarn_movable_alloc(&heap, PTRDIFF_MAX, 0) == 0);
    assert_true(tarn_movable_alloc(&heap, (size_t)1 << 32, 0) == 0);
    assert_true(tarn_movable_alloc(&heap, 10, 3) == 0);
    assert_true(tarn_movable_alloc(&heap, 10, 8192) == 0);
    assert_true(tarn_movable_alloc(&heap, 10, SIZE_MAX) == 0);
    assert_false(tarn_movable_resize(&heap, kept, SIZE_MAX));
    assert_int_equal(tarn_movable_stats(&heap).blocks, 1);
    assert_int_equal(tarn_movable_stats(&heap).live, 100);
    assert_int_equal(tarn_movable_stats(&heap).failures, 7);
    assert_filled(kept, 100, 1);
}

static void a_freed_handle_is_stale_even_when_its_entry_is_used_again(void **state)
{
    (void)state;
    const tarn_handle old = alloc_filled(100, 1);
    tarn_movable_free(&heap, old);
    const tarn_handle new = alloc_filled(100, 2);
    assert_int_equal((uint32_t)old, (uint32_t) new);
    assert_int_equal(tarn_movable_look_at(&heap, old), TARN_MOVABLE_STALE);
    assert_null(tarn_movable_find(&heap, old));
    assert_int_equal(tarn_movable_look_at(&heap, new), TARN_MOVABLE_LIVE);
    assert_ptr_equal(tarn_movable_find(&heap, new), tarn_deref(&heap, new));
    assert_int_equal(tarn_movable_look_at(&heap, 0), TARN_MOVABLE_STALE);
    assert_int_equal(tarn_movable_look_at(&heap, 12345), TARN_MOVABLE_STALE);
    assert_int_equal(tarn_movable_look_at(&heap, UINT64_MAX), TARN_MOVABLE_STALE);
    tarn_movable_free(&heap, 0);
}

static void handles_from_before_a_reset_or_a_trim_stay_stale(void **state)
{
    (void)state;
    tarn_handle old[100];
    for (int i = 0; i < 100; i++) {
        old[i] = alloc_filled(50, 1);
    }
    for (int i = 50; i < 100; i++) {
        tarn_movable_free(&heap, old[i]);
    }
    tarn_movable_trim(&heap);
    for (int i = 0; i < 100; i++) {
        alloc_filled(60, 2);
    }
    for (int i = 50; i < 100; i++) {
        assert_int_equal(tarn_movable_look_at(&heap, old[i]), TARN_MOVABLE_STALE);
    }
    assert_int_equal(tarn_movable_reset(&heap), TARN_OK);
    assert_int_equal(tarn_movable_stats(&heap).blocks, 0);
    assert_int_equal(tarn_movable_stats(&heap).live, 0);
    for (int i = 0; i < 200; i++) {
        alloc_filled(60, 2);
    }
    for (int i = 0; i < 100; i++) {
        assert_int_equal(tarn_movable_look_at(&heap, old[i]), TARN_MOVABLE_STALE);
    }
}

static void resize_keeps_handle_and_contents(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 8, 100, 90, 5000, 4999, 40, 100000, 3};
    const tarn_handle handle = tarn_movable_alloc(&heap, 1, 0);
    size_t size = 1;
    memset(tarn_deref(&heap, handle), 7, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        alloc_filled(24, 9);
        assert_true(tarn_movable_resize(&heap, handle, sizes[i]));
        assert_int_equal(tarn_movable_size(&heap, handle), sizes[i]);
        assert_filled(handle, size < sizes[i] ? size : sizes[i], 7);
        memset(tarn_deref(&heap, handle), 7, sizes[i]);
        size = sizes[i];
        assert_balanced();
    }
}

static void access_is_checked_against_the_limit(void **state)
{
    (void)state;
    const tarn_handle handle = alloc_filled(100, 5);
    const tarn_handle gone = alloc_filled(100, 5);
    tarn_movable_free(&heap, gone);
    assert_ptr_equal(tarn_movable_at(&heap, handle, 40, 60),
                     (unsigned char *)tarn_deref(&heap, handle) + 40);
    assert_fatal(tarn_movable_check_access(&heap, handle, 40, 61), "access past the block's limit",
                 "movable", handle_as_pointer(handle));
    assert_fatal(tarn_movable_check_access(&heap, handle, SIZE_MAX, 2),
                 "access past the block's limit", "movable", handle_as_pointer(handle));
    assert_fatal(tarn_movable_check_access(&heap, gone, 0, 1),
                 "not a handle of this heap, or freed already", "movable", handle_as_pointer(gone));
}

static void full_compaction_leaves_no_holes_and_keeps_the_contents(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    static tarn_handle handles[COUNT];
    size_t live = 0;
    for (size_t i = 0; i < COUNT; i++) {
        handles[i] = alloc_filled(16 + i * 37 % 3000, (unsigned char)i);
    }
    for (size_t i = 0; i < COUNT; i++) {
        if (i % 10 < 7) {
            tarn_movable_free(&heap, handles[i]);
        } else {
            live += 16 + i * 37 % 3000;
        }
    }
    assert_int_equal(tarn_movable_stats(&heap).live, live);
    tarn_movable_report report;
    assert_int_equal(tarn_movable_compact(&heap, NULL, &report), TARN_OK);
    assert_true(report.is_finished);
    assert_true(report.bytes_moved > 0 && report.blocks_moved > 0);
    assert_true(report.bytes_given_back > live);
    /* Words, padding and table included, but for two pages at the ends. */
    assert_true(tarn_movable_stats(&heap).footprint < live + live / 25 + 8192);
    const unsigned char *last = NULL;
    for (size_t i = 0; i < COUNT; i++) {
        if (i % 10 >= 7) {
            assert_filled(handles[i], 16 + i * 37 % 3000, (unsigned char)i);
            const unsigned char *block = tarn_deref(&heap, handles[i]);
            assert_true(last < block);
            last = block;
        }
    }
}

static void pinned_blocks_stay_and_others_slide_around_them(void **state)
{
    (void)state;
    tarn_handle handles[100];
    void *pinned[100] = {NULL};
    for (int i = 0; i < 100; i++) {
        handles[i] = alloc_filled(200, (unsigned char)i);
    }
    for (int i = 20; i < 100; i += 20) {
        pinned[i] = tarn_pin(&heap, handles[i]);
    }
    for (int i = 0; i < 100; i += 2) {
        if (pinned[i] == NULL) {
            tarn_movable_free(&heap, handles[i]);
        }
    }
    tarn_movable_compact(&heap, NULL, NULL);
    assert_balanced();
    for (int i = 0; i < 100; i++) {
        if (i % 2 == 1 || pinned[i] != NULL) {
            assert_filled(handles[i], 200, (unsigned char)i);
        }
        if (pinned[i] != NULL) {
            assert_ptr_equal(tarn_deref(&heap, handles[i]), pinned[i]);
            assert_true(tarn_movable_reset(&heap) == TARN_BAD_ARGUMENT);
            tarn_unpin(&heap, handles[i]);
        }
    }
    tarn_movable_compact(&heap, NULL, NULL);
    for (int i = 20; i < 100; i += 20) {
        assert_true((unsigned char *)tarn_deref(&heap, handles[i]) < (unsigned char *)pinned[i]);
        assert_filled(handles[i], 200, (unsigned char)i);
    }
}

static void scoped_pins_end_with_their_scope(void **state)
{
    (void)state;
    const tarn_handle handle = alloc_filled(10, 1);
    {
        TARN_PINNED(first, &heap, handle);
        TARN_PINNED(second, &heap, handle);
        assert_ptr_equal(first.block, second.block);
        assert_fatal(tarn_movable_free(&heap, handle), "freed while it is pinned", "movable",
                     handle_as_pointer(handle));
    }
    assert_fatal(tarn_unpin(&heap, handle), "unpinned more often than pinned", "movable",
                 handle_as_pointer(handle));
    tarn_movable_free(&heap, handle);
}

static void too_many_pins_are_fatal(void **state)
{
    (void)state;
    const tarn_handle handle = alloc_filled(10, 1);
    for (int i = 0; i < 1023; i++) {
        assert_non_null(tarn_pin(&heap, handle));
    }
    assert_fatal(tarn_pin(&heap, handle), "pinned too many times", "movable",
                 handle_as_pointer(handle));
    for (int i = 0; i < 1023; i++) {
        tarn_unpin(&heap, handle);
    }
}

static void stale_and_foreign_handles_are_fatal(void **state)
{
    (void)state;
    const char *what = "not a handle of this heap, or freed already";
    const tarn_handle gone = alloc_filled(10, 1);
    tarn_movable_free(&heap, gone);
    assert_fatal(tarn_movable_free(&heap, gone), what, "movable", handle_as_pointer(gone));
    assert_fatal(tarn_movable_resize(&heap, gone, 5), what, "movable", handle_as_pointer(gone));
    assert_fatal(tarn_movable_size(&heap, gone), what, "movable", handle_as_pointer(gone));
    assert_fatal(tarn_pin(&heap, gone), what, "movable", handle_as_pointer(gone));
    assert_fatal(tarn_unpin(&heap, gone), what, "movable", handle_as_pointer(gone));
    assert_fatal(tarn_movable_set_purgeable(&heap, gone, true), what, "movable",
                 handle_as_pointer(gone));
    assert_fatal(tarn_movable_free(&heap, 77), what, "movable", handle_as_pointer(77));
}

static void an_overwritten_word_before_a_block_is_found(void **state)
{
    (void)state;
    const tarn_handle handle = alloc_filled(10, 1);
    unsigned char *block = tarn_deref(&heap, handle);
    unsigned char kept[8];
    char fault[100];
    memcpy(kept, block - 8, 8);
    memset(block - 8, 0, 8);
    assert_false(tarn_movable_check(&heap, fault, sizeof fault));
    assert_non_null(strstr(fault, "was overwritten"));
    assert_fatal(tarn_movable_free(&heap, handle), "the bytes before the block were overwritten",
                 "movable", handle_as_pointer(handle));
    memcpy(block - 8, kept, 8);
}

/* ---- budgets ---- */

enum { MANY = 20000 };
static tarn_handle many[MANY];

static size_t many_size(size_t i)
{
    return 16 + i * 7919 % 1000;
}

/* Blocks with seven of ten freed; returns the live bytes. */
static size_t make_many(void)
{
    size_t live = 0;
    for (size_t i = 0; i < MANY; i++) {
        many[i] = alloc_filled(many_size(i), (unsigned char)i);
    }
    for (size_t i = 0; i < MANY; i++) {
        if (i * 31 % 10 < 7) {
            tarn_movable_free(&heap, many[i]);
            many[i] = 0;
        } else {
            live += many_size(i);
        }
    }
    return live;
}

static void assert_many(void)
{
    for (size_t i = 0; i < MANY; i++) {
        if (many[i] != 0) {
            const unsigned char *block = tarn_deref(&heap, many[i]);
            assert_int_equal(block[0], (unsigned char)i);
            assert_int_equal(block[many_size(i) - 1], (unsigned char)i);
        }
    }
    assert_balanced();
}

static void passes_with_a_budget_end_where_a_full_compaction_does(void **state)
{
    (void)state;
    const size_t live = make_many();
    const tarn_movable_budget budgets[] = {{100000, 0}, {0, 200}, {50000, 100}};
    tarn_movable_report report;
    unsigned passes = 0;
    do {
        const tarn_movable_budget *budget = &budgets[passes % 3];
        assert_int_equal(tarn_movable_compact(&heap, budget, &report), TARN_OK);
        assert_true(budget->bytes == 0 || report.bytes_moved <= budget->bytes);
        assert_true(passes++ < 100000);
        if (passes % 10 == 0) {
            assert_many();
        }
    } while (!report.is_finished);
    assert_true(passes > 10);
    assert_many();
    tarn_movable_trim(&heap);
    const size_t footprint = tarn_movable_stats(&heap).footprint;
    tarn_movable_compact(&heap, NULL, &report);
    assert_int_equal(report.bytes_moved, 0);
    assert_true(footprint <= live + live / 5);
    assert_true(tarn_movable_history(&heap).bytes_moved > live / 2);
}

static void a_pass_moves_no_block_that_is_larger_than_its_budget(void **state)
{
    (void)state;
    const tarn_handle small = alloc_filled(100, 1);
    const tarn_handle large = alloc_filled(100000, 2);
    const tarn_handle last = alloc_filled(100, 3);
    tarn_movable_free(&heap, small);
    void *before = tarn_deref(&heap, large);
    tarn_movable_report report;
    for (int i = 0; i < 10; i++) {
        tarn_movable_compact(&heap, &(tarn_movable_budget){.bytes = 1000}, &report);
    }
    assert_true(report.is_finished);
    assert_ptr_equal(tarn_deref(&heap, large), before);
    tarn_movable_compact(&heap, &(tarn_movable_budget){.bytes = 200000}, &report);
    assert_filled(large, 100000, 2);
    assert_filled(last, 100, 3);
}

/* ---- passes in which the caller copies ---- */

static void the_caller_copies_or_vetoes_each_move(void **state)
{
    (void)state;
    make_many();
    tarn_movable_pass pass;
    tarn_movable_pass second;
    tarn_movable_move moves[50];
    tarn_movable_report report;
    assert_int_equal(tarn_movable_begin(&heap, &pass, NULL), TARN_OK);
    assert_int_equal(tarn_movable_begin(&heap, &second, NULL), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_movable_compact(&heap, NULL, NULL), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_movable_reset(&heap), TARN_BAD_ARGUMENT);
    size_t count;
    uint64_t vetoed = 0;
    uint64_t moved = 0;
    while ((count = tarn_movable_next_moves(&pass, moves, 50)) > 0) {
        assert_true(count <= 50);
        assert_balanced();
        for (size_t i = 0; i < count; i++) {
            assert_ptr_equal(tarn_movable_find(&heap, moves[i].handle), moves[i].from);
            assert_int_equal(tarn_movable_size(&heap, moves[i].handle), moves[i].size);
            if (i % 5 == 0) {
                moves[i].veto = true;
                vetoed++;
            } else {
                memcpy(moves[i].to, moves[i].from, moves[i].size);
                memset(moves[i].from, 0xee, moves[i].size);
                moved++;
            }
        }
        assert_true(alloc_filled(64, 1) != 0);
    }
    tarn_movable_commit(&pass, &report);
    assert_int_equal(report.blocks_moved, moved);
    assert_int_equal(report.blocks_vetoed, vetoed);
    assert_true(moved > 1000);
    assert_true(report.is_finished);
    assert_many();
}

static void an_aborted_batch_has_not_taken_place(void **state)
{
    (void)state;
    make_many();
    tarn_movable_pass pass;
    tarn_movable_move moves[50];
    tarn_movable_report report;
    const tarn_movable_budget budget = {.bytes = 10000};
    assert_int_equal(tarn_movable_begin(&heap, &pass, &budget), TARN_OK);
    const size_t count = tarn_movable_next_moves(&pass, moves, 50);
    assert_true(count > 1);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        memset(moves[i].to, 0xee, moves[i].size);
        bytes += moves[i].size;
    }
    assert_true(bytes <= 10000);
    assert_fatal(tarn_movable_free(&heap, moves[0].handle), "freed while a pass moves it",
                 "movable", handle_as_pointer(moves[0].handle));
    assert_false(tarn_movable_resize(&heap, moves[0].handle, 1));
    tarn_movable_abort(&pass, &report);
    assert_int_equal(report.blocks_moved, 0);
    assert_many();
    tarn_movable_free(&heap, moves[0].handle);
}

/* ---- purging ---- */

typedef struct purge_log {
    unsigned asked;
    tarn_handle last;
    tarn_handle kept; /* the one that is not let go of */
} purge_log;

static bool log_purge(void *context, tarn_handle handle, void *block, size_t size)
{
    purge_log *log = context;
    log->asked++;
    log->last = handle;
    assert_int_equal(*(unsigned char *)block, size % 251);
    return handle != log->kept;
}

static void purged_handles_are_told_apart_from_freed_ones(void **state)
{
    (void)state;
    purge_log log = {0};
    tarn_movable caching;
    tarn_movable_init(
        &caching, &(tarn_movable_options){.name = "cache", .on_purge = log_purge, .context = &log});
    tarn_handle handles[10];
    for (size_t i = 0; i < 10; i++) {
        handles[i] = tarn_movable_alloc(&caching, 1000 + i, 0);
        memset(tarn_deref(&caching, handles[i]), (int)((1000 + i) % 251), 1000 + i);
        assert_true(tarn_movable_set_purgeable(&caching, handles[i], i != 9));
    }
    log.kept = handles[3];
    void *pinned = tarn_pin(&caching, handles[4]);
    assert_true(tarn_movable_purge(&caching, 2000) >= 2000);
    assert_int_equal(log.asked, 2);
    assert_int_equal(tarn_movable_purge(&caching, SIZE_MAX),
                     1000 * 8 + 36 - (1003 + 1004) - 2001 + 1000);
    tarn_unpin(&caching, handles[4]);
    (void)pinned;
    for (size_t i = 0; i < 10; i++) {
        const bool lives = i == 3 || i == 4 || i == 9;
        assert_int_equal(tarn_movable_look_at(&caching, handles[i]),
                         lives ? TARN_MOVABLE_LIVE : TARN_MOVABLE_PURGED);
        if (!lives) {
            assert_null(tarn_movable_find(&caching, handles[i]));
            assert_null(tarn_pin(&caching, handles[i]));
            assert_int_equal(tarn_movable_size(&caching, handles[i]), 0);
            assert_false(tarn_movable_resize(&caching, handles[i], 10));
            assert_false(tarn_movable_set_purgeable(&caching, handles[i], true));
            assert_fatal(tarn_movable_check_access(&caching, handles[i], 0, 0),
                         "used after it was purged", "cache", handle_as_pointer(handles[i]));
            tarn_movable_free(&caching, handles[i]);
            assert_int_equal(tarn_movable_look_at(&caching, handles[i]), TARN_MOVABLE_STALE);
        }
    }
    assert_int_equal(tarn_movable_stats(&caching).blocks, 3);
    assert_true(tarn_movable_check(&caching, NULL, 0));
    tarn_movable_deinit(&caching);
}

static void a_full_heap_compacts_and_then_purges_before_it_refuses(void **state)
{
    (void)state;
    static _Alignas(64) unsigned char memory[65536];
    tarn_movable small;
    assert_int_equal(
        tarn_movable_init(&small, &(tarn_movable_options){.memory = {memory, sizeof memory}}),
        TARN_OK);
    tarn_handle handles[200];
    size_t count = 0;
    while (count < 200 && (handles[count] = tarn_movable_alloc(&small, 1000, 8)) != 0) {
        memset(tarn_deref(&small, handles[count]), (int)count, 1000);
        count++;
    }
    /* The books take less than a twentieth. */
    assert_true(count >= 60 && count < 66);
    for (size_t i = 0; i < count; i += 2) {
        tarn_movable_free(&small, handles[i]);
    }
    const tarn_handle large = tarn_movable_alloc(&small, count / 2 * 1000, 8);
    assert_true(large != 0);
    assert_true(tarn_movable_alloc(&small, 10000, 8) == 0);
    for (size_t i = 1; i < count; i += 2) {
        const unsigned char *block = tarn_deref(&small, handles[i]);
        assert_int_equal(block[0], i);
        assert_int_equal(block[999], i);
    }
    assert_true(tarn_movable_set_purgeable(&small, large, true));
    assert_true(tarn_movable_alloc(&small, 10000, 8) != 0);
    assert_int_equal(tarn_movable_look_at(&small, large), TARN_MOVABLE_PURGED);
    assert_true(tarn_movable_check(&small, NULL, 0));
    tarn_movable_deinit(&small);
}

/* ---- memory ---- */

/* Address space is all it takes: nothing but the ends of the blocks is touched. */
static void a_heap_can_grow_past_4_gib_and_shrink_again(void **state)
{
    (void)state;
    enum { LARGE = 6, SMALL = 40 };
    const size_t large_size = (size_t)1 << 30;
    tarn_handle large[LARGE];
    tarn_handle small[SMALL];
    for (size_t i = 0; i < SMALL; i++) {
        small[i] = alloc_filled(100 + i, (unsigned char)i);
    }
    for (size_t i = 0; i < LARGE; i++) {
        large[i] = tarn_movable_alloc(&heap, large_size, 0);
        if (large[i] == 0) {
            skip();
        }
        memset(tarn_movable_at(&heap, large[i], large_size - 8, 8), (int)i, 8);
    }
    assert_true(tarn_movable_stats(&heap).footprint > (size_t)6 << 30);
    const tarn_handle last = alloc_filled(100, 77);
    assert_balanced();
    for (size_t i = 0; i < LARGE; i++) {
        const unsigned char *end = tarn_movable_at(&heap, large[i], large_size - 8, 8);
        assert_int_equal(end[0], i);
        assert_int_equal(end[7], i);
    }
    assert_true((unsigned char *)tarn_deref(&heap, last) -
                    (unsigned char *)tarn_deref(&heap, small[0]) >
                (ptrdiff_t)6 << 30);
    void *pinned = tarn_pin(&heap, last);
    assert_ptr_equal(pinned, tarn_deref(&heap, last));
    tarn_unpin(&heap, last);
    for (size_t i = 0; i < LARGE; i++) {
        tarn_movable_free(&heap, large[i]);
    }
    tarn_movable_compact(&heap, NULL, NULL);
    assert_true(tarn_movable_stats(&heap).footprint < 100000);
    assert_balanced();
    assert_filled(last, 100, 77);
    for (size_t i = 0; i < SMALL; i++) {
        assert_filled(small[i], 100 + i, (unsigned char)i);
    }
}

static void a_fixed_place_above_4_gib_works_too(void **state)
{
    (void)state;
    tarn_movable fixed;
    const tarn_status status =
        tarn_movable_init(&fixed, &(tarn_movable_options){.capacity = (size_t)5 << 30});
    if (status == TARN_NO_MEMORY) {
        skip();
    }
    assert_int_equal(status, TARN_OK);
    const tarn_handle first = tarn_movable_alloc(&fixed, (size_t)4095 << 20, 0);
    const tarn_handle second = tarn_movable_alloc(&fixed, 100, 0);
    memset(tarn_deref(&fixed, second), 5, 100);
    assert_true((unsigned char *)tarn_deref(&fixed, second) -
                    (unsigned char *)tarn_deref(&fixed, first) >
                (ptrdiff_t)4095 << 20);
    tarn_movable_free(&fixed, first);
    tarn_movable_compact(&fixed, NULL, NULL);
    const unsigned char *block = tarn_deref(&fixed, second);
    assert_int_equal(block[0], 5);
    assert_int_equal(block[99], 5);
    assert_true(tarn_movable_check(&fixed, NULL, 0));
    tarn_movable_deinit(&fixed);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    static unsigned char memory[8192];
    tarn_movable other;
    assert_int_equal(tarn_movable_init(&other, &(tarn_movable_options){.memory = {memory, 100}}),
                     TARN_NO_ROOM);
    assert_int_equal(tarn_movable_init(&other, &(tarn_movable_options){.memory = {memory, 0}}),
                     TARN_NO_ROOM);
    assert_int_equal(tarn_movable_init(&other, &(tarn_movable_options){.capacity = 100}),
                     TARN_NO_ROOM);
    assert_int_equal(tarn_movable_init(&other, &(tarn_movable_options){.capacity = SIZE_MAX}),
                     TARN_TOO_LARGE);
    assert_int_equal(tarn_movable_init(&other, &(tarn_movable_options){.threads = true}),
                     TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_movable_attach(&other, NULL), TARN_BAD_ARGUMENT);
    for (size_t offset = 0; offset < 16; offset++) {
        assert_int_equal(
            tarn_movable_init(&other, &(tarn_movable_options){.memory = {memory + offset, 8000}}),
            TARN_OK);
        assert_true(tarn_movable_alloc(&other, 100, 0) != 0);
        assert_true(tarn_movable_check(&other, NULL, 0));
        tarn_movable_deinit(&other);
    }
    assert_int_equal(tarn_movable_attach(&other, &(tarn_movable_options){.memory = {memory, 8000}}),
                     TARN_BAD_DATA);
}

static void a_heap_in_memory_can_be_opened_again_elsewhere(void **state)
{
    (void)state;
    static _Alignas(4096) unsigned char here[1 << 16];
    static _Alignas(4096) unsigned char there[1 << 16];
    tarn_movable first;
    tarn_movable second;
    tarn_movable_init(&first, &(tarn_movable_options){.memory = {here, sizeof here}});
    const tarn_handle handle = tarn_movable_alloc(&first, 100, 0);
    strcpy(tarn_deref(&first, handle), "relocated");
    tarn_movable_set_root(&first, handle);
    memcpy(there, here, sizeof here);
    assert_int_equal(
        tarn_movable_attach(&second, &(tarn_movable_options){.memory = {there, sizeof there}}),
        TARN_OK);
    assert_true(tarn_movable_root(&second) == handle);
    assert_string_equal(tarn_deref(&second, handle), "relocated");
    assert_true((unsigned char *)tarn_deref(&second, handle) > there &&
                (unsigned char *)tarn_deref(&second, handle) < there + sizeof there);
    /* Whatever was altered is found or harmless. */
    tarn_movable_detach(&second);
    there[100] ^= 0xff;
    (void)tarn_movable_attach(&second, &(tarn_movable_options){.memory = {there, sizeof there}});
    there[0] ^= 1;
    assert_int_equal(
        tarn_movable_attach(&second, &(tarn_movable_options){.memory = {there, sizeof there}}),
        TARN_BAD_DATA);
    tarn_movable_deinit(&first);
}

static void the_heap_shrinks_to_nothing_when_all_is_freed(void **state)
{
    (void)state;
    tarn_pages pages;
    tarn_pages_init(&pages, NULL);
    tarn_movable over;
    tarn_movable_init(&over, &(tarn_movable_options){.upstream = &pages.heap});
    const size_t empty = tarn_movable_stats(&over).footprint;
    tarn_handle handles[1000];
    for (int i = 0; i < 1000; i++) {
        handles[i] = tarn_movable_alloc(&over, 5000, 0);
    }
    assert_int_equal(tarn_movable_stats(&over).footprint, tarn_heap_stats(&pages.heap).live);
    assert_true(tarn_movable_stats(&over).footprint > 5000000);
    for (int i = 0; i < 1000; i++) {
        tarn_movable_free(&over, handles[i]);
    }
    assert_true(tarn_movable_trim(&over) > 4000000);
    assert_int_equal(tarn_movable_stats(&over).footprint, empty);
    assert_int_equal(tarn_heap_stats(&pages.heap).live, empty);
    tarn_movable_deinit(&over);
    assert_int_equal(tarn_heap_stats(&pages.heap).blocks, 0);
    tarn_pages_deinit(&pages);
}

/* An upstream that can only give another chunk. */
static void *stiff_alloc(tarn_heap *self, size_t size, size_t alignment)
{
    (void)self;
    return tarn_heap_alloc(tarn_pages_heap(), size, alignment);
}

static void stiff_free(tarn_heap *self, void *block, size_t size)
{
    (void)self;
    tarn_heap_free(tarn_pages_heap(), block, size);
}

static void a_peak_has_both_chunks_while_the_heap_moves(void **state)
{
    (void)state;
    static const tarn_heap_ops ops = {.alloc = stiff_alloc, .free = stiff_free};
    tarn_heap stiff = {.ops = &ops, .name = "stiff"};
    tarn_movable over;
    tarn_movable_init(&over, &(tarn_movable_options){.upstream = &stiff});
    size_t before = tarn_movable_stats(&over).footprint;
    /* Past the size from which the heap is worth large pages. */
    while (before < (size_t)8 << 20) {
        assert_true(tarn_movable_alloc(&over, 5000, 0) != 0);
        const tarn_stats stats = tarn_movable_stats(&over);
        if (stats.footprint != before) {
            assert_int_equal(stats.peak_footprint, before + stats.footprint);
            before = stats.footprint;
        }
    }
    tarn_movable_deinit(&over);
}

typedef struct visit_log {
    uint64_t blocks;
    size_t bytes;
    uint64_t end_at;
} visit_log;

static bool log_visit(void *context, tarn_handle handle, void *block, size_t size)
{
    visit_log *log = context;
    (void)block;
    assert_true(handle != 0);
    log->blocks++;
    log->bytes += size;
    return log->blocks != log->end_at;
}

static void visit_sees_every_live_block(void **state)
{
    (void)state;
    const size_t live = make_many();
    visit_log log = {0};
    tarn_movable_visit(&heap, log_visit, &log);
    assert_int_equal(log.bytes, live);
    assert_int_equal(log.blocks, tarn_movable_stats(&heap).blocks);
    log = (visit_log){.end_at = 5};
    tarn_movable_visit(&heap, log_visit, &log);
    assert_int_equal(log.blocks, 5);
}

static void the_books_count(void **state)
{
    (void)state;
    const tarn_handle a = alloc_filled(100, 1);
    const tarn_handle b = alloc_filled(300, 1);
    tarn_movable_free(&heap, a);
    assert_true(tarn_movable_resize(&heap, b, 250));
    const tarn_stats stats = tarn_movable_stats(&heap);
    assert_int_equal(stats.live, 250);
    assert_int_equal(stats.peak_live, 400);
    assert_int_equal(stats.blocks, 1);
    assert_int_equal(stats.allocs, 2);
    assert_int_equal(stats.frees, 1);
    assert_int_equal(stats.failures, 0);
    assert_true(stats.footprint >= 4096 && stats.footprint <= stats.peak_footprint);
    const size_t footprint = stats.footprint;
    assert_true(tarn_movable_alloc(&heap, stats.largest_free, 8) != 0);
    assert_int_equal(tarn_movable_stats(&heap).footprint, footprint);
}

static void no_failing_request_of_upstream_loses_anything(void **state)
{
    (void)state;
    for (uint64_t at = 1; at < 40; at++) {
        for (int for_ever = 0; for_ever < 2; for_ever++) {
            tarn_pages pages;
            tarn_failing failing;
            tarn_pages_init(&pages, NULL);
            tarn_failing_init(
                &failing, &(tarn_failing_options){.upstream = &pages.heap,
                                                  .plan = {.at = at, .from = for_ever ? at : 0}});
            tarn_movable over;
            const tarn_status status =
                tarn_movable_init(&over, &(tarn_movable_options){.upstream = &failing.heap});
            if (at == 1) {
                assert_int_equal(status, TARN_NO_MEMORY);
                assert_int_equal(tarn_heap_stats(&pages.heap).blocks, 0);
                continue;
            }
            assert_int_equal(status, TARN_OK);
            tarn_handle handles[300] = {0};
            size_t live = 0;
            for (size_t i = 0; i < 300; i++) {
                handles[i] = tarn_movable_alloc(&over, 1000 + i, 0);
                if (handles[i] != 0) {
                    memset(tarn_deref(&over, handles[i]), (int)i, 1000 + i);
                    live += 1000 + i;
                }
                if (i % 3 == 2 && handles[i - 1] != 0) {
                    tarn_movable_free(&over, handles[i - 1]);
                    handles[i - 1] = 0;
                    live -= 1000 + i - 1;
                }
                if (i % 50 == 49) {
                    tarn_movable_compact(&over, NULL, NULL);
                }
                assert_int_equal(tarn_movable_stats(&over).live, live);
            }
            for (size_t i = 0; i < 300; i++) {
                for (size_t j = 0; handles[i] != 0 && j < 1000 + i; j++) {
                    assert_int_equal(((unsigned char *)tarn_deref(&over, handles[i]))[j],
                                     (unsigned char)i);
                }
            }
            char fault[200];
            if (!tarn_movable_check(&over, fault, sizeof fault)) {
                fail_msg("%s", fault);
            }
            tarn_movable_deinit(&over);
            assert_int_equal(tarn_heap_stats(&pages.heap).blocks, 0);
            tarn_pages_deinit(&pages);
        }
    }
}

int main(void)
{
#define ON_A_HEAP(test) cmocka_unit_test_setup_teardown(test, make_heap, end_heap)
    const struct CMUnitTest tests[] = {
        ON_A_HEAP(blocks_have_their_size_and_alignment),
        ON_A_HEAP(what_cannot_be_served_is_refused_and_changes_nothing),
        ON_A_HEAP(a_freed_handle_is_stale_even_when_its_entry_is_used_again),
        ON_A_HEAP(handles_from_before_a_reset_or_a_trim_stay_stale),
        ON_A_HEAP(resize_keeps_handle_and_contents),
        ON_A_HEAP(access_is_checked_against_the_limit),
        ON_A_HEAP(full_compaction_leaves_no_holes_and_keeps_the_contents),
        ON_A_HEAP(pinned_blocks_stay_and_others_slide_around_them),
        ON_A_HEAP(scoped_pins_end_with_their_scope),
        ON_A_HEAP(too_many_pins_are_fatal),
        ON_A_HEAP(stale_and_foreign_handles_are_fatal),
        ON_A_HEAP(an_overwritten_word_before_a_block_is_found),
        ON_A_HEAP(passes_with_a_budget_end_where_a_full_compaction_does),
        ON_A_HEAP(a_pass_moves_no_block_that_is_larger_than_its_budget),
        ON_A_HEAP(the_caller_copies_or_vetoes_each_move),
        ON_A_HEAP(an_aborted_batch_has_not_taken_place),
        cmocka_unit_test(purged_handles_are_told_apart_from_freed_ones),
        cmocka_unit_test(a_full_heap_compacts_and_then_purges_before_it_refuses),
        ON_A_HEAP(a_heap_can_grow_past_4_gib_and_shrink_again),
        cmocka_unit_test(a_fixed_place_above_4_gib_works_too),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(a_heap_in_memory_can_be_opened_again_elsewhere),
        cmocka_unit_test(the_heap_shrinks_to_nothing_when_all_is_freed),
        cmocka_unit_test(a_peak_has_both_chunks_while_the_heap_moves),
        ON_A_HEAP(visit_sees_every_live_block),
        ON_A_HEAP(the_books_count),
        cmocka_unit_test(no_failing_request_of_upstream_loses_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
