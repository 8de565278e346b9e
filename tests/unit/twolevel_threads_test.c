/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tarn/twolevel.h"

#include "tarn/heaps.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fatal.h"
#include "heap/lock.h"
#include "tools.h"

enum {
    THREADS = 4,
    HELD = 64,
    RING = 1024,
};

/* Set in main: tools are slow. */
static unsigned rounds;
static unsigned forks;
static size_t passed;

/* Blocks on their way from thread to thread; the first byte is the size. */
static _Atomic(unsigned char *) exchange[HELD];
static atomic_int faults;

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* Every thread has an instance of its own under this name if there are any. */
static bool has_instances(void)
{
    return tarn_twolevel_of_thread() != tarn_twolevel_of_process();
}

static void assert_balances(tarn_twolevel *twolevel)
{
    char fault[200] = "";
    if (!tarn_twolevel_check(twolevel, fault, sizeof fault)) {
        fail_msg("%s", fault);
    }
}

static size_t live_blocks(tarn_twolevel *twolevel)
{
    return (size_t)tarn_twolevel_stats(twolevel).blocks;
}

/* Allocates, passes on, and frees what others passed on. */
static void pass_blocks(tarn_twolevel *twolevel, uint64_t random)
{
    for (unsigned round = 0; round < rounds; round++) {
        const size_t size = 2 + next_random(&random) % 150;
        unsigned char *block = tarn_twolevel_alloc(twolevel, size);
        if (block == NULL) {
            atomic_fetch_add(&faults, 1);
            continue;
        }
        memset(block, (int)size, size);
        block = atomic_exchange(&exchange[next_random(&random) % HELD], block);
        if (block != NULL) {
            const size_t other_size = block[0];
            if (block[other_size - 1] != other_size) {
                atomic_fetch_add(&faults, 1);
            }
            tarn_twolevel_free(twolevel, block, other_size);
        }
        if (round % 512 == 0) {
            (void)tarn_twolevel_trim(twolevel);
        }
        if (round % 512 == 256 && !tarn_twolevel_check(twolevel, NULL, 0)) {
            atomic_fetch_add(&faults, 1);
        }
    }
}

static void free_exchange(tarn_twolevel *twolevel)
{
    for (size_t i = 0; i < HELD; i++) {
        unsigned char *block = atomic_exchange(&exchange[i], NULL);
        if (block != NULL) {
            tarn_twolevel_free(twolevel, block, block[0]);
        }
    }
}

static void run_threads(void *(*run)(void *), size_t count)
{
    pthread_t threads[16];
    for (uintptr_t i = 0; i < count; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run, (void *)(i + 1)), 0);
    }
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
}

static tarn_twolevel locked;

static void *use_locked(void *argument)
{
    pass_blocks(&locked, (uintptr_t)argument);
    return NULL;
}

static void threads_share_an_instance_with_a_lock(void **state)
{
    (void)state;
    for (int checks = 0; checks < 2; checks++) {
        tarn_twolevel_init(&locked, &(tarn_twolevel_options){.threads = true, .checks = checks});
        run_threads(use_locked, THREADS);
        free_exchange(&locked);
        assert_int_equal(atomic_load(&faults), 0);
        assert_int_equal(live_blocks(&locked), 0);
        assert_balances(&locked);
        (void)tarn_twolevel_trim(&locked);
        assert_int_equal(tarn_twolevel_stats(&locked).footprint, 0);
        tarn_twolevel_deinit(&locked);
    }
}

static void *use_own(void *argument)
{
    pass_blocks(tarn_twolevel_of_thread(), (uintptr_t)argument);
    return NULL;
}

static void threads_free_what_others_allocated(void **state)
{
    (void)state;
    for (int generation = 0; generation < 3; generation++) {
        run_threads(use_own, THREADS);
    }
    tarn_twolevel *mine = tarn_twolevel_of_thread();
    free_exchange(mine);
    assert_int_equal(atomic_load(&faults), 0);
    /* The others have ended, and so all that is free can be seen. */
    assert_int_equal(live_blocks(mine), 0);
    assert_balances(mine);
    (void)tarn_twolevel_trim(mine);
    assert_int_equal(tarn_twolevel_stats(mine).footprint, 0);
    assert_balances(mine);
}

