/* SPDX-License-Identifier: MIT */
/* AddressSanitizer: clean */
/* Memcheck: Conditional jump or move depends on uninitialised value */
#include "tarn/pool.h"

#include <stdio.h>

int main(void)
{
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 40});
    const volatile int *object = tarn_pool_alloc(&pool);
    if (object[3] != 0) {
        puts("not zero");
    }
    tarn_pool_deinit(&pool);
    return 0;
}
