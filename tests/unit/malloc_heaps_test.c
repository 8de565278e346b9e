/* SPDX-License-Identifier: MIT */
#include "tarn/malloc.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fatal.h"

/* First-class heaps: a malloc of one's own, with limits, confined, and used from any thread. */

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

static void expect_sound(tarn_heap *heap)
{
    char fault[200] = "";
    if (!tarn_heap_check(heap, fault, sizeof fault)) {
        fail_msg("the books do not balance: %s", fault);
    }
}

static size_t fill_up(tarn_heap *heap, size_t size, void **list)
{
    size_t taken = 0;
    for (;;) {
        void **block = tarn_heap_alloc(heap, size, 0);
        if (block == NULL) {
            return taken;
        }
        memset(block, 0x11, size);
        *block = *list;
        *list = block;
        taken += size;
    }
}

static void give_back(tarn_heap *heap, size_t size, void **list)
{
    while (*list != NULL) {
        void **block = *list;
        *list = *block;
        tarn_heap_free(heap, block, size);
    }
}

static void a_heap_serves_every_size(void **state)
{
    (void)state;
    tarn_heap *heap = tarn_malloc_create(NULL);
    assert_non_null(heap);
    assert_string_equal(heap->name, "malloc heap");
    const size_t sizes[] = {1, 8, 100, 5000, 32768, 32769, 100000, MIB, 10 * MIB};
    void *blocks[sizeof sizes / sizeof sizes[0]];
    size_t live = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        blocks[i] = tarn_heap_alloc(heap, sizes[i], 0);
        assert_non_null(blocks[i]);
        memset(blocks[i], (int)i, sizes[i]);
        live += sizes[i];
        const tarn_stats stats = tarn_heap_stats(heap);
        assert_int_equal(stats.blocks, i + 1);
        assert_true(stats.live >= live);
        assert_true(stats.footprint >= live);
    }
    expect_sound(heap);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t j = 0; j < sizes[i]; j += 97) {
            assert_int_equal(((unsigned char *)blocks[i])[j], i);
        }
        tarn_heap_free(heap, blocks[i], sizes[i]);
    }
    expect_sound(heap);
    assert_int_equal(tarn_heap_stats(heap).blocks, 0);
    assert_int_equal(tarn_heap_stats(heap).live, 0);
    tarn_malloc_destroy(heap);
    tarn_malloc_destroy(NULL);
}

static void all_blocks_go_at_once(void **state)
{
    (void)state;
    tarn_malloc_stats before;
    tarn_malloc_stats after;
    (void)tarn_malloc_trim();
    tarn_malloc_stats_get(&before, sizeof before);
    for (int round = 0; round < 50; round++) {
        tarn_heap *heap = tarn_malloc_create(&(tarn_malloc_options){.name = "round"});
        assert_non_null(heap);
        for (size_t i = 0; i < 3000; i++) {
            void *block = tarn_heap_alloc(heap, i * 7 % 5000 + 1, 0);
            assert_non_null(block);
            memset(block, 1, i * 7 % 5000 + 1);
        }
        assert_non_null(tarn_heap_alloc(heap, 20 * MIB, 0));
        if (round % 2 == 0) {
            assert_int_equal(tarn_heap_reset(heap), TARN_OK);
            assert_int_equal(tarn_heap_stats(heap).blocks, 0);
            expect_sound(heap);
            void *again = tarn_heap_calloc(heap, 1, 100000, 0);
            assert_non_null(again);
            for (size_t i = 0; i < 100000; i++) {
                assert_int_equal(((unsigned char *)again)[i], 0);
            }
        }
        tarn_malloc_destroy(heap);
    }
    (void)tarn_malloc_trim();
    tarn_malloc_stats_get(&after, sizeof after);
    assert_true(after.mapped < before.mapped + 16 * MIB);
}

