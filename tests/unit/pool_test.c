/* SPDX-License-Identifier: MIT */
#include "tarn/heaps.h"
#include "tarn/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "pool_tools.h"

/*
 * The contract of fixed-size pools as far as it is about objects. What they take from upstream and when it
 * goes back is in pool_upstream_test.c, threads are in pool_threads_test.c.
 */

enum { MANY = 5000 };

static void *objects[MANY];
static recorder record;
static tarn_pool pool;

static size_t natural_alignment(size_t size)
{
    const size_t divides = size & (~size + 1);
    return divides < _Alignof(max_align_t) ? divides : _Alignof(max_align_t);
}

/* ------------------------------------------------------------------------------------------------
 * Layouts.
 */

/* Fills `count` objects, each with a byte of its own, and sees that none is in another's way. */
static void assert_apart_and_aligned(tarn_pool *it, size_t count, size_t size, size_t alignment)
{
    for (size_t i = 0; i < count; i++) {
        objects[i] = tarn_pool_alloc(it);
        assert_non_null(objects[i]);
        assert_int_equal((uintptr_t)objects[i] % alignment, 0);
        memset(objects[i], (int)(i % 251), size);
    }
    for (size_t i = 0; i < count; i++) {
        const unsigned char *bytes = objects[i];
        for (size_t j = 0; j < size; j++) {
            if (bytes[j] != i % 251) {
                fail_msg("%s: byte %zu of object %zu of %zu bytes is not its own", it->heap.name, j,
                         i, size);
            }
        }
    }
    assert_balance(it);
    free_all(it, objects, count);
    assert_balance(it);
}

static void objects_are_aligned_for_every_type_of_their_size(void **state)
{
    (void)state;
    static const size_t large[] = {96, 100, 1000, 1001, 4096, 5000, 70000, 1 << 20};
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        for (size_t i = 1; i < 72 + sizeof large / sizeof large[0]; i++) {
            const size_t size = i < 72 ? i : large[i - 72];
            const tarn_pool_options options = kind_of(kind, size, 0, NULL);
            init_pool(&pool, &options);
            assert_apart_and_aligned(&pool, size > 10000 ? 9 : 40, size, natural_alignment(size));
            tarn_pool_deinit(&pool);
        }
    }
}

static void objects_have_the_alignment_that_was_asked_for(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        for (size_t alignment = 1; alignment <= 1 << 16; alignment *= 2) {
            const size_t sizes[] = {1, 24, 100, alignment, alignment + 1};
            for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                const tarn_pool_options options =
                    kind_of(kind, sizes[i], alignment, recorder_init(&record, NULL));
                init_pool(&pool, &options);
                assert_apart_and_aligned(&pool, 20, sizes[i], alignment);
                tarn_pool_deinit(&pool);
                assert_int_equal(record.held, 0);
            }
        }
    }
}

static void objects_of_one_byte_lie_side_by_side(void **state)
{
    (void)state;
    init_pool(&pool, &(tarn_pool_options){.size = 1, .first_objects = MANY});
    assert_apart_and_aligned(&pool, MANY, 1, 1);
    const size_t footprint = tarn_pool_stats(&pool).footprint;
    /* A byte and a bit for each, a hidden zone under a tool, and the cache. */
    if (pools_have_caches()) {
        assert_true(footprint < 3 * MANY);
    }
    tarn_pool_deinit(&pool);
}

/* ------------------------------------------------------------------------------------------------
 * Options that are refused.
 */
static void assert_refused(tarn_status wanted, tarn_pool_options options)
{
    tarn_pool *made = (tarn_pool *)&record;
    options.upstream = recorder_init(&record, NULL);
    for (unsigned threads = TARN_ALONE; threads <= TARN_SHARED; threads++) {
        options.threads = (tarn_pool_threads)threads;
        assert_int_equal(tarn_pool_init(&pool, &options), wanted);
    }
    assert_int_equal(record.calls, 0);
    assert_int_equal(tarn_pool_create(&made, &options), wanted);
    assert_ptr_equal(made, &record);
    assert_int_equal(record.held, 0);
    options.upstream = NULL;
    assert_int_equal(tarn_pool_init(&pool, &options), wanted);
}

static void layouts_that_are_none_are_refused(void **state)
{
    (void)state;
    assert_refused(TARN_BAD_LAYOUT, (tarn_pool_options){.size = 0});
    assert_refused(TARN_BAD_LAYOUT, (tarn_pool_options){.size = 0, .alignment = 8});
    static const size_t alignments[] = {3, 6, 24, 48, 100, 65535, SIZE_MAX, SIZE_MAX / 2};
    for (size_t i = 0; i < sizeof alignments / sizeof alignments[0]; i++) {
        assert_refused(TARN_BAD_LAYOUT,
                       (tarn_pool_options){.size = 48, .alignment = alignments[i]});
    }
}

static void objects_of_which_eight_pass_the_largest_size_are_refused(void **state)
{
    (void)state;
    static const size_t sizes[] = {PTRDIFF_MAX / 8 + 1, PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1,
                                   SIZE_MAX - 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t alignment = 0; alignment <= 65536; alignment = alignment * 2 + !alignment) {
            assert_refused(TARN_TOO_LARGE,
                           (tarn_pool_options){.size = sizes[i], .alignment = alignment});
        }
    }
    for (size_t alignment = SIZE_MAX / 2 + 1; alignment > PTRDIFF_MAX / 8; alignment /= 2) {
        assert_refused(TARN_TOO_LARGE, (tarn_pool_options){.size = 1, .alignment = alignment});
    }
}

static void objects_that_nobody_has_memory_for_can_be_asked_for(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        const tarn_pool_options options =
            kind_of(kind, PTRDIFF_MAX / 32, 0, recorder_init(&record, NULL));
        init_pool(&pool, &options);
        assert_null(tarn_pool_alloc(&pool));
        assert_null(tarn_pool_alloc(&pool));
        assert_null(tarn_pool_alloc_zeroed(&pool));
        assert_int_equal(tarn_pool_alloc_bulk(&pool, objects, 4), 0);
        assert_int_equal(tarn_pool_reserve(&pool, 1), TARN_NO_MEMORY);
        assert_balance(&pool);
        const tarn_stats stats = tarn_pool_stats(&pool);
        assert_true(stats.failures >= 4);
        assert_int_equal(stats.footprint, record.held);
        assert_int_equal(stats.blocks, 0);
        tarn_pool_deinit(&pool);
        assert_int_equal(record.held, 0);
    }
}

/* Where upstream has many small pieces but no large one, a reserve takes many before it gives up. */
static void a_refused_reserve_leaves_no_large_table(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        tarn_limited limited;
        assert_int_equal(
            tarn_limited_init(&limited,
                              &(tarn_limited_options){.upstream = recorder_init(&record, NULL),
                                                      .hard_limit = 16 << 20}),
            TARN_OK);
        tarn_pool_options options = kind_of(kind, 64, 0, &limited.heap);
        options.chunk_objects_max = 1024;
        init_pool(&pool, &options);
        void *const object = tarn_pool_alloc(&pool);
        assert_non_null(object);
        const size_t before = record.held;
        assert_int_equal(tarn_pool_reserve(&pool, (size_t)2 << 20), TARN_NO_MEMORY);
        assert_balance(&pool);
        assert_true(record.peak_held > before + (8 << 20));
        assert_true(record.held <= before + 8192);
        assert_true(tarn_pool_owns(&pool, object));
        tarn_pool_free(&pool, object);
        tarn_pool_deinit(&pool);
        assert_int_equal(record.held, 0);
    }
}

static bool construct_nothing(void *context, void *object)
{
    (void)context;
    (void)object;
    return true;
}

static void destruct_nothing(void *context, void *object)
{
    (void)context;
    (void)object;
}

static void options_that_contradict_each_other_are_refused(void **state)
{
    (void)state;
    assert_refused(TARN_BAD_ARGUMENT, (tarn_pool_options){.size = 32, .preallocate = true});
    for (unsigned bits = 0; bits < 16; bits++) {
        tarn_pool_options options = {
            .size = 32,
            .zero = (bits & 1) != 0,
            .poison = (bits & 2) != 0,
            .construct = (bits & 4) != 0 ? construct_nothing : NULL,
            .destruct = (bits & 8) != 0 ? destruct_nothing : NULL,
        };
        if ((bits & 3) != 0 && (bits & 12) != 0) {
            assert_refused(TARN_BAD_ARGUMENT, options);
        } else {
            init_pool(&pool, &options);
            tarn_pool_free(&pool, tarn_pool_alloc(&pool));
            tarn_pool_deinit(&pool);
        }
    }
}

