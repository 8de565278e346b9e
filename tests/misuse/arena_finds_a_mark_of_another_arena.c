/* SPDX-License-Identifier: MIT */
/* Expect: tarn: a mark of another arena \(arena, block 0x[0-9a-f]+\) */
#include "tarn/arena.h"

#include <stdio.h>

int main(void)
{
    tarn_arena arena;
    tarn_arena other;
    tarn_arena_init(&arena, NULL);
    tarn_arena_init(&other, NULL);
    char *block = tarn_arena_alloc(&other, 24);
    const tarn_arena_point mark = tarn_arena_mark(&other);
    printf("blamed %p\n", (void *)(block + 24));
    fflush(stdout);
    tarn_arena_release(&arena, mark);
    return 0;
}
