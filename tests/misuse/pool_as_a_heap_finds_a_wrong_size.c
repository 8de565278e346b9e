/* SPDX-License-Identifier: MIT */
/* Expect: tarn: wrong size given back with the block \(pool, block 0x[0-9a-f]+\) */
#include "tarn/pool.h"

#include <stdio.h>

int main(void)
{
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 48});
    void *block = tarn_heap_alloc(&pool.heap, 48, 0);
    printf("blamed %p\n", block);
    fflush(stdout);
    tarn_heap_free(&pool.heap, block, 49);
    return 0;
}
