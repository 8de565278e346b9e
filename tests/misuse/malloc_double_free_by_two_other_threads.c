/* SPDX-License-Identifier: MIT */
/* Expect: tarn: double free \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

#include <pthread.h>

static void *free_it(void *block)
{
    free(hidden(block));
    return NULL;
}

int main(void)
{
    void *block = blamed(need(malloc(100)));
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, free_it, block);
        pthread_join(thread, NULL);
    }
    /* The owner finds it at the latest when it collects what others freed. */
    for (int i = 0; i < 100000; i++) {
        (void)need(malloc(100));
    }
    return 0;
}
