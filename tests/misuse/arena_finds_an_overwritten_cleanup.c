/* SPDX-License-Identifier: MIT */
/* Expect: tarn: a cleanup was overwritten, or was not this arena's \(arena, block 0x[0-9a-f]+\) */
#include "tarn/arena.h"

#include <stdio.h>
#include <string.h>

static void forget(void *context)
{
    (void)context;
}

int main(void)
{
    tarn_arena arena;
    tarn_arena_init(&arena, NULL);
    char *block = tarn_arena_alloc(&arena, 24);
    void *cleanup = tarn_arena_on_reset(&arena, forget, NULL);
    printf("blamed %p\n", (void *)cleanup);
    fflush(stdout);
    memset(block, 'x', 25);
    tarn_arena_reset(&arena);
    return 0;
}
