/* SPDX-License-Identifier: MIT */
/* Expect: tarn: written to after it was freed \(pool, block 0x[0-9a-f]+\) */
#include "tarn/pool.h"

#include <stdio.h>

int main(void)
{
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 48, .poison = true});
    char *object = tarn_pool_alloc(&pool);
    tarn_pool_free(&pool, object);
    printf("blamed %p\n", (void *)object);
    fflush(stdout);
    object[20] = 1;
    tarn_pool_alloc(&pool);
    return 0;
}
