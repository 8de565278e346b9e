/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <pthread.h>

/* Not preloaded: opened under its own scope by a program that lives on the system's malloc, from many threads, and
 * closed again while threads still end that used it. Usage: PROGRAM LIBRARY. */

#define THREADS 16

static void *(*tarn_malloc)(size_t size);
static void *(*tarn_realloc)(void *block, size_t size);
static void (*tarn_free)(void *block);
static size_t (*tarn_trim)(void);
static void *shared[THREADS];
static pthread_barrier_t barrier;

static void find(void *library, const char *name, void *function)
{
    void *found = dlsym(library, name);
    CHECK(found != NULL, "%s", dlerror());
    memcpy(function, &found, sizeof found);
}

static void *work(void *context)
{
    const size_t self = (size_t)(uintptr_t)context;
    uint64_t state = self;
    void *blocks[200] = {0};
    size_t sizes[200] = {0};
    pthread_barrier_wait(
        &barrier); /* opened between these two, so that every thread is older than the library */
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 5000; i++) {
        const size_t slot = random_between(&state, 0, 199);
        CHECK(is_filled(blocks[slot], sizes[slot], slot), "a block changed");
        sizes[slot] = random_between(&state, 1, (size_t)1 << random_between(&state, 0, 17));
        blocks[slot] = tarn_realloc(blocks[slot], sizes[slot]);
        CHECK(blocks[slot] != NULL, "tarn_realloc");
        fill(blocks[slot], sizes[slot], slot);
        free(malloc(sizes[slot])); /* libc's, side by side */
    }
    for (size_t i = 0; i < 200; i++) {
        tarn_free(blocks[i]);
    }
    shared[self] = tarn_malloc(1000);
    pthread_barrier_wait(&barrier);
    tarn_free(shared[(self + 1) % THREADS]);
    return NULL;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : getenv("TEST_LIBRARY");
    CHECK(path != NULL, "usage: PROGRAM LIBRARY.so");
    CHECK(pthread_barrier_init(&barrier, NULL, THREADS + 1) == 0, "pthread_barrier_init");
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0, "pthread_create");
    }
    pthread_barrier_wait(&barrier);
    void *before = malloc(100);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECK(library != NULL, "%s", dlerror());
    find(library, "tarn_malloc", &tarn_malloc);
    find(library, "tarn_realloc", &tarn_realloc);
    find(library, "tarn_free", &tarn_free);
    find(library, "tarn_malloc_trim", &tarn_trim);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    for (size_t i = 0; i < THREADS / 2; i++) {
        pthread_join(threads[i], NULL);
    }
    /* libc's names stay libc's. */
    Dl_info info;
    CHECK(dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info) != 0 &&
              strstr(info.dli_fname, "libc") != NULL,
          "malloc is answered by %s", info.dli_fname);
    free(before);
    char *kept = tarn_malloc(100000);
    CHECK(kept != NULL, "tarn_malloc");
    memset(kept, 1, 100000);
    tarn_free(kept);
    tarn_trim();
    CHECK(dlclose(library) == 0, "dlclose");
    for (size_t i = THREADS / 2; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    sleep_ms(
        700); /* time for a helper thread or a thread's end to miss the code that was unloaded */
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECK(library != NULL, "%s", dlerror());
    find(library, "tarn_malloc", &tarn_malloc);
    find(library, "tarn_free", &tarn_free);
    tarn_free(tarn_malloc(10));
    const pid_t child = fork();
    if (child == 0) {
        tarn_free(tarn_malloc(100));
        free(malloc(100));
        exit(0);
    }
    expect_child_passes(child, "a forked child");
    return 0;
}
