/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <pthread.h>

/* Each handler is the last to run in some program; a child runs them all, its parent counts their letters. */

enum way { EXIT, QUICK_EXIT, THREAD_EXIT, MAIN_PTHREAD_EXIT };

static char *kept;
static FILE *stream;
static int report;

static void churn(void)
{
    void *blocks[200];
    for (size_t i = 0; i < 200; i++) {
        blocks[i] = malloc(i * i * 3);
        CHECK(blocks[i] != NULL, "malloc while exiting");
        memset(blocks[i], 1, i * i * 3);
    }
    for (size_t i = 0; i < 200; i++) {
        free(blocks[i]);
    }
    kept = realloc(kept, 100000);
    CHECK(kept != NULL, "realloc while exiting");
}

static void say(const char *letter)
{
    churn();
    CHECK(write(report, letter, 1) == 1, "write");
}

static void at_exit(void)
{
    say("a");
    free(kept);
    kept = NULL;
}

static void *exiting_thread(void *context)
{
    churn();
    return context;
}

static void at_exit_with_a_thread(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, exiting_thread, NULL) == 0, "pthread_create while exiting");
    pthread_join(thread, NULL);
    say("t");
}

static void on_exit_handler(int status, void *context)
{
    (void)status;
    free(context);
    say("o");
}

static void at_quick_exit_handler(void)
{
    say("q");
}

__attribute__((destructor(101))) static void last_destructor(void)
{
    if (report > 0) {
        say("d");
        /* Buffered output is written after this, from a buffer that was allocated. */
        fprintf(stream, "s");
    }
}

static void register_all(enum way way)
{
    CHECK(atexit(at_exit) == 0, "atexit");
    /* When the last thread's end ends the process, the end of one more would end it once more. */
    CHECK(way == MAIN_PTHREAD_EXIT || atexit(at_exit_with_a_thread) == 0, "atexit");
    CHECK(on_exit(on_exit_handler, malloc(1234)) == 0, "on_exit");
    CHECK(at_quick_exit(at_quick_exit_handler) == 0, "at_quick_exit");
    /* Enough handlers that libc itself has to allocate room for them. */
    for (int i = 0; i < 100; i++) {
        CHECK(atexit(churn) == 0, "atexit");
    }
}

static void *exit_from_thread(void *context)
{
    churn();
    exit(0);
    return context;
}

static void expect_letters(enum way way, const char *expected)
{
    int ends[2];
    CHECK(pipe(ends) == 0, "pipe");
    const pid_t child = fork();
    if (child == 0) {
        report = ends[1];
        stream = fdopen(dup(ends[1]), "w");
        CHECK(stream != NULL, "fdopen");
        register_all(way);
        pthread_t thread;
        switch (way) {
        case QUICK_EXIT:
            quick_exit(0);
        case THREAD_EXIT:
            CHECK(pthread_create(&thread, NULL, exit_from_thread, NULL) == 0, "pthread_create");
            pthread_join(thread, NULL);
            _exit(99);
        case MAIN_PTHREAD_EXIT:
            CHECK(pthread_create(&thread, NULL, exiting_thread, NULL) == 0, "pthread_create");
            pthread_detach(thread);
            pthread_exit(NULL);
        default:
            exit(0);
        }
    }
    close(ends[1]);
    char letters[64] = {0};
    size_t length = 0;
    ssize_t got;
    while ((got = read(ends[0], letters + length, sizeof letters - 1 - length)) > 0) {
        length += (size_t)got;
    }
    close(ends[0]);
    expect_child_passes(child, "an exiting program");
    CHECK(strcmp(letters, expected) == 0, "handlers \"%s\" ran instead of \"%s\"", letters,
          expected);
}

int main(void)
{
    expect_letters(EXIT, "otads");
    expect_letters(QUICK_EXIT, "q");
    expect_letters(THREAD_EXIT, "otads");
    expect_letters(MAIN_PTHREAD_EXIT, "oads");
    return 0;
}
