/* SPDX-License-Identifier: MIT */
/* Expect: tarn: use of an arena that has ended \(block 0x[0-9a-f]+\) */
#include "tarn/arena.h"

#include <stdio.h>

int main(void)
{
    tarn_arena parent;
    tarn_arena child;
    tarn_arena_init(&parent, NULL);
    tarn_arena_init(&child, &(tarn_arena_options){.parent = &parent});
    (void)tarn_arena_alloc(&child, 8);
    printf("blamed %p\n", (void *)&child);
    fflush(stdout);
    tarn_arena_reset(&parent);
    (void)tarn_arena_alloc(&child, 8);
    return 0;
}
