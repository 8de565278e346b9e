/* SPDX-License-Identifier: MIT */
/* AddressSanitizer: clean */
/* Memcheck: clean */
#include "tarn/pool.h"

#include <stdlib.h>

/* What is only reached from a live object is no leak. */
typedef struct object {
    struct object *next;
    void *block;
} object;

static tarn_pool pool;
static object *first;

int main(void)
{
    tarn_pool_init(&pool, &(tarn_pool_options){.size = sizeof(object)});
    for (int i = 0; i < 10000; i++) {
        object *const made = tarn_pool_alloc(&pool);
        *made = (object){first, malloc(100)};
        first = made;
    }
    return 0;
}
