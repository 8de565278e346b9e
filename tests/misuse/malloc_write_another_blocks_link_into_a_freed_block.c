/* SPDX-License-Identifier: MIT */
/* Expect: tarn: corrupted free list \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

/* A link copied from elsewhere is well encoded for its own place only. */
int main(void)
{
    char *blocks[50];
    for (int i = 0; i < 50; i++) {
        blocks[i] = need(malloc(112));
    }
    for (int i = 0; i < 50; i++) {
        free(blocks[i]);
    }
    memcpy(hidden(blocks[40]), blocks[20], 112);
    for (int i = 0; i < 100000; i++) {
        (void)need(malloc(112));
    }
    return 0;
}
