/* SPDX-License-Identifier: MIT */
/* Expect: tarn: reset, released or ended from inside of a cleanup \(arena, block 0x[0-9a-f]+\) */
#include "tarn/arena.h"

#include <stdio.h>

static void reset(void *arena)
{
    tarn_arena_reset(arena);
}

int main(void)
{
    tarn_arena arena;
    tarn_arena_init(&arena, NULL);
    printf("blamed %p\n", (void *)&arena);
    fflush(stdout);
    (void)tarn_arena_on_reset(&arena, reset, &arena);
    tarn_arena_reset(&arena);
    return 0;
}
