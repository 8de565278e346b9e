/* SPDX-License-Identifier: MIT */
/* Expect: tarn: double free \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

int main(void)
{
    void *others[20];
    void *block = blamed(need(malloc(100)));
    for (int i = 0; i < 20; i++) {
        others[i] = need(malloc(100));
    }
    free(others[0]);
    free(block);
    for (int i = 1; i < 20; i++) {
        free(others[i]);
    }
    free(hidden(block));
    return 0;
}
