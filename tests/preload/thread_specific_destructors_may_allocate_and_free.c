/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <pthread.h>

/* The allocator itself tears down a thread's cache by such a destructor, or by an even later one; the program's may
 * run after it, in several rounds. */

#define KEYS 20
#define THREADS 400

static pthread_key_t keys[KEYS];
static __thread unsigned rounds;
static unsigned long destroyed;

struct value {
    size_t key;
    size_t size;
    unsigned char contents[];
};

static struct value *make_value(size_t key)
{
    const size_t size = key * 777 + 10;
    struct value *value = malloc(sizeof *value + size);
    CHECK(value != NULL, "malloc in a thread's end");
    value->key = key;
    value->size = size;
    fill(value->contents, size, key);
    return value;
}

static void destroy(void *context)
{
    struct value *value = context;
    CHECK(is_filled(value->contents, value->size, value->key), "a value changed");
    const size_t key = value->key;
    free(value);
    __atomic_add_fetch(&destroyed, 1, __ATOMIC_RELAXED);
    /* A value set here has its destructor called in the next round, until glibc gives up. */
    if (rounds++ < KEYS * 3) {
        CHECK(pthread_setspecific(keys[key], make_value(key)) == 0, "pthread_setspecific");
    }
    void *scratch = calloc(1, 50000 + key);
    CHECK(scratch != NULL && is_zero(scratch, 50000 + key), "calloc in a thread's end");
    scratch = realloc(scratch, 10);
    free(scratch);
}

static void *work(void *context)
{
    for (size_t i = 0; i < KEYS; i++) {
        CHECK(pthread_setspecific(keys[i], make_value(i)) == 0, "pthread_setspecific");
    }
    return context;
}

/* This thread never allocated before its end. */
static void *only_destroy(void *context)
{
    CHECK(pthread_setspecific(keys[0], context) == 0, "pthread_setspecific");
    return NULL;
}

int main(void)
{
    for (size_t i = 0; i < KEYS; i++) {
        CHECK(pthread_key_create(&keys[i], destroy) == 0, "pthread_key_create");
    }
    for (int i = 0; i < THREADS; i += 2) {
        pthread_t first;
        pthread_t second;
        CHECK(pthread_create(&first, NULL, work, NULL) == 0, "pthread_create");
        CHECK(pthread_create(&second, NULL, only_destroy, make_value(0)) == 0, "pthread_create");
        pthread_join(first, NULL);
        pthread_join(second, NULL);
    }
    CHECK(destroyed > THREADS / 2 * KEYS, "only %lu destructors ran", destroyed);
    CHECK(resident() < 48 * MIB, "threads left %zu bytes resident", resident());
    return 0;
}
