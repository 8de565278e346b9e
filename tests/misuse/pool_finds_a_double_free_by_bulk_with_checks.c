/* SPDX-License-Identifier: MIT */
/* Expect: tarn: double free \(pool, block 0x[0-9a-f]+\) */
#include "tarn/pool.h"

#include <stdio.h>

int main(void)
{
    void *objects[10];
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 48, .checks = true});
    tarn_pool_alloc_bulk(&pool, objects, 10);
    printf("blamed %p\n", objects[1]);
    fflush(stdout);
    objects[2] = objects[1];
    tarn_pool_free_bulk(&pool, objects, 10);
    return 0;
}