/* Whatever is made of such figures: nothing overflows, and a pool that is made works. */
static void absurdly_large_figures_do_no_harm(void **state)
{
    (void)state;
    static const size_t figures[] = {SIZE_MAX,     SIZE_MAX / 2,      (size_t)1 << 63,
                                     SIZE_MAX / 8, SIZE_MAX / 48,     SIZE_MAX / 48 + 1,
                                     UINT32_MAX,   UINT32_MAX + 1ULL, (size_t)1 << 40};
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        for (unsigned field = 0; field < 2 * 6; field++) {
            /* Above what one pool of this test needs, below what fills the machine. */
            tarn_limited limited;
            assert_int_equal(
                tarn_limited_init(&limited,
                                  &(tarn_limited_options){.upstream = recorder_init(&record, NULL),
                                                          .hard_limit = (size_t)1 << 30}),
                TARN_OK);
            tarn_pool_options options = {
                .size = 48,
                .upstream = &limited.heap,
                .threads = field % 2 == 0 ? TARN_ALONE : TARN_SHARED,
            };
            switch (field / 2) {
            case 0:
                options.first_objects = figures[i];
                break;
            case 1:
                options.chunk_objects_max = figures[i];
                break;
            case 2:
                options.max_objects = figures[i];
                break;
            case 3:
                options.cache_objects = figures[i];
                break;
            case 4:
                options.thread_caches = figures[i];
                break;
            default:
                /* More than a process can have: this is for the sums. */
                options.max_objects = figures[i] | (size_t)1 << 42;
                options.preallocate = true;
                break;
            }
            const tarn_status status = tarn_pool_init(&pool, &options);
            if (status == TARN_OK) {
                void *object = tarn_pool_alloc(&pool);
                assert_non_null(object);
                memset(object, 1, 48);
                tarn_pool_free(&pool, object);
                assert_balance(&pool);
                tarn_pool_deinit(&pool);
            } else {
                assert_true(status == TARN_TOO_LARGE || status == TARN_NO_MEMORY);
            }
            assert_int_equal(record.held, 0);
        }
    }
}

/* ------------------------------------------------------------------------------------------------
 * Allocating and freeing.
 */
static void the_object_freed_last_is_handed_out_first(void **state)
{
    (void)state;
    if (heap_watch_is_on()) {
        skip(); /* it is handed out as late as possible */
    }
    enum { COUNT = 20 };
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        tarn_pool_options options = kind_of(kind, 48, 0, NULL);
        if (options.threads == TARN_SHARED &&
            (sees_each_call(&options) || options.cache_objects == 1)) {
            continue; /* without a cache */
        }
        options.cache_objects = 2 * COUNT;
        options.first_objects = 0;
        init_pool(&pool, &options);
        assert_int_equal(take_all(&pool, objects, 500), 500);
        for (size_t i = 0; i < COUNT; i++) {
            tarn_pool_free(&pool, objects[i]);
        }
        for (size_t i = COUNT; i-- > 0;) {
            assert_ptr_equal(tarn_pool_alloc(&pool), objects[i]);
        }
        for (size_t i = 0; i < 500; i++) {
            tarn_pool_free(&pool, objects[i]);
            assert_ptr_equal(tarn_pool_alloc(&pool), objects[i]);
        }
        free_all(&pool, objects, 500);
        tarn_pool_deinit(&pool);
    }
}

static void an_empty_cache_is_refilled_in_the_order_of_addresses(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    init_pool(&pool, &(tarn_pool_options){.size = 48, .first_objects = COUNT});
    for (size_t i = 0; i < COUNT; i++) {
        objects[i] = tarn_pool_alloc(&pool);
        assert_true(i == 0 || (uintptr_t)objects[i] > (uintptr_t)objects[i - 1]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        tarn_pool_free(&pool, objects[shuffled(i, COUNT)]);
    }
    tarn_pool_flush(&pool);
    for (size_t i = 0; i < COUNT; i++) {
        assert_ptr_equal(tarn_pool_alloc(&pool), objects[i]);
    }
    tarn_pool_deinit(&pool);
}

static void freed_objects_stay_as_their_last_owner_left_them(void **state)
{
    (void)state;
    if (!pools_have_caches()) {
        skip();
    }
    enum { COUNT = 2000, SIZE = 24 };
    for (unsigned threads = TARN_ALONE; threads <= TARN_SHARED; threads++) {
        init_pool(&pool, &(tarn_pool_options){.size = SIZE,
                                              .threads = (tarn_pool_threads)threads,
                                              .first_objects = COUNT,
                                              .max_objects = COUNT});
        assert_int_equal(take_all(&pool, objects, MANY), COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            memset(objects[i], (int)(i % 255) + 1, SIZE);
        }
        for (size_t i = 0; i < COUNT; i++) {
            tarn_pool_free(&pool, objects[shuffled(i, COUNT)]);
        }
        tarn_pool_flush(&pool);
        for (size_t i = 0; i < COUNT; i++) {
            const unsigned char *bytes = objects[i];
            for (size_t j = 0; j < SIZE; j++) {
                assert_int_equal(bytes[j], i % 255 + 1);
            }
        }
        tarn_pool_deinit(&pool);
    }
}

static void a_free_of_null_is_ignored(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        const tarn_pool_options options = kind_of(kind, 48, 0, NULL);
        init_pool(&pool, &options);
        tarn_pool_free(&pool, NULL);
        assert_balance(&pool);
        const size_t count = take_all(&pool, objects, 700);
        for (size_t i = 0; i < count; i++) {
            tarn_pool_free(&pool, NULL);
            tarn_pool_free(&pool, objects[i]);
            tarn_pool_free(&pool, NULL);
        }
        assert_balance(&pool);
        assert_int_equal(tarn_pool_stats(&pool).blocks, 0);
        tarn_pool_deinit(&pool);
    }
}

static void the_largest_count_of_live_objects_is_exact(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 2, 3, 7, 8, 9, 63, 64, 65, 100, 1000, 3001};
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            for (unsigned preallocate = 0; preallocate < 2; preallocate++) {
                tarn_pool_options options = kind_of(kind, 24, 0, recorder_init(&record, NULL));
                options.max_objects = counts[i];
                options.preallocate = preallocate != 0;
                init_pool(&pool, &options);
                for (unsigned turn = 0; turn < 3; turn++) {
                    assert_int_equal(take_all(&pool, objects, MANY), counts[i]);
                    assert_null(tarn_pool_alloc(&pool));
                    assert_null(tarn_pool_alloc_zeroed(&pool));
                    void *more[2];
                    assert_int_equal(tarn_pool_alloc_bulk(&pool, more, 2), 0);
                    assert_int_equal(tarn_pool_stats(&pool).blocks, counts[i]);
                    /* One freed is one that can be had. */
                    for (size_t j = 0; j < 10; j++) {
                        tarn_pool_free(&pool, objects[shuffled(j, counts[i])]);
                        objects[shuffled(j, counts[i])] = tarn_pool_alloc(&pool);
                        assert_non_null(objects[shuffled(j, counts[i])]);
                        assert_null(tarn_pool_alloc(&pool));
                    }
                    assert_balance(&pool);
                    for (size_t j = 0; j < counts[i]; j++) {
                        tarn_pool_free(&pool, objects[shuffled(j, counts[i])]);
                    }
                    if (turn == 1) {
                        tarn_pool_trim(&pool);
                    }
                }
                tarn_pool_deinit(&pool);
                assert_int_equal(record.held, 0);
            }
        }
    }
}

static void zeroed_objects_are_zeroed(void **state)
{
    (void)state;
    enum { SIZE = 51, COUNT = 700 };
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        const tarn_pool_options options = kind_of(kind, SIZE, 0, NULL);
        init_pool(&pool, &options);
        for (unsigned turn = 0; turn < 3; turn++) {
            for (size_t i = 0; i < COUNT; i++) {
                unsigned char *object = tarn_pool_alloc_zeroed(&pool);
                assert_non_null(object);
                for (size_t j = 0; j < SIZE; j++) {
                    assert_int_equal(object[j], 0);
                }
                memset(object, 0xa5, SIZE);
                objects[i] = object;
            }
            free_all(&pool, objects, COUNT);
        }
        tarn_pool_deinit(&pool);
    }
}

static void assert_zero(const void *object, size_t size)
{
    const unsigned char *bytes = object;
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(bytes[i], 0);
    }
}

static void with_zero_every_object_is_zeroed_whichever_way_it_comes(void **state)
{
    (void)state;
    enum { SIZE = 51, COUNT = 300 };
    for (unsigned bits = 0; bits < 8; bits++) {
        init_pool(&pool, &(tarn_pool_options){
                             .size = SIZE,
                             .threads = (bits & 1) != 0 ? TARN_SHARED : TARN_ALONE,
                             .checks = (bits & 2) != 0,
                             .poison = (bits & 4) != 0,
                             .zero = true,
                         });
        for (unsigned turn = 0; turn < 4; turn++) {
            assert_int_equal(tarn_pool_alloc_bulk(&pool, objects, COUNT), COUNT);
            for (size_t i = COUNT; i < 2 * COUNT; i++) {
                objects[i] = tarn_pool_alloc(&pool);
                objects[i + COUNT] = tarn_heap_alloc(&pool.heap, SIZE, 1);
            }
            for (size_t i = 0; i < 3 * COUNT; i++) {
                assert_zero(objects[i], SIZE);
                memset(objects[i], 0x77, SIZE);
            }
            if (turn == 2) {
                tarn_pool_reset(&pool);
            } else {
                tarn_pool_free_bulk(&pool, objects, 3 * COUNT);
            }
        }
        tarn_pool_deinit(&pool);
    }
}

