/* SPDX-License-Identifier: MIT */
/* AddressSanitizer: use-after-poison */
/* AddressSanitizer: WRITE of size 8 */
/* Memcheck: Invalid write of size 8 */
/* Memcheck: is 0 bytes inside a block of size 64 free'd */
#include "tarn/pool.h"

#include <pthread.h>

static tarn_pool pool;

static void *give_back(void *object)
{
    tarn_pool_free(&pool, object);
    return NULL;
}

int main(void)
{
    pthread_t thread;
    tarn_pool_init(&pool, &(tarn_pool_options){.size = 64, .threads = TARN_SHARED});
    long *object = tarn_pool_alloc(&pool);
    object[0] = 1;
    pthread_create(&thread, NULL, give_back, object);
    pthread_join(thread, NULL);
    object[0] = 2;
    tarn_pool_deinit(&pool);
    return 0;
}
