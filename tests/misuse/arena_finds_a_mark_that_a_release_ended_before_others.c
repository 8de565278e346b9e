/* SPDX-License-Identifier: MIT */
/* Expect: tarn: a mark from before a reset, or a release to an older mark \(arena, block 0x[0-9a-f]+\) */
#include "tarn/arena.h"

#include <stdio.h>

int main(void)
{
    tarn_arena arena;
    tarn_arena_init(&arena, NULL);
    const tarn_arena_point outer = tarn_arena_mark(&arena);
    char *block = tarn_arena_alloc(&arena, 24);
    const tarn_arena_point inner = tarn_arena_mark(&arena);
    printf("blamed %p\n", (void *)(block + 24));
    fflush(stdout);
    tarn_arena_release(&arena, outer);
    (void)tarn_arena_alloc(&arena, 1000);
    {
        TARN_ARENA_SCOPE(scratch, &arena);
        (void)tarn_arena_alloc(&arena, 1000);
    }
    tarn_arena_release(&arena, inner);
    return 0;
}
