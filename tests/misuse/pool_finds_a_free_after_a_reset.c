/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not an object in use \(pool, block 0x[0-9a-f]+\) */
#include "tarn/pool.h"

#include <stdio.h>

int main(void)
{
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 48});
    void *object = tarn_pool_alloc(&pool);
    printf("blamed %p\n", object);
    fflush(stdout);
    tarn_pool_reset(&pool);
    tarn_pool_free(&pool, object);
    tarn_pool_flush(&pool);
    return 0;
}
