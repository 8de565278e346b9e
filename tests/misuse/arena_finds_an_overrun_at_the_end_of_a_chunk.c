/* SPDX-License-Identifier: MIT */
/* Expect: tarn: the end of a chunk was overwritten \(arena, block 0x[0-9a-f]+\) */
#include "tarn/arena.h"

#include <stdio.h>
#include <string.h>

int main(void)
{
    tarn_arena arena;
    tarn_arena_init(&arena, NULL);
    (void)tarn_arena_alloc(&arena, 8);
    const size_t room = tarn_arena_room(&arena);
    char *block = tarn_arena_alloc(&arena, room);
    printf("blamed %p\n", (void *)(block + room));
    fflush(stdout);
    memset(block, 'x', room + 1);
    (void)tarn_arena_alloc(&arena, 8);
    return 0;
}