static void a_hard_limit_is_never_passed(void **state)
{
    (void)state;
    tarn_heap *heap =
        tarn_malloc_create(&(tarn_malloc_options){.name = "limited", .hard_limit = 8 * MIB});
    assert_non_null(heap);
    const size_t sizes[] = {16, 100, 3000, 20000, 50000, 300000};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            void *list = NULL;
            const uint64_t refused = tarn_heap_stats(heap).failures;
            const size_t taken = fill_up(heap, sizes[i], &list);
            const tarn_stats stats = tarn_heap_stats(heap);
            assert_true(stats.footprint <= 8 * MIB);
            assert_true(stats.peak_footprint <= 8 * MIB);
            assert_true(stats.failures > refused);
            assert_true(taken >= 5 * MIB);
            expect_sound(heap);
            give_back(heap, sizes[i], &list);
        }
    }
    assert_null(tarn_heap_alloc(heap, 8 * MIB + 1, 0));
    unsigned char *block = tarn_heap_alloc(heap, MIB, 0);
    assert_non_null(block);
    memset(block, 7, MIB);
    assert_null(tarn_heap_realloc(heap, block, MIB, 9 * MIB, 0));
    for (size_t i = 0; i < MIB; i += 101) {
        assert_int_equal(block[i], 7);
    }
    tarn_heap_free(heap, block, MIB);
    /* Everybody else is served. */
    void *other = tarn_malloc(20 * MIB);
    assert_non_null(other);
    tarn_free(other);
    tarn_malloc_destroy(heap);
}

struct soft {
    tarn_heap *heap;
    unsigned calls;
    size_t footprint;
    void *spare; /* freed in the callback */
};

static void count_crossing(void *context, tarn_heap *heap, size_t footprint)
{
    struct soft *soft = context;
    soft->calls++;
    soft->heap = heap;
    soft->footprint = footprint;
    if (soft->spare != NULL) {
        tarn_heap_free(heap, soft->spare, 2 * MIB);
        soft->spare = NULL;
    }
}

static void a_soft_limit_calls_back_once_per_crossing(void **state)
{
    (void)state;
    struct soft soft = {0};
    tarn_heap *heap = tarn_malloc_create(&(tarn_malloc_options){
        .soft_limit = 4 * MIB, .on_soft_limit = count_crossing, .context = &soft});
    assert_non_null(heap);
    void *first = tarn_heap_alloc(heap, MIB, 0);
    assert_non_null(first);
    assert_int_equal(soft.calls, 0);
    void *blocks[10];
    for (size_t i = 0; i < 10; i++) {
        blocks[i] = tarn_heap_alloc(heap, MIB, 0);
        assert_non_null(blocks[i]);
    }
    assert_int_equal(soft.calls, 1);
    assert_ptr_equal(soft.heap, heap);
    assert_true(soft.footprint > 4 * MIB);
    for (size_t i = 0; i < 10; i++) {
        tarn_heap_free(heap, blocks[i], MIB);
    }
    (void)tarn_heap_trim(heap);
    assert_true(tarn_heap_stats(heap).footprint <= 4 * MIB);
    soft.spare = tarn_heap_alloc(heap, 2 * MIB, 0);
    for (size_t i = 0; i < 10; i++) {
        blocks[i] = tarn_heap_alloc(heap, MIB, 0);
        assert_non_null(blocks[i]);
    }
    /* It freed from inside, which needs the lock. */
    assert_true(soft.calls >= 2);
    assert_null(soft.spare);
    for (size_t i = 0; i < 10; i++) {
        tarn_heap_free(heap, blocks[i], MIB);
    }
    tarn_heap_free(heap, first, MIB);
    tarn_malloc_destroy(heap);
}

/* --- confined --- */

static _Alignas(4096) unsigned char confined[4 * MIB + 8192];

