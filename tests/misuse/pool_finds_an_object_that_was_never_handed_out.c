/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not an object in use \(pool, block 0x[0-9a-f]+\) */
#include "tarn/pool.h"

#include <stdio.h>

int main(void)
{
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 48, .checks = true, .first_objects = 100});
    char *object = tarn_pool_alloc(&pool);
    printf("blamed %p\n", (void *)(object + 50 * 48));
    fflush(stdout);
    tarn_pool_free(&pool, object + 50 * 48);
    return 0;
}
