/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not the start of an object of this pool \(pool, block 0x[0-9a-f]+\) */
#include "tarn/pool.h"

#include <stdio.h>

int main(void)
{
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 48, .checks = true});
    char *object = tarn_pool_alloc(&pool);
    printf("blamed %p\n", (void *)(object + 1));
    fflush(stdout);
    tarn_pool_free(&pool, object + 1);
    return 0;
}