/* ------------------------------------------------------------------------------------------------
 * One allocates, the other frees.
 */
static _Atomic(void *) ring[RING];
static atomic_size_t peak_footprint;

static size_t size_of_turn(size_t turn)
{
    return 8 + turn / 64 * 8 % 64;
}

static void *produce(void *argument)
{
    (void)argument;
    tarn_twolevel *mine = tarn_twolevel_of_thread();
    for (size_t turn = 0; turn < passed; turn++) {
        void *block = tarn_twolevel_alloc(mine, size_of_turn(turn));
        while (atomic_load_explicit(&ring[turn % RING], memory_order_relaxed) != NULL) {
            sched_yield();
        }
        memset(block, 1, size_of_turn(turn));
        atomic_store_explicit(&ring[turn % RING], block, memory_order_release);
    }
    atomic_store(&peak_footprint, tarn_twolevel_stats(mine).peak_footprint);
    return NULL;
}

static void *consume(void *argument)
{
    (void)argument;
    tarn_twolevel *mine = tarn_twolevel_of_thread();
    for (size_t turn = 0; turn < passed; turn++) {
        void *block;
        while ((block = atomic_load_explicit(&ring[turn % RING], memory_order_acquire)) == NULL) {
            sched_yield();
        }
        atomic_store_explicit(&ring[turn % RING], NULL, memory_order_relaxed);
        tarn_twolevel_free(mine, block, size_of_turn(turn));
    }
    return NULL;
}

static void who_frees_for_others_does_not_hoard(void **state)
{
    (void)state;
    pthread_t producer;
    pthread_t consumer;
    assert_int_equal(pthread_create(&consumer, NULL, consume, NULL), 0);
    assert_int_equal(pthread_create(&producer, NULL, produce, NULL), 0);
    pthread_join(producer, NULL);
    pthread_join(consumer, NULL);
    /* At most RING blocks of 64 bytes and a few batches are ever in use. */
    const size_t peak = atomic_load(&peak_footprint);
    assert_true(!has_instances() || peak < 8 * RING * 72);
    assert_int_equal(live_blocks(tarn_twolevel_of_thread()), 0);
    (void)tarn_twolevel_trim(tarn_twolevel_of_thread());
    assert_int_equal(tarn_twolevel_stats(tarn_twolevel_of_thread()).footprint, 0);
}

/* ------------------------------------------------------------------------------------------------
 * Threads end.
 */
static void *tell_instance(void *argument)
{
    tarn_twolevel **told = argument;
    *told = tarn_twolevel_of_thread();
    tarn_twolevel_free(*told, tarn_twolevel_alloc(*told, 24), 24);
    if (*told != tarn_twolevel_of_thread()) {
        *told = NULL;
    }
    return NULL;
}

static void the_next_thread_gets_the_instance_of_one_that_ended(void **state)
{
    (void)state;
    tarn_twolevel *first = NULL;
    tarn_twolevel *second = NULL;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, tell_instance, &first), 0);
    pthread_join(thread, NULL);
    assert_int_equal(pthread_create(&thread, NULL, tell_instance, &second), 0);
    pthread_join(thread, NULL);
    assert_non_null(first);
    assert_ptr_equal(first, second);
    if (has_instances()) {
        assert_ptr_not_equal(first, tarn_twolevel_of_thread());
    }
}

static void *leave_a_block(void *argument)
{
    void **block = argument;
    *block = tarn_twolevel_alloc(tarn_twolevel_of_thread(), 100);
    memset(*block, 0x3c, 100);
    return NULL;
}

static void blocks_outlive_their_thread(void **state)
{
    (void)state;
    unsigned char *block = NULL;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, leave_a_block, &block), 0);
    pthread_join(thread, NULL);
    tarn_twolevel *mine = tarn_twolevel_of_thread();
    (void)tarn_twolevel_trim(mine);
    assert_int_equal(live_blocks(mine), 1);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(block[i], 0x3c);
    }
    tarn_twolevel_free(mine, block, 100);
    assert_int_equal(live_blocks(mine), 0);
    assert_balances(mine);
}

