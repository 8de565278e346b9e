/* SPDX-License-Identifier: MIT */
/* Expect: tarn: a cleanup that was cancelled, or has run \(arena, block 0x[0-9a-f]+\) */
#include "tarn/arena.h"

#include <stdio.h>

static void forget(void *context)
{
    (void)context;
}

int main(void)
{
    tarn_arena arena;
    tarn_arena_init(&arena, NULL);
    tarn_arena_cleanup *cleanup = tarn_arena_on_reset(&arena, forget, NULL);
    printf("blamed %p\n", (void *)cleanup);
    fflush(stdout);
    tarn_arena_cancel(&arena, cleanup);
    tarn_arena_cancel(&arena, cleanup);
    return 0;
}
