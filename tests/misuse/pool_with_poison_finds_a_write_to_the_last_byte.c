/* SPDX-License-Identifier: MIT */
/* Expect: tarn: written to after it was freed \(pool, block 0x[0-9a-f]+\) */
#include "tarn/pool.h"

#include <stdio.h>

int main(void)
{
    void *objects[20];
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 47, .poison = true, .threads = TARN_SHARED});
    tarn_pool_alloc_bulk(&pool, objects, 20);
    tarn_pool_free_bulk(&pool, objects, 20);
    printf("blamed %p\n", objects[13]);
    fflush(stdout);
    ((char *)objects[13])[46] ^= 1;
    tarn_pool_alloc_bulk(&pool, objects, 20);
    return 0;
}
