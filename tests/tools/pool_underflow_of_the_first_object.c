/* SPDX-License-Identifier: MIT */
/* AddressSanitizer: use-after-poison */
/* AddressSanitizer: WRITE of size 1 */
/* Memcheck: Invalid write of size 1 */
/* Memcheck: is 1 bytes before a block of size 32 */
#include "tarn/pool.h"

int main(void)
{
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 32});
    char *object = tarn_pool_alloc(&pool);
    object[-1] = 1;
    tarn_pool_free(&pool, object);
    tarn_pool_deinit(&pool);
    return 0;
}
