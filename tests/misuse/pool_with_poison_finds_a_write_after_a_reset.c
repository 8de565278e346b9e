/* SPDX-License-Identifier: MIT */
/* Expect: tarn: written to after it was freed \(pool, block 0x[0-9a-f]+\) */
#include "tarn/pool.h"

#include <stdio.h>

int main(void)
{
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 48, .poison = true});
    char *object = tarn_pool_alloc(&pool);
    printf("blamed %p\n", (void *)object);
    fflush(stdout);
    tarn_pool_free(&pool, object);
    tarn_pool_reset(&pool);
    object[0] = 0;
    tarn_pool_alloc(&pool);
    return 0;
}
