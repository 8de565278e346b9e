/* SPDX-License-Identifier: MIT */
/* Expect: tarn: (double free|corrupted free list) \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

/* The first bytes of a freed block are the free list's; a program that writes zeroes there and frees again must not get
 * away with it. */
int main(void)
{
    char *block = blamed(need(malloc(64)));
    char *other = need(malloc(64));
    free(block);
    memset(hidden(block), 0, 64);
    free(hidden(block));
    free(other);
    for (int i = 0; i < 100000; i++) {
        (void)need(malloc(64));
    }
    return 0;
}
