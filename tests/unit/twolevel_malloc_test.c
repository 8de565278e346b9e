/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#define TARN_USE_MALLOC
#include "tarn/twolevel.h"

#include "tarn/heaps.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A program that was compiled with TARN_USE_MALLOC. */

static size_t cut_blocks(tarn_twolevel *twolevel)
{
    tarn_twolevel_list lists[TARN_TWOLEVEL_LISTS];
    size_t bytes = 0;
    tarn_twolevel_list_stats(twolevel, lists);
    for (size_t i = 0; i < TARN_TWOLEVEL_LISTS; i++) {
        bytes += lists[i].bytes;
    }
    return bytes;
}

static void use(tarn_twolevel *twolevel)
{
    const size_t before = (size_t)tarn_twolevel_stats(twolevel).blocks;
    void *block = tarn_twolevel_alloc(twolevel, 24);
    void *other = tarn_heap_alloc(&twolevel->heap, 24, 64);
    assert_non_null(block);
    assert_false(tarn_twolevel_owns(twolevel, block));
    assert_int_equal(tarn_twolevel_stats(twolevel).blocks, before + 2);
    block = tarn_twolevel_realloc(twolevel, block, 24, 30);
    assert_int_equal(cut_blocks(twolevel), 0);
    tarn_twolevel_free(twolevel, block, 30);
    tarn_twolevel_free(twolevel, NULL, 30);
    tarn_heap_free(&twolevel->heap, other, 24);
    assert_int_equal(tarn_twolevel_stats(twolevel).blocks, before);
    assert_true(tarn_twolevel_check(twolevel, NULL, 0));
}

static void every_instance_sends_everything_to_the_first_level(void **state)
{
    (void)state;
    tarn_pages pages;
    tarn_pages_init(&pages, NULL);
    const tarn_twolevel_options options = {.upstream = &pages.heap};
    tarn_twolevel here;
    assert_int_equal(tarn_twolevel_init(&here, &options), TARN_OK);
    use(&here);
    tarn_twolevel_deinit(&here);
    tarn_twolevel *there = tarn_twolevel_create(&options);
    use(there);
    tarn_twolevel_destroy(there);
    assert_int_equal(tarn_heap_stats(&pages.heap).live, 0);
    tarn_pages_deinit(&pages);
}

static void the_thread_has_the_instance_of_the_process(void **state)
{
    (void)state;
    assert_ptr_equal(tarn_twolevel_of_thread(), tarn_twolevel_of_process());
    use(tarn_twolevel_of_thread());
}

static atomic_bool is_begun;
static atomic_bool is_over;

static void *use_all_the_time(void *argument)
{
    tarn_twolevel *twolevel = argument;
    while (!atomic_load(&is_over)) {
        tarn_twolevel_free(twolevel, tarn_twolevel_alloc(twolevel, 40), 40);
        atomic_store(&is_begun, true);
    }
    return NULL;
}

static void a_forked_child_may_use_the_instance_of_the_process(void **state)
{
    (void)state;
    tarn_twolevel *process = tarn_twolevel_of_process();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, use_all_the_time, process), 0);
    while (!atomic_load(&is_begun)) {
        sched_yield();
    }
    for (int i = 0; i < 60; i++) {
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_instance_sends_everything_to_the_first_level),
        cmocka_unit_test(the_thread_has_the_instance_of_the_process),
        cmocka_unit_test(a_forked_child_may_use_the_instance_of_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