/* ------------------------------------------------------------------------------------------------
 * In bulk.
 */
static int by_address(const void *one, const void *other)
{
    const uintptr_t a = (uintptr_t) * (void *const *)one;
    const uintptr_t b = (uintptr_t) * (void *const *)other;
    return (a > b) - (a < b);
}

static void assert_all_differ(void *const *these, size_t count)
{
    static void *sorted[2 * MANY];
    assert_true(count <= sizeof sorted / sizeof sorted[0]);
    memcpy(sorted, these, count * sizeof sorted[0]);
    qsort(sorted, count, sizeof sorted[0], by_address);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(sorted[i]);
        assert_true(i == 0 || sorted[i] != sorted[i - 1]);
    }
}

static void objects_come_and_go_in_bulk(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 2, 3, 5, 63, 64, 65, 255, 256, 257, 1000, 3000, MANY};
    enum { COUNTS = sizeof counts / sizeof counts[0] };
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        const tarn_pool_options options = kind_of(kind, 20, 0, recorder_init(&record, NULL));
        init_pool(&pool, &options);
        for (size_t i = 0; i < COUNTS; i++) {
            for (size_t j = 0; j < COUNTS; j++) {
                const size_t count = counts[i];
                const size_t piece = counts[j] == 0 ? 10000 : counts[j];
                assert_int_equal(tarn_pool_alloc_bulk(&pool, objects, count), count);
                assert_all_differ(objects, count);
                for (size_t k = 0; k < count; k++) {
                    memset(objects[k], (int)k, 20);
                }
                assert_int_equal(tarn_pool_stats(&pool).blocks, count);
                for (size_t k = 0; k < count; k += piece) {
                    const size_t part = count - k < piece ? count - k : piece;
                    tarn_pool_free_bulk(&pool, objects + k, part);
                }
                assert_int_equal(tarn_pool_stats(&pool).blocks, 0);
            }
            assert_balance(&pool);
        }
        tarn_pool_alloc_bulk(&pool, NULL, 0);
        tarn_pool_free_bulk(&pool, NULL, 0);
        tarn_pool_deinit(&pool);
        assert_int_equal(record.held, 0);
    }
}

static void bulk_and_single_calls_mix(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        const tarn_pool_options options = kind_of(kind, 40, 0, recorder_init(&record, NULL));
        init_pool(&pool, &options);
        size_t live = 0;
        uint32_t seed = 1;
        for (unsigned turn = 0; turn < 2000; turn++) {
            seed = seed * 1664525 + 1013904223;
            const size_t count = (seed >> 16) % 97 * ((seed >> 8) % 11 == 0 ? 10 : 1);
            const size_t room = MANY - live < count ? MANY - live : count;
            switch (seed >> 30) {
            case 0:
                assert_int_equal(tarn_pool_alloc_bulk(&pool, objects + live, room), room);
                live += room;
                break;
            case 1:
                for (size_t i = 0; i < room; i++) {
                    objects[live] = tarn_pool_alloc(&pool);
                    assert_non_null(objects[live++]);
                }
                break;
            case 2:
                live -= live < count ? live : count;
                tarn_pool_free_bulk(&pool, objects + live,
                                    (size_t)tarn_pool_stats(&pool).blocks - live);
                break;
            default:
                for (size_t i = 0; i < count && live > 0; i++) {
                    tarn_pool_free(&pool, objects[--live]);
                }
                break;
            }
            assert_int_equal(tarn_pool_stats(&pool).blocks, live);
            assert_all_differ(objects, live);
            if (turn % 100 == 0) {
                assert_balance(&pool);
            }
        }
        tarn_pool_free_bulk(&pool, objects, live);
        assert_balance(&pool);
        tarn_pool_deinit(&pool);
        assert_int_equal(record.held, 0);
    }
}

static void a_bulk_that_memory_does_not_suffice_for_is_as_many_as_there_are(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        for (uint64_t request = 1; request < 9; request++) {
            tarn_failing failing;
            tarn_failing_init(&failing,
                              &(tarn_failing_options){.upstream = recorder_init(&record, NULL),
                                                      .plan = {.from = request}});
            tarn_pool_options options = kind_of(kind, 40, 0, &failing.heap);
            options.first_objects = 50;
            options.chunk_objects_max = 400;
            init_pool(&pool, &options);
            size_t count = tarn_pool_alloc_bulk(&pool, objects, MANY);
            assert_true(count < MANY);
            assert_all_differ(objects, count);
            assert_int_equal(tarn_pool_stats(&pool).blocks, count);
            assert_balance(&pool);
            assert_null(tarn_pool_alloc(&pool));
            /* What was lost would be missing now. Every other object stays, so that no chunk goes back. */
            for (size_t i = 0; i < count; i += 2) {
                tarn_pool_free(&pool, objects[i]);
            }
            for (size_t i = 0; i < count; i += 2) {
                objects[i] = tarn_pool_alloc(&pool);
                assert_non_null(objects[i]);
            }
            assert_null(tarn_pool_alloc(&pool));
            assert_all_differ(objects, count);
            tarn_failing_restart(&failing, NULL);
            assert_int_equal(tarn_pool_alloc_bulk(&pool, objects + count, MANY - count),
                             MANY - count);
            assert_all_differ(objects, MANY);
            tarn_pool_free_bulk(&pool, objects, MANY);
            assert_balance(&pool);
            tarn_pool_deinit(&pool);
            assert_int_equal(record.held, 0);
        }
    }
}

/* ------------------------------------------------------------------------------------------------
 * What belongs to the pool.
 */
static bool is_among(void *const *sorted, size_t count, const void *pointer)
{
    return bsearch(&pointer, sorted, count, sizeof sorted[0], by_address) != NULL;
}

/* Looks at every address of the upstream's memory and around it. */
static void a_pool_owns_its_objects_and_nothing_else(void **state)
{
    (void)state;
    static _Alignas(4096) unsigned char memory[1 << 16];
    static void *all[MANY];
    static const tarn_memory layouts[] = {{NULL, 8},  {NULL, 24}, {NULL, 1},   {NULL, 7},
                                          {NULL, 64}, {NULL, 48}, {NULL, 1000}};
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
            tarn_buffer buffer;
            tarn_buffer_init(&buffer, (tarn_memory){memory + 64, sizeof memory - 128}, NULL);
            const size_t size = layouts[i].size;
            tarn_pool_options options = kind_of(kind, size, 0, &buffer.heap);
            options.first_objects = 5;
            options.chunk_objects_max = 9;
            options.max_objects = size < 64 ? 400 : 40;
            init_pool(&pool, &options);
            const size_t count = take_all(&pool, all, MANY);
            assert_int_equal(count, options.max_objects);
            /* Half of them free, some of these in the cache. */
            for (size_t j = 0; j < count / 2; j++) {
                tarn_pool_free(&pool, all[shuffled(j, count)]);
            }
            qsort(all, count, sizeof all[0], by_address);
            size_t owned = 0;
            for (unsigned char *place = memory; place < memory + sizeof memory; place++) {
                const bool owns = tarn_pool_owns(&pool, place);
                owned += owns;
                if (is_among(all, count, place)) {
                    assert_true(owns);
                } else if (owns) {
                    /* One never handed out yet: it must not reach into one that was. */
                    assert_int_equal((uintptr_t)place % natural_alignment(size), 0);
                    for (size_t j = 1; j < size; j++) {
                        assert_false(is_among(all, count, place - j));
                        assert_false(is_among(all, count, place + j));
                    }
                }
            }
            assert_true(owned >= count && owned < count + 9);
            tarn_pool_deinit(&pool);
            tarn_buffer_deinit(&buffer);
        }
    }
}

