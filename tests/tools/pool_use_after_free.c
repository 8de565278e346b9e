/* SPDX-License-Identifier: MIT */
/* AddressSanitizer: use-after-poison */
/* AddressSanitizer: READ of size 1 */
/* Memcheck: Invalid read of size 1 */
/* Memcheck: is 5 bytes inside a block of size 40 free'd */
#include "tarn/pool.h"

#include <stddef.h>

int main(void)
{
    tarn_pool pool;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 40});
    char *object = tarn_pool_alloc(&pool);
    for (size_t i = 0; i < 40; i++) {
        object[i] = 1;
    }
    tarn_pool_free(&pool, object);
    /* Others come and go meanwhile: what was freed is not handed out again at once. */
    char *others[50];
    for (size_t i = 0; i < 50; i++) {
        others[i] = tarn_pool_alloc(&pool);
    }
    const volatile char *read = object;
    const char is_one = read[5];
    for (size_t i = 0; i < 50; i++) {
        tarn_pool_free(&pool, others[i]);
    }
    tarn_pool_deinit(&pool);
    return is_one - 1;
}
