/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not an object of this pool \(pool, block 0x[0-9a-f]+\) */
#include "tarn/pool.h"

#include <stdint.h>
#include <stdio.h>

int main(void)
{
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 48, .checks = true});
    char *object = tarn_pool_alloc(&pool);
    /* The chunk starts at the page, with its books. */
    void *books = (void *)((uintptr_t)object / 4096 * 4096);
    printf("blamed %p\n", books);
    fflush(stdout);
    tarn_pool_free(&pool, books);
    return 0;
}