static void any_pointer_may_be_asked_of(void **state)
{
    (void)state;
    int on_the_stack = 0;
    void *from_malloc = malloc(48);
    unsigned char *unmapped = mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(unmapped, MAP_FAILED);
    munmap(unmapped, 65536);
    const uintptr_t wild[] = {
        0,
        1,
        8,
        16,
        4096,
        65536,
        UINTPTR_MAX,
        UINTPTR_MAX - 7,
        UINTPTR_MAX - 47,
        UINTPTR_MAX / 2,
        UINTPTR_MAX / 2 + 1,
        (uintptr_t)0xdddddddddddddddd,
        (uintptr_t)1 << 47,
        (uintptr_t)1 << 48,
        (uintptr_t)0xffff800000000000,
        (uintptr_t)0x8000000000000010,
        (uintptr_t)&on_the_stack,
        (uintptr_t)from_malloc,
        (uintptr_t)objects,
        (uintptr_t)any_pointer_may_be_asked_of,
        (uintptr_t)unmapped,
        (uintptr_t)(unmapped + 48),
        (uintptr_t)&pool,
        (uintptr_t) "text",
    };
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        const tarn_pool_options options = kind_of(kind, 48, 0, recorder_init(&record, NULL));
        init_pool(&pool, &options);
        for (unsigned turn = 0; turn < 3; turn++) {
            for (size_t i = 0; i < sizeof wild / sizeof wild[0]; i++) {
                assert_false(tarn_pool_owns(&pool, (const void *)wild[i]));
            }
            /* Then with objects, then with none again. */
            if (turn == 0) {
                assert_int_equal(take_all(&pool, objects, MANY), MANY);
            } else if (turn == 1) {
                for (size_t i = 0; i < MANY; i++) {
                    assert_true(tarn_pool_owns(&pool, objects[i]));
                    assert_false(tarn_pool_owns(&pool, (char *)objects[i] + 1));
                    assert_false(tarn_pool_owns(&pool, (char *)objects[i] + 16));
                    assert_false(tarn_pool_owns(&pool, (char *)objects[i] - 1));
                }
                /* Addresses that differ in high bits only meet the same cells of a table. */
                for (unsigned bit = 20; bit < 64; bit++) {
                    const uintptr_t other = (uintptr_t)objects[1234] ^ (uintptr_t)1 << bit;
                    bool is_ours = false;
                    for (size_t i = 0; i < MANY; i++) {
                        is_ours = is_ours || (uintptr_t)objects[i] == other;
                    }
                    if (!is_ours && tarn_pool_owns(&pool, (const void *)other)) {
                        /* Never handed out, but in a chunk. */
                        bool is_inside = false;
                        for (size_t i = 0; i < record.count; i++) {
                            const uintptr_t start = (uintptr_t)record.blocks[i].start;
                            is_inside = is_inside || other - start < record.blocks[i].size;
                        }
                        assert_true(is_inside);
                    }
                }
                tarn_pool_free_bulk(&pool, objects, MANY);
                tarn_pool_trim(&pool);
                for (size_t i = 0; i < MANY; i++) {
                    assert_false(tarn_pool_owns(&pool, objects[i]));
                }
            }
        }
        tarn_pool_deinit(&pool);
        assert_int_equal(record.held, 0);
    }
    free(from_malloc);
}

static void pools_do_not_own_each_others_objects(void **state)
{
    (void)state;
    enum { POOLS = 20, EACH = 60 };
    static _Alignas(64) unsigned char memory[1 << 20];
    static tarn_pool pools[POOLS];
    tarn_buffer buffer;
    tarn_buffer_init(&buffer, (tarn_memory){memory, sizeof memory}, NULL);
    for (size_t i = 0; i < POOLS; i++) {
        init_pool(&pools[i], &(tarn_pool_options){.size = 8 + 8 * i,
                                                  .upstream = &buffer.heap,
                                                  .first_objects = 4,
                                                  .chunk_objects_max = 16});
    }
    for (size_t i = 0; i < POOLS * EACH; i++) {
        objects[i] = tarn_pool_alloc(&pools[i % POOLS]);
        assert_non_null(objects[i]);
    }
    for (size_t i = 0; i < POOLS * EACH; i++) {
        for (size_t j = 0; j < POOLS; j++) {
            assert_int_equal(tarn_pool_owns(&pools[j], objects[i]), i % POOLS == j);
        }
    }
    for (size_t i = 0; i < POOLS; i++) {
        tarn_pool_deinit(&pools[i]);
    }
    tarn_buffer_deinit(&buffer);
}

/* ------------------------------------------------------------------------------------------------
 * Reset.
 */
static void a_reset_frees_every_object_at_once(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        tarn_pool_options options = kind_of(kind, 40, 0, recorder_init(&record, NULL));
        options.max_objects = COUNT;
        init_pool(&pool, &options);
        tarn_pool_reset(&pool);
        for (unsigned turn = 0; turn < 5; turn++) {
            assert_int_equal(take_all(&pool, objects, MANY), COUNT);
            assert_all_differ(objects, COUNT);
            for (size_t i = 0; i < COUNT; i++) {
                memset(objects[i], 0x31, 40);
            }
            /* Some are free already, in the cache or in the chunks: nobody may get them twice. */
            for (size_t i = 0; i < turn * 137; i++) {
                tarn_pool_free(&pool, objects[shuffled(i, COUNT)]);
            }
            const uint64_t requests = record.requests;
            tarn_pool_reset(&pool);
            assert_int_equal(record.requests, requests);
            assert_balance(&pool);
            const tarn_stats stats = tarn_pool_stats(&pool);
            assert_int_equal(stats.blocks, 0);
            assert_int_equal(stats.live, 0);
            assert_int_equal(stats.footprint, record.held);
        }
        assert_true(tarn_pool_trim(&pool) > 0);
        assert_int_equal(record.held, 0);
        tarn_pool_deinit(&pool);
    }
}

static void a_reset_of_few_objects_leaves_the_untouched_ones_for_later(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        tarn_pool_options options = kind_of(kind, 40, 0, recorder_init(&record, NULL));
        options.first_objects = 200;
        options.max_objects = 200;
        init_pool(&pool, &options);
        for (size_t count = 1; count <= 200; count += 13) {
            assert_int_equal(tarn_pool_alloc_bulk(&pool, objects, count), count);
            tarn_pool_reset(&pool);
            assert_balance(&pool);
        }
        assert_int_equal(take_all(&pool, objects, MANY), 200);
        assert_all_differ(objects, 200);
        tarn_pool_deinit(&pool);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Constructors. Objects lie in a static buffer, where a byte for each address tells what was built.
 */
static _Alignas(4096) unsigned char site[4 << 20];
static tarn_buffer site_heap;

typedef struct builder {
    unsigned char *is_built; /* for each 8 bytes of the site */
    size_t constructs;
    size_t destructs;
    size_t refusals_left; /* calls until one is refused */
    bool refuses;
    size_t faults;
} builder;

static unsigned char is_built[sizeof site / 8];

static bool build(void *context, void *object)
{
    builder *it = context;
    const size_t place = (size_t)((unsigned char *)object - site) / 8;
    if (it->refuses && it->refusals_left-- == 0) {
        it->refusals_left = 0;
        return false;
    }
    it->constructs++;
    it->faults += (unsigned char *)object < site || place >= sizeof is_built || is_built[place];
    is_built[place] = 1;
    ((uint64_t *)object)[0] = 0x0b1ec7;
    ((uint64_t *)object)[1] = it->constructs;
    return true;
}

static void raze(void *context, void *object)
{
    builder *it = context;
    const size_t place = (size_t)((unsigned char *)object - site) / 8;
    it->destructs++;
    it->faults += (unsigned char *)object < site || place >= sizeof is_built || !is_built[place];
    it->faults += ((uint64_t *)object)[0] != 0x0b1ec7;
    is_built[place] = 0;
}

static builder start_to_build(void)
{
    memset(is_built, 0, sizeof is_built);
    tarn_buffer_init(&site_heap, (tarn_memory){site, sizeof site}, NULL);
    recorder_init(&record, &site_heap.heap);
    return (builder){.is_built = is_built};
}

static bool can_construct(const tarn_pool_options *options)
{
    return !options->zero && !options->poison;
}

static tarn_pool_options built_by(size_t kind, builder *it)
{
    tarn_pool_options options = kind_of(kind, 32, 0, &record.heap);
    options.construct = build;
    options.destruct = raze;
    options.context = it;
    return options;
}

static void objects_stay_constructed_while_their_memory_stays(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        if (!can_construct(&pool_kinds[kind])) {
            continue;
        }
        builder it = start_to_build();
        const tarn_pool_options options = built_by(kind, &it);
        init_pool(&pool, &options);
        assert_int_equal(it.constructs, 0);
        size_t built = 0;
        for (unsigned turn = 0; turn < 6; turn++) {
            for (size_t i = 0; i < 3000; i++) {
                uint64_t *object = tarn_pool_alloc(&pool);
                assert_non_null(object);
                assert_int_equal(object[0], 0x0b1ec7);
                object[2] = 7;
                objects[i] = object;
            }
            assert_true(it.constructs - it.destructs >= 3000);
            for (size_t i = 0; i < 3000; i++) {
                tarn_pool_free(&pool, objects[shuffled(i, 3000)]);
            }
            if (turn == 2) {
                tarn_pool_reset(&pool);
            }
            if (turn == 3) {
                tarn_pool_trim(&pool);
                assert_int_equal(it.constructs, it.destructs);
                assert_int_equal(record.held, 0);
            }
            if (turn == 4) {
                built = it.constructs;
            }
        }
        /* The memory is the same, or else it was given back by itself, destructed. */
        assert_true(it.constructs - built <= it.destructs);
        tarn_pool_alloc(&pool); /* live objects end with the pool */
        tarn_pool_deinit(&pool);
        assert_int_equal(it.constructs, it.destructs);
        assert_int_equal(it.faults, 0);
        tarn_buffer_deinit(&site_heap);
    }
}

