/* SPDX-License-Identifier: MIT */
/* Expect: tarn: double free \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

#include <pthread.h>

static void *make_it(void *unused)
{
    (void)unused;
    void **blocks = need(malloc(2 * sizeof *blocks));
    blocks[0] = need(malloc(200));
    blocks[1] = need(malloc(200)); /* keeps the span alive */
    return blocks;
}

int main(void)
{
    pthread_t thread;
    void *made = NULL;
    pthread_create(&thread, NULL, make_it, NULL);
    pthread_join(thread, &made);
    void *block = blamed(((void **)made)[0]);
    free(block);
    free(hidden(block));
    for (int i = 0; i < 100000; i++) {
        (void)need(malloc(200));
    }
    return 0;
}