static pthread_key_t late_key;
static atomic_int late_calls;

static void free_late(void *block)
{
    if (tarn_twolevel_of_thread() == tarn_twolevel_of_process()) {
        atomic_fetch_add(&late_calls, 1);
    }
    tarn_twolevel_free(tarn_twolevel_of_thread(), block, 56);
    tarn_twolevel_free(tarn_twolevel_of_thread(), tarn_twolevel_alloc(tarn_twolevel_of_thread(), 8),
                       8);
}

static void *end_late(void *argument)
{
    (void)argument;
    pthread_setspecific(late_key, tarn_twolevel_alloc(tarn_twolevel_of_thread(), 56));
    return NULL;
}

static void destructors_of_a_thread_may_free_after_its_end(void **state)
{
    (void)state;
    /* A key that was made later, and so is destroyed later. */
    (void)tarn_twolevel_of_thread();
    assert_int_equal(pthread_key_create(&late_key, free_late), 0);
    run_threads(end_late, 3);
    assert_int_equal(atomic_load(&late_calls), 3);
    assert_int_equal(live_blocks(tarn_twolevel_of_thread()), 0);
    assert_balances(tarn_twolevel_of_thread());
    pthread_key_delete(late_key);
}

/* ------------------------------------------------------------------------------------------------
 * The rest.
 */
static void *free_aligned(void *argument)
{
    tarn_heap_free(&tarn_twolevel_of_thread()->heap, argument, 40);
    return NULL;
}

static void a_block_of_a_large_alignment_may_be_freed_by_another_thread(void **state)
{
    (void)state;
    tarn_heap *heap = &tarn_twolevel_of_thread()->heap;
    void *block = tarn_heap_alloc(heap, 40, 128);
    void *plain = tarn_heap_alloc(heap, 40, 0);
    assert_int_equal((uintptr_t)block % 128, 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, free_aligned, block), 0);
    pthread_join(thread, NULL);
    assert_int_equal(pthread_create(&thread, NULL, free_aligned, plain), 0);
    pthread_join(thread, NULL);
    assert_int_equal(live_blocks(tarn_twolevel_of_thread()), 0);
    assert_balances(tarn_twolevel_of_thread());
    unsigned char *large = tarn_twolevel_alloc(tarn_twolevel_of_thread(), 500);
    large[499] = 9;
    large = tarn_twolevel_realloc(tarn_twolevel_of_thread(), large, 500, 50000);
    assert_int_equal(large[499], 9);
    tarn_twolevel_free(tarn_twolevel_of_thread(), large, 50000);
    void *zeroed = tarn_heap_calloc(heap, 3, 100, 0);
    zeroed = tarn_heap_realloc(heap, zeroed, 300, 20, 0);
    tarn_heap_free(heap, zeroed, 20);
}

