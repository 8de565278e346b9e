/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a block of this arena, or freed already \(arena, block 0x[0-9a-f]+\) */
#include "tarn/arena.h"

#include <stdio.h>

int main(void)
{
    tarn_arena arena;
    tarn_arena_init(&arena, &(tarn_arena_options){.checks = true});
    void *block = tarn_arena_alloc(&arena, 48);
    printf("blamed %p\n", (void *)block);
    fflush(stdout);
    tarn_arena_free(&arena, block, 48);
    tarn_arena_free(&arena, block, 48);
    return 0;
}
