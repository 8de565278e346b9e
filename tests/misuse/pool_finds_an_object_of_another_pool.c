/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not an object of this pool \(replies, block 0x[0-9a-f]+\) */
#include "tarn/pool.h"

#include <stdio.h>

int main(void)
{
    tarn_pool requests;
    tarn_pool replies;
    tarn_pool_init(&requests, &(tarn_pool_options){.size = 48, .name = "requests"});
    tarn_pool_init(&replies, &(tarn_pool_options){.size = 48, .name = "replies"});
    tarn_pool_alloc(&replies);
    void *object = tarn_pool_alloc(&requests);
    printf("blamed %p\n", object);
    fflush(stdout);
    tarn_pool_free(&replies, object);
    tarn_pool_flush(&replies);
    return 0;
}
