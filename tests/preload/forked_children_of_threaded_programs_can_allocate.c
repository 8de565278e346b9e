/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <pthread.h>

/*
 * fork copies every lock as it stands, and the threads that would have released them are not there in the child.
 *
 * The hard case takes stdio: getline and fopen allocate with a stream's lock or with the list of all streams
 * held, and fork itself takes that list. An allocator that locks up before fork takes the list waits for a
 * thread that waits for the allocator. Whatever hangs is ended by the alarm.
 */

#define FORKS 240
#define FORKERS 3

static _Atomic(bool) done;

static void *churn(void *context)
{
    uint64_t state = (uint64_t)(uintptr_t)context;
    void *blocks[256] = {0};
    while (!done) {
        const size_t i = random_between(&state, 0, 255);
        free(blocks[i]);
        blocks[i] = malloc(random_between(&state, 1, (size_t)1 << random_between(&state, 0, 18)));
        CHECK(blocks[i] != NULL, "malloc");
    }
    for (size_t i = 0; i < 256; i++) {
        free(blocks[i]);
    }
    return NULL;
}

/* Allocates inside locked streams and with the list of streams held. */
static void *churn_streams(void *context)
{
    static char text[20000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\n';
    while (!done) {
        FILE *stream = fmemopen(text, sizeof text, "r");
        CHECK(stream != NULL, "fmemopen");
        char *line = NULL;
        size_t room = 0;
        CHECK(getline(&line, &room, stream) == sizeof text, "getline");
        free(line);
        fclose(stream);

        char *memory = NULL;
        size_t size = 0;
        stream = open_memstream(&memory, &size);
        CHECK(stream != NULL, "open_memstream");
        for (int i = 0; i < 500; i++) {
            fprintf(stream, "%d %s\n", i, "abcdefgh");
        }
        fclose(stream);
        free(memory);

        stream = fopen("/dev/null", "w");
        CHECK(stream != NULL, "fopen");
        fprintf(stream, "%p", context);
        fflush(NULL);
        fclose(stream);
    }
    return NULL;
}

static void *thread_in_child(void *context)
{
    void *block = calloc(1, 10000);
    CHECK(block != NULL && is_zero(block, 10000), "calloc in a thread of a child");
    free(context);
    return block;
}

static void live_in_child(void **of_parent)
{
    alarm(20);
    for (size_t i = 0; i < 64; i++) {
        CHECK(is_filled(of_parent[i], i * 333, i), "a block of the parent changed in the child");
        free(of_parent[i]);
    }
    void *blocks[300];
    for (size_t i = 0; i < 300; i++) {
        blocks[i] = malloc(i * i + 1);
        CHECK(blocks[i] != NULL, "malloc in the child");
        fill(blocks[i], i * i + 1, i);
    }
    FILE *null = fopen("/dev/null", "w");
    CHECK(null != NULL, "fopen in the child");
    fprintf(null, "%s %zu\n", "hello", (size_t)1);
    fclose(null);
    pthread_t thread;
    void *made = NULL;
    CHECK(pthread_create(&thread, NULL, thread_in_child, malloc(500)) == 0,
          "a thread in the child");
    pthread_join(thread, &made);
    free(made);
    for (size_t i = 0; i < 300; i++) {
        CHECK(is_filled(blocks[i], i * i + 1, i), "a block changed in the child");
        free(blocks[i]);
    }
    /* A grandchild, from a child whose other threads are gone. */
    const pid_t grandchild = fork();
    if (grandchild == 0) {
        alarm(20);
        void *block = realloc(malloc(100), 100000);
        CHECK(block != NULL, "realloc in the grandchild");
        free(block);
        exit(0);
    }
    expect_child_passes(grandchild, "a grandchild");
    exit(0);
}

static void *fork_often(void *context)
{
    const size_t forks = (size_t)(uintptr_t)context;
    for (size_t i = 0; i < forks; i++) {
        void *blocks[64];
        for (size_t j = 0; j < 64; j++) {
            blocks[j] = malloc(j * 333);
            CHECK(blocks[j] != NULL, "malloc");
            fill(blocks[j], j * 333, j);
        }
        const pid_t child = fork();
        if (child == 0) {
            live_in_child(blocks);
        }
        expect_child_passes(child, "a forked child");
        for (size_t j = 0; j < 64; j++) {
            CHECK(is_filled(blocks[j], j * 333, j), "a block of the parent changed");
            free(blocks[j]);
        }
    }
    return NULL;
}

int main(void)
{
    alarm(100);
    pthread_t threads[6];
    for (size_t i = 0; i < 6; i++) {
        CHECK(pthread_create(&threads[i], NULL, i < 3 ? churn : churn_streams, (void *)(i + 1)) ==
                  0,
              "pthread_create");
    }
    fork_often((void *)(uintptr_t)(FORKS / 2));
    /* From several threads at once. */
    pthread_t forkers[FORKERS];
    for (size_t i = 0; i < FORKERS; i++) {
        CHECK(pthread_create(&forkers[i], NULL, fork_often,
                             (void *)(uintptr_t)(FORKS / 2 / FORKERS)) == 0,
              "pthread_create");
    }
    for (size_t i = 0; i < FORKERS; i++) {
        pthread_join(forkers[i], NULL);
    }
    done = true;
    for (size_t i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
    }
    return 0;
}
