/* SPDX-License-Identifier: MIT */
/* Environment: TARN_POOLING=0 */
/* AddressSanitizer: clean */
/* Memcheck: clean */
#include "tarn/pool.h"

/* Objects end with their pool, so what was not given back before is no leak. */
int main(void)
{
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 24});
    for (int i = 0; i < 100; i++) {
        (void)tarn_pool_alloc(&pool);
    }
    tarn_pool_deinit(&pool);
    return 0;
}
