/* SPDX-License-Identifier: MIT */
/* AddressSanitizer: LeakSanitizer: detected memory leaks */
/* AddressSanitizer: Direct leak of 100 byte\(s\) in 1 object\(s\) */
/* Memcheck: 100 bytes in 1 blocks are definitely lost */
#include "tarn/pool.h"

#include <stdlib.h>
#include <string.h>

static tarn_pool pool;

/* Leaves no copy of the pointer on the stack or in a register. */
__attribute__((noinline)) static void leak(void)
{
    void **object = tarn_pool_alloc(&pool);
    *object = malloc(100);
    tarn_pool_free(&pool, object);
}

__attribute__((noinline)) static void clear(void)
{
    volatile char stack[4096];
    memset((void *)stack, 0, sizeof stack);
}

int main(void)
{
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 16});
    leak();
    clear();
    return 0;
}