static void a_confined_heap_takes_from_its_memory_alone(void **state)
{
    (void)state;
    const size_t offsets[] = {4096, 4097, 4160, 4100};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        memset(confined, 0xee, sizeof confined);
        unsigned char *start = confined + offsets[i];
        const size_t size = 4 * MIB - 37 * i;
        tarn_malloc_stats before;
        tarn_malloc_stats after;
        tarn_malloc_stats_get(&before, sizeof before);
        tarn_heap *heap =
            tarn_malloc_create(&(tarn_malloc_options){.name = "confined", .memory = {start, size}});
        assert_non_null(heap);
        /* The heap itself lives there too. */
        assert_true((unsigned char *)heap >= start && (unsigned char *)heap < start + size);
        const size_t sizes[] = {16, 500, 10000, 40000, 200000};
        for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++) {
            void *list = NULL;
            const size_t taken = fill_up(heap, sizes[j], &list);
            assert_true(taken >= 2 * MIB);
            for (void **block = list; block != NULL; block = *block) {
                assert_true((unsigned char *)block >= start &&
                            (unsigned char *)block + sizes[j] <= start + size);
            }
            assert_true(tarn_heap_stats(heap).footprint <= size);
            expect_sound(heap);
            give_back(heap, sizes[j], &list);
            (void)tarn_heap_trim(heap);
        }
        assert_null(tarn_heap_alloc(heap, size, 0));
        assert_null(tarn_heap_alloc(heap, 100, (size_t)1 << 46));
        tarn_malloc_stats_get(&after, sizeof after);
        assert_int_equal(after.mapped, before.mapped);
        tarn_malloc_destroy(heap);
        for (size_t j = 0; j < offsets[i]; j++) {
            assert_int_equal(confined[j], 0xee);
        }
        for (size_t j = offsets[i] + size; j < sizeof confined; j++) {
            assert_int_equal(confined[j], 0xee);
        }
        /* It is the caller's again. */
        memset(start, 0xee, size);
    }
}

static void a_confined_heap_needs_room_for_its_books(void **state)
{
    (void)state;
    for (size_t size = 0; size < 256 * KIB; size += 8191) {
        memset(confined, 0xee, sizeof confined);
        tarn_heap *heap =
            tarn_malloc_create(&(tarn_malloc_options){.memory = {confined + 64, size}});
        if (heap != NULL) {
            /* Less than promised is no fault when it works. */
            void *block = tarn_heap_alloc(heap, 1, 0);
            tarn_heap_free(heap, block, 1);
            tarn_malloc_destroy(heap);
        }
        for (size_t i = 64 + size; i < 300 * KIB; i++) {
            assert_int_equal(confined[i], 0xee);
        }
    }
    tarn_heap *heap =
        tarn_malloc_create(&(tarn_malloc_options){.memory = {confined + 7, 256 * KIB}});
    assert_non_null(heap);
    void *block = tarn_heap_alloc(heap, 20000, 0);
    assert_non_null(block);
    memset(block, 1, 20000);
    tarn_malloc_destroy(heap);
}

static void confined_memory_is_zero_for_calloc_though_it_was_dirty(void **state)
{
    (void)state;
    memset(confined, 0xee, sizeof confined);
    tarn_heap *heap =
        tarn_malloc_create(&(tarn_malloc_options){.memory = {confined, sizeof confined}});
    assert_non_null(heap);
    const size_t sizes[] = {16, 1000, 30000, 70000, 900000};
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            unsigned char *block = tarn_heap_calloc(heap, 1, sizes[i], 0);
            assert_non_null(block);
            for (size_t j = 0; j < sizes[i]; j++) {
                assert_int_equal(block[j], 0);
            }
            memset(block, 0xcc, sizes[i]);
            tarn_heap_free(heap, block, sizes[i]);
            (void)tarn_heap_trim(heap);
        }
    }
    tarn_malloc_destroy(heap);
}

static void heaps_stack(void **state)
{
    (void)state;
    /* A malloc heap confined to a block of another, under a limit. */
    tarn_heap *outer = tarn_malloc_create(NULL);
    assert_non_null(outer);
    void *memory = tarn_heap_alloc(outer, MIB, 0);
    assert_non_null(memory);
    tarn_heap *inner = tarn_malloc_create(
        &(tarn_malloc_options){.memory = {memory, MIB}, .hard_limit = 600 * KIB});
    assert_non_null(inner);
    void *list = NULL;
    const size_t taken = fill_up(inner, 1000, &list);
    assert_true(taken <= 600 * KIB && taken >= 200 * KIB);
    tarn_malloc_destroy(inner);
    tarn_heap_free(outer, memory, MIB);
    expect_sound(outer);
    tarn_malloc_destroy(outer);
}

/* --- blocks and who frees them --- */

