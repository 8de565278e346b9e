/* SPDX-License-Identifier: MIT */
#include "tarn/malloc.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/*
 * Threads of random operations, with contents checked, whose blocks are freed by whoever draws them; made to run
 * under ThreadSanitizer too. TARN_SEED repeats the draws, though not the order of the threads.
 *
 * A block's first word tells its size and its tag, so that who gets it can check it without asking who made it; the
 * exchange that hands it over is the only synchronisation there is.
 */

enum { THREADS = 6, SHELVES = 128, STEPS = 30000, ROUNDS = 3 };

struct head {
    size_t size;
    uint64_t tag;
};

static _Atomic(struct head *) shelf[SHELVES];
static uint64_t seed;
static _Atomic(unsigned) faults;

static uint64_t next(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

static size_t draw(uint64_t *state, size_t low, size_t high)
{
    return low + (size_t)(next(state) % (high - low + 1));
}

static void expect(bool condition, const char *what, const void *block)
{
    if (!condition) {
        fprintf(stderr, "%s: block %p\n", what, block);
        faults++;
    }
}

static void write_block(struct head *head, size_t size, uint64_t tag)
{
    head->size = size;
    head->tag = tag;
    memset(head + 1, (int)(tag & 0xff), size - sizeof *head);
}

static void check_block(const struct head *head)
{
    const unsigned char *bytes = (const unsigned char *)(head + 1);
    const size_t count = head->size - sizeof *head;
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != (head->tag & 0xff)) {
            expect(false, "contents changed", head);
            return;
        }
    }
}

static struct head *make_block(uint64_t *state)
{
    const size_t shift = draw(state, 0, 99) < 97 ? draw(state, 5, 11) : draw(state, 11, 21);
    const size_t size = draw(state, sizeof(struct head), (size_t)1 << shift);
    struct head *head = NULL;
    switch (draw(state, 0, 4)) {
    case 0: {
        head = tarn_calloc(1, size);
        const unsigned char *bytes = (const unsigned char *)head;
        for (size_t i = 0; head != NULL && i < size; i++) {
            if (bytes[i] != 0) {
                expect(false, "calloc is not zero", head);
                break;
            }
        }
        break;
    }
    case 1: {
        const size_t alignment = (size_t)8 << draw(state, 0, 9);
        head = tarn_aligned_alloc(alignment, size);
        expect((uintptr_t)head % alignment == 0, "misaligned", head);
        break;
    }
    default:
        head = tarn_malloc(size);
        break;
    }
    expect(head != NULL, "no memory", NULL);
    if (head == NULL) {
        abort();
    }
    expect(tarn_malloc_usable_size(head) >= size, "too little room", head);
    write_block(head, size, next(state));
    return head;
}

static struct head *resize_block(uint64_t *state, struct head *head)
{
    const size_t size = draw(state, sizeof *head, head->size * 2);
    const size_t kept = size < head->size ? size : head->size;
    struct head *moved = tarn_realloc(head, size);
    expect(moved != NULL, "no memory", NULL);
    if (moved == NULL) {
        abort();
    }
    moved->size = kept;
    check_block(moved);
    write_block(moved, size, moved->tag);
    return moved;
}

static void *work(void *context)
{
    uint64_t state = seed ^ ((uint64_t)(uintptr_t)context * 0x100000001b3U);
    for (int step = 0; step < STEPS; step++) {
        struct head *head = draw(&state, 0, 9) == 0 ? NULL : make_block(&state);
        if (head != NULL && draw(&state, 0, 7) == 0) {
            head = resize_block(&state, head);
        }
        head = atomic_exchange(&shelf[draw(&state, 0, SHELVES - 1)], head);
        if (head == NULL) {
            continue;
        }
        check_block(head);
        if (draw(&state, 0, 7) == 0) {
            head = resize_block(&state, head);
        }
        tarn_free(head);
        if (step % 5000 == 4999) {
            (void)tarn_malloc_trim();
        }
    }
    return NULL;
}

static void *watch(void *context)
{
    static tarn_malloc_stats stats;
    _Atomic(bool) *done = context;
    while (!*done) {
        tarn_malloc_stats_get(&stats, sizeof stats);
        expect(stats.version == TARN_MALLOC_STATS_VERSION, "stats", NULL);
        (void)tarn_heap_stats(tarn_malloc_heap());
        const struct timespec rest = {0, 2000000};
        nanosleep(&rest, NULL);
    }
    return NULL;
}

static void random_operations_of_many_threads_keep_contents(void **state)
{
    (void)state;
    const char *given = getenv("TARN_SEED");
    seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2654435761U;
    print_message("TARN_SEED=%llu\n", (unsigned long long)seed);
    _Atomic(bool) done = false;
    pthread_t watcher;
    assert_int_equal(pthread_create(&watcher, NULL, watch, &done), 0);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[THREADS];
        for (size_t i = 0; i < THREADS; i++) {
            void *context = (void *)(uintptr_t)((size_t)round * THREADS + i + 1);
            assert_int_equal(pthread_create(&threads[i], NULL, work, context), 0);
        }
        for (size_t i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
        }
    }
    done = true;
    pthread_join(watcher, NULL);
    for (size_t i = 0; i < SHELVES; i++) {
        struct head *head = atomic_exchange(&shelf[i], NULL);
        if (head != NULL) {
            check_block(head);
        }
        tarn_free(head);
    }
    assert_int_equal(faults, 0);
    tarn_malloc_stats stats;
    tarn_malloc_stats_get(&stats, sizeof stats);
    assert_int_equal(stats.large_blocks, 0);
    assert_int_equal(stats.huge_blocks, 0);
}

/* Short threads, whose blocks others free after their end, and who free others' blocks. */
static void *short_life(void *context)
{
    uint64_t state = seed + (uint64_t)(uintptr_t)context;
    for (int i = 0; i < 20; i++) {
        struct head *head = make_block(&state);
        head = atomic_exchange(&shelf[draw(&state, 0, SHELVES - 1)], head);
        if (head != NULL) {
            check_block(head);
            tarn_free(head);
        }
    }
    return NULL;
}

static void blocks_outlive_their_threads(void **state)
{
    (void)state;
    for (size_t i = 0; i < 500; i++) {
        pthread_t threads[4];
        for (size_t j = 0; j < 4; j++) {
            assert_int_equal(pthread_create(&threads[j], NULL, short_life, (void *)(i * 4 + j)), 0);
        }
        for (size_t j = 0; j < 4; j++) {
            pthread_join(threads[j], NULL);
        }
    }
    for (size_t i = 0; i < SHELVES; i++) {
        tarn_free(atomic_exchange(&shelf[i], NULL));
    }
    assert_int_equal(faults, 0);
    (void)tarn_malloc_trim();
    tarn_malloc_stats stats;
    tarn_malloc_stats_get(&stats, sizeof stats);
    assert_true(stats.threads <= 4);
    assert_true(stats.mapped < (size_t)64 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_of_many_threads_keep_contents),
        cmocka_unit_test(blocks_outlive_their_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
