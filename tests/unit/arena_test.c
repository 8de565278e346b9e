/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tarn/arena.h"
#include "tarn/heaps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "fatal.h"
#include "tools.h"

/*
 * Blocks, chunks and books of one arena. Under a tool an arena is closed and leaves gaps, so what
 * depends on where exactly blocks are is only asked for without.
 */

#define IS_OPEN (!HEAP_WATCH_ASAN && !IS_UNDER_VALGRIND)

static _Alignas(64) unsigned char memory[1 << 16];

/* An arena over an upstream that counts. */
static tarn_pages pages;
static tarn_counted counted;
static tarn_arena arena;

static void begin(tarn_arena_options options)
{
    tarn_pages_init(&pages, NULL);
    tarn_counted_init(&counted, &(tarn_counted_options){.upstream = &pages.heap});
    options.upstream = &counted.heap;
    assert_int_equal(tarn_arena_init(&arena, &options), TARN_OK);
}

static size_t held(void)
{
    return tarn_heap_stats(&counted.heap).live;
}

static uint64_t upstream_calls(void)
{
    return counted.counts.allocs + counted.counts.frees + counted.counts.resizes +
           counted.counts.moves;
}

static void check(void)
{
    char fault[160] = "";
    if (!tarn_arena_check(&arena, fault, sizeof fault)) {
        fail_msg("check found: %s", fault);
    }
}

static void end(void)
{
    check();
    tarn_arena_deinit(&arena);
    assert_int_equal(held(), 0);
    tarn_pages_deinit(&pages);
}

static size_t offset_of(const void *address, size_t modulus)
{
    return (size_t)((uintptr_t)address % modulus);
}

/* ------------------------------------------------------------------------------------------------
 * Blocks
 */
static void blocks_are_cut_side_by_side(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    assert_int_equal(held(), 0);
    unsigned char *first = tarn_arena_alloc(&arena, 24);
    unsigned char *second = tarn_arena_alloc(&arena, 3);
    unsigned char *third = tarn_arena_alloc(&arena, 40);
    memset(first, 1, 24);
    memset(second, 2, 3);
    memset(third, 3, 40);
    assert_int_equal(counted.counts.allocs, 1);
    assert_true(tarn_arena_used(&arena) >= 24 + 8 + 40);
    if (IS_OPEN) {
        assert_ptr_equal(second, first + 24);
        assert_ptr_equal(third, second + 8);
        assert_int_equal(tarn_arena_used(&arena), 72);
        assert_int_equal(held(), 16384);
    }
    end();
}

static void a_size_alone_aligns_for_every_type_of_that_size(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    for (size_t size = 1; size < 2000; size++) {
        for (volatile size_t shift = 0; shift < 3; shift++) {
            assert_int_equal(offset_of(tarn_arena_alloc(&arena, size), size % 16 == 0 ? 16 : 8), 0);
            (void)tarn_arena_alloc(&arena, 8 * shift);
        }
    }
    /* The same where the compiler knows the size. */
    for (int i = 0; i < 100; i++) {
        assert_int_equal(offset_of(tarn_arena_alloc(&arena, 8), 8), 0);
        assert_int_equal(offset_of(tarn_arena_alloc(&arena, 16), 16), 0);
        assert_int_equal(offset_of(tarn_arena_alloc(&arena, 24), 8), 0);
        assert_int_equal(offset_of(tarn_arena_alloc(&arena, 1), 8), 0);
        assert_int_equal(offset_of(tarn_arena_alloc(&arena, 4096), 16), 0);
        assert_int_equal(offset_of(tarn_arena_alloc_zeroed(&arena, 48), 16), 0);
    }
    end();
}

static void an_alignment_is_kept_and_none_is_refused(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    for (size_t alignment = 1; alignment <= (size_t)1 << 21; alignment *= 2) {
        for (size_t size = 1; size < 10000; size = size * 3 + 1) {
            unsigned char *block = tarn_arena_alloc_aligned(&arena, size, alignment);
            assert_int_equal(offset_of(block, alignment), 0);
            memset(block, 7, size);
        }
        check();
    }
    assert_int_equal(offset_of(tarn_arena_alloc_aligned(&arena, 1, 64), 64), 0);
    assert_int_equal(offset_of(tarn_arena_alloc_aligned(&arena, 24, 4096), 4096), 0);
    assert_int_equal(offset_of(tarn_arena_alloc_aligned(&arena, 24, 0), _Alignof(max_align_t)), 0);
    volatile size_t zero = 0;
    assert_int_equal(offset_of(tarn_arena_alloc_aligned(&arena, 24, zero), _Alignof(max_align_t)),
                     0);
    const size_t used = tarn_arena_used(&arena);
    for (volatile size_t bad = 3; bad < 5000; bad += 2) {
        assert_null(tarn_arena_alloc_aligned(&arena, 8, bad));
    }
    assert_null(tarn_arena_alloc_aligned(&arena, 8, 24));
    assert_null(tarn_arena_alloc_aligned(&arena, 8, (size_t)1 << 62));
    assert_null(tarn_arena_alloc_aligned(&arena, 8, SIZE_MAX));
    assert_int_equal(tarn_arena_used(&arena), used);
    end();
}

static void a_block_of_no_bytes_has_an_address_of_its_own(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    volatile size_t none = 0;
    const unsigned char *first = tarn_arena_alloc(&arena, none);
    const unsigned char *second = tarn_arena_alloc(&arena, 0);
    const unsigned char *third = tarn_arena_alloc_aligned(&arena, 0, 8);
    const unsigned char *fourth = tarn_arena_alloc_zeroed(&arena, none);
    const unsigned char *last = tarn_arena_alloc(&arena, 8);
    assert_true(first < second && second < third && third < fourth && fourth < last);
    end();
}