static void tarn_free_takes_blocks_of_heaps_too(void **state)
{
    (void)state;
    tarn_heap *heap = tarn_malloc_create(NULL);
    assert_non_null(heap);
    const size_t sizes[] = {10, 3000, 50000, 5 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *block = tarn_heap_alloc(heap, sizes[i], 0);
        assert_non_null(block);
        assert_true(tarn_malloc_usable_size(block) >= sizes[i]);
        assert_int_equal(tarn_heap_stats(heap).blocks, 1);
        tarn_free(block);
        assert_int_equal(tarn_heap_stats(heap).blocks, 0);
        block = tarn_heap_alloc(heap, sizes[i], 0);
        tarn_free_sized(block, sizes[i]);
        assert_int_equal(tarn_heap_stats(heap).blocks, 0);
    }
    expect_sound(heap);
    tarn_malloc_destroy(heap);
}

struct seen {
    void *blocks[100];
    unsigned count[100];
    unsigned strangers;
    unsigned stop_after;
};

static bool see(void *context, void *block, size_t size)
{
    struct seen *seen = context;
    assert_true(size >= 1);
    for (size_t i = 0; i < 100; i++) {
        if (seen->blocks[i] == block) {
            seen->count[i]++;
            return seen->stop_after == 0 || --seen->stop_after > 0;
        }
    }
    seen->strangers++;
    return true;
}

static void the_visitor_sees_every_block_once(void **state)
{
    (void)state;
    tarn_heap *heap = tarn_malloc_create(NULL);
    assert_non_null(heap);
    struct seen seen = {0};
    for (size_t i = 0; i < 100; i++) {
        seen.blocks[i] = tarn_heap_alloc(heap, i * i * 30 + 1, 0);
        assert_non_null(seen.blocks[i]);
    }
    for (size_t i = 0; i < 100; i += 3) {
        tarn_heap_free(heap, seen.blocks[i], i * i * 30 + 1);
    }
    assert_int_equal(tarn_heap_visit(heap, see, &seen), TARN_OK);
    assert_int_equal(seen.strangers, 0);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(seen.count[i], i % 3 != 0);
    }
    memset(seen.count, 0, sizeof seen.count);
    seen.stop_after = 5;
    (void)tarn_heap_visit(heap, see, &seen);
    unsigned total = 0;
    for (size_t i = 0; i < 100; i++) {
        total += seen.count[i];
    }
    assert_int_equal(total, 5);
    tarn_malloc_destroy(heap);
}

static void misuse_names_the_heap(void **state)
{
    (void)state;
    tarn_heap *heap = tarn_malloc_create(&(tarn_malloc_options){.name = "textures"});
    assert_non_null(heap);
    char *block = tarn_heap_alloc(heap, 100, 0);
    long local = 0;
    assert_fatal((tarn_heap_free(heap, block, 100), tarn_heap_free(heap, block, 100)),
                 "double free", "textures", block);
    assert_fatal(tarn_heap_free(heap, block + 16, 100), "not a block", "textures", block + 16);
    assert_fatal(tarn_heap_free(heap, &local, sizeof local), "not a block", "textures", &local);
    /* A block of another allocator is not this heap's. */
    void *foreign = tarn_malloc(100);
    assert_fatal(tarn_heap_free(heap, foreign, 100), "not a block", "textures", foreign);
    tarn_heap *other = tarn_malloc_create(&(tarn_malloc_options){.name = "sounds"});
    void *others = tarn_heap_alloc(other, 100, 0);
    assert_fatal(tarn_heap_free(heap, others, 100), "not a block", "textures", others);
    tarn_free(foreign);
    tarn_malloc_destroy(other);
    tarn_malloc_destroy(heap);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    /* A limit that nothing fits under: no heap, or one that refuses everything. */
    tarn_heap *heap = tarn_malloc_create(&(tarn_malloc_options){.hard_limit = 1});
    if (heap != NULL) {
        assert_null(tarn_heap_alloc(heap, 1, 0));
        assert_true(tarn_heap_stats(heap).footprint <= 1);
        tarn_malloc_destroy(heap);
    }
    heap = tarn_malloc_create(NULL);
    assert_null(tarn_heap_alloc(heap, 100, 24));
    assert_null(tarn_heap_alloc(heap, SIZE_MAX, 0));
    assert_null(tarn_heap_alloc(heap, (size_t)PTRDIFF_MAX, 0));
    assert_null(tarn_heap_calloc(heap, SIZE_MAX, 2, 0));
    assert_int_equal(tarn_heap_stats(heap).blocks, 0);
    tarn_malloc_destroy(heap);
}

