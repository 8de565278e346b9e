/* SPDX-License-Identifier: MIT */
/* Environment: TARN_POOLING=0 */
/* AddressSanitizer: heap-buffer-overflow */
/* AddressSanitizer: is located 0 bytes to the right of 24-byte region */
/* Memcheck: Invalid write of size 1 */
/* Memcheck: is 0 bytes after a block of size 24 alloc'd */
#include "tarn/pool.h"

int main(void)
{
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 24});
    char *object = tarn_pool_alloc(&pool);
    object[24] = 1;
    tarn_pool_free(&pool, object);
    tarn_pool_deinit(&pool);
    return 0;
}