static void sizes_that_overflow_are_refused_and_change_nothing(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    (void)tarn_arena_alloc(&arena, 100);
    const size_t used = tarn_arena_used(&arena);
    /* Whatever is added to them, some of these pass the top of all numbers. */
    for (volatile size_t less = 0; less < 5000; less++) {
        assert_null(tarn_arena_alloc(&arena, SIZE_MAX - less));
        assert_null(tarn_arena_alloc_aligned(&arena, SIZE_MAX - less, 64));
        assert_null(tarn_arena_alloc(&arena, (size_t)PTRDIFF_MAX - 50 + less));
        assert_null(tarn_arena_alloc_zeroed(&arena, SIZE_MAX - less));
    }
    assert_null(tarn_arena_alloc(&arena, SIZE_MAX));
    assert_null(tarn_arena_alloc(&arena, PTRDIFF_MAX));
    volatile size_t many = SIZE_MAX / 8 + 2;
    assert_null(tarn_arena_alloc_array(&arena, many, 8));
    assert_null(tarn_arena_alloc_array_zeroed(&arena, many, 8));
    assert_null(TARN_ARENA_NEW_ARRAY(&arena, uint64_t, many));
    volatile size_t huge = (size_t)1 << 63;
    assert_null(tarn_arena_alloc_aligned(&arena, huge, huge));
    assert_int_equal(tarn_arena_used(&arena), used);
    assert_true(tarn_arena_stats(&arena).failures >= 20000);
    end();
}

static void zeroed_blocks_are_zero(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    static const unsigned char zeros[400000];
    for (int round = 0; round < 3; round++) {
        memset(tarn_arena_alloc(&arena, 5000), 0x5a, 5000);
        memset(tarn_arena_alloc(&arena, 300000), 0x5a, 300000);
        tarn_arena_reset(&arena);
        assert_memory_equal(tarn_arena_alloc_zeroed(&arena, 40), zeros, 40);
        for (volatile size_t size = 1; size <= 400000; size = size * 5 + 1) {
            assert_memory_equal(tarn_arena_alloc_zeroed(&arena, size), zeros, size);
        }
        assert_memory_equal(tarn_arena_alloc_array_zeroed(&arena, 7, 30), zeros, 210);
    }
    end();
}

static void typed_blocks_are_aligned_for_their_type(void **state)
{
    (void)state;
    struct wide {
        _Alignas(64) char bytes[3];
    };
    begin((tarn_arena_options){.name = NULL});
    for (int i = 0; i < 10; i++) {
        char *byte = TARN_ARENA_NEW(&arena, char);
        struct wide *wide = TARN_ARENA_NEW(&arena, struct wide);
        max_align_t *several = TARN_ARENA_NEW_ARRAY(&arena, max_align_t, 3);
        *byte = 1;
        memset(wide, 2, sizeof *wide);
        memset(several, 3, 3 * sizeof *several);
        assert_int_equal(offset_of(wide, 64), 0);
        assert_int_equal(offset_of(several, _Alignof(max_align_t)), 0);
    }
    end();
}

/* ------------------------------------------------------------------------------------------------
 * Resize and free
 */
static void the_newest_block_grows_and_shrinks_where_it_is(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    unsigned char *older = tarn_arena_alloc(&arena, 100);
    unsigned char *block = tarn_arena_alloc(&arena, 10);
    memset(block, 9, 10);
    assert_true(tarn_arena_resize(&arena, block, 10, 5000));
    memset(block + 10, 9, 4990);
    assert_ptr_equal(tarn_arena_realloc(&arena, block, 5000, 9000), block);
    assert_int_equal(block[4999], 9);
    const size_t used = tarn_arena_used(&arena);
    assert_true(tarn_arena_resize(&arena, block, 9000, 20));
    assert_int_equal(tarn_arena_used(&arena), used - 9000 + 24);
    /* The one before it cannot grow, but may shrink, which gives nothing back. */
    assert_false(tarn_arena_resize(&arena, older, 100, 200));
    assert_true(tarn_arena_resize(&arena, older, 100, 104));
    assert_true(tarn_arena_resize(&arena, older, 104, 10));
    assert_int_equal(tarn_arena_used(&arena), used - 9000 + 24);
    /* Neither passes the end of the chunk. */
    assert_false(tarn_arena_resize(&arena, block, 20, 20000));
    assert_false(tarn_arena_resize(&arena, block, 20, SIZE_MAX));
    assert_false(tarn_arena_resize(&arena, block, 20, PTRDIFF_MAX));
    assert_false(tarn_arena_resize(&arena, NULL, 20, 30));
    unsigned char *moved = tarn_arena_realloc(&arena, block, 20, 20000);
    assert_ptr_not_equal(moved, block);
    assert_int_equal(moved[19], 9);
    assert_null(tarn_arena_realloc(&arena, moved, 20000, SIZE_MAX));
    assert_int_equal(moved[19], 9);
    end();
}

static void a_realloc_keeps_what_is_in_the_block(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    unsigned char *block = tarn_arena_realloc(&arena, NULL, 0, 1);
    *block = 1;
    size_t size = 1;
    for (size_t next = 2; next < 3000000; next = next * 3 / 2 + 1) {
        if (next % 2 == 0) {
            (void)tarn_arena_alloc(&arena, 1); /* it has to move then */
        }
        block = tarn_arena_realloc(&arena, block, size, next);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(block[i], (unsigned char)(i + 1));
        }
        for (size_t i = size; i < next; i++) {
            block[i] = (unsigned char)(i + 1);
        }
        assert_int_equal(offset_of(block, next % 16 == 0 ? 16 : 8), 0);
        size = next;
        check();
    }
    block = tarn_arena_realloc(&arena, block, size, 100);
    assert_int_equal(block[99], 100);
    assert_int_equal(tarn_arena_stats(&arena).footprint, held());
    block = tarn_arena_realloc_aligned(&arena, block, 100, 200, 256);
    assert_int_equal(offset_of(block, 256), 0);
    assert_int_equal(block[99], 100);
    unsigned char *again = tarn_arena_realloc_aligned(&arena, block, 200, 300, 256);
    assert_ptr_equal(again, block);
    assert_null(tarn_arena_realloc_aligned(&arena, block, 300, 400, 24));
    assert_non_null(tarn_arena_realloc_aligned(&arena, NULL, 0, 400, 32));
    assert_non_null(tarn_arena_realloc(&arena, block, 300, 0));
    end();
}

static void blocks_freed_in_turn_leave_their_room(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    unsigned char *blocks[20];
    (void)tarn_arena_alloc(&arena, 8);
    const size_t used = tarn_arena_used(&arena);
    for (size_t i = 0; i < 20; i++) {
        blocks[i] = tarn_arena_alloc(&arena, 24 + 16 * i);
    }
    for (size_t i = 20; i-- > 0;) {
        tarn_arena_free(&arena, blocks[i], 24 + 16 * i);
    }
    assert_int_equal(tarn_arena_used(&arena), used);
    unsigned char *first = tarn_arena_alloc(&arena, 24);
    assert_ptr_equal(first, blocks[0]);
    unsigned char *second = tarn_arena_alloc(&arena, 24);
    tarn_arena_free(&arena, first, 24); /* not the newest: it stays until the reset */
    assert_ptr_not_equal(tarn_arena_alloc(&arena, 24), first);
    tarn_arena_free(&arena, NULL, 7);
    assert_non_null(second);
    end();
}

