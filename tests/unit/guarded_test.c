/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "os/os.h"
#include "tarn/heaps.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fatal.h"
#include "tools.h"

static tarn_guarded guarded;

/* Valgrind leaves out reads that nobody looks at. */
static volatile unsigned char seen;

static int make_zones(void **state)
{
    (void)state;
    return tarn_guarded_init(&guarded, &(tarn_guarded_options){.name = "fence"});
}

static int make_pages(void **state)
{
    (void)state;
    return tarn_guarded_init(&guarded,
                             &(tarn_guarded_options){.name = "fence", .mode = TARN_GUARD_PAGES});
}

static int end(void **state)
{
    (void)state;
    tarn_guarded_deinit(&guarded);
    return 0;
}

/* What check finds after the byte at `place` was changed; it is changed back. */
static void assert_found(unsigned char *place, const void *block, const char *words)
{
    char fault[160];
    char wanted[160];
    const unsigned char byte = peek(place);
    poke(place, (unsigned char)(byte + 1));
    assert_false(tarn_heap_check(&guarded.heap, fault, sizeof fault));
    snprintf(wanted, sizeof wanted, "%s (block %p)", words, block);
    assert_string_equal(fault, wanted);
    poke(place, byte);
    assert_true(tarn_heap_check(&guarded.heap, NULL, 0));
}

static void check_reports_each_byte_overwritten_around_a_block(void **state)
{
    (void)state;
    unsigned char *block = tarn_heap_alloc(&guarded.heap, 24, 0);
    assert_found(block + 24, block, "byte 0 past the end of a block of 24 bytes was overwritten");
    assert_found(block + 55, block, "byte 31 past the end of a block of 24 bytes was overwritten");
    assert_found(block - 1, block, "byte 1 before a block of 24 bytes was overwritten");
    assert_found(block - 32, block, "byte 32 before a block of 24 bytes was overwritten");
    tarn_heap_free(&guarded.heap, block, 24);
    assert_found(block + 5, block, "byte 5 of a freed block of 24 bytes was overwritten");
    assert_found(block + 24, block,
                 "byte 0 past the end of a freed block of 24 bytes was overwritten");
    unsigned char *single = tarn_heap_alloc(&guarded.heap, 1, 1);
    assert_found(single + 1, single, "byte 0 past the end of a block of 1 byte was overwritten");
    tarn_heap_free(&guarded.heap, single, 1);
}

static void the_overwritten_byte_nearest_to_the_block_is_named(void **state)
{
    (void)state;
    unsigned char *block = tarn_heap_alloc(&guarded.heap, 24, 0);
    char fault[160];
    const unsigned char byte = peek(block - 1);
    poke(block - 9, 1);
    poke(block - 2, 1);
    assert_false(tarn_heap_check(&guarded.heap, fault, sizeof fault));
    assert_memory_equal(fault, "byte 2 before a block", 21);
    poke(block - 2, byte);
    poke(block + 30, 1);
    poke(block + 26, 1);
    assert_false(tarn_heap_check(&guarded.heap, fault, sizeof fault));
    assert_memory_equal(fault, "byte 2 past the end", 19);
    poke(block + 30, byte);
    poke(block + 26, byte);
    poke(block - 9, byte);
    tarn_heap_free(&guarded.heap, block, 24);
}

static void new_and_freed_blocks_are_filled(void **state)
{
    (void)state;
    unsigned char *block = tarn_heap_alloc(&guarded.heap, 100, 0);
    heap_watch_show(block, 100); /* to Valgrind the bytes of a new block are undefined */
    for (int i = 0; i < 100; i++) {
        assert_int_equal(peek(block + i), 0xcd);
    }
    tarn_heap_free(&guarded.heap, block, 100);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(peek(block + i), 0xdd);
    }
}

