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
    pthread_t thread;
    pthread_create(&thread, NULL, free_it, block);
    pthread_join(thread, NULL);
    free(hidden(block));
    for (int i = 0; i < 100000; i++) {
        (void)need(malloc(100));
    }
    return 0;
}
