/* SPDX-License-Identifier: MIT */
/* Expect: tarn: double free \(pool, block 0x[0-9a-f]+\) */
#include "tarn/pool.h"

#include <pthread.h>
#include <stdio.h>

static tarn_pool pool;

/* What the thread has in its cache goes back to the pool when it ends. */
static void *free_it(void *object)
{
    tarn_pool_free(&pool, object);
    return NULL;
}

int main(void)
{
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 48, .threads = TARN_SHARED});
    void *object = tarn_pool_alloc(&pool);
    printf("blamed %p\n", object);
    fflush(stdout);
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, free_it, object);
        pthread_join(thread, NULL);
    }
    tarn_pool_trim(&pool);
    return 0;
}