static void overruns_and_underruns_are_fatal_at_free(void **state)
{
    (void)state;
    unsigned char *block = tarn_heap_alloc(&guarded.heap, 24, 0);
    assert_fatal((poke(block + 24, 0), tarn_heap_free(&guarded.heap, block, 24)),
                 "byte 0 past the end of a block of 24 bytes was overwritten", "fence", block);
    assert_fatal((poke(block - 3, 0), tarn_heap_realloc(&guarded.heap, block, 24, 30, 0)),
                 "byte 3 before a block of 24 bytes was overwritten", "fence", block);
    assert_fatal((poke(block - 3, 0), tarn_heap_reset(&guarded.heap)),
                 "byte 3 before a block of 24 bytes was overwritten", "fence", block);
    tarn_heap_free(&guarded.heap, block, 24);
    assert_fatal((poke(block + 7, 0), tarn_heap_trim(&guarded.heap)),
                 "byte 7 of a freed block of 24 bytes was overwritten", "fence", block);
}

static void blocks_that_are_none_are_fatal(void **state)
{
    (void)state;
    unsigned char *block = tarn_heap_alloc(&guarded.heap, 24, 0);
    unsigned char outside[1];
    assert_fatal(tarn_heap_free(&guarded.heap, outside, 1), "not a block of this heap", "fence",
                 outside);
    assert_fatal(tarn_heap_free(&guarded.heap, block + 8, 16),
                 "not a block of this heap, but byte 8 of a block of 24 bytes", "fence", block + 8);
    assert_fatal(tarn_heap_free(&guarded.heap, block, 25),
                 "wrong size, 25, given back with a block of 24 bytes", "fence", block);
    tarn_heap_free(&guarded.heap, block, 24);
    assert_fatal(tarn_heap_free(&guarded.heap, block, 24), "double free of a block of 24 bytes",
                 "fence", block);
    tarn_heap_trim(&guarded.heap);
    assert_fatal(tarn_heap_free(&guarded.heap, block, 24), "not a block of this heap", "fence",
                 block);
}

static void freed_blocks_stay_in_quarantine_until_newer_ones_push_them_out(void **state)
{
    (void)state;
    static _Alignas(16) unsigned char memory[16384];
    tarn_buffer buffer;
    tarn_guarded small;
    tarn_buffer_init(&buffer, (tarn_memory){memory, sizeof memory}, NULL);
    /* A chunk is the block and two zones: room for four in quarantine. */
    const tarn_guarded_options options = {.upstream = &buffer.heap,
                                          .quarantine = (size_t)4 * (64 + 32 + 32)};
    tarn_guarded_init(&small, &options);
    void *blocks[8];
    for (int i = 0; i < 8; i++) {
        blocks[i] = tarn_heap_alloc(&small.heap, 64, 0);
    }
    for (int i = 0; i < 8; i++) {
        const uint64_t upstream_frees = tarn_heap_stats(&buffer.heap).frees;
        tarn_heap_free(&small.heap, blocks[i], 64);
        assert_int_equal(tarn_heap_stats(&buffer.heap).frees, upstream_frees + (i >= 4));
    }
    assert_true(tarn_heap_check(&small.heap, NULL, 0));
    assert_true(tarn_heap_trim(&small.heap) >= (size_t)4 * 128);
    assert_int_equal(tarn_heap_stats(&small.heap).footprint, 0);
    assert_int_equal(tarn_heap_stats(&buffer.heap).live, 0);
    tarn_guarded_deinit(&small);
    tarn_buffer_deinit(&buffer);
}

static void the_quarantine_gives_way_before_a_request_is_refused(void **state)
{
    (void)state;
    static _Alignas(16) unsigned char memory[65536];
    tarn_buffer buffer;
    tarn_guarded small;
    tarn_buffer_init(&buffer, (tarn_memory){memory, sizeof memory}, NULL);
    tarn_guarded_init(&small, &(tarn_guarded_options){.upstream = &buffer.heap});
    for (int i = 0; i < 1000; i++) {
        void *block = tarn_heap_alloc(&small.heap, 1000, 0);
        assert_non_null(block);
        tarn_heap_free(&small.heap, block, 1000);
    }
    assert_int_equal(tarn_heap_stats(&small.heap).failures, 0);
    assert_null(tarn_heap_alloc(&small.heap, sizeof memory, 0));
    assert_int_equal(tarn_heap_stats(&small.heap).failures, 1);
    tarn_guarded_deinit(&small);
    assert_int_equal(tarn_heap_stats(&buffer.heap).live, 0);
    tarn_buffer_deinit(&buffer);
}

