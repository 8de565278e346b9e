/* SPDX-License-Identifier: MIT */
/* Expect: tarn: corrupted free list \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

static char target[64];

/* The classic attack: the next block handed out shall be the target. */
int main(void)
{
    char *blocks[50];
    for (int i = 0; i < 50; i++) {
        blocks[i] = need(malloc(64));
    }
    for (int i = 0; i < 50; i++) {
        free(blocks[i]);
    }
    void *address = target;
    memcpy(hidden(blocks[49]), &address, sizeof address);
    for (int i = 0; i < 100000; i++) {
        if (need(malloc(64)) == (void *)target) {
            fputs("the attack worked\n", stderr);
            return 4;
        }
    }
    return 0;
}