static void a_block_from_before_a_mark_neither_grows_nor_goes(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    unsigned char *block = tarn_arena_alloc(&arena, 40);
    memset(block, 4, 40);
    const tarn_arena_point mark = tarn_arena_mark(&arena);
    assert_false(tarn_arena_resize(&arena, block, 40, 80));
    assert_true(tarn_arena_resize(&arena, block, 40, 16));
    unsigned char *other = tarn_arena_alloc(&arena, 40);
    assert_true(other >= block + 40);
    tarn_arena_release(&arena, mark);
    assert_false(tarn_arena_resize(&arena, block, 16, 80));
    tarn_arena_free(&arena, block, 16);
    assert_true((unsigned char *)tarn_arena_alloc(&arena, 40) >= block + 40);
    tarn_arena_release(&arena, mark);
    end();
}

/* ------------------------------------------------------------------------------------------------
 * Large blocks
 */
static void large_blocks_are_upstreams_and_go_back_early(void **state)
{
    (void)state;
    begin((tarn_arena_options){.chunk_size = 4096, .chunk_size_max = 16384});
    (void)tarn_arena_alloc(&arena, 100);
    tarn_arena_free(&arena, tarn_arena_alloc(&arena, 100000),
                    100000); /* the list of them is made */
    const size_t before = held();
    const uint64_t calls = upstream_calls();
    unsigned char *large = tarn_arena_alloc(&arena, 100000);
    memset(large, 1, 100000);
    const size_t with = held();
    assert_int_equal(with, before + 100000 + (IS_OPEN ? 0 : 16));
    assert_true(tarn_arena_owns(&arena, large + 99999));
    assert_false(tarn_arena_owns(&arena, large + 100000));
    unsigned char *small = tarn_arena_alloc(&arena, 100); /* the chunk goes on being used */
    assert_int_equal(upstream_calls(), calls + 1);
    tarn_arena_free(&arena, large, 100000);
    assert_int_equal(held(), before);
    assert_true(tarn_arena_owns(&arena, small));
    /* Over an alignment as well, and by realloc. */
    large = tarn_arena_alloc_aligned(&arena, 50000, 8192);
    assert_int_equal(offset_of(large, 8192), 0);
    large[0] = 5;
    large = tarn_arena_realloc_aligned(&arena, large, 50000, 2000000, 8192);
    assert_int_equal(offset_of(large, 8192), 0);
    assert_int_equal(large[0], 5);
    check();
    large = tarn_arena_realloc(&arena, large, 2000000, 4000); /* no longer large */
    assert_int_equal(large[0], 5);
    assert_true(held() < with);
    end();
}

static void a_reset_frees_large_blocks(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    for (int round = 0; round < 3; round++) {
        (void)tarn_arena_alloc(&arena, 10);
        for (int i = 0; i < 100; i++) {
            assert_non_null(tarn_arena_alloc(&arena, 300000));
        }
        check();
        assert_true(held() >= (size_t)30000000);
        tarn_arena_reset(&arena);
        assert_true(held() <= (size_t)1 << 20);
    }
    end();
}

/* ------------------------------------------------------------------------------------------------
 * Buffers
 */
static void a_buffer_is_used_before_any_chunk_and_kept(void **state)
{
    (void)state;
    begin((tarn_arena_options){.buffer = {memory + 5, 5000}});
    for (int round = 0; round < 5; round++) {
        unsigned char *first = tarn_arena_alloc(&arena, 1000);
        assert_true(first >= memory + 5 && first + 1000 <= memory + 5005);
        memset(first, 1, 1000);
        assert_int_equal(held(), 0);
        assert_int_equal(tarn_arena_stats(&arena).footprint, 5000);
        unsigned char *second = tarn_arena_alloc(&arena, 6000);
        memset(second, 1, 6000);
        assert_true(second < memory || second >= memory + sizeof memory);
        tarn_arena_reset(&arena);
        tarn_arena_trim(&arena);
        assert_int_equal(held(), 0);
    }
    end();
}

static void a_buffer_that_is_too_small_is_refused(void **state)
{
    (void)state;
    bool had_room = false;
    for (size_t size = 0; size < 300; size++) {
        for (size_t lead = 0; lead < 16; lead++) {
            memset(memory, 0x55, 600);
            tarn_arena small;
            const tarn_status status = tarn_arena_init(
                &small, &(tarn_arena_options){.buffer = {memory + lead, size}, .fixed = true});
            if (status == TARN_OK) {
                had_room = true;
                unsigned char *block = tarn_arena_alloc(&small, tarn_arena_room(&small));
                assert_non_null(block);
                assert_non_null(tarn_arena_stats(&small).live >= 16 ? block : NULL);
                tarn_arena_deinit(&small);
            } else {
                assert_int_equal(status, TARN_NO_ROOM);
                assert_false(had_room && size > 150);
                tarn_arena_deinit(&small); /* harmless */
            }
            for (size_t i = 0; i < 600; i++) {
                assert_true(memory[i] == 0x55 || (i >= lead && i < lead + size));
            }
        }
    }
    assert_true(had_room);
    tarn_arena none;
    assert_int_equal(tarn_arena_init(&none, &(tarn_arena_options){.fixed = true}), TARN_NO_ROOM);
    assert_null(tarn_arena_create(&(tarn_arena_options){.buffer = {memory, 100}}));
    assert_int_equal(
        tarn_arena_init(&none, &(tarn_arena_options){.buffer = {memory, SIZE_MAX - 5}}),
        TARN_NO_ROOM);
}

static void a_fixed_arena_takes_nothing_from_upstream(void **state)
{
    (void)state;
    begin((tarn_arena_options){.buffer = {memory, sizeof memory}, .fixed = true});
    size_t taken = 0;
    while (tarn_arena_alloc(&arena, 1000) != NULL) {
        taken += 1000;
    }
    assert_true(taken > sizeof memory - 5000);
    assert_null(tarn_arena_alloc(&arena, 1000000));
    assert_int_equal(upstream_calls(), 0);
    tarn_arena_reset(&arena);
    assert_non_null(tarn_arena_alloc(&arena, taken));
    end();
}