/* As long as nothing goes back upstream, reuse does not construct again. */
static void a_slot_is_constructed_once(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        if (!can_construct(&pool_kinds[kind])) {
            continue;
        }
        builder it = start_to_build();
        tarn_pool_options options = built_by(kind, &it);
        options.max_objects = COUNT;
        options.preallocate = true;
        init_pool(&pool, &options);
        for (unsigned turn = 0; turn < 20; turn++) {
            const size_t count = turn * 40 < COUNT ? turn * 40 : COUNT;
            assert_int_equal(tarn_pool_alloc_bulk(&pool, objects, count), count);
            for (size_t i = 0; i < count; i++) {
                assert_int_equal(((uint64_t *)objects[i])[0], 0x0b1ec7);
            }
            assert_true(it.constructs >= count && it.constructs <= COUNT);
            if (turn % 3 == 2) {
                tarn_pool_reset(&pool);
            } else {
                tarn_pool_free_bulk(&pool, objects, count);
            }
            tarn_pool_flush(&pool);
        }
        assert_int_equal(it.constructs, COUNT);
        assert_int_equal(it.destructs, 0);
        tarn_pool_deinit(&pool);
        assert_int_equal(it.destructs, COUNT);
        assert_int_equal(it.faults, 0);
        tarn_buffer_deinit(&site_heap);
    }
}

static void a_constructor_that_refuses_fails_the_request_and_is_asked_again(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        for (size_t refused_at = 0; refused_at < 120; refused_at += 7) {
            if (!can_construct(&pool_kinds[kind])) {
                continue;
            }
            builder it = start_to_build();
            tarn_pool_options options = built_by(kind, &it);
            options.max_objects = COUNT;
            options.first_objects = COUNT;
            init_pool(&pool, &options);
            it.refuses = true;
            it.refusals_left = refused_at;
            /* All that could be constructed can be had. */
            const size_t count = take_all(&pool, objects, MANY);
            assert_int_equal(count, refused_at);
            assert_int_equal(it.constructs, refused_at);
            assert_null(tarn_pool_alloc(&pool));
            void *more[3];
            assert_int_equal(tarn_pool_alloc_bulk(&pool, more, 3), 0);
            assert_balance(&pool);
            assert_int_equal(tarn_pool_stats(&pool).blocks, count);
            /* One more, and then no more again. */
            it.refusals_left = 1;
            objects[count] = tarn_pool_alloc(&pool);
            assert_non_null(objects[count]);
            assert_null(tarn_pool_alloc(&pool));
            it.refuses = false;
            assert_int_equal(tarn_pool_alloc_bulk(&pool, objects + count + 1, MANY),
                             COUNT - count - 1);
            assert_all_differ(objects, COUNT);
            assert_int_equal(it.constructs, COUNT);
            tarn_pool_free_bulk(&pool, objects, COUNT);
            assert_balance(&pool);
            tarn_pool_deinit(&pool);
            assert_int_equal(it.destructs, COUNT);
            assert_int_equal(it.faults, 0);
            tarn_buffer_deinit(&site_heap);
        }
    }
}

static void a_bulk_that_a_constructor_refuses_is_as_many_as_there_are(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        if (!can_construct(&pool_kinds[kind])) {
            continue;
        }
        builder it = start_to_build();
        tarn_pool_options options = built_by(kind, &it);
        options.max_objects = MANY;
        options.preallocate = true;
        init_pool(&pool, &options);
        it.refuses = true;
        it.refusals_left = 1234;
        assert_int_equal(tarn_pool_alloc_bulk(&pool, objects, MANY), 1234);
        assert_int_equal(tarn_pool_stats(&pool).blocks, 1234);
        assert_true(tarn_pool_stats(&pool).failures > 0);
        tarn_pool_free_bulk(&pool, objects, 1234);
        assert_balance(&pool);
        assert_int_equal(take_all(&pool, objects, MANY), 1234);
        tarn_pool_deinit(&pool);
        assert_int_equal(it.destructs, 1234);
        assert_int_equal(it.faults, 0);
        tarn_buffer_deinit(&site_heap);
    }
}

static void either_of_constructor_and_destructor_may_be_missing(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        if (!can_construct(&pool_kinds[kind])) {
            continue;
        }
        builder it = start_to_build();
        tarn_pool_options options = built_by(kind, &it);
        options.destruct = NULL;
        init_pool(&pool, &options);
        assert_int_equal(take_all(&pool, objects, 1000), 1000);
        free_all(&pool, objects, 1000);
        tarn_pool_deinit(&pool);
        assert_true(it.constructs >= 1000);
        assert_int_equal(it.destructs, 0);
        tarn_buffer_deinit(&site_heap);

        /* What was never used is not destructed: it is not even touched. */
        it = start_to_build();
        options = built_by(kind, &it);
        options.construct = NULL;
        options.first_objects = 2000;
        init_pool(&pool, &options);
        for (size_t i = 0; i < 1000; i++) {
            assert_true(build(&it, objects[i] = tarn_pool_alloc(&pool)));
        }
        it.destructs = 0;
        tarn_pool_free_bulk(&pool, objects, 1000);
        tarn_pool_trim(&pool);
        assert_true(it.destructs >= 1000 && it.destructs <= 2000);
        tarn_pool_deinit(&pool);
        tarn_buffer_deinit(&site_heap);
    }
}