/* --- threads --- */

enum { THREADS = 4, STEPS = 4000, SLOTS = 64 };

struct shared {
    tarn_heap *heap;
    size_t self;
    void *left[SLOTS]; /* for another thread to free */
    size_t left_sizes[SLOTS];
};

static void *use_heap(void *context)
{
    struct shared *shared = context;
    uint32_t random = (uint32_t)shared->self * 2654435761U + 1;
    for (int step = 0; step < STEPS; step++) {
        random = random * 1664525U + 1013904223U;
        const size_t slot = random >> 26;
        random = random * 1664525U + 1013904223U;
        const size_t size = (random >> 8) % 6000 + 1;
        unsigned char *old = shared->left[slot];
        for (size_t i = 0; i < shared->left_sizes[slot]; i++) {
            if (old[i] != (unsigned char)(slot + shared->self)) {
                return (void *)1;
            }
        }
        tarn_heap_free(shared->heap, old, shared->left_sizes[slot]);
        unsigned char *block = tarn_heap_alloc(shared->heap, size, 0);
        if (block == NULL) {
            return (void *)1;
        }
        memset(block, (int)(slot + shared->self), size);
        shared->left[slot] = block;
        shared->left_sizes[slot] = size;
    }
    return NULL;
}

static void *free_and_destroy(void *context)
{
    struct shared *shared = context;
    for (size_t i = 0; i < THREADS; i++) {
        for (size_t j = 0; j < SLOTS; j += 2) {
            tarn_heap_free(shared[i].heap, shared[i].left[j], shared[i].left_sizes[j]);
        }
    }
    tarn_malloc_destroy(shared[0].heap);
    return NULL;
}

static void threads_share_a_heap_and_another_destroys_it(void **state)
{
    (void)state;
    static struct shared shared[THREADS];
    memset(shared, 0, sizeof shared);
    tarn_heap *heap = tarn_malloc_create(NULL);
    assert_non_null(heap);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        shared[i].heap = heap;
        shared[i].self = i;
        assert_int_equal(pthread_create(&threads[i], NULL, use_heap, &shared[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    expect_sound(heap);
    pthread_t last;
    assert_int_equal(pthread_create(&last, NULL, free_and_destroy, shared), 0);
    pthread_join(last, NULL);
}

static void *make_and_destroy(void *context)
{
    for (int i = 0; i < 200; i++) {
        tarn_heap *heap = tarn_malloc_create(NULL);
        if (heap == NULL) {
            return (void *)1;
        }
        for (size_t size = 1; size < 100000; size *= 3) {
            if (tarn_heap_alloc(heap, size, 0) == NULL) {
                return (void *)1;
            }
        }
        tarn_malloc_destroy(heap);
        tarn_free(tarn_malloc(100));
    }
    return context;
}

static void threads_make_and_destroy_heaps_side_by_side(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, make_and_destroy, NULL), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_heap_serves_every_size),
        cmocka_unit_test(all_blocks_go_at_once),
        cmocka_unit_test(a_hard_limit_is_never_passed),
        cmocka_unit_test(a_soft_limit_calls_back_once_per_crossing),
        cmocka_unit_test(a_confined_heap_takes_from_its_memory_alone),
        cmocka_unit_test(a_confined_heap_needs_room_for_its_books),
        cmocka_unit_test(confined_memory_is_zero_for_calloc_though_it_was_dirty),
        cmocka_unit_test(heaps_stack),
        cmocka_unit_test(tarn_free_takes_blocks_of_heaps_too),
        cmocka_unit_test(the_visitor_sees_every_block_once),
        cmocka_unit_test(misuse_names_the_heap),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(threads_share_a_heap_and_another_destroys_it),
        cmocka_unit_test(threads_make_and_destroy_heaps_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
