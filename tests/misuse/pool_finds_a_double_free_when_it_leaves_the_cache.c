/* SPDX-License-Identifier: MIT */
/* Expect: tarn: double free \(pool, block 0x[0-9a-f]+\) */
#include "tarn/pool.h"

#include <stdio.h>

int main(void)
{
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 48});
    tarn_pool_alloc(&pool);
    void *object = tarn_pool_alloc(&pool);
    void *other = tarn_pool_alloc(&pool);
    printf("blamed %p\n", object);
    fflush(stdout);
    tarn_pool_free(&pool, object);
    tarn_pool_free(&pool, other);
    tarn_pool_free(&pool, object);
    tarn_pool_flush(&pool);
    return 0;
}