static void constructed_objects_can_be_reserved(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        if (!can_construct(&pool_kinds[kind])) {
            continue;
        }
        builder it = start_to_build();
        const tarn_pool_options options = built_by(kind, &it);
        init_pool(&pool, &options);
        assert_int_equal(tarn_pool_reserve(&pool, 3000), TARN_OK);
        const uint64_t requests = record.requests;
        assert_int_equal(take_all(&pool, objects, 3000), 3000);
        assert_int_equal(record.requests, requests);
        for (size_t i = 0; i < 3000; i++) {
            assert_int_equal(((uint64_t *)objects[i])[0], 0x0b1ec7);
        }
        tarn_pool_deinit(&pool);
        assert_int_equal(it.constructs, it.destructs);
        assert_int_equal(it.faults, 0);
        tarn_buffer_deinit(&site_heap);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Poison.
 */
static void freed_objects_are_filled_with_poison(void **state)
{
    (void)state;
    enum { COUNT = 100 };
    static const size_t sizes[] = {1, 7, 8, 40, 100, 5000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (unsigned threads = TARN_ALONE; threads <= TARN_SHARED; threads++) {
            init_pool(&pool, &(tarn_pool_options){.size = sizes[i],
                                                  .threads = (tarn_pool_threads)threads,
                                                  .max_objects = COUNT,
                                                  .preallocate = true,
                                                  .poison = true});
            assert_int_equal(take_all(&pool, objects, COUNT), COUNT);
            for (size_t j = 0; j < COUNT; j++) {
                memset(objects[j], 0x11, sizes[i]);
            }
            free_all(&pool, objects, COUNT / 2);
            tarn_pool_free_bulk(&pool, objects + COUNT / 2, COUNT / 4);
            for (size_t j = 0; j < COUNT; j++) {
                for (size_t k = 0; k < sizes[i]; k++) {
                    assert_int_equal(peek((unsigned char *)objects[j] + k),
                                     j < COUNT / 2 + COUNT / 4 ? 0xdd : 0x11);
                }
            }
            tarn_pool_deinit(&pool);
        }
    }
}

/* Objects that were live at a reset, and memory that was never used, were not changed by anybody. */
static void poison_does_not_blame_the_innocent(void **state)
{
    (void)state;
    enum { COUNT = 700 };
    for (unsigned threads = TARN_ALONE; threads <= TARN_SHARED; threads++) {
        tarn_buffer buffer;
        memset(site, 0x42, sizeof site);
        tarn_buffer_init(&buffer, (tarn_memory){site, sizeof site}, NULL);
        init_pool(&pool, &(tarn_pool_options){.size = 100,
                                              .upstream = recorder_init(&record, &buffer.heap),
                                              .threads = (tarn_pool_threads)threads,
                                              .poison = true});
        for (unsigned turn = 0; turn < 6; turn++) {
            assert_int_equal(take_all(&pool, objects, COUNT / 2), COUNT / 2);
            assert_int_equal(tarn_pool_alloc_bulk(&pool, objects + COUNT / 2, COUNT / 2),
                             COUNT / 2);
            for (size_t i = 0; i < COUNT; i++) {
                memset(objects[i], (int)i, 100);
            }
            free_all(&pool, objects, turn * 50);
            if (turn < 3) {
                tarn_pool_reset(&pool);
            } else {
                free_all(&pool, objects + turn * 50, COUNT - turn * 50);
            }
            if (turn == 4) {
                tarn_pool_trim(&pool); /* the recorder fills what it gets back */
            }
            assert_balance(&pool);
        }
        tarn_pool_deinit(&pool);
        tarn_buffer_deinit(&buffer);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Stats, visits and checks.
 */
static void stats_tell_what_is_live_and_held(void **state)
{
    (void)state;
    enum { SIZE = 40 };
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        const tarn_pool_options options = kind_of(kind, SIZE, 0, recorder_init(&record, NULL));
        init_pool(&pool, &options);
        tarn_stats stats = tarn_pool_stats(&pool);
        assert_int_equal(stats.live, 0);
        assert_int_equal(stats.blocks, 0);
        assert_int_equal(stats.peak_live, 0);
        assert_int_equal(stats.footprint, 0);
        assert_int_equal(stats.peak_footprint, 0);
        assert_int_equal(stats.failures, 0);
        assert_int_equal(stats.largest_free, 0);
        size_t live = 0;
        size_t peak = 0;
        uint64_t allocs = 0;
        uint32_t seed = 5;
        for (unsigned turn = 0; turn < 500; turn++) {
            seed = seed * 1664525 + 1013904223;
            const size_t aim = (seed >> 10) % MANY;
            while (live < aim) {
                objects[live++] = tarn_pool_alloc(&pool);
                allocs++;
            }
            while (live > aim) {
                tarn_pool_free(&pool, objects[--live]);
            }
            peak = live > peak ? live : peak;
            if (turn % 50 == 0) {
                tarn_pool_trim(&pool);
            }
            stats = tarn_pool_stats(&pool);
            assert_int_equal(stats.blocks, live);
            assert_int_equal(stats.live, live * SIZE);
            assert_int_equal(stats.footprint, record.held);
            assert_int_equal(stats.peak_footprint, record.peak_held);
            assert_int_equal(stats.failures, 0);
            assert_true(stats.largest_free == 0 || stats.largest_free == SIZE);
            if (options.history) {
                assert_int_equal(stats.allocs, allocs);
                assert_int_equal(stats.frees, allocs - live);
                assert_int_equal(stats.peak_live, peak * SIZE);
            } else if (!sees_each_call(&options)) {
                assert_true(stats.allocs == 0 || options.cache_objects == 1);
                assert_true(stats.frees == 0 || options.cache_objects == 1);
                assert_true(stats.peak_live >= peak * SIZE);
                assert_true(stats.peak_live <= (peak + 2000) * SIZE);
            }
        }
        tarn_pool_deinit(&pool);
    }
}

static void history_counts_every_way_that_objects_come_and_go(void **state)
{
    (void)state;
    enum { SIZE = 24 };
    for (unsigned bits = 0; bits < 8; bits++) {
        init_pool(&pool, &(tarn_pool_options){
                             .size = SIZE,
                             .max_objects = 400,
                             .threads = (bits & 1) != 0 ? TARN_SHARED : TARN_ALONE,
                             .checks = (bits & 2) != 0,
                             .poison = (bits & 4) != 0,
                             .history = true,
                         });
        objects[0] = tarn_pool_alloc(&pool);
        objects[1] = tarn_pool_alloc_zeroed(&pool);
        objects[2] = tarn_heap_alloc(&pool.heap, SIZE, 0 + 8);
        objects[3] = tarn_heap_calloc(&pool.heap, 2, SIZE / 2, 8);
        assert_int_equal(tarn_pool_alloc_bulk(&pool, objects + 4, 96), 96);
        tarn_stats stats = tarn_pool_stats(&pool);
        assert_int_equal(stats.allocs, 100);
        assert_int_equal(stats.frees, 0);
        assert_int_equal(stats.peak_live, 100 * SIZE);
        tarn_pool_free(&pool, objects[0]);
        tarn_heap_free(&pool.heap, objects[1], SIZE);
        tarn_pool_free_bulk(&pool, objects + 2, 48);
        tarn_pool_free(&pool, NULL);
        tarn_pool_free_bulk(&pool, NULL, 0);
        stats = tarn_pool_stats(&pool);
        assert_int_equal(stats.allocs, 100);
        assert_int_equal(stats.frees, 50);
        assert_int_equal(stats.blocks, 50);
        assert_int_equal(stats.peak_live, 100 * SIZE);
        assert_int_equal(tarn_pool_alloc_bulk(&pool, objects, 1000), 350);
        assert_null(tarn_pool_alloc(&pool));
        stats = tarn_pool_stats(&pool);
        assert_int_equal(stats.allocs, 450);
        assert_int_equal(stats.peak_live, 400 * SIZE);
        assert_true(stats.failures >= 1);
        /* A reset frees them all. */
        tarn_pool_reset(&pool);
        stats = tarn_pool_stats(&pool);
        assert_int_equal(stats.blocks, 0);
        assert_int_equal(stats.allocs, 450);
        assert_int_equal(stats.frees, 450);
        assert_int_equal(stats.peak_live, 400 * SIZE);
        tarn_pool_deinit(&pool);
    }
}

static void failures_are_counted_in_every_mode(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        tarn_pool_options options = kind_of(kind, 40, 0, NULL);
        options.max_objects = 10;
        init_pool(&pool, &options);
        assert_int_equal(tarn_pool_alloc_bulk(&pool, objects, 10), 10);
        assert_int_equal(tarn_pool_stats(&pool).failures, 0);
        for (size_t i = 0; i < 5; i++) {
            assert_null(tarn_pool_alloc(&pool));
            assert_int_equal(tarn_pool_stats(&pool).failures, i + 1);
        }
        assert_null(tarn_pool_alloc_zeroed(&pool));
        assert_int_equal(tarn_pool_stats(&pool).failures, 6);
        assert_int_equal(tarn_pool_alloc_bulk(&pool, objects + 10, 5), 0);
        assert_true(tarn_pool_stats(&pool).failures > 6);
        assert_int_equal(tarn_pool_stats(&pool).largest_free, 0);
        tarn_pool_free(&pool, objects[0]);
        assert_int_equal(tarn_pool_stats(&pool).largest_free, 40);
        tarn_pool_deinit(&pool);
    }
}

typedef struct visit {
    void *seen[MANY];
    size_t count;
    size_t most; /* after so many the visit is to end */
    size_t size;
} visit;

static visit visited;

static bool see(void *context, void *block, size_t size)
{
    visit *it = context;
    assert_true(it->count < MANY);
    assert_int_equal(size, it->size);
    it->seen[it->count++] = block;
    return it->count < it->most;
}

static void assert_visit_sees(tarn_pool *it, size_t size, void **live, size_t count)
{
    visited.count = 0;
    visited.most = SIZE_MAX;
    visited.size = size;
    tarn_pool_visit(it, see, &visited);
    assert_int_equal(visited.count, count);
    qsort(visited.seen, count, sizeof visited.seen[0], by_address);
    qsort(live, count, sizeof live[0], by_address);
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(visited.seen[i], live[i]);
    }
}

static void a_visit_sees_each_live_object_once(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        const tarn_pool_options options = kind_of(kind, 40, 0, NULL);
        init_pool(&pool, &options);
        assert_visit_sees(&pool, 40, objects, 0);
        size_t count = 3000;
        assert_int_equal(take_all(&pool, objects, count), count);
        assert_visit_sees(&pool, 40, objects, count);
        /* Thinned out again and again; some of those that are free are in the cache. */
        while (count > 0) {
            const size_t leave = count * 2 / 3;
            for (size_t i = leave; i < count; i++) {
                const size_t other = leave > 0 ? shuffled(i, leave) : i;
                void *object = objects[other];
                objects[other] = objects[i];
                objects[i] = object;
                tarn_pool_free(&pool, object);
            }
            count = leave;
            assert_visit_sees(&pool, 40, objects, count);
            assert_balance(&pool);
        }
        visited = (visit){.most = 7, .size = 40};
        assert_int_equal(take_all(&pool, objects, 20), 20);
        tarn_pool_visit(&pool, see, &visited);
        assert_int_equal(visited.count, 7);
        tarn_pool_deinit(&pool);
    }
}

static void a_visit_goes_by_address_within_a_chunk(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        tarn_pool_options options = kind_of(kind, 24, 0, NULL);
        options.first_objects = COUNT;
        options.max_objects = COUNT;
        init_pool(&pool, &options);
        assert_int_equal(take_all(&pool, objects, MANY), COUNT);
        for (size_t i = 0; i < COUNT / 3; i++) {
            tarn_pool_free(&pool, objects[shuffled(i, COUNT)]);
        }
        visited = (visit){.most = SIZE_MAX, .size = 24};
        tarn_pool_visit(&pool, see, &visited);
        assert_int_equal(visited.count, COUNT - COUNT / 3);
        for (size_t i = 1; i < visited.count; i++) {
            assert_true((uintptr_t)visited.seen[i] > (uintptr_t)visited.seen[i - 1]);
        }
        tarn_pool_deinit(&pool);
    }
}

