/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <pthread.h>

/*
 * A million blocks of 16 to 512 bytes are freed and the program goes idle: within a second less than 8 MiB are
 * resident, whoever freed them, and wherever the thread is that owned them.
 */

#define BLOCKS 1000000
#define ALLOWED (8 * MIB)

static void **blocks;
static _Atomic(bool) may_end;
static _Atomic(bool) is_done;

static void allocate_all(void)
{
    uint64_t state = 7;
    for (size_t i = 0; i < BLOCKS; i++) {
        const size_t size = random_between(&state, 16, 512);
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL, "malloc");
        memset(blocks[i], 1, size);
    }
}

static void free_all(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
    }
}

static void *allocate_thread(void *context)
{
    allocate_all();
    return context;
}

static void *free_thread(void *context)
{
    free_all();
    return context;
}

static void *idle_thread(void *context)
{
    allocate_all();
    if (context != NULL) {
        free_all();
    }
    is_done = true;
    while (!may_end) {
        sleep_ms(20);
    }
    return NULL;
}

static void expect_idle(const char *what, size_t before)
{
    CHECK(before > 200 * MIB, "%s: only %zu bytes were resident", what, before);
    CHECK(munmap(blocks, BLOCKS * sizeof *blocks) == 0, "munmap");
    const double start = seconds_now();
    size_t now = 0;
    do {
        sleep_ms(50);
        now = resident();
    } while (now >= ALLOWED && seconds_now() - start < 1.0);
    dprintf(STDOUT_FILENO, "%s: %zu KiB resident, %zu KiB after %.2f s\n", what, before / KIB,
            now / KIB, seconds_now() - start);
    CHECK(now < ALLOWED, "%s: %zu KiB are still resident after a second", what, now / KIB);
}

static void run_in_thread(void *(*function)(void *))
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, function, NULL) == 0, "pthread_create");
    pthread_join(thread, NULL);
}

static void one_thread_does_all(void)
{
    allocate_all();
    const size_t before = resident();
    free_all();
    expect_idle("freed by its own thread", before);
}

static void an_ended_thread_does_all(void)
{
    run_in_thread(allocate_thread);
    const size_t before = resident();
    run_in_thread(free_thread);
    expect_idle("allocated and freed by threads that ended", before);
}

static void main_frees_blocks_of_an_ended_thread(void)
{
    run_in_thread(allocate_thread);
    const size_t before = resident();
    free_all();
    expect_idle("freed by main after its thread ended", before);
}

static void a_thread_frees_mains_blocks(void)
{
    allocate_all();
    const size_t before = resident();
    run_in_thread(free_thread);
    expect_idle("freed by another thread while its own sleeps", before);
}

static void an_idle_thread_holds_its_cache(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, idle_thread, (void *)1) == 0, "pthread_create");
    size_t before = 0;
    while (!is_done) {
        const size_t now = resident();
        before = now > before ? now : before;
        sleep_ms(1);
    }
    expect_idle("freed by a thread that sleeps ever since", before);
    may_end = true;
    pthread_join(thread, NULL);
}

static void main_frees_blocks_of_an_idle_thread(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, idle_thread, NULL) == 0, "pthread_create");
    while (!is_done) {
        sleep_ms(1);
    }
    const size_t before = resident();
    free_all();
    expect_idle("freed by main while its thread sleeps", before);
    may_end = true;
    pthread_join(thread, NULL);
}

/* fork takes only the calling thread along, so the child starts a helper of its own when it first needs one; what was
 * already free when it was forked waits for that. */
static void a_forked_child_does_all(void)
{
    const pid_t child = fork();
    if (child == 0) {
        one_thread_does_all();
        _exit(0);
    }
    expect_child_passes(child, "the child of a child");
}

int main(void)
{
    void (*const cases[])(void) = {one_thread_does_all,
                                   an_ended_thread_does_all,
                                   main_frees_blocks_of_an_ended_thread,
                                   a_thread_frees_mains_blocks,
                                   an_idle_thread_holds_its_cache,
                                   main_frees_blocks_of_an_idle_thread,
                                   a_forked_child_does_all};
    int failures = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const pid_t child = fork();
        if (child == 0) {
            blocks = outside_memory(BLOCKS * sizeof *blocks);
            cases[i]();
            _exit(0);
        }
        int status = 0;
        CHECK(child > 0 && waitpid(child, &status, 0) == child, "fork");
        failures += status != 0;
    }
    CHECK(failures == 0, "%d cases failed", failures);
    return 0;
}
