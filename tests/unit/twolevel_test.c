/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tarn/twolevel.h"

#include "tarn/heaps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fatal.h"
#include "tools.h"

#ifndef TARN_HARDENED
#define TARN_HARDENED 0
#endif

enum { BATCH = 20, SIZES = TARN_TWOLEVEL_MAX };

/* An upstream that notes what is asked of it. */
typedef struct noting {
    tarn_heap heap;
    size_t sizes[64];
    size_t alignments[64];
    unsigned allocs;
    unsigned frees;
    size_t room;     /* bytes that it gives at once, at most */
    unsigned refuse; /* so many of the next requests */
} noting;

static void *note_alloc(tarn_heap *heap, size_t size, size_t alignment)
{
    noting *notes = (noting *)(void *)heap;
    if (notes->refuse > 0 || size > notes->room) {
        notes->refuse -= notes->refuse > 0;
        return NULL;
    }
    notes->sizes[notes->allocs % 64] = size;
    notes->alignments[notes->allocs % 64] = alignment;
    notes->allocs++;
    return tarn_heap_alloc(tarn_pages_heap(), size, alignment);
}

static void note_free(tarn_heap *heap, void *block, size_t size)
{
    noting *notes = (noting *)(void *)heap;
    notes->frees++;
    tarn_heap_free(tarn_pages_heap(), block, size);
}

static const tarn_heap_ops note_ops = {.alloc = note_alloc, .free = note_free};

static noting make_notes(void)
{
    return (noting){.heap = {.ops = &note_ops, .name = "noting"}, .room = SIZE_MAX};
}

static void make(tarn_twolevel *twolevel, tarn_heap *upstream, bool checks)
{
    const tarn_twolevel_options options = {.upstream = upstream, .checks = checks};
    assert_int_equal(tarn_twolevel_init(twolevel, &options), TARN_OK);
}

static void assert_balances(tarn_twolevel *twolevel)
{
    char fault[200] = "";
    if (!tarn_twolevel_check(twolevel, fault, sizeof fault)) {
        fail_msg("%s", fault);
    }
}

