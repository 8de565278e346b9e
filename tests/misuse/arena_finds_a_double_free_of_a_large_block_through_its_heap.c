/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a block of this arena, or freed already \(arena, block 0x[0-9a-f]+\) */
#include "tarn/arena.h"

#include <stdio.h>

int main(void)
{
    tarn_arena arena;
    tarn_arena_init(&arena, NULL);
    void *block = tarn_heap_alloc(&arena.heap, 500000, 0);
    printf("blamed %p\n", (void *)block);
    fflush(stdout);
    tarn_heap_free(&arena.heap, block, 500000);
    tarn_heap_free(&arena.heap, block, 500000);
    return 0;
}
