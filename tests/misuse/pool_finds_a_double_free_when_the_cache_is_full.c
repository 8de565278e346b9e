/* SPDX-License-Identifier: MIT */
/* Expect: tarn: double free \(pool, block 0x[0-9a-f]+\) */
#include "tarn/pool.h"

#include <stdio.h>

enum { COUNT = 5000 };

int main(void)
{
    static void *objects[COUNT];
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 48});
    tarn_pool_alloc_bulk(&pool, objects, COUNT);
    printf("blamed %p\n", objects[7]);
    fflush(stdout);
    tarn_pool_free(&pool, objects[7]);
    for (int i = 0; i < COUNT; i++) {
        tarn_pool_free(&pool, objects[i]);
    }
    return 0;
}
