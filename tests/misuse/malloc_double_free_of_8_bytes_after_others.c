/* SPDX-License-Identifier: MIT */
/* Expect: tarn: double free \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

int main(void)
{
    void *blocks[100];
    for (int i = 0; i < 100; i++) {
        blocks[i] = need(malloc(8));
    }
    for (int i = 0; i < 100; i++) {
        free(blocks[i]);
    }
    free(blamed(blocks[50]));
    return 0;
}
