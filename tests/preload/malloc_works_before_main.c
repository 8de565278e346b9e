/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <pthread.h>

/*
 * From the earliest code of a program on: before any constructor, libc's included, in constructors, and in threads that
 * these start.
 *
 * Earlier still are ifunc resolvers, which run while the dynamic linker relocates the program: thread-local storage has
 * no contents then, and Tarn, unlike glibc, does not serve them.
 */

struct early {
    unsigned char *blocks[100];
    size_t count;
};

static struct early in_preinit;
static struct early in_constructor;
static struct early in_late_constructor;

static void allocate_some(struct early *early, uint64_t tag)
{
    for (size_t i = 0; i < 100; i++) {
        const size_t size = i * i * 5 + 1;
        early->blocks[i] = i % 2 == 0 ? malloc(size) : calloc(1, size);
        if (early->blocks[i] == NULL || (i % 2 == 1 && !is_zero(early->blocks[i], size))) {
            return;
        }
        fill(early->blocks[i], size, tag + i);
        early->count++;
        if (i >= 10 && i % 5 == 0) {
            free(early->blocks[i - 1]);
            early->blocks[i - 1] = NULL;
        }
    }
}

static void check_some(struct early *early, uint64_t tag, const char *when)
{
    CHECK(early->count == 100, "only %zu blocks %s", early->count, when);
    for (size_t i = 0; i < 100; i++) {
        const size_t size = i * i * 5 + 1;
        CHECK(early->blocks[i] == NULL || is_filled(early->blocks[i], size, tag + i),
              "block %zu from %s changed", i, when);
        early->blocks[i] = realloc(early->blocks[i], size + 100);
        CHECK(early->blocks[i] != NULL, "realloc of a block from %s", when);
    }
}

static void check_and_free(struct early *early, uint64_t tag, const char *when)
{
    check_some(early, tag, when);
    for (size_t i = 0; i < 100; i++) {
        free(early->blocks[i]);
    }
}

static void preinit(int argc, char **argv, char **environment)
{
    (void)argc;
    (void)argv;
    (void)environment;
    allocate_some(&in_preinit, 2000);
}

__attribute__((section(".preinit_array"),
               used)) static void (*const preinit_entry)(int, char **, char **) = preinit;

static void *thread_before_main(void *context)
{
    allocate_some(context, 3000);
    return NULL;
}

/* The first constructor of the program starts a thread, and frees and allocates. */
__attribute__((constructor(101))) static void first_constructor(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, thread_before_main, &in_constructor) == 0,
          "pthread_create");
    pthread_join(thread, NULL);
}

__attribute__((constructor(60000))) static void late_constructor(void)
{
    allocate_some(&in_late_constructor, 4000);
    check_some(&in_preinit, 2000, "preinit");
}

int main(void)
{
    for (size_t i = 0; i < 100; i++) {
        free(in_preinit.blocks[i]);
    }
    check_and_free(&in_constructor, 3000, "a thread before main");
    check_and_free(&in_late_constructor, 4000, "a constructor");
    return 0;
}