static void reset_frees_its_own_blocks_alone(void **state)
{
    (void)state;
    const uint64_t before = tarn_heap_stats(tarn_pages_heap()).blocks;
    tarn_guarded other;
    tarn_guarded_init(&other, NULL);
    unsigned char *block = tarn_heap_alloc(&other.heap, 10, 0);
    tarn_heap_alloc(&guarded.heap, 10, 0);
    assert_int_equal(tarn_heap_reset(&guarded.heap), TARN_OK);
    assert_int_equal(tarn_heap_stats(&guarded.heap).blocks, 0);
    tarn_heap_free(&other.heap, block, 10);
    tarn_guarded_deinit(&other);
    tarn_heap_trim(&guarded.heap);
    assert_int_equal(tarn_heap_stats(tarn_pages_heap()).blocks, before);
}

static void options_that_mean_nothing_are_refused(void **state)
{
    (void)state;
    tarn_guarded bad;
    assert_int_equal(tarn_guarded_init(&bad, &(tarn_guarded_options){.mode = (tarn_guard_mode)7}),
                     TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_guarded_init(&bad, &(tarn_guarded_options){.zone = SIZE_MAX / 2}),
                     TARN_TOO_LARGE);
}

/* ------------------------------------------------------------------------------------------------
 * Page mode: faults are explained by the handler, to the parent.
 */
static void explain_fault(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)context;
    char words[100];
    void *block = NULL;
    char line[160];
    if (!tarn_guarded_explain(&guarded, info->si_addr, words, sizeof words, &block)) {
        fatal_tell_parent("a fault that is none of the heap's");
    }
    snprintf(line, sizeof line, "tarn: %s (%s, block %p)", words, guarded.heap.name, block);
    fatal_tell_parent(line);
}

static void catch_faults(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    action.sa_sigaction = explain_fault;
    sigemptyset(&action.sa_mask);
    assert_int_equal(sigaction(SIGSEGV, &action, NULL), 0);
}

#define assert_fault(statement, words, block)                                                      \
    assert_fatal((catch_faults(), (void)(statement)), words, "fence", block)

static void pages_fault_at_the_first_byte_past_the_end(void **state)
{
    (void)state;
    const size_t page_size = os_page_size();
    for (size_t size = 1; size < 3 * page_size; size = size * 2 + 1) {
        char words[100];
        unsigned char *block = tarn_heap_alloc(&guarded.heap, size, 1);
        memset(block, 1, size);
        snprintf(words, sizeof words, "byte 0 past the end of a block of %zu %s", size,
                 size == 1 ? "byte" : "bytes");
        assert_fault(poke(block + size, 1), words, block);
        assert_fault(seen = peek(block + size), words, block);
        tarn_heap_free(&guarded.heap, block, size);
    }
}

static void pages_find_what_alignment_leaves_between_block_and_guard(void **state)
{
    (void)state;
    unsigned char *block = tarn_heap_alloc(&guarded.heap, 24, 16);
    assert_int_equal((uintptr_t)block % 16, 0);
    assert_found(block + 24, block, "byte 0 past the end of a block of 24 bytes was overwritten");
    assert_fault(poke(block + 32, 1), "byte 8 past the end of a block of 24 bytes", block);
    tarn_heap_free(&guarded.heap, block, 24);
}

static void pages_find_underruns(void **state)
{
    (void)state;
    const size_t page_size = os_page_size();
    char words[100];
    unsigned char *block = tarn_heap_alloc(&guarded.heap, page_size, 1);
    snprintf(words, sizeof words, "byte 1 before a block of %zu bytes", page_size);
    assert_fault(poke(block - 1, 1), words, block);
    tarn_heap_free(&guarded.heap, block, page_size);
    block = tarn_heap_alloc(&guarded.heap, 24, 0);
    assert_found(block - 1, block, "byte 1 before a block of 24 bytes was overwritten");
    tarn_heap_free(&guarded.heap, block, 24);
}

