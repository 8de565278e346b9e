/* SPDX-License-Identifier: MIT */
/* Expect: tarn: use of an arena that has ended \(block 0x[0-9a-f]+\) */
#include "tarn/arena.h"

#include <stdio.h>

int main(void)
{
    tarn_arena arena;
    tarn_arena_init(&arena, NULL);
    (void)tarn_arena_alloc(&arena, 8);
    printf("blamed %p\n", (void *)&arena);
    fflush(stdout);
    tarn_arena_deinit(&arena);
    (void)tarn_arena_alloc(&arena, 8);
    return 0;
}