static size_t free_blocks(tarn_twolevel *twolevel, size_t size)
{
    tarn_twolevel_list lists[TARN_TWOLEVEL_LISTS];
    tarn_twolevel_list_stats(twolevel, lists);
    return lists[(size - 1) / 8].free;
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* What says how a chunk is cut does not hold where blocks have a gap behind them, and what says how
 * little is counted does not where instances have checks by themselves. */
#define SKIP_UNDER_TOOLS()                                                                         \
    do {                                                                                           \
        if (heap_watch_is_on() || TARN_HARDENED) {                                                 \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

/* ------------------------------------------------------------------------------------------------
 * Blocks.
 */
static void every_size_is_aligned_for_every_type_of_that_size(void **state)
{
    (void)state;
    for (int checks = 0; checks < 2; checks++) {
        tarn_twolevel it;
        uint32_t seed = 1;
        make(&it, NULL, checks);
        static unsigned char *blocks[4000];
        static size_t sizes[4000];
        for (size_t i = 0; i < 4000; i++) {
            sizes[i] = 1 + next_random(&seed) % 150;
            blocks[i] = tarn_twolevel_alloc(&it, sizes[i]);
            assert_non_null(blocks[i]);
            assert_int_equal((uintptr_t)blocks[i] % (sizes[i] % 16 == 0 ? 16 : 8), 0);
            memset(blocks[i], (int)i, sizes[i]);
        }
        for (size_t i = 0; i < 4000; i++) {
            for (size_t k = 0; k < sizes[i]; k++) {
                assert_int_equal(blocks[i][k], (unsigned char)i);
            }
            tarn_twolevel_free(&it, blocks[i], sizes[i]);
        }
        assert_balances(&it);
        tarn_twolevel_deinit(&it);
    }
}

static void a_block_has_no_header_and_no_padding(void **state)
{
    (void)state;
    SKIP_UNDER_TOOLS();
    noting notes = make_notes();
    for (size_t size = 8; size <= TARN_TWOLEVEL_MAX; size += 8) {
        tarn_twolevel it;
        make(&it, &notes.heap, false);
        unsigned char *first = tarn_twolevel_alloc(&it, size);
        for (size_t i = 1; i < BATCH; i++) {
            assert_ptr_equal(tarn_twolevel_alloc(&it, size), first + i * size);
        }
        assert_int_equal(free_blocks(&it, size), 0);
        tarn_twolevel_deinit(&it);
    }
}

static void the_last_block_freed_is_the_first_given_out(void **state)
{
    (void)state;
    for (int checks = 0; checks < 2; checks++) {
        tarn_twolevel it;
        make(&it, NULL, checks);
        void *blocks[50];
        for (size_t i = 0; i < 50; i++) {
            blocks[i] = tarn_twolevel_alloc(&it, 40);
        }
        for (size_t i = 0; i < 50; i++) {
            tarn_twolevel_free(&it, blocks[i], 40);
        }
        for (size_t i = 50; i-- > 0;) {
            assert_ptr_equal(tarn_twolevel_alloc(&it, 37), blocks[i]);
        }
        tarn_twolevel_deinit(&it);
    }
}

static void zero_bytes_are_one_and_null_is_ignored(void **state)
{
    (void)state;
    for (int checks = 0; checks < 2; checks++) {
        tarn_twolevel it;
        make(&it, NULL, checks);
        void *none = tarn_twolevel_alloc(&it, 0);
        void *other = tarn_twolevel_alloc(&it, 0);
        assert_non_null(none);
        assert_ptr_not_equal(none, other);
        tarn_twolevel_free(&it, NULL, 0);
        tarn_twolevel_free(&it, NULL, 8);
        tarn_twolevel_free(&it, NULL, 800);
        tarn_twolevel_free(&it, none, 0);
        tarn_twolevel_free(&it, other, 1);
        none = tarn_twolevel_realloc(&it, NULL, 0, 0);
        none = tarn_twolevel_realloc(&it, none, 0, 0);
        assert_non_null(none);
        tarn_twolevel_free(&it, none, 0);
        assert_int_equal(tarn_twolevel_stats(&it).blocks, 0);
        assert_balances(&it);
        tarn_twolevel_deinit(&it);
    }
}

static void sizes_past_ptrdiff_max_are_refused(void **state)
{
    (void)state;
    tarn_twolevel it;
    make(&it, NULL, false);
    assert_null(tarn_twolevel_alloc(&it, (size_t)PTRDIFF_MAX + 1));
    assert_null(tarn_twolevel_alloc(&it, SIZE_MAX));
    assert_null(tarn_twolevel_alloc(&it, SIZE_MAX - 6));
    unsigned char *block = tarn_twolevel_alloc(&it, 200);
    unsigned char *small = tarn_twolevel_alloc(&it, 20);
    block[199] = 7;
    assert_null(tarn_twolevel_realloc(&it, block, 200, SIZE_MAX));
    assert_null(tarn_twolevel_realloc(&it, small, 20, (size_t)PTRDIFF_MAX + 1));
    assert_int_equal(block[199], 7);
    assert_int_equal(tarn_twolevel_stats(&it).failures, 5);
    tarn_twolevel_deinit(&it);
}

static void realloc_keeps_the_contents(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 7, 8, 9, 16, 17, 100, 112, 113, 128, 129, 1000, 5000};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    for (int checks = 0; checks < 2; checks++) {
        tarn_twolevel it;
        make(&it, NULL, checks);
        for (size_t from = 0; from < COUNT; from++) {
            for (size_t to = 0; to < COUNT; to++) {
                unsigned char *block = tarn_twolevel_alloc(&it, sizes[from]);
                memset(block, 0x5a, sizes[from]);
                const void *before = block;
                block = tarn_twolevel_realloc(&it, block, sizes[from], sizes[to]);
                if ((sizes[from] + 7) / 8 == (sizes[to] + 7) / 8 && sizes[from] < 112) {
                    assert_ptr_equal(block, before);
                }
                for (size_t i = 0; i < sizes[from] && i < sizes[to]; i++) {
                    assert_int_equal(block[i], 0x5a);
                }
                memset(block, 1, sizes[to]);
                tarn_twolevel_free(&it, block, sizes[to]);
            }
        }
        assert_int_equal(tarn_twolevel_stats(&it).blocks, 0);
        assert_balances(&it);
        tarn_twolevel_deinit(&it);
    }
}

static void the_heap_aligns_to_16_and_takes_more_from_the_first_level(void **state)
{
    (void)state;
    for (int checks = 0; checks < 2; checks++) {
        tarn_twolevel it;
        make(&it, NULL, checks);
        tarn_heap *heap = &it.heap;
        for (size_t alignment = 1; alignment <= 4096; alignment *= 2) {
            for (size_t size = 1; size < 200; size += 3) {
                void *plain = tarn_heap_alloc(heap, size, 0);
                void *block = tarn_heap_alloc(heap, size, alignment);
                assert_int_equal((uintptr_t)plain % 16, 0);
                assert_int_equal((uintptr_t)block % alignment, 0);
                assert_int_equal(tarn_twolevel_owns(&it, block),
                                 alignment <= 16 && size <= (heap_watch_is_on() ? 112 : 128));
                memset(block, 1, size);
                block = tarn_heap_realloc(heap, block, size, 201 - size, alignment);
                assert_int_equal((uintptr_t)block % alignment, 0);
                /* With a block of the first level about, which the size does not tell. */
                tarn_heap_free(heap, plain, size);
                tarn_heap_free(heap, block, 201 - size);
                assert_int_equal(tarn_twolevel_stats(&it).blocks, 0);
            }
        }
        assert_balances(&it);
        tarn_twolevel_deinit(&it);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Chunks.
 */
static void a_chunk_is_twice_the_need_and_a_sixteenth_of_all(void **state)
{
    (void)state;
    SKIP_UNDER_TOOLS();
    noting notes = make_notes();
    tarn_twolevel it;
    make(&it, &notes.heap, false);
    size_t held = 0;
    unsigned seen = 1; /* the table of chunks comes first */
    for (size_t i = 0; held < 100000; i++) {
        (void)tarn_twolevel_alloc(&it, 64);
        if (notes.allocs > seen) {
            const size_t size = notes.sizes[notes.allocs - 1];
            if (notes.alignments[notes.allocs - 1] == 16 && size % 64 == 0 && i % BATCH == 0) {
                assert_int_equal(size, 2 * 64 * BATCH + (held / 16 + 15) / 16 * 16);
            }
            held = tarn_twolevel_stats(&it).footprint - 8 * sizeof(tarn_twolevel_chunk);
            seen = notes.allocs;
            if (seen > 8) {
                break;
            }
        }
    }
    assert_int_equal(notes.sizes[1], 2 * 64 * BATCH);
    assert_int_equal(notes.sizes[2], 2 * 64 * BATCH + 2 * 64 * BATCH / 16);
    tarn_twolevel_deinit(&it);
    assert_int_equal(notes.allocs, notes.frees);
}

static void nothing_is_asked_for_before_it_is_needed(void **state)
{
    (void)state;
    noting notes = make_notes();
    tarn_twolevel it;
    make(&it, &notes.heap, false);
    assert_int_equal(tarn_twolevel_trim(&it), 0);
    assert_int_equal(tarn_twolevel_reset(&it), TARN_OK);
    assert_balances(&it);
    tarn_twolevel_deinit(&it);
    assert_int_equal(notes.allocs, 0);
}

static void a_refill_touches_no_more_than_it_hands_out(void **state)
{
    (void)state;
    SKIP_UNDER_TOOLS();
    static _Alignas(16) unsigned char memory[1 << 16];
    for (size_t size = 8; size <= 16; size += 8) {
        tarn_buffer buffer;
        memset(memory, 0x77, sizeof memory);
        tarn_buffer_init(&buffer, (tarn_memory){memory, sizeof memory}, NULL);
        tarn_twolevel it;
        tarn_twolevel_init(&it,
                           &(tarn_twolevel_options){.upstream = &buffer.heap, .chunk_min = 32768});
        const unsigned char *block = tarn_twolevel_alloc(&it, size);
        const unsigned char *behind = size == 16 ? block + BATCH * 16 : block - 1024;
        for (size_t i = 0; i < 1024; i++) {
            assert_int_equal(behind[i], 0x77);
        }
        tarn_twolevel_deinit(&it);
        tarn_buffer_deinit(&buffer);
    }
}

static void the_rest_of_a_chunk_goes_to_the_list_that_it_fits(void **state)
{
    (void)state;
    SKIP_UNDER_TOOLS();
    noting notes = make_notes();
    tarn_twolevel it;
    make(&it, &notes.heap, false);
    /* 40 times 64: 19 times 128 leave 128; one of 72 leaves 56. */
    (void)tarn_twolevel_alloc(&it, 64);
    for (int i = 0; i < 9; i++) {
        (void)tarn_twolevel_alloc(&it, 128);
    }
    assert_int_equal(notes.allocs, 2);
    assert_int_equal(free_blocks(&it, 128), 1);
    (void)tarn_twolevel_alloc(&it, 128);
    (void)tarn_twolevel_alloc(&it, 120);
    assert_int_equal(notes.allocs, 3);
    assert_balances(&it);
    tarn_twolevel_deinit(&it);

    make(&it, &notes.heap, false);
    (void)tarn_twolevel_alloc(&it, 40); /* 1600 bytes: 800 cut */
    for (int i = 0; i < 7; i++) {
        (void)tarn_twolevel_alloc(&it, 112);
    }
    /* 800 less 7 times 112 leave 16. */
    assert_int_equal(free_blocks(&it, 16), 0);
    (void)tarn_twolevel_alloc(&it, 112);
    assert_int_equal(free_blocks(&it, 16), 1);
    assert_balances(&it);
    tarn_twolevel_deinit(&it);
}

static void larger_free_blocks_are_cut_up_when_upstream_has_nothing(void **state)
{
    (void)state;
    for (int checks = 0; checks < 2; checks++) {
        for (size_t larger = 16; larger <= TARN_TWOLEVEL_MAX; larger += 8) {
            noting notes = make_notes();
            tarn_twolevel it;
            make(&it, &notes.heap, checks);
            void *blocks[10];
            for (size_t i = 0; i < 10; i++) {
                blocks[i] = tarn_twolevel_alloc(&it, larger);
            }
            notes.room = 0;
            /* Uses up the rest of the chunk. */
            while (tarn_twolevel_alloc(&it, 8) != NULL) {
            }
            for (size_t i = 0; i < 10; i++) {
                tarn_twolevel_free(&it, blocks[i], larger);
            }
            const size_t gap = heap_watch_is_on() ? 16 : 0;
            size_t served = 0;
            while (tarn_twolevel_alloc(&it, 8) != NULL) {
                served++;
            }
            if (larger + gap <= TARN_TWOLEVEL_MAX && gap == 0) {
                assert_int_equal(served, 10 * (larger / 8));
            }
            assert_balances(&it);
            notes.room = SIZE_MAX;
            assert_non_null(tarn_twolevel_alloc(&it, 8));
            tarn_twolevel_deinit(&it);
        }
    }
}

static void when_upstream_has_little_left_all_of_it_is_used(void **state)
{
    (void)state;
    SKIP_UNDER_TOOLS();
    noting notes = make_notes();
    tarn_twolevel it;
    make(&it, &notes.heap, false);
    (void)tarn_twolevel_alloc(&it, 8); /* so that the table is there */
    notes.room = 128 * BATCH;
    for (unsigned before = notes.allocs; notes.allocs == before;) {
        assert_non_null(tarn_twolevel_alloc(&it, 128));
    }
    assert_int_equal(notes.sizes[notes.allocs - 1], 128 * BATCH);
    notes.room = 130;
    for (int i = 0; i < BATCH; i++) {
        assert_non_null(tarn_twolevel_alloc(&it, 128));
    }
    assert_int_equal(notes.sizes[notes.allocs - 1], 128);
    assert_balances(&it);
    tarn_twolevel_deinit(&it);
}

static void an_upstream_without_large_blocks_gives_the_largest_it_has(void **state)
{
    (void)state;
    SKIP_UNDER_TOOLS();
    noting notes = make_notes();
    tarn_twolevel it;
    make(&it, &notes.heap, false);
    while (it.store->held < 1000000) {
        assert_non_null(tarn_twolevel_alloc(&it, 64));
    }
    /* A chunk would have some 65000 bytes now, and a batch has 1280. */
    notes.room = 20000;
    for (unsigned before = notes.allocs; notes.allocs == before;) {
        assert_non_null(tarn_twolevel_alloc(&it, 64));
    }
    assert_in_range(notes.sizes[(notes.allocs - 1) % 64], 10000, 20000);
    assert_balances(&it);
    tarn_twolevel_deinit(&it);
}

static void requests_above_128_bytes_reach_upstream_as_they_are(void **state)
{
    (void)state;
    noting notes = make_notes();
    tarn_twolevel it;
    make(&it, &notes.heap, false);
    void *block = tarn_twolevel_alloc(&it, 129);
    assert_int_equal(notes.sizes[notes.allocs - 1], 129);
    void *aligned = tarn_heap_alloc(&it.heap, 64, 256);
    assert_int_equal(notes.sizes[notes.allocs - 1], 64);
    assert_int_equal(notes.alignments[notes.allocs - 1], 256);
    assert_false(tarn_twolevel_owns(&it, block));
    tarn_stats stats = tarn_twolevel_stats(&it);
    assert_int_equal(stats.live, 129 + 64);
    assert_int_equal(stats.blocks, 2);
    tarn_twolevel_free(&it, block, 129);
    tarn_heap_free(&it.heap, aligned, 64);
    tarn_twolevel_trim(&it);
    stats = tarn_twolevel_stats(&it);
    assert_int_equal(stats.footprint, 0);
    assert_int_equal(notes.allocs, notes.frees);
    tarn_twolevel_deinit(&it);
}

/* ------------------------------------------------------------------------------------------------
 * No memory.
 */
typedef struct relief {
    noting *notes;
    tarn_twolevel *twolevel;
    void *block; /* of 48 bytes, to be freed; or NULL */
    unsigned calls;
    unsigned patience;
    size_t size;
} relief;

static bool relieve(void *context, size_t size)
{
    relief *it = context;
    it->calls++;
    it->size = size;
    if (it->block != NULL) {
        tarn_twolevel_free(it->twolevel, it->block, 48);
        it->block = NULL;
        return true;
    }
    if (it->calls == it->patience) {
        it->notes->room = SIZE_MAX;
    }
    return it->calls <= it->patience;
}

static void a_handler_is_called_until_there_is_memory_or_it_gives_up(void **state)
{
    (void)state;
    for (int threads = 0; threads < 2; threads++) {
        noting notes = make_notes();
        tarn_twolevel it;
        relief help = {.notes = &notes, .twolevel = &it, .patience = 3};
        tarn_twolevel_init(&it, &(tarn_twolevel_options){.upstream = &notes.heap,
                                                         .on_no_memory = relieve,
                                                         .context = &help,
                                                         .threads = threads});
        notes.room = 0;
        assert_non_null(tarn_twolevel_alloc(&it, 1000));
        assert_int_equal(help.calls, 3);
        assert_int_equal(help.size, 1000);
        help.calls = 0;
        notes.room = 0;
        assert_non_null(tarn_twolevel_alloc(&it, 24));
        assert_int_equal(help.calls, 3);
        assert_int_equal(help.size, 24);
        /* Gives up. */
        notes.room = 0;
        help.calls = 4;
        help.patience = 0;
        assert_null(tarn_twolevel_alloc(&it, 1000));
        assert_int_equal(help.calls, 5);
        assert_int_equal(tarn_twolevel_stats(&it).failures, 1);
        assert_balances(&it);
        tarn_twolevel_deinit(&it);
    }
}

static void a_handler_may_free_blocks_of_the_instance(void **state)
{
    (void)state;
    for (int threads = 0; threads < 2; threads++) {
        noting notes = make_notes();
        tarn_twolevel it;
        relief help = {.notes = &notes, .twolevel = &it};
        tarn_twolevel_init(&it, &(tarn_twolevel_options){.upstream = &notes.heap,
                                                         .on_no_memory = relieve,
                                                         .context = &help,
                                                         .threads = threads});
        void *block = tarn_twolevel_alloc(&it, 48);
        notes.room = 0;
        help.calls = 1;
        while (tarn_twolevel_alloc(&it, 48) != NULL) {
        }
        help.block = block;
        assert_ptr_equal(tarn_twolevel_alloc(&it, 48), block);
        assert_balances(&it);
        tarn_twolevel_deinit(&it);
    }
}

static void chunks_that_nobody_uses_serve_a_large_request(void **state)
{
    (void)state;
    static _Alignas(16) unsigned char memory[1 << 16];
    for (int checks = 0; checks < 2; checks++) {
        tarn_buffer buffer;
        tarn_buffer_init(&buffer, (tarn_memory){memory, sizeof memory}, NULL);
        tarn_twolevel it;
        make(&it, &buffer.heap, checks);
        static void *blocks[4096];
        size_t count = 0;
        while ((blocks[count] = tarn_twolevel_alloc(&it, 32)) != NULL) {
            count++;
        }
        assert_true(count > 500);
        assert_null(tarn_twolevel_alloc(&it, 30000));
        for (size_t i = 0; i < count; i++) {
            tarn_twolevel_free(&it, blocks[i], 32);
        }
        void *large = tarn_twolevel_alloc(&it, 50000);
        assert_non_null(large);
        assert_balances(&it);
        tarn_twolevel_deinit(&it);
        assert_int_equal(tarn_heap_stats(&buffer.heap).live, 0);
        tarn_buffer_deinit(&buffer);
    }
}

/* ------------------------------------------------------------------------------------------------
 * All blocks.
 */
static void trim_gives_back_exactly_the_chunks_without_blocks_in_use(void **state)
{
    (void)state;
    enum { COUNT = 6000 };
    static unsigned char *blocks[COUNT];
    static size_t sizes[COUNT];
    for (int checks = 0; checks < 2; checks++) {
        tarn_twolevel it;
        uint32_t seed = 7;
        make(&it, tarn_pages_heap(), checks);
        for (size_t i = 0; i < COUNT; i++) {
            sizes[i] = 1 + next_random(&seed) % 112;
            blocks[i] = tarn_twolevel_alloc(&it, sizes[i]);
            memset(blocks[i], (int)i, sizes[i]);
        }
        const size_t full = tarn_twolevel_stats(&it).footprint;
        /* In an order of chance, so that the lists lead everywhere; every 700th stays. */
        for (size_t i = COUNT; i-- > 1;) {
            const size_t other = next_random(&seed) % (i + 1);
            unsigned char *block = blocks[i];
            const size_t size = sizes[i];
            blocks[i] = blocks[other];
            sizes[i] = sizes[other];
            blocks[other] = block;
            sizes[other] = size;
        }
        for (size_t i = 0; i < COUNT; i++) {
            if (i % 700 != 0) {
                tarn_twolevel_free(&it, blocks[i], sizes[i]);
            }
        }
        const size_t given = tarn_twolevel_trim(&it);
        assert_true(given > full / 4);
        assert_int_equal(tarn_twolevel_stats(&it).footprint, full - given);
        assert_int_equal(tarn_twolevel_stats(&it).blocks, (COUNT + 699) / 700);
        assert_balances(&it);
        /* Every chunk left has one of those that stayed. */
        for (size_t i = 0; i < it.store->chunk_count; i++) {
            const tarn_twolevel_chunk *chunk = &it.store->chunks[i];
            bool is_used = false;
            for (size_t k = 0; k < COUNT; k += 700) {
                is_used |= blocks[k] >= chunk->start && blocks[k] < chunk->start + chunk->size;
            }
            assert_true(is_used);
        }
        assert_int_equal(tarn_twolevel_trim(&it), 0);
        for (size_t i = 0; i < COUNT; i += 700) {
            tarn_twolevel_free(&it, blocks[i], sizes[i]);
        }
        (void)tarn_twolevel_trim(&it);
        assert_int_equal(tarn_twolevel_stats(&it).footprint, 0);
        void *again = tarn_twolevel_alloc(&it, 24);
        assert_non_null(again);
        assert_balances(&it);
        tarn_twolevel_deinit(&it);
    }
}

static void reset_keeps_the_chunks_and_uses_them_again(void **state)
{
    (void)state;
    for (int checks = 0; checks < 2; checks++) {
        noting notes = make_notes();
        tarn_twolevel it;
        make(&it, &notes.heap, checks);
        unsigned allocs = 0;
        for (int round = 0; round < 5; round++) {
            for (size_t i = 0; i < 5000; i++) {
                const size_t size = 1 + i * 7 % 112;
                memset(tarn_twolevel_alloc(&it, size), 1, size);
            }
            (void)tarn_twolevel_alloc(&it, 1000);
            if (round == 0) {
                allocs = notes.allocs;
            }
            assert_balances(&it);
            assert_int_equal(tarn_twolevel_reset(&it), TARN_OK);
            assert_balances(&it);
            assert_int_equal(tarn_twolevel_stats(&it).blocks, 0);
            assert_int_equal(tarn_twolevel_stats(&it).live, 0);
        }
        /* The first-level block and its ledger, but perhaps a chunk that is cut otherwise now. */
        assert_true(notes.allocs <= allocs + 4 * 3);
        assert_true(tarn_twolevel_stats(&it).footprint > 0);
        (void)tarn_twolevel_trim(&it);
        assert_int_equal(tarn_twolevel_stats(&it).footprint, 0);
        assert_int_equal(notes.allocs, notes.frees);
        tarn_twolevel_deinit(&it);
    }
}

static void after_a_reset_chunks_smaller_than_a_block_are_passed_over(void **state)
{
    (void)state;
    for (int checks = 0; checks < 2; checks++) {
        noting notes = make_notes();
        tarn_twolevel it;
        make(&it, &notes.heap, checks);
        (void)tarn_twolevel_alloc(&it, 8); /* so that the table is there */
        notes.room = 64;
        while (it.store->chunk_count < 8) {
            assert_non_null(tarn_twolevel_alloc(&it, 8));
        }
        assert_int_equal(tarn_twolevel_reset(&it), TARN_OK);
        notes.room = SIZE_MAX;
        unsigned char *blocks[100];
        for (size_t i = 0; i < 100; i++) {
            blocks[i] = tarn_twolevel_alloc(&it, 100);
            memset(blocks[i], (int)i, 100);
        }
        for (size_t i = 0; i < 100; i++) {
            assert_int_equal(blocks[i][0], i);
            assert_int_equal(blocks[i][99], i);
        }
        assert_balances(&it);
        tarn_twolevel_deinit(&it);
    }
}

static void lists_tell_what_they_have(void **state)
{
    (void)state;
    SKIP_UNDER_TOOLS();
    for (int checks = 0; checks < 2; checks++) {
        tarn_twolevel it;
        make(&it, NULL, checks);
        void *blocks[3];
        for (size_t i = 0; i < 3; i++) {
            blocks[i] = tarn_twolevel_alloc(&it, 50);
        }
        tarn_twolevel_free(&it, blocks[0], 50);
        tarn_twolevel_list lists[TARN_TWOLEVEL_LISTS];
        tarn_twolevel_list_stats(&it, lists);
        for (size_t i = 0; i < TARN_TWOLEVEL_LISTS; i++) {
            assert_int_equal(lists[i].size, 8 * (i + 1));
            assert_int_equal(lists[i].live, i == 6 ? 2 : 0);
            assert_int_equal(lists[i].free, i == 6 ? BATCH - 2 : 0);
            assert_int_equal(lists[i].bytes, i == 6 ? BATCH * 56 : 0);
        }
        const tarn_stats stats = tarn_twolevel_stats(&it);
        assert_int_equal(stats.blocks, 2);
        assert_int_equal(stats.live, checks ? 100 : 112);
        assert_int_equal(stats.allocs, checks ? 3 : 0);
        assert_int_equal(stats.peak_live, checks ? 150 : 0);
        assert_int_equal(stats.largest_free, 128);
        tarn_twolevel_deinit(&it);
    }
}

static void what_is_largest_and_free_is_served_without_upstream(void **state)
{
    (void)state;
    noting notes = make_notes();
    tarn_twolevel it;
    make(&it, &notes.heap, false);
    assert_int_equal(tarn_twolevel_stats(&it).largest_free, 0);
    for (size_t size = 1; size < 112; size += 5) {
        (void)tarn_twolevel_alloc(&it, size);
        notes.room = 0;
        size_t largest;
        while ((largest = tarn_twolevel_stats(&it).largest_free) > 0) {
            assert_non_null(tarn_twolevel_alloc(&it, largest));
        }
        assert_null(tarn_twolevel_alloc(&it, 1));
        notes.room = SIZE_MAX;
    }
    tarn_twolevel_deinit(&it);
}

typedef struct tally {
    size_t count;
    size_t bytes;
    size_t most;
} tally;

static bool count_block(void *context, void *block, size_t size)
{
    tally *it = context;
    it->count++;
    it->bytes += size;
    *(volatile unsigned char *)block = 1;
    return it->count != it->most;
}

static void blocks_can_be_visited_where_they_are_known(void **state)
{
    (void)state;
    tarn_twolevel it;
    tally seen = {0};
    make(&it, NULL, false);
    if (!heap_watch_is_on() && !TARN_HARDENED) {
        assert_int_equal(tarn_twolevel_visit(&it, count_block, &seen), TARN_UNSUPPORTED);
    }
    tarn_twolevel_deinit(&it);

    make(&it, NULL, true);
    size_t bytes = 0;
    for (size_t size = 1; size < 300; size++, bytes += size) {
        void *block = tarn_twolevel_alloc(&it, size);
        void *other = tarn_twolevel_alloc(&it, size);
        tarn_twolevel_free(&it, size % 2 == 0 ? block : other, size);
    }
    assert_int_equal(tarn_twolevel_visit(&it, count_block, &seen), TARN_OK);
    assert_int_equal(seen.count, 299);
    assert_int_equal(seen.bytes, 299 * 300 / 2);
    for (size_t most = 1; most < 299; most += 70) {
        seen = (tally){.most = most};
        assert_int_equal(tarn_twolevel_visit(&it, count_block, &seen), TARN_OK);
        assert_int_equal(seen.count, most);
    }
    tarn_twolevel_deinit(&it);
}

static void an_instance_knows_the_addresses_in_its_chunks(void **state)
{
    (void)state;
    tarn_twolevel it;
    make(&it, NULL, false);
    unsigned char *block = tarn_twolevel_alloc(&it, 100);
    int here = 0;
    assert_true(tarn_twolevel_owns(&it, block));
    assert_true(tarn_twolevel_owns(&it, block + 99));
    assert_false(tarn_twolevel_owns(&it, &here));
    assert_false(tarn_twolevel_owns(&it, NULL));
    tarn_twolevel_deinit(&it);
}

/* ------------------------------------------------------------------------------------------------
 * Everything to the first level.
 */
static void with_use_malloc_upstream_serves_everything(void **state)
{
    (void)state;
    noting notes = make_notes();
    tarn_twolevel it;
    tarn_twolevel_init(&it, &(tarn_twolevel_options){.upstream = &notes.heap, .use_malloc = true});
    void *block = tarn_twolevel_alloc(&it, 24);
    assert_int_equal(notes.sizes[notes.allocs - 1], 24);
    assert_false(tarn_twolevel_owns(&it, block));
    assert_int_equal(free_blocks(&it, 24), 0);
    void *other = tarn_heap_alloc(&it.heap, 1, 0);
    assert_int_equal(notes.sizes[notes.allocs - 1], 1);
    tally seen = {0};
    assert_int_equal(tarn_twolevel_visit(&it, count_block, &seen), TARN_OK);
    assert_int_equal(seen.bytes, 25);
    const tarn_stats stats = tarn_twolevel_stats(&it);
    assert_int_equal(stats.live, 25);
    assert_int_equal(stats.allocs, 2);
    assert_int_equal(stats.peak_live, 25);
    block = tarn_twolevel_realloc(&it, block, 24, 48);
    tarn_twolevel_free(&it, block, 48);
    assert_fatal(tarn_twolevel_free(&it, block, 48), "not a block of this heap, or freed already",
                 "twolevel", block);
    assert_fatal(tarn_twolevel_free(&it, other, 2), "wrong size given back with the block",
                 "twolevel", other);
    assert_balances(&it);
    assert_int_equal(tarn_twolevel_reset(&it), TARN_OK);
    tarn_twolevel_trim(&it);
    assert_int_equal(notes.allocs, notes.frees);
    tarn_twolevel_deinit(&it);
}

static void without_pooling_every_block_is_one_of_the_system_heap(void **state)
{
    (void)state;
    noting notes = make_notes();
    tarn_twolevel it;
    const bool pooling = tarn_pooling();
    tarn_set_pooling(false);
    tarn_twolevel *made = tarn_twolevel_create(&(tarn_twolevel_options){.upstream = &notes.heap});
    make(&it, &notes.heap, false);
    tarn_set_pooling(pooling);
    const unsigned before = notes.allocs;
    void *block = tarn_twolevel_alloc(&it, 24);
    assert_false(tarn_twolevel_owns(&it, block));
    assert_non_null(tarn_twolevel_alloc(made, 2400));
    assert_int_equal(notes.allocs, before);
    tarn_twolevel_free(&it, block, 24);
    tarn_twolevel_deinit(&it);
    tarn_twolevel_destroy(made);
    assert_int_equal(notes.allocs, notes.frees);
}

static void an_instance_may_live_in_upstreams_storage(void **state)
{
    (void)state;
    noting notes = make_notes();
    tarn_twolevel *it = tarn_twolevel_create(&(tarn_twolevel_options){.upstream = &notes.heap});
    assert_int_equal(notes.sizes[0], sizeof *it);
    assert_non_null(tarn_twolevel_alloc(it, 24));
    assert_non_null(tarn_twolevel_alloc(it, 240));
    tarn_twolevel_destroy(it);
    assert_int_equal(notes.allocs, notes.frees);
    notes.room = 0;
    assert_null(tarn_twolevel_create(&(tarn_twolevel_options){.upstream = &notes.heap}));
    tarn_twolevel_destroy(NULL);
}

/* ------------------------------------------------------------------------------------------------
 * Misuse.
 */
static void misuse_is_found_in_every_build(void **state)
{
    (void)state;
    tarn_twolevel it;
    tarn_twolevel_init(&it, &(tarn_twolevel_options){.name = "pair"});
    unsigned char *block = tarn_twolevel_alloc(&it, 24);
    unsigned char *large = tarn_twolevel_alloc(&it, 200);
    static _Alignas(16) unsigned char outside[200];
    const char *foreign = "not a block of this heap";
    const char *unknown = "not a block of this heap, or freed already";
    const char *size = "wrong size given back with the block";
    assert_fatal(tarn_twolevel_free(&it, outside, 24), foreign, "pair", outside);
    assert_fatal(tarn_heap_free(&it.heap, outside, 24), foreign, "pair", outside);
    assert_fatal(tarn_twolevel_free(&it, outside, 200), unknown, "pair", outside);
    assert_fatal(tarn_twolevel_free(&it, large, 201), size, "pair", large);
    assert_fatal(tarn_twolevel_free(&it, block, 200), size, "pair", block);
    assert_fatal(tarn_twolevel_realloc(&it, large, 300, 400), size, "pair", large);
    assert_fatal(tarn_heap_resize(&it.heap, large, 300, 400), size, "pair", large);
    tarn_twolevel_free(&it, block, 24);
    tarn_twolevel_free(&it, large, 200);
    assert_fatal(tarn_twolevel_free(&it, block, 24), "double free", "pair", block);
    assert_fatal(tarn_twolevel_free(&it, large, 200), unknown, "pair", large);
    assert_fatal(tarn_twolevel_free(&it, NULL, 24);
                 tarn_twolevel_free(&it, block, 24), "double free", "pair", block);
    tarn_twolevel_deinit(&it);
}

static void a_double_free_is_found_when_the_lists_are_counted(void **state)
{
    (void)state;
    SKIP_UNDER_TOOLS();
    tarn_twolevel it;
    char fault[200];
    make(&it, NULL, false);
    void *block = tarn_twolevel_alloc(&it, 24);
    void *other = tarn_twolevel_alloc(&it, 24);
    tarn_twolevel_free(&it, block, 24);
    tarn_twolevel_free(&it, other, 24);
    tarn_twolevel_free(&it, block, 24);
    assert_false(tarn_twolevel_check(&it, fault, sizeof fault));
    assert_string_equal(fault, "the list of 24 bytes has more blocks than were cut");
    assert_true(tarn_twolevel_stats(&it).blocks == 0);
    char line[512];
    if (fatal_is_child(line, sizeof line)) {
        tarn_twolevel_trim(&it);
        fatal_tell_parent("nothing fatal happened");
    }
    assert_memory_equal(line, "tarn: double free (twolevel, block", 34);
    /* The list is not to be walked to its end. */
    it.lists[2] = NULL;
    memset(it.store->blocks, 0, sizeof it.store->blocks);
    tarn_twolevel_deinit(&it);
}

static void all_misuse_is_found_with_checks(void **state)
{
    (void)state;
    tarn_twolevel it;
    tarn_twolevel_init(&it, &(tarn_twolevel_options){.name = "pair", .checks = true});
    unsigned char *block = tarn_twolevel_alloc(&it, 24);
    unsigned char *other = tarn_twolevel_alloc(&it, 24);
    unsigned char *tiny = tarn_twolevel_alloc(&it, 8);
    unsigned char *heaps = tarn_heap_alloc(&it.heap, 24, 0);
    unsigned char *large = tarn_twolevel_alloc(&it, 200);
    static _Alignas(16) unsigned char outside[200];
    const char *foreign = "not a block of this heap";
    const char *size = "wrong size given back with the block";
    const char *interface = "given back by another interface than it was taken by";
    assert_fatal(tarn_twolevel_free(&it, outside, 24), foreign, "pair", outside);
    assert_fatal(tarn_twolevel_free(&it, block + 8, 24), foreign, "pair", block + 8);
    assert_fatal(tarn_twolevel_free(&it, block + 16, 24), foreign, "pair", block + 16);
    assert_fatal(tarn_twolevel_free(&it, block + 1, 24), foreign, "pair", block + 1);
    assert_fatal(tarn_twolevel_free(&it, block, 23), size, "pair", block);
    assert_fatal(tarn_twolevel_free(&it, block, 100), size, "pair", block);
    assert_fatal(tarn_twolevel_free(&it, block, 200), size, "pair", block);
    assert_fatal(tarn_twolevel_free(&it, large, 100), size, "pair", large);
    assert_fatal(tarn_twolevel_realloc(&it, block, 23, 22), size, "pair", block);
    assert_fatal(tarn_heap_resize(&it.heap, heaps, 23, 22), size, "pair", heaps);
    assert_fatal(tarn_heap_free(&it.heap, block, 24), interface, "pair", block);
    assert_fatal(tarn_twolevel_free(&it, heaps, 24), interface, "pair", heaps);
    tarn_twolevel_free(&it, block, 24);
    tarn_twolevel_free(&it, other, 24);
    tarn_twolevel_free(&it, tiny, 8);
    tarn_heap_free(&it.heap, heaps, 24);
    assert_fatal(tarn_twolevel_free(&it, block, 24), "double free", "pair", block);
    assert_fatal(tarn_twolevel_free(&it, tiny, 8), "double free", "pair", tiny);
    assert_fatal(tarn_heap_free(&it.heap, heaps, 24), "double free", "pair", heaps);
    assert_fatal(tarn_twolevel_realloc(&it, other, 24, 20), "double free", "pair", other);
    /* Its link. */
    poke(other, peek(other) ^ 0x10);
    assert_fatal(tarn_twolevel_alloc(&it, 24), "a freed block was written to", "pair", other);
    char fault[200];
    assert_false(tarn_twolevel_check(&it, fault, sizeof fault));
    poke(other, peek(other) ^ 0x10);
    if (!heap_watch_is_on()) {
        poke(other + 23, 1);
        assert_fatal(tarn_twolevel_alloc(&it, 24), "a freed block was written to", "pair", other);
        assert_false(tarn_twolevel_check(&it, fault, sizeof fault));
        poke(other + 23, 0xdd);
    }
    assert_balances(&it);
    tarn_twolevel_reset(&it);
    assert_fatal(tarn_twolevel_free(&it, block, 24), foreign, "pair", block);
    tarn_twolevel_deinit(&it);
}

static void check_reports_what_does_not_balance(void **state)
{
    (void)state;
    SKIP_UNDER_TOOLS();
    for (int checks = 0; checks < 2; checks++) {
        tarn_twolevel it;
        char fault[200];
        make(&it, NULL, checks);
        unsigned char *block = tarn_twolevel_alloc(&it, 48);
        (void)tarn_twolevel_alloc(&it, 200);
        tarn_twolevel_free(&it, block, 48);
        tarn_twolevel_store *store = it.store;
        size_t *const figures[] = {
            &store->held,           &store->fresh_count, &store->books.footprint,
            &store->chunks[0].size, &store->blocks[3],
        };
        for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
            *figures[i] += 16;
            assert_false(tarn_twolevel_check(&it, fault, sizeof fault));
            assert_true(fault[0] != '\0');
            *figures[i] -= 16;
            assert_balances(&it);
        }
        if (!checks) {
            store->books.live++;
            assert_false(tarn_twolevel_check(&it, fault, sizeof fault));
            assert_string_equal(
                fault, "the first level has 1 blocks of 200 bytes but the books have 1 of 201");
            store->books.live--;
        }
        store->high += 8;
        assert_false(tarn_twolevel_check(&it, fault, sizeof fault));
        store->high -= 8;
        store->low += 8;
        store->high += 8;
        assert_false(tarn_twolevel_check(&it, fault, sizeof fault));
        assert_memory_equal(fault, "the rest is not part of a chunk", 31);
        store->low -= 8;
        store->high -= 8;
        void **list = &(checks ? it.closed_lists : it.lists)[5];
        void *first = *list;
        *list = fault + 1;
        assert_false(tarn_twolevel_check(&it, fault, sizeof fault));
        assert_memory_equal(fault, "the links of the list of 48 bytes lead to", 41);
        *list = first;
        assert_balances(&it);
        assert_false(!tarn_twolevel_check(&it, NULL, 0));
        tarn_twolevel_deinit(&it);
    }
}

static void tools_see_each_block_and_a_gap_behind_it(void **state)
{
    (void)state;
#if HEAP_WATCH_ASAN
    tarn_twolevel it;
    make(&it, NULL, false);
    for (size_t size = 1; size <= 112; size++) {
        unsigned char *block = tarn_twolevel_alloc(&it, size);
        unsigned char *heaps = tarn_heap_alloc(&it.heap, size, 0);
        for (size_t i = 0; i < size; i++) {
            assert_false(__asan_address_is_poisoned(block + i));
            assert_false(__asan_address_is_poisoned(heaps + i));
        }
        for (size_t i = 0; i < 16; i++) {
            assert_true(__asan_address_is_poisoned(block + size + i));
            assert_true(__asan_address_is_poisoned(heaps + size + i));
        }
        if (size % 8 == 1) {
            block = tarn_twolevel_realloc(&it, block, size, size + 2);
            assert_false(__asan_address_is_poisoned(block + size + 1));
            assert_true(__asan_address_is_poisoned(block + size + 2));
            block = tarn_twolevel_realloc(&it, block, size + 2, size);
            assert_true(__asan_address_is_poisoned(block + size));
        }
        tarn_twolevel_free(&it, block, size);
        assert_true(__asan_address_is_poisoned(block));
    }
    unsigned char *block = tarn_twolevel_alloc(&it, 30);
    tarn_twolevel_reset(&it);
    assert_true(__asan_address_is_poisoned(block));
    tarn_twolevel_deinit(&it);
#elif HEAP_WATCH_VALGRIND
    if (!IS_UNDER_VALGRIND) {
        skip();
    }
    tarn_twolevel it;
    make(&it, NULL, false);
    unsigned char *block = tarn_twolevel_alloc(&it, 24);
    assert_true(VALGRIND_CHECK_MEM_IS_ADDRESSABLE(block, 24) == 0);
    heap_watch_pause();
    assert_true(VALGRIND_CHECK_MEM_IS_ADDRESSABLE(block + 24, 1) != 0);
    assert_true(VALGRIND_CHECK_MEM_IS_ADDRESSABLE(block + 39, 1) != 0);
    assert_true(VALGRIND_CHECK_MEM_IS_DEFINED(block, 1) != 0);
    tarn_twolevel_free(&it, block, 24);
    assert_true(VALGRIND_CHECK_MEM_IS_ADDRESSABLE(block, 1) != 0);
    heap_watch_resume();
    tarn_twolevel_deinit(&it);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_is_aligned_for_every_type_of_that_size),
        cmocka_unit_test(a_block_has_no_header_and_no_padding),
        cmocka_unit_test(the_last_block_freed_is_the_first_given_out),
        cmocka_unit_test(zero_bytes_are_one_and_null_is_ignored),
        cmocka_unit_test(sizes_past_ptrdiff_max_are_refused),
        cmocka_unit_test(realloc_keeps_the_contents),
        cmocka_unit_test(the_heap_aligns_to_16_and_takes_more_from_the_first_level),
        cmocka_unit_test(a_chunk_is_twice_the_need_and_a_sixteenth_of_all),
        cmocka_unit_test(nothing_is_asked_for_before_it_is_needed),
        cmocka_unit_test(a_refill_touches_no_more_than_it_hands_out),
        cmocka_unit_test(the_rest_of_a_chunk_goes_to_the_list_that_it_fits),
        cmocka_unit_test(larger_free_blocks_are_cut_up_when_upstream_has_nothing),
        cmocka_unit_test(when_upstream_has_little_left_all_of_it_is_used),
        cmocka_unit_test(an_upstream_without_large_blocks_gives_the_largest_it_has),
        cmocka_unit_test(requests_above_128_bytes_reach_upstream_as_they_are),
        cmocka_unit_test(a_handler_is_called_until_there_is_memory_or_it_gives_up),
        cmocka_unit_test(a_handler_may_free_blocks_of_the_instance),
        cmocka_unit_test(chunks_that_nobody_uses_serve_a_large_request),
        cmocka_unit_test(trim_gives_back_exactly_the_chunks_without_blocks_in_use),
        cmocka_unit_test(reset_keeps_the_chunks_and_uses_them_again),
        cmocka_unit_test(after_a_reset_chunks_smaller_than_a_block_are_passed_over),
        cmocka_unit_test(lists_tell_what_they_have),
        cmocka_unit_test(what_is_largest_and_free_is_served_without_upstream),
        cmocka_unit_test(blocks_can_be_visited_where_they_are_known),
        cmocka_unit_test(an_instance_knows_the_addresses_in_its_chunks),
        cmocka_unit_test(with_use_malloc_upstream_serves_everything),
        cmocka_unit_test(without_pooling_every_block_is_one_of_the_system_heap),
        cmocka_unit_test(an_instance_may_live_in_upstreams_storage),
        cmocka_unit_test(misuse_is_found_in_every_build),
        cmocka_unit_test(a_double_free_is_found_when_the_lists_are_counted),
        cmocka_unit_test(all_misuse_is_found_with_checks),
        cmocka_unit_test(check_reports_what_does_not_balance),
        cmocka_unit_test(tools_see_each_block_and_a_gap_behind_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