static void pages_of_freed_blocks_fault(void **state)
{
    (void)state;
    unsigned char *block = tarn_heap_alloc(&guarded.heap, 24, 0);
    tarn_heap_free(&guarded.heap, block, 24);
    assert_fault(seen = peek(block + 3), "byte 3 of a freed block of 24 bytes", block);
    assert_fault(poke(block, 1), "byte 0 of a freed block of 24 bytes", block);
    assert_fatal(tarn_heap_free(&guarded.heap, block, 24), "double free of a block of 24 bytes",
                 "fence", block);
}

static void pages_keep_large_alignments(void **state)
{
    (void)state;
    for (size_t alignment = 1; alignment <= 16 * os_page_size(); alignment *= 4) {
        unsigned char *block = tarn_heap_alloc(&guarded.heap, 5000, alignment);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % alignment, 0);
        memset(block, 1, 5000);
        tarn_heap_free(&guarded.heap, block, 5000);
    }
    assert_null(tarn_heap_alloc(&guarded.heap, 1, (size_t)1 << 62));
    assert_null(tarn_heap_alloc(&guarded.heap, PTRDIFF_MAX, 1));
    assert_true(tarn_heap_check(&guarded.heap, NULL, 0));
}

static void zones_serve_when_the_kernel_has_no_mappings_left(void **state)
{
    (void)state;
    if (!IS_UNDER_NO_TOOL) {
        skip();
    }
    enum { COUNT = 80000 };
    static void *blocks[COUNT];
    size_t count = 0;
    while (count < COUNT) {
        void *block = tarn_heap_alloc(&guarded.heap, 10, 0);
        if (block == NULL) {
            break;
        }
        memset(block, 1, 10);
        blocks[count++] = block;
    }
    assert_true(count > 1000);
    for (size_t i = 0; i < count; i++) {
        tarn_heap_free(&guarded.heap, blocks[i], 10);
    }
    assert_true(tarn_heap_check(&guarded.heap, NULL, 0));
    tarn_heap_trim(&guarded.heap);
    assert_int_equal(tarn_heap_stats(&guarded.heap).live, 0);
    assert_int_equal(tarn_heap_stats(&guarded.heap).footprint, 0);
}

static void addresses_outside_of_all_chunks_are_not_explained(void **state)
{
    (void)state;
    char words[10] = "before";
    char outside = 0;
    assert_false(tarn_guarded_explain(&guarded, &outside, words, sizeof words, NULL));
    assert_string_equal(words, "");
    unsigned char *block = tarn_heap_alloc(&guarded.heap, 10, 0);
    assert_true(tarn_guarded_explain(&guarded, block + 4, words, sizeof words, NULL));
    assert_string_equal(words, "byte 4 of");
    tarn_heap_free(&guarded.heap, block, 10);
}

#define zones_test(name) cmocka_unit_test_setup_teardown(name, make_zones, end)
#define pages_test(name) cmocka_unit_test_setup_teardown(name, make_pages, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        zones_test(check_reports_each_byte_overwritten_around_a_block),
        zones_test(the_overwritten_byte_nearest_to_the_block_is_named),
        zones_test(new_and_freed_blocks_are_filled),
        zones_test(overruns_and_underruns_are_fatal_at_free),
        zones_test(blocks_that_are_none_are_fatal),
        zones_test(freed_blocks_stay_in_quarantine_until_newer_ones_push_them_out),
        zones_test(the_quarantine_gives_way_before_a_request_is_refused),
        zones_test(reset_frees_its_own_blocks_alone),
        zones_test(options_that_mean_nothing_are_refused),
        zones_test(addresses_outside_of_all_chunks_are_not_explained),
        pages_test(pages_fault_at_the_first_byte_past_the_end),
        pages_test(pages_find_what_alignment_leaves_between_block_and_guard),
        pages_test(pages_find_underruns),
        pages_test(pages_of_freed_blocks_fault),
        pages_test(pages_keep_large_alignments),
        pages_test(zones_serve_when_the_kernel_has_no_mappings_left),
        pages_test(addresses_outside_of_all_chunks_are_not_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