static void an_arena_may_live_in_its_own_memory(void **state)
{
    (void)state;
    tarn_pages_init(&pages, NULL);
    tarn_arena *own = tarn_arena_create(&(tarn_arena_options){.upstream = &pages.heap});
    assert_int_equal(tarn_arena_used(own), 0);
    assert_int_equal(tarn_arena_stats(own).footprint, 16384);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 1000; i++) {
            memset(tarn_arena_alloc(own, 100), round, 100);
        }
        tarn_arena_reset(own);
        tarn_arena_trim(own);
        assert_int_equal(tarn_arena_used(own), 0);
        assert_int_equal(tarn_arena_stats(own).footprint, 16384);
    }
    tarn_arena_destroy(own);
    tarn_arena_destroy(NULL);
    assert_int_equal(tarn_heap_stats(&pages.heap).live, 0);
    tarn_pages_deinit(&pages);

    own = tarn_arena_create(&(tarn_arena_options){.buffer = {memory + 1, 2000}, .fixed = true});
    assert_true((unsigned char *)own > memory && (unsigned char *)(own + 1) < memory + 2001);
    assert_true(tarn_arena_room(own) > 2000 - sizeof *own - 200);
    assert_non_null(tarn_arena_alloc(own, 1000));
    tarn_arena_destroy(own);
}

/* ------------------------------------------------------------------------------------------------
 * Limits and shortage
 */
static void a_limit_is_never_passed(void **state)
{
    (void)state;
    begin((tarn_arena_options){.limit = 100000, .buffer = {memory, 3000}});
    size_t taken = 0;
    while (tarn_arena_alloc(&arena, 500) != NULL) {
        taken += 500;
        assert_true(held() <= 100000);
    }
    assert_true(taken >= (IS_OPEN ? 90000 : 80000));
    assert_null(tarn_arena_alloc(&arena, 300000));
    assert_int_equal(tarn_arena_stats(&arena).failures, 2);
    check();
    tarn_arena_set_limit(&arena, 0);
    assert_non_null(tarn_arena_alloc(&arena, 300000));
    tarn_arena_set_limit(&arena, 1000); /* less than is held */
    assert_null(tarn_arena_alloc(&arena, 300000));
    tarn_arena_reset(&arena);
    tarn_arena_trim(&arena);
    assert_int_equal(held(), 0);
    end();
}

static void a_chunk_is_smaller_where_upstream_has_no_larger_one(void **state)
{
    (void)state;
    tarn_buffer buffer;
    tarn_buffer_init(&buffer, (tarn_memory){memory, 20000}, NULL);
    tarn_arena small;
    tarn_arena_init(&small, &(tarn_arena_options){.upstream = &buffer.heap, .chunk_size = 65536});
    size_t taken = 0;
    while (tarn_arena_alloc(&small, 100) != NULL) {
        taken += 100;
    }
    assert_true(taken > 12000);
    assert_true(tarn_arena_check(&small, NULL, 0));
    tarn_arena_deinit(&small);
    assert_int_equal(tarn_heap_stats(&buffer.heap).live, 0);
    tarn_buffer_deinit(&buffer);
}

typedef struct shortage {
    unsigned calls;
    size_t size;
    unsigned helps;
    jmp_buf *away;
} shortage;

static bool give_room(void *context, size_t size)
{
    shortage *it = context;
    it->calls++;
    it->size = size;
    if (it->away != NULL) {
        longjmp(*it->away, 1);
    }
    if (it->helps == 0) {
        return false;
    }
    it->helps--;
    tarn_arena_set_limit(&arena, tarn_arena_stats(&arena).footprint + 20000);
    return true;
}

static void who_is_told_of_a_shortage_may_help(void **state)
{
    (void)state;
    shortage it = {.helps = 2};
    begin((tarn_arena_options){.limit = 20000, .on_no_memory = give_room, .context = &it});
    unsigned got = 0;
    while (tarn_arena_alloc(&arena, 1000) != NULL) {
        got++;
    }
    assert_true(got > 45);
    assert_int_equal(it.calls, 3);
    assert_int_equal(it.size, 1000);
    assert_int_equal(tarn_arena_stats(&arena).failures, 1);
    /* Cleanups are memory, too. */
    it = (shortage){.helps = 1};
    while (tarn_arena_on_reset(&arena, free, NULL) != NULL && it.calls == 0) {
    }
    assert_int_equal(it.calls, 1);
    end();
}

static void who_is_told_of_a_shortage_may_leave(void **state)
{
    (void)state;
    static shortage it;
    static jmp_buf away;
    it = (shortage){.away = &away};
    begin((tarn_arena_options){.limit = 20000, .on_no_memory = give_room, .context = &it});
    if (setjmp(away) == 0) {
        for (;;) {
            assert_non_null(tarn_arena_alloc(&arena, 100));
        }
    }
    assert_int_equal(it.calls, 1);
    check();
    tarn_arena_reset(&arena);
    assert_non_null(tarn_arena_alloc(&arena, 100));
    end();
}

/* ------------------------------------------------------------------------------------------------
 * What a reset keeps
 */
static void use(size_t bytes)
{
    for (size_t done = 0; done < bytes; done += 1000) {
        memset(tarn_arena_alloc(&arena, 1000), 1, 1000);
    }
}

static uint64_t page_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_minflt;
}

