/* SPDX-License-Identifier: MIT */
/* Expect: tarn: corrupted free list \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

int main(void)
{
    char *blocks[100];
    for (int i = 0; i < 100; i++) {
        blocks[i] = need(malloc(96));
    }
    for (int i = 0; i < 100; i += 2) {
        free(blocks[i]);
    }
    for (int i = 1; i < 100; i += 2) {
        memset(hidden(blocks[i]), 0x7f, malloc_usable_size(blocks[i]) + 8);
    }
    for (int i = 0; i < 100000; i++) {
        (void)need(malloc(96));
    }
    return 0;
}
