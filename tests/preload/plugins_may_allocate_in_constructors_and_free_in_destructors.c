/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <pthread.h>

#define THREADS 6
#define ROUNDS 60

static const char *path;

static void load_use_unload(void)
{
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECK(plugin != NULL, "dlopen %s: %s", path, dlerror());
    char *(*make)(size_t) = NULL;
    int (*is_sound)(void) = NULL;
    void *found = dlsym(plugin, "plugin_make");
    memcpy(&make, &found, sizeof make);
    found = dlsym(plugin, "plugin_is_sound");
    memcpy(&is_sound, &found, sizeof is_sound);
    CHECK(make != NULL && is_sound != NULL, "dlsym: %s", dlerror());
    CHECK(is_sound(), "the plugin's blocks changed");
    char *made = make(20000);
    CHECK(made != NULL, "the plugin could not allocate");
    CHECK(dlclose(plugin) == 0, "dlclose: %s", dlerror());
    /* The block outlives who made it. */
    CHECK(made[0] == 'p' && made[19999] == 'p', "the block changed when its maker went");
    made = realloc(made, 40000);
    CHECK(made != NULL && made[19999] == 'p', "realloc of a plugin's block");
    free(made);
}

static void *work(void *context)
{
    (void)context;
    for (int i = 0; i < ROUNDS; i++) {
        load_use_unload();
        /* The failure's text is allocated, and belongs to the thread. */
        CHECK(dlopen("/nonexistent/plugin.so", RTLD_NOW) == NULL, "dlopen of nothing");
        CHECK(dlerror() != NULL, "dlerror");
    }
    return NULL;
}

int main(int argc, char **argv)
{
    path = argc > 1 ? argv[1] : getenv("TEST_PLUGIN");
    CHECK(path != NULL, "usage: PROGRAM PLUGIN.so");
    for (int i = 0; i < ROUNDS; i++) {
        load_use_unload();
    }
    const size_t before = resident();
    for (int round = 0; round < 3; round++) {
        pthread_t threads[THREADS];
        for (size_t i = 0; i < THREADS; i++) {
            CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0, "pthread_create");
        }
        for (size_t i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
        }
    }
    sleep_ms(600);
    CHECK(resident() < before + 16 * MIB, "loading plugins took %zu bytes", resident() - before);
    return 0;
}
