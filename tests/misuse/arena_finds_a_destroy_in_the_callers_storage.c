/* SPDX-License-Identifier: MIT */
/* Expect: tarn: destroy of an arena that was not created \(arena, block 0x[0-9a-f]+\) */
#include "tarn/arena.h"

#include <stdio.h>

int main(void)
{
    tarn_arena arena;
    tarn_arena_init(&arena, NULL);
    printf("blamed %p\n", (void *)&arena);
    fflush(stdout);
    tarn_arena_destroy(&arena);
    return 0;
}
