/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not an object of this pool, or freed already \(pool, block 0x[0-9a-f]+\) */
#include "tarn/heaps.h"
#include "tarn/pool.h"

#include <stdio.h>

int main(void)
{
    tarn_pool pool;
    tarn_set_pooling(false);
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 48});
    void *object = tarn_pool_alloc(&pool);
    printf("blamed %p\n", object);
    fflush(stdout);
    tarn_pool_free(&pool, object);
    tarn_pool_free(&pool, object);
    return 0;
}