static void a_steady_state_calls_nobody_and_touches_no_new_page(void **state)
{
    (void)state;
    const struct {
        tarn_arena_options options;
        size_t bytes;
    } cases[] = {
        {{.name = NULL}, 10000},
        {{.name = NULL}, 100000},
        {{.name = NULL}, 1300000},
        {{.name = NULL}, 20000000},
        {{.chunk_size = 4096, .chunk_size_max = 4096}, 500000},
        {{.chunk_size = 100000, .buffer = {memory, 10000}}, 300000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(cases[i].options);
        uint64_t calls = 0;
        uint64_t faults = 0;
        for (int round = 0; round < 50; round++) {
            if (round == 6) {
                calls = upstream_calls();
                faults = page_faults();
            }
            /* A little more, a little less. */
            use(cases[i].bytes - cases[i].bytes / 50 * (size_t)(round % 3));
            tarn_arena_reset(&arena);
        }
        assert_int_equal(upstream_calls(), calls);
        if (IS_UNDER_NO_TOOL) {
            assert_true(page_faults() <= faults + 2); /* not ours */
        }
        end();
    }
}

static void small_scopes_are_no_cycles(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    uint64_t calls = 0;
    for (int round = 0; round < 20; round++) {
        if (round == 6) {
            calls = upstream_calls();
        }
        for (int i = 0; i < 300; i++) {
            TARN_ARENA_SCOPE(scratch, &arena);
            use(3000);
        }
        (void)tarn_arena_alloc(&arena, 100);
        for (int i = 0; i < 300; i++) {
            TARN_ARENA_SCOPE(scratch, &arena);
            use(3000);
        }
        if (round % 2 == 0) {
            use(10000000);
        } else {
            TARN_ARENA_SCOPE(scratch, &arena);
            use(10000000);
        }
        tarn_arena_reset(&arena);
    }
    assert_int_equal(upstream_calls(), calls);
    end();
}

static void what_was_kept_for_releases_decays(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    (void)tarn_arena_alloc(&arena, 100);
    const tarn_arena_point mark = tarn_arena_mark(&arena);
    for (int round = 0; round < 2; round++) {
        use(5000000);
        tarn_arena_release(&arena, mark);
    }
    assert_true(held() >= 5000000);
    for (int round = 0; round < 1000; round++) {
        use(10000);
        tarn_arena_release(&arena, mark);
    }
    assert_true(held() <= (size_t)64 << 10);
    end();
}

static void a_single_burst_is_given_back_at_once(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    for (int round = 0; round < 5; round++) {
        use(100000);
        tarn_arena_reset(&arena);
    }
    use(50000000);
    assert_true(held() >= 50000000);
    tarn_arena_reset(&arena);
    assert_true(held() <= (size_t)3 << 20);
    end();
}

static void what_was_kept_for_several_bursts_decays(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    for (int round = 0; round < 3; round++) {
        use(50000000);
        tarn_arena_reset(&arena);
    }
    assert_true(held() >= 50000000);
    size_t last = held();
    for (int round = 0; round < 300; round++) {
        use(10000);
        tarn_arena_reset(&arena);
        assert_true(held() <= last);
        last = held();
        check();
    }
    assert_true(last <= (size_t)64 << 10);
    end();
}

static void what_every_second_cycle_needs_is_kept(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    uint64_t calls = 0;
    for (int round = 0; round < 60; round++) {
        use(round % 2 == 0 ? 5000000 : 1000);
        tarn_arena_reset(&arena);
        if (round == 10) {
            calls = upstream_calls();
        }
    }
    assert_int_equal(upstream_calls(), calls);
    end();
}

static void a_trim_gives_back_all_that_is_not_in_use(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    use(5000000);
    const size_t most = held();
    assert_int_equal(tarn_arena_trim(&arena), 0);
    tarn_arena_reset(&arena);
    (void)tarn_arena_alloc(&arena, 10);
    const size_t before = held();
    assert_int_equal(tarn_arena_trim(&arena), before - 16384);
    assert_int_equal(held(), 16384);
    tarn_arena_reset(&arena);
    assert_int_equal(tarn_arena_trim(&arena), 16384);
    assert_int_equal(held(), 0);
    assert_int_equal(tarn_arena_stats(&arena).peak_footprint, most);
    use(100000);
    end();
}

static void a_spare_chunk_that_fits_is_found_behind_others(void **state)
{
    (void)state;
    begin((tarn_arena_options){.chunk_size = 1024, .chunk_size_max = 1 << 20});
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1000; i++) {
            (void)tarn_arena_alloc(&arena, 100);
        }
        tarn_arena_reset(&arena);
    }
    const uint64_t calls = upstream_calls();
    /* The large ones first, so that the small chunks have to wait. */
    for (int i = 0; i < 3; i++) {
        assert_non_null(tarn_arena_alloc(&arena, 20000));
        check();
    }
    for (int i = 0; i < 200; i++) {
        (void)tarn_arena_alloc(&arena, 100);
    }
    check();
    assert_int_equal(upstream_calls(), calls);
    tarn_arena_reset(&arena);
    end();
}

/* ------------------------------------------------------------------------------------------------
 * Marks
 */
static void a_release_frees_what_came_after_the_mark(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    unsigned char *kept = tarn_arena_alloc(&arena, 100);
    memset(kept, 1, 100);
    const size_t used = tarn_arena_used(&arena);
    const tarn_arena_point mark = tarn_arena_mark(&arena);
    unsigned char *first = NULL;
    for (int round = 0; round < 20; round++) {
        unsigned char *block = tarn_arena_alloc(&arena, 50);
        assert_true(first == NULL || block == first);
        first = block;
        use((size_t)round * 100000);
        (void)tarn_arena_alloc(&arena, 1000000); /* large */
        tarn_arena_release(&arena, mark);
        assert_int_equal(tarn_arena_used(&arena), used);
        check();
    }
    for (int i = 0; i < 100; i++) {
        assert_int_equal(kept[i], 1);
    }
    end();
}

static void marks_nest(void **state)
{
    (void)state;
    begin((tarn_arena_options){.chunk_size = 1024, .chunk_size_max = 4096});
    tarn_arena_point marks[50];
    size_t used[50];
    for (int i = 0; i < 50; i++) {
        used[i] = tarn_arena_used(&arena);
        marks[i] = tarn_arena_mark(&arena);
        (void)tarn_arena_alloc(&arena, (size_t)(i % 7) * 300 + 1);
    }
    for (int i = 50; i-- > 0;) {
        if (i % 3 != 1) { /* some are never released to */
            tarn_arena_release(&arena, marks[i]);
            assert_true(tarn_arena_used(&arena) <= used[i]);
            check();
        }
    }
    assert_int_equal(tarn_arena_used(&arena), 0);
    end();
}

static void a_release_gives_chunks_past_the_mark_back(void **state)
{
    (void)state;
    begin((tarn_arena_options){.chunk_size = 4096, .chunk_size_max = 65536});
    (void)tarn_arena_alloc(&arena, 100);
    const size_t before = held();
    const tarn_arena_point mark = tarn_arena_mark(&arena);
    use(10000000);
    tarn_arena_release(&arena, mark);
    assert_true(held() <= before + 3 * 65536);
    tarn_arena_trim(&arena);
    assert_int_equal(held(), before);
    end();
}