/* Runs `look` in a child, where a pool may be ruined; true if it said so. */
static bool is_so_in_a_child(bool (*look)(const tarn_pool_options *options),
                             const tarn_pool_options *options)
{
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(look(options) ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Only what is in a cache can be wrong and not found yet. */
static bool check_tells(tarn_pool *it)
{
    char fault[200] = "";
    char cut[6] = "xxxxx";
    const bool is_told = !tarn_pool_check(it, fault, sizeof fault) && fault[0] != '\0';
    return is_told && !tarn_pool_check(it, NULL, 0) && !tarn_pool_check(it, cut, 5) &&
           memcmp(cut, fault, 4) == 0 && cut[4] == '\0' && cut[5] == '\0' &&
           !tarn_pool_check(it, cut, 1) && cut[0] == '\0';
}

static bool check_tells_a_double_free(const tarn_pool_options *options)
{
    (void)tarn_pool_init(&pool, options);
    void *object = tarn_pool_alloc(&pool);
    tarn_pool_free(&pool, object);
    if (!tarn_pool_check(&pool, NULL, 0)) {
        return false;
    }
    tarn_pool_free(&pool, object);
    return check_tells(&pool);
}

static bool check_tells_a_double_free_with_another_between(const tarn_pool_options *options)
{
    (void)tarn_pool_init(&pool, options);
    void *object = tarn_pool_alloc(&pool);
    void *other = tarn_pool_alloc(&pool);
    tarn_pool_free(&pool, object);
    tarn_pool_free(&pool, other);
    tarn_pool_free(&pool, object);
    return check_tells(&pool);
}

static bool check_tells_a_foreign_pointer(const tarn_pool_options *options)
{
    static uint64_t foreign[8];
    (void)tarn_pool_init(&pool, options);
    tarn_pool_alloc(&pool);
    tarn_pool_free(&pool, foreign);
    return check_tells(&pool);
}

static bool check_tells_a_pointer_into_an_object(const tarn_pool_options *options)
{
    (void)tarn_pool_init(&pool, options);
    char *object = tarn_pool_alloc(&pool);
    tarn_pool_free(&pool, object + 8);
    return check_tells(&pool);
}

static bool check_tells_an_object_that_was_flushed_and_freed_again(const tarn_pool_options *options)
{
    (void)tarn_pool_init(&pool, options);
    void *keep = tarn_pool_alloc(&pool);
    void *object = tarn_pool_alloc(&pool);
    tarn_pool_free(&pool, object);
    tarn_pool_flush(&pool);
    tarn_pool_free(&pool, object);
    (void)keep;
    return check_tells(&pool);
}

static void a_check_tells_of_damage_and_does_not_abort(void **state)
{
    (void)state;
    if (!pools_have_caches()) {
        skip();
    }
    for (unsigned threads = TARN_ALONE; threads <= TARN_SHARED; threads++) {
        const tarn_pool_options options = {.size = 48, .threads = (tarn_pool_threads)threads};
        assert_true(is_so_in_a_child(check_tells_a_double_free, &options));
        assert_true(is_so_in_a_child(check_tells_a_double_free_with_another_between, &options));
        assert_true(is_so_in_a_child(check_tells_a_foreign_pointer, &options));
        assert_true(is_so_in_a_child(check_tells_a_pointer_into_an_object, &options));
        assert_true(
            is_so_in_a_child(check_tells_an_object_that_was_flushed_and_freed_again, &options));
    }
}

static void a_pool_that_was_never_used_answers_everything(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        const tarn_pool_options options = kind_of(kind, 40, 0, recorder_init(&record, NULL));
        init_pool(&pool, &options);
        assert_balance(&pool);
        assert_int_equal(tarn_pool_trim(&pool), 0);
        tarn_pool_flush(&pool);
        tarn_pool_reset(&pool);
        assert_visit_sees(&pool, 40, objects, 0);
        assert_false(tarn_pool_owns(&pool, &pool));
        assert_int_equal(tarn_pool_reserve(&pool, 0), TARN_OK);
        assert_int_equal(tarn_pool_alloc_bulk(&pool, objects, 0), 0);
        assert_int_equal(tarn_pool_stats(&pool).footprint, record.held);
        assert_balance(&pool);
        tarn_pool_deinit(&pool);
        assert_int_equal(record.held, 0);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Names, and the pool as a heap.
 */
static void pools_have_the_name_that_they_were_given(void **state)
{
    (void)state;
    init_pool(&pool, &(tarn_pool_options){.size = 40, .name = "requests"});
    assert_string_equal(pool.heap.name, "requests");
    tarn_pool_deinit(&pool);
    init_pool(&pool, &(tarn_pool_options){.size = 40});
    assert_string_equal(pool.heap.name, "pool");
    tarn_pool_deinit(&pool);
}

static void as_a_heap_it_serves_what_fits_an_object(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        const tarn_pool_options options = kind_of(kind, 100, 32, NULL);
        init_pool(&pool, &options);
        static const tarn_layout refused[] = {
            {101, 1},      {100, 64},        {1, 64},         {1, 65536},
            {SIZE_MAX, 1}, {PTRDIFF_MAX, 1}, {100, SIZE_MAX}, {8, SIZE_MAX / 2 + 1}};
        for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
            assert_null(tarn_heap_alloc(&pool.heap, refused[i].size, refused[i].alignment));
        }
        for (size_t size = 0; size <= 100; size += 10) {
            for (size_t alignment = 0; alignment <= 32; alignment = alignment * 2 + !alignment) {
                unsigned char *block = tarn_heap_alloc(&pool.heap, size, alignment);
                assert_non_null(block);
                assert_int_equal((uintptr_t)block % 32, 0);
                memset(block, 3, size);
                assert_true(tarn_pool_owns(&pool, block));
                /* Within an object there is room for any size up to its own. */
                assert_true(tarn_heap_resize(&pool.heap, block, size == 0 ? 1 : size, 100));
                assert_true(tarn_heap_resize(&pool.heap, block, 100, 50));
                assert_false(tarn_heap_resize(&pool.heap, block, 50, 101));
                assert_ptr_equal(tarn_heap_realloc(&pool.heap, block, 50, 70, alignment), block);
                assert_null(tarn_heap_realloc(&pool.heap, block, 70, 101, alignment));
                for (size_t i = 0; i < (size < 50 ? size : 50); i++) {
                    assert_int_equal(block[i], 3);
                }
                tarn_heap_free(&pool.heap, block, 70);
            }
        }
        assert_null(tarn_heap_calloc(&pool.heap, 11, 10, 1));
        assert_null(tarn_heap_calloc(&pool.heap, SIZE_MAX, SIZE_MAX, 1));
        void *block = tarn_heap_calloc(&pool.heap, 10, 10, 1);
        assert_zero(block, 100);
        assert_int_equal(tarn_heap_stats(&pool.heap).blocks, 1);
        assert_int_equal(tarn_heap_stats(&pool.heap).live, 100);
        assert_true(tarn_heap_check(&pool.heap, NULL, 0));
        visited = (visit){.most = SIZE_MAX, .size = 100};
        assert_int_equal(tarn_heap_visit(&pool.heap, see, &visited), TARN_OK);
        assert_int_equal(visited.count, 1);
        assert_ptr_equal(visited.seen[0], block);
        assert_int_equal(tarn_heap_reset(&pool.heap), TARN_OK);
        assert_int_equal(tarn_heap_stats(&pool.heap).blocks, 0);
        assert_true(tarn_heap_trim(&pool.heap) > 0);
        assert_int_equal(tarn_heap_stats(&pool.heap).footprint, 0);
        tarn_pool_deinit(&pool);
    }
}

/* The upper pool's chunks are objects of the lower one. */
static void pools_stack(void **state)
{
    (void)state;
    static tarn_pool upper;
    recorder_init(&record, NULL);
    init_pool(&pool, &(tarn_pool_options){.size = 1 << 14, .upstream = &record.heap});
    init_pool(&upper, &(tarn_pool_options){.size = 32,
                                           .upstream = &pool.heap,
                                           .first_objects = 400,
                                           .chunk_objects_max = 400,
                                           .cache_objects = 100});
    for (unsigned turn = 0; turn < 3; turn++) {
        assert_int_equal(take_all(&upper, objects, MANY), MANY);
        assert_all_differ(objects, MANY);
        for (size_t i = 0; i < MANY; i++) {
            memset(objects[i], 1, 32);
        }
        free_all(&upper, objects, MANY);
        assert_balance(&upper);
        assert_balance(&pool);
        tarn_pool_trim(&upper);
        assert_int_equal(tarn_pool_stats(&pool).blocks, 0);
    }
    tarn_pool_deinit(&upper);
    tarn_pool_deinit(&pool);
    assert_int_equal(record.held, 0);
}

/* ------------------------------------------------------------------------------------------------
 * No pooling.
 */
static void without_pooling_each_object_comes_from_the_system_heap(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < POOL_KINDS; kind++) {
        recorder_init(&record, NULL);
        const tarn_pool_options options = kind_of(kind, 100, 32, &record.heap);
        tarn_set_pooling(false);
        init_pool(&pool, &options);
        tarn_set_pooling(true);
        const size_t before = 300;
        for (unsigned turn = 0; turn < 3; turn++) {
            assert_int_equal(take_all(&pool, objects, before), before);
            assert_int_equal(tarn_pool_alloc_bulk(&pool, objects + before, before), before);
            assert_all_differ(objects, 2 * before);
            for (size_t i = 0; i < 2 * before; i++) {
                assert_int_equal((uintptr_t)objects[i] % 32, 0);
                if (options.zero) {
                    assert_zero(objects[i], 100);
                }
                memset(objects[i], 0x99, 100);
                assert_true(tarn_pool_owns(&pool, objects[i]));
                assert_false(tarn_pool_owns(&pool, (char *)objects[i] + 1));
            }
            assert_int_equal(record.calls, 0);
            assert_int_equal(tarn_pool_stats(&pool).blocks, 2 * before);
            assert_int_equal(tarn_pool_stats(&pool).live, 2 * before * 100);
            assert_visit_sees(&pool, 100, objects, 2 * before);
            assert_balance(&pool);
            tarn_pool_free(&pool, NULL);
            free_all(&pool, objects, before);
            tarn_pool_free_bulk(&pool, objects + before, before);
            assert_false(tarn_pool_owns(&pool, objects[0]));
            assert_int_equal(tarn_pool_stats(&pool).blocks, 0);
            assert_zero(tarn_pool_alloc_zeroed(&pool), 100);
            tarn_pool_flush(&pool);
            tarn_pool_trim(&pool);
            tarn_pool_reset(&pool);
            assert_int_equal(tarn_pool_stats(&pool).blocks, 0);
        }
        assert_non_null(tarn_pool_alloc(&pool)); /* ends with the pool */
        tarn_pool_deinit(&pool);
        assert_int_equal(record.calls, 0);
    }
}

