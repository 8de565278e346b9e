/* SPDX-License-Identifier: MIT */
/* Expect: tarn: corrupted free list \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

/* What is written over the link of a freed block would become a pointer to hand out. */
int main(void)
{
    char *blocks[50];
    for (int i = 0; i < 50; i++) {
        blocks[i] = need(malloc(48));
    }
    for (int i = 0; i < 50; i++) {
        free(blocks[i]);
    }
    memset(hidden(blocks[25]), 0x41, 48);
    for (int i = 0; i < 100000; i++) {
        (void)need(malloc(48));
    }
    return 0;
}
