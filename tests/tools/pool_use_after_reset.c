/* SPDX-License-Identifier: MIT */
/* AddressSanitizer: use-after-poison */
/* AddressSanitizer: READ of size 1 */
/* Memcheck: Invalid read of size 1 */
#include "tarn/pool.h"

int main(void)
{
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 40});
    char *object = tarn_pool_alloc(&pool);
    object[0] = 1;
    tarn_pool_reset(&pool);
    const char is_one = *(volatile char *)object;
    tarn_pool_deinit(&pool);
    return is_one - 1;
}