static void large_blocks_of_a_thread_need_no_lock(void **state)
{
    (void)state;
    if (!has_instances()) {
        skip();
    }
    tarn_twolevel *mine = tarn_twolevel_of_thread();
    /* So that nobody has asked for its blocks. */
    tarn_twolevel_free(mine, tarn_twolevel_alloc(mine, 24), 24);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        /* Whoever wants the lock waits for ever. */
        alarm(20);
        heap_lock_take(&mine->store->lock);
        void *block = tarn_twolevel_alloc(mine, 500);
        (void)tarn_heap_resize(&mine->heap, block, 500, 400);
        block = tarn_twolevel_realloc(mine, block, 400, 5000);
        tarn_twolevel_free(mine, block, 5000);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void the_process_has_an_instance_for_all_threads(void **state)
{
    (void)state;
    tarn_twolevel *process = tarn_twolevel_of_process();
    void *block = tarn_twolevel_alloc(process, 72);
    void *mine = tarn_twolevel_alloc(tarn_twolevel_of_thread(), 72);
    /* Each to the other. */
    tarn_twolevel_free(process, mine, 72);
    tarn_twolevel_free(tarn_twolevel_of_thread(), block, 72);
    assert_int_equal(live_blocks(tarn_twolevel_of_thread()), 0);
    assert_balances(tarn_twolevel_of_thread());
    assert_int_equal(tarn_twolevel_reset(process), TARN_UNSUPPORTED);
    assert_int_equal(tarn_twolevel_reset(tarn_twolevel_of_thread()), TARN_UNSUPPORTED);
    assert_int_equal(tarn_twolevel_visit(process, NULL, NULL), TARN_UNSUPPORTED);
    assert_fatal(tarn_twolevel_deinit(process),
                 "the instance of a thread or of the process cannot be ended", "twolevel", process);
}

static atomic_bool is_waiting;
static atomic_bool may_end;

static void *wait_with_free_blocks(void *argument)
{
    (void)argument;
    tarn_twolevel *mine = tarn_twolevel_of_thread();
    tarn_twolevel_free(mine, tarn_twolevel_alloc(mine, 88), 88);
    atomic_store(&is_waiting, true);
    while (!atomic_load(&may_end)) {
        sched_yield();
    }
    return NULL;
}

static void a_forked_child_has_what_all_threads_had(void **state)
{
    (void)state;
    tarn_twolevel *mine = tarn_twolevel_of_thread();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wait_with_free_blocks, NULL), 0);
    while (!atomic_load(&is_waiting)) {
        sched_yield();
    }
    void *block = tarn_twolevel_alloc(mine, 88);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool is_ok = tarn_twolevel_of_thread() == mine;
        tarn_twolevel_free(mine, block, 88);
        /* The other thread is no more, so its free blocks can be seen. */
        is_ok = is_ok && live_blocks(mine) == 0 && tarn_twolevel_check(mine, NULL, 0);
        (void)tarn_twolevel_trim(mine);
        is_ok = is_ok && tarn_twolevel_stats(mine).footprint == 0;
        _exit(is_ok ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    tarn_twolevel_free(mine, block, 88);
    atomic_store(&may_end, true);
    pthread_join(thread, NULL);
    assert_int_equal(live_blocks(mine), 0);
}

static atomic_bool is_over;

static void *use_the_instance_of_the_process(void *argument)
{
    (void)argument;
    tarn_twolevel *process = tarn_twolevel_of_process();
    atomic_store(&is_waiting, true);
    while (!atomic_load(&is_over)) {
        tarn_twolevel_free(process, tarn_twolevel_alloc(process, 40), 40);
    }
    return NULL;
}

static void a_forked_child_may_use_the_instance_of_the_process(void **state)
{
    (void)state;
    tarn_twolevel *process = tarn_twolevel_of_process();
    pthread_t thread;
    atomic_store(&is_waiting, false);
    assert_int_equal(pthread_create(&thread, NULL, use_the_instance_of_the_process, NULL), 0);
    while (!atomic_load(&is_waiting)) {
        sched_yield();
    }
    for (unsigned i = 0; i < forks; i++) {
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            /* Had the other thread the lock, it will not give it back here. */
            alarm(20);
            tarn_twolevel_free(process, tarn_twolevel_alloc(process, 40), 40);
            _exit(tarn_twolevel_check(process, NULL, 0) ? 0 : 1);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    atomic_store(&is_over, true);
    pthread_join(thread, NULL);
}

int main(void)
{
    rounds = IS_UNDER_NO_TOOL ? 50000 : 5000;
    passed = IS_UNDER_NO_TOOL ? 1000000 : 20000;
    forks = IS_UNDER_NO_TOOL ? 60 : 10;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_share_an_instance_with_a_lock),
        cmocka_unit_test(threads_free_what_others_allocated),
        cmocka_unit_test(who_frees_for_others_does_not_hoard),
        cmocka_unit_test(the_next_thread_gets_the_instance_of_one_that_ended),
        cmocka_unit_test(blocks_outlive_their_thread),
        cmocka_unit_test(destructors_of_a_thread_may_free_after_its_end),
        cmocka_unit_test(a_block_of_a_large_alignment_may_be_freed_by_another_thread),
        cmocka_unit_test(large_blocks_of_a_thread_need_no_lock),
        cmocka_unit_test(the_process_has_an_instance_for_all_threads),
        cmocka_unit_test(a_forked_child_has_what_all_threads_had),
        cmocka_unit_test(a_forked_child_may_use_the_instance_of_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