static void a_mark_of_an_empty_arena_outlives_a_trim(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    const tarn_arena_point first = tarn_arena_mark(&arena);
    use(100000);
    tarn_arena_release(&arena, first);
    const tarn_arena_point second = tarn_arena_mark(&arena);
    tarn_arena_trim(&arena);
    assert_int_equal(held(), 0);
    use(100000);
    tarn_arena_release(&arena, second);
    assert_int_equal(tarn_arena_used(&arena), 0);
    tarn_arena_trim(&arena);
    tarn_arena_release(&arena, first);
    tarn_arena_release(&arena, first);
    end();
}

static void a_scope_releases_at_its_end(void **state)
{
    (void)state;
    begin((tarn_arena_options){.name = NULL});
    (void)tarn_arena_alloc(&arena, 64);
    const size_t used = tarn_arena_used(&arena);
    for (int i = 0; i < 10; i++) {
        TARN_ARENA_SCOPE(scratch, &arena);
        (void)tarn_arena_alloc(&arena, 1000);
        assert_true(tarn_arena_used(&arena) > used + 999);
    }
    assert_int_equal(tarn_arena_used(&arena), used);
    end();
}

static void stale_marks_are_fatal(void **state)
{
    (void)state;
    const char *stale = "a mark from before a reset, or a release to an older mark";
    tarn_arena_init(&arena, &(tarn_arena_options){.name = "loft", .chunk_size = 4096});
    (void)tarn_arena_alloc(&arena, 8);
    const tarn_arena_point first = tarn_arena_mark(&arena);
    (void)tarn_arena_alloc(&arena, 8);
    const tarn_arena_point second = tarn_arena_mark(&arena);
    use(100000);
    const tarn_arena_point third = tarn_arena_mark(&arena);
    tarn_arena_release(&arena, second);
    assert_fatal(tarn_arena_release(&arena, third), stale, "loft", third.at);
    use(100000);
    assert_fatal(tarn_arena_release(&arena, third), stale, "loft", third.at);
    tarn_arena_release(&arena, first);
    assert_fatal(tarn_arena_release(&arena, second), stale, "loft", second.at);
    tarn_arena_release(&arena, first);
    tarn_arena_reset(&arena);
    assert_fatal(tarn_arena_release(&arena, first), stale, "loft", first.at);
    /* What later releases end as well does not make it good again. */
    const tarn_arena_point base = tarn_arena_mark(&arena);
    (void)tarn_arena_alloc(&arena, 8);
    const tarn_arena_point ended = tarn_arena_mark(&arena);
    tarn_arena_release(&arena, base);
    (void)tarn_arena_alloc(&arena, 100);
    for (int i = 0; i < 3; i++) {
        (void)tarn_arena_alloc(&arena, 8);
        tarn_arena_release(&arena, tarn_arena_mark(&arena));
        assert_fatal(tarn_arena_release(&arena, ended), stale, "loft", ended.at);
    }
    for (int i = 0; i < 20; i++) {
        (void)tarn_arena_alloc(&arena, 8);
        const tarn_arena_point next = tarn_arena_mark(&arena);
        tarn_arena_release(&arena, next);
        tarn_arena_release(&arena, next);
    }
    tarn_arena_release(&arena, base);
    tarn_arena other;
    tarn_arena_init(&other, NULL);
    const tarn_arena_point foreign = tarn_arena_mark(&other);
    assert_fatal(tarn_arena_release(&arena, foreign), "a mark of another arena", "loft",
                 foreign.at);
    tarn_arena_deinit(&other);
    tarn_arena_deinit(&arena);
}

/* ------------------------------------------------------------------------------------------------
 * Books
 */
static void the_overhead_is_below_three_per_cent(void **state)
{
    (void)state;
    if (!IS_OPEN) {
        skip();
    }
    begin((tarn_arena_options){.name = NULL});
    uint32_t random = 1;
    size_t asked = 0;
    for (int i = 0; i < 10000; i++) {
        random = random * 1664525 + 1013904223;
        const size_t size = 8 + (random >> 8) % 249;
        asked += size;
        (void)tarn_arena_alloc(&arena, size);
    }
    assert_true(tarn_arena_used(&arena) * 100 < asked * 103);
    end();
}

static void it_knows_what_is_its_own(void **state)
{
    (void)state;
    begin((tarn_arena_options){.buffer = {memory, 2000}, .chunk_size = 4096});
    int local = 0;
    assert_false(tarn_arena_owns(&arena, &local));
    assert_false(tarn_arena_owns(&arena, memory));
    assert_false(tarn_arena_owns(&arena, NULL));
    const unsigned char *blocks[40];
    for (int i = 0; i < 40; i++) {
        blocks[i] = tarn_arena_alloc(&arena, 300);
    }
    for (int i = 0; i < 40; i++) {
        assert_true(tarn_arena_owns(&arena, blocks[i]) && tarn_arena_owns(&arena, blocks[i] + 299));
    }
    const size_t room = tarn_arena_room(&arena);
    assert_true(room > 0 && room < 8192);
    const uint64_t calls = upstream_calls();
    assert_non_null(tarn_arena_alloc(&arena, room));
    assert_int_equal(upstream_calls(), calls);
    assert_true(tarn_arena_room(&arena) < 16);
    tarn_arena_reset(&arena);
    assert_false(tarn_arena_owns(&arena, blocks[0]));
    assert_false(tarn_arena_owns(&arena, blocks[39]));
    end();
}

static void the_stats_of_an_open_arena_are_those_of_its_bytes(void **state)
{
    (void)state;
    if (!IS_OPEN) {
        skip();
    }
    begin((tarn_arena_options){.name = NULL});
    use(30000);
    (void)tarn_arena_alloc(&arena, 500000);
    tarn_stats stats = tarn_arena_stats(&arena);
    assert_true(stats.live >= 530000 && stats.live < 536000);
    assert_int_equal(stats.peak_live, stats.live);
    assert_int_equal(stats.footprint, held());
    assert_int_equal(stats.blocks, 0);
    assert_int_equal(stats.allocs, 0);
    assert_int_equal(stats.largest_free, tarn_arena_room(&arena));
    tarn_arena_reset(&arena);
    stats = tarn_arena_stats(&arena);
    assert_int_equal(stats.live, 0);
    assert_true(stats.peak_live >= 530000);
    assert_true(stats.largest_free > 16384); /* of a spare chunk */
    assert_int_equal(tarn_arena_visit(&arena, NULL, NULL), TARN_UNSUPPORTED);
    end();
}

