/* SPDX-License-Identifier: MIT */
/* AddressSanitizer: use-after-poison */
/* AddressSanitizer: WRITE of size 1 */
/* AddressSanitizer: in main .*pool_overflow\.c:17 */
/* Memcheck: Invalid write of size 1 */
/* Memcheck: at 0x[0-9A-F]+: main \(pool_overflow\.c:17\) */
/* Memcheck: is 0 bytes after a block of size 24 */
#include "tarn/pool.h"

int main(void)
{
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 24});
    char *object = tarn_pool_alloc(&pool);
    char *other = tarn_pool_alloc(&pool);
    other[0] = 1;
    object[24] = 1;
    tarn_pool_free(&pool, object);
    tarn_pool_free(&pool, other);
    tarn_pool_deinit(&pool);
    return 0;
}
