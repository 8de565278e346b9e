/* SPDX-License-Identifier: MIT */
/* Expect: tarn: double free \(pool, block 0x[0-9a-f]+\) */
#include "tarn/pool.h"

#include <stdio.h>

enum { COUNT = 3000 };

int main(void)
{
    static void *objects[COUNT];
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 48});
    tarn_pool_alloc_bulk(&pool, objects, COUNT);
    printf("blamed %p\n", objects[100]);
    fflush(stdout);
    objects[200] = objects[100];
    tarn_pool_free_bulk(&pool, objects, COUNT);
    tarn_pool_flush(&pool);
    return 0;
}