static void zero_clears_what_is_used_again(void **state)
{
    (void)state;
    static const unsigned char zeros[40000];
    memset(memory, 0x77, sizeof memory);
    begin((tarn_arena_options){.zero = true, .buffer = {memory, 4000}, .chunk_size = 2048});
    for (int round = 0; round < 20; round++) {
        const tarn_arena_point mark = tarn_arena_mark(&arena);
        for (volatile size_t size = 1; size < 40000; size = size * 2 + (size_t)round) {
            unsigned char *block = tarn_arena_alloc(&arena, size);
            assert_memory_equal(block, zeros, size);
            memset(block, 0x77, size);
            if (size % 3 == 0) {
                assert_true(tarn_arena_resize(&arena, block, size, size / 2 + 1));
            } else if (size % 3 == 1) {
                tarn_arena_free(&arena, block, size);
            }
        }
        const char *text = tarn_arena_printf(&arena, "%0*d", 200 * round + 1, 7);
        assert_int_equal(strlen(text), 200 * round + 1);
        if (round % 2 == 0) {
            tarn_arena_release(&arena, mark);
        } else {
            tarn_arena_reset(&arena);
        }
    }
    end();
}

static void poison_overwrites_what_was_given_back(void **state)
{
    (void)state;
    begin((tarn_arena_options){.poison = true});
    unsigned char *first = tarn_arena_alloc(&arena, 100);
    unsigned char *second = tarn_arena_alloc(&arena, 100);
    memset(first, 1, 100);
    memset(second, 1, 100);
    tarn_arena_free(&arena, first, 100);
    assert_int_equal(peek(first), 0xdd);
    assert_int_equal(peek(first + 99), 0xdd);
    assert_int_equal(peek(second), 1);
    const tarn_arena_point mark = tarn_arena_mark(&arena);
    unsigned char *third = tarn_arena_alloc(&arena, 5000);
    memset(third, 1, 5000);
    tarn_arena_release(&arena, mark);
    assert_int_equal(peek(third), 0xdd);
    assert_int_equal(peek(third + 4999), 0xdd);
    tarn_arena_reset(&arena);
    assert_int_equal(peek(second), 0xdd);
    end();
}

/* True if a tool lets the program touch the byte. */
static bool is_shown(const unsigned char *byte)
{
#if HEAP_WATCH_ASAN
    return !__asan_address_is_poisoned(byte);
#elif HEAP_WATCH_VALGRIND
    heap_watch_pause();
    const bool is_shown = VALGRIND_CHECK_MEM_IS_ADDRESSABLE(byte, 1) == 0;
    heap_watch_resume();
    return is_shown;
#else
    (void)byte;
    return true;
#endif
}

static void tools_see_each_block_and_a_gap_behind_it(void **state)
{
    (void)state;
    if (IS_OPEN) {
        skip();
    }
    begin((tarn_arena_options){.chunk_size = 4096, .chunk_size_max = 16384});
    const size_t sizes[] = {1, 7, 8, 24, 1000, 5000, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const size_t size = sizes[i];
        unsigned char *older = tarn_arena_alloc(&arena, size);
        const tarn_arena_point mark = tarn_arena_mark(&arena);
        unsigned char *block = tarn_heap_alloc(&arena.heap, size, 0);
        unsigned char *last = tarn_arena_alloc_aligned(&arena, size, 64);
        unsigned char *all[] = {older, block, last};
        for (size_t j = 0; j < 3; j++) {
            assert_true(is_shown(all[j]) && is_shown(all[j] + size - 1));
            for (size_t k = 0; k < 16; k++) {
                assert_false(is_shown(all[j] + size + k));
            }
        }
        if (size < 4096) {
            tarn_arena_free(&arena, block, size); /* it stays there, hidden */
            assert_false(is_shown(block) || is_shown(block + size - 1));
            assert_true(tarn_arena_resize(&arena, last, size, size + 9));
            assert_true(is_shown(last + size + 8));
            assert_false(is_shown(last + size + 9));
            assert_true(tarn_arena_resize(&arena, last, size + 9, size));
            assert_false(is_shown(last + size));
            tarn_arena_release(&arena, mark);
            assert_false(is_shown(last));
            assert_true(is_shown(older));
            tarn_arena_reset(&arena);
            assert_false(is_shown(older));
            assert_true(is_shown(tarn_arena_alloc_zeroed(&arena, size)));
        }
    }
    end();
}

static void without_pooling_each_block_is_the_system_heaps(void **state)
{
    (void)state;
    tarn_set_pooling(false);
    begin((tarn_arena_options){.name = NULL});
    tarn_set_pooling(true);
    const tarn_arena_point first = tarn_arena_mark(&arena);
    unsigned char *blocks[20];
    for (size_t i = 0; i < 20; i++) {
        blocks[i] = tarn_arena_alloc(&arena, i * 40000);
        memset(blocks[i], (int)i, i * 40000);
        assert_true(tarn_arena_owns(&arena, blocks[i]));
    }
    char *text = tarn_arena_printf(&arena, "%d", 12345);
    assert_string_equal(text, "12345");
    assert_int_equal(upstream_calls(), 0);
    const size_t used = tarn_arena_used(&arena);
    tarn_arena_free(&arena, blocks[3], 120000);
    assert_int_equal(tarn_arena_used(&arena), used - 120000);
    blocks[4] = tarn_arena_realloc(&arena, blocks[4], 160000, 300000);
    assert_int_equal(blocks[4][159999], 4);
    const tarn_arena_point second = tarn_arena_mark(&arena);
    const size_t before = tarn_arena_used(&arena);
    (void)tarn_arena_alloc_zeroed(&arena, 500);
    tarn_arena_release(&arena, second);
    assert_int_equal(tarn_arena_used(&arena), before);
    check();
    tarn_arena_release(&arena, first);
    assert_int_equal(tarn_arena_used(&arena), 0);
    (void)tarn_arena_alloc(&arena, 500);
    tarn_arena_reset(&arena);
    assert_int_equal(tarn_arena_used(&arena), 0);
    assert_int_equal(upstream_calls(), 0);
    end();
}

