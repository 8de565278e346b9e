/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not an object of this pool \(pool, block 0x[0-9a-f]+\) */
#include "tarn/pool.h"

#include <stdio.h>

int main(void)
{
    static char foreign[48];
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 48, .checks = true});
    tarn_pool_alloc(&pool);
    printf("blamed %p\n", (void *)foreign);
    fflush(stdout);
    tarn_pool_free(&pool, foreign);
    return 0;
}