static void without_pooling_limits_and_history_hold(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 4; bits++) {
        tarn_set_pooling(false);
        init_pool(&pool, &(tarn_pool_options){
                             .size = 100,
                             .threads = (bits & 1) != 0 ? TARN_SHARED : TARN_ALONE,
                             .history = true,
                             .max_objects = 10,
                             .preallocate = (bits & 2) != 0,
                         });
        tarn_set_pooling(true);
        assert_int_equal(take_all(&pool, objects, MANY), 10);
        assert_int_equal(tarn_pool_stats(&pool).failures, 1);
        assert_int_equal(tarn_pool_alloc_bulk(&pool, objects + 10, 10), 0);
        tarn_pool_free(&pool, objects[3]);
        assert_int_equal(tarn_pool_reserve(&pool, 2), TARN_NO_ROOM);
        assert_int_equal(tarn_pool_reserve(&pool, 1), TARN_OK);
        assert_int_equal(tarn_pool_alloc_bulk(&pool, objects + 3, 10), 1);
        tarn_pool_free_bulk(&pool, objects, 4);
        const tarn_stats stats = tarn_pool_stats(&pool);
        assert_int_equal(stats.allocs, 11);
        assert_int_equal(stats.frees, 5);
        assert_int_equal(stats.peak_live, 1000);
        assert_int_equal(stats.blocks, 6);
        tarn_pool_deinit(&pool);
    }
}

static bool count_construct(void *context, void *object)
{
    builder *it = context;
    if (it->refuses) {
        return false;
    }
    it->constructs++;
    *(uint64_t *)object = 0x0b1ec7;
    return true;
}

static void count_destruct(void *context, void *object)
{
    builder *it = context;
    it->faults += *(uint64_t *)object != 0x0b1ec7;
    it->destructs++;
}

static void without_pooling_objects_are_constructed_and_destructed(void **state)
{
    (void)state;
    for (unsigned threads = TARN_ALONE; threads <= TARN_SHARED; threads++) {
        builder it = {.refuses = false};
        tarn_set_pooling(false);
        init_pool(&pool, &(tarn_pool_options){.size = 32,
                                              .threads = (tarn_pool_threads)threads,
                                              .construct = count_construct,
                                              .destruct = count_destruct,
                                              .history = true,
                                              .context = &it});
        tarn_set_pooling(true);
        assert_int_equal(take_all(&pool, objects, 100), 100);
        assert_int_equal(*(uint64_t *)objects[50], 0x0b1ec7);
        assert_true(it.constructs >= 100);
        free_all(&pool, objects, 50);
        it.refuses = true;
        assert_null(tarn_pool_alloc(&pool));
        assert_int_equal(tarn_pool_alloc_bulk(&pool, objects, 10), 0);
        const tarn_stats stats = tarn_pool_stats(&pool);
        assert_int_equal(stats.blocks, 50);
        assert_int_equal(stats.allocs, 100);
        assert_int_equal(stats.frees, 50);
        assert_int_equal(stats.peak_live, 3200);
        it.refuses = false;
        assert_int_equal(tarn_pool_alloc_bulk(&pool, objects, 10), 10);
        tarn_pool_reset(&pool);
        tarn_pool_trim(&pool);
        assert_int_equal(it.constructs, it.destructs);
        assert_int_equal(take_all(&pool, objects, 100), 100);
        tarn_pool_deinit(&pool);
        assert_int_equal(it.constructs, it.destructs);
        assert_int_equal(it.faults, 0);
    }
}

static void pools_keep_to_what_held_when_they_were_made(void **state)
{
    (void)state;
    recorder_init(&record, NULL);
    init_pool(&pool, &(tarn_pool_options){.size = 32, .upstream = &record.heap});
    tarn_set_pooling(false);
    assert_non_null(tarn_pool_alloc(&pool));
    assert_true(record.calls > 0);
    tarn_pool_deinit(&pool);
    tarn_set_pooling(true);
    assert_int_equal(record.held, 0);
}

static const char *self;

static bool pools_in_a_program_with(const char *value)
{
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (value != NULL) {
            setenv("TARN_POOLING", value, 1);
        } else {
            unsetenv("TARN_POOLING");
        }
        execl(self, self, "pooling", (char *)NULL);
        _exit(9);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status) == 1;
}

static void the_environment_can_switch_pooling_off(void **state)
{
    (void)state;
    assert_true(pools_in_a_program_with(NULL));
    assert_false(pools_in_a_program_with("0"));
    assert_true(pools_in_a_program_with("1"));
}

int main(int count, char **arguments)
{
    self = arguments[0];
    if (count == 2 && strcmp(arguments[1], "pooling") == 0) {
        recorder_init(&record, NULL);
        (void)tarn_pool_init(&pool, &(tarn_pool_options){.size = 8, .upstream = &record.heap});
        tarn_pool_free(&pool, tarn_pool_alloc(&pool));
        tarn_pool_deinit(&pool);
        return record.calls > 0 ? 1 : 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_aligned_for_every_type_of_their_size),
        cmocka_unit_test(objects_have_the_alignment_that_was_asked_for),
        cmocka_unit_test(objects_of_one_byte_lie_side_by_side),
        cmocka_unit_test(layouts_that_are_none_are_refused),
        cmocka_unit_test(objects_of_which_eight_pass_the_largest_size_are_refused),
        cmocka_unit_test(objects_that_nobody_has_memory_for_can_be_asked_for),
        cmocka_unit_test(a_refused_reserve_leaves_no_large_table),
        cmocka_unit_test(options_that_contradict_each_other_are_refused),
        cmocka_unit_test(absurdly_large_figures_do_no_harm),
        cmocka_unit_test(the_object_freed_last_is_handed_out_first),
        cmocka_unit_test(an_empty_cache_is_refilled_in_the_order_of_addresses),
        cmocka_unit_test(freed_objects_stay_as_their_last_owner_left_them),
        cmocka_unit_test(a_free_of_null_is_ignored),
        cmocka_unit_test(the_largest_count_of_live_objects_is_exact),
        cmocka_unit_test(zeroed_objects_are_zeroed),
        cmocka_unit_test(with_zero_every_object_is_zeroed_whichever_way_it_comes),
        cmocka_unit_test(objects_come_and_go_in_bulk),
        cmocka_unit_test(bulk_and_single_calls_mix),
        cmocka_unit_test(a_bulk_that_memory_does_not_suffice_for_is_as_many_as_there_are),
        cmocka_unit_test(a_pool_owns_its_objects_and_nothing_else),
        cmocka_unit_test(any_pointer_may_be_asked_of),
        cmocka_unit_test(pools_do_not_own_each_others_objects),
        cmocka_unit_test(a_reset_frees_every_object_at_once),
        cmocka_unit_test(a_reset_of_few_objects_leaves_the_untouched_ones_for_later),
        cmocka_unit_test(objects_stay_constructed_while_their_memory_stays),
        cmocka_unit_test(a_slot_is_constructed_once),
        cmocka_unit_test(a_constructor_that_refuses_fails_the_request_and_is_asked_again),
        cmocka_unit_test(a_bulk_that_a_constructor_refuses_is_as_many_as_there_are),
        cmocka_unit_test(either_of_constructor_and_destructor_may_be_missing),
        cmocka_unit_test(constructed_objects_can_be_reserved),
        cmocka_unit_test(freed_objects_are_filled_with_poison),
        cmocka_unit_test(poison_does_not_blame_the_innocent),
        cmocka_unit_test(stats_tell_what_is_live_and_held),
        cmocka_unit_test(history_counts_every_way_that_objects_come_and_go),
        cmocka_unit_test(failures_are_counted_in_every_mode),
        cmocka_unit_test(a_visit_sees_each_live_object_once),
        cmocka_unit_test(a_visit_goes_by_address_within_a_chunk),
        cmocka_unit_test(a_check_tells_of_damage_and_does_not_abort),
        cmocka_unit_test(a_pool_that_was_never_used_answers_everything),
        cmocka_unit_test(pools_have_the_name_that_they_were_given),
        cmocka_unit_test(as_a_heap_it_serves_what_fits_an_object),
        cmocka_unit_test(pools_stack),
        cmocka_unit_test(without_pooling_each_object_comes_from_the_system_heap),
        cmocka_unit_test(without_pooling_limits_and_history_hold),
        cmocka_unit_test(without_pooling_objects_are_constructed_and_destructed),
        cmocka_unit_test(pools_keep_to_what_held_when_they_were_made),
        cmocka_unit_test(the_environment_can_switch_pooling_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