static void misuse_that_is_found_in_every_arena_is_fatal(void **state)
{
    (void)state;
    const char *foreign = "not a block of this arena, or freed already";
    const char *size = "wrong size given back with the block";
    tarn_arena_init(&arena, &(tarn_arena_options){.name = "loft"});
    unsigned char *large = tarn_arena_alloc(&arena, 300000);
    assert_fatal(tarn_arena_free(&arena, large, 300001), size, "loft", large);
    assert_fatal(tarn_arena_free(&arena, large + 8, 299992), foreign, "loft", large + 8);
    assert_fatal(tarn_arena_free(&arena, large, SIZE_MAX), size, "loft", large);
    assert_fatal(tarn_arena_resize(&arena, memory, 300000, 400000), foreign, "loft", memory);
    tarn_arena_free(&arena, large, 300000);
    assert_fatal(tarn_arena_free(&arena, large, 300000), foreign, "loft", large);
    assert_fatal(tarn_arena_destroy(&arena), "destroy of an arena that was not created", "loft",
                 &arena);
    tarn_arena *own = tarn_arena_create(&(tarn_arena_options){.name = "hut"});
    assert_fatal(tarn_arena_deinit(own), "deinit of an arena that was created", "hut", own);
    tarn_arena_destroy(own);
    tarn_arena_deinit(&arena);
    tarn_arena_deinit(&arena); /* harmless */
    char line[512];
    if (fatal_is_child(line, sizeof line)) {
        (void)tarn_arena_alloc(&arena, 8);
        fatal_tell_parent("nothing fatal happened");
    }
    char wanted[100];
    snprintf(wanted, sizeof wanted, "tarn: use of an arena that has ended (block %p)",
             (void *)&arena);
    assert_string_equal(line, wanted);
}

static void an_overwritten_end_of_a_chunk_is_found(void **state)
{
    (void)state;
    tarn_arena_init(&arena, &(tarn_arena_options){.name = "loft", .buffer = {memory, 1024}});
    unsigned char *block = tarn_arena_alloc(&arena, tarn_arena_room(&arena));
    unsigned char *last = block + tarn_arena_stats(&arena).live;
    last = memory + 1024 - 48;
    char fault[100];
    for (size_t i = 0; i < 40; i++) {
        const unsigned char byte = peek(last + i);
        poke(last + i, byte ^ 0x10);
        assert_fatal(tarn_arena_alloc(&arena, 8), "the end of a chunk was overwritten", "loft",
                     last);
        assert_false(tarn_arena_check(&arena, fault, sizeof fault));
        assert_memory_equal(fault, "the end of chunk 0, at", 22);
        assert_false(tarn_arena_check(&arena, fault, 8));
        assert_string_equal(fault, "the end");
        assert_false(tarn_arena_check(&arena, NULL, 0));
        poke(last + i, byte);
    }
    assert_true(tarn_arena_check(&arena, fault, sizeof fault));
    assert_string_equal(fault, "");
    tarn_arena_deinit(&arena);
    assert_false(tarn_arena_check(&arena, fault, sizeof fault));
    assert_string_equal(fault, "the arena has ended");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_cut_side_by_side),
        cmocka_unit_test(a_size_alone_aligns_for_every_type_of_that_size),
        cmocka_unit_test(an_alignment_is_kept_and_none_is_refused),
        cmocka_unit_test(a_block_of_no_bytes_has_an_address_of_its_own),
        cmocka_unit_test(sizes_that_overflow_are_refused_and_change_nothing),
        cmocka_unit_test(zeroed_blocks_are_zero),
        cmocka_unit_test(typed_blocks_are_aligned_for_their_type),
        cmocka_unit_test(the_newest_block_grows_and_shrinks_where_it_is),
        cmocka_unit_test(a_realloc_keeps_what_is_in_the_block),
        cmocka_unit_test(blocks_freed_in_turn_leave_their_room),
        cmocka_unit_test(a_block_from_before_a_mark_neither_grows_nor_goes),
        cmocka_unit_test(large_blocks_are_upstreams_and_go_back_early),
        cmocka_unit_test(a_reset_frees_large_blocks),
        cmocka_unit_test(a_buffer_is_used_before_any_chunk_and_kept),
        cmocka_unit_test(a_buffer_that_is_too_small_is_refused),
        cmocka_unit_test(a_fixed_arena_takes_nothing_from_upstream),
        cmocka_unit_test(an_arena_may_live_in_its_own_memory),
        cmocka_unit_test(a_limit_is_never_passed),
        cmocka_unit_test(a_chunk_is_smaller_where_upstream_has_no_larger_one),
        cmocka_unit_test(who_is_told_of_a_shortage_may_help),
        cmocka_unit_test(who_is_told_of_a_shortage_may_leave),
        cmocka_unit_test(a_steady_state_calls_nobody_and_touches_no_new_page),
        cmocka_unit_test(small_scopes_are_no_cycles),
        cmocka_unit_test(what_was_kept_for_releases_decays),
        cmocka_unit_test(a_single_burst_is_given_back_at_once),
        cmocka_unit_test(what_was_kept_for_several_bursts_decays),
        cmocka_unit_test(what_every_second_cycle_needs_is_kept),
        cmocka_unit_test(a_trim_gives_back_all_that_is_not_in_use),
        cmocka_unit_test(a_spare_chunk_that_fits_is_found_behind_others),
        cmocka_unit_test(a_release_frees_what_came_after_the_mark),
        cmocka_unit_test(marks_nest),
        cmocka_unit_test(a_release_gives_chunks_past_the_mark_back),
        cmocka_unit_test(a_mark_of_an_empty_arena_outlives_a_trim),
        cmocka_unit_test(a_scope_releases_at_its_end),
        cmocka_unit_test(stale_marks_are_fatal),
        cmocka_unit_test(the_overhead_is_below_three_per_cent),
        cmocka_unit_test(it_knows_what_is_its_own),
        cmocka_unit_test(the_stats_of_an_open_arena_are_those_of_its_bytes),
        cmocka_unit_test(zero_clears_what_is_used_again),
        cmocka_unit_test(poison_overwrites_what_was_given_back),
        cmocka_unit_test(tools_see_each_block_and_a_gap_behind_it),
        cmocka_unit_test(without_pooling_each_block_is_the_system_heaps),
        cmocka_unit_test(misuse_that_is_found_in_every_arena_is_fatal),
        cmocka_unit_test(an_overwritten_end_of_a_chunk_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
