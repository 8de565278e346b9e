/* SPDX-License-Identifier: MIT */
/* Expect: tarn: double free \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

int main(void)
{
    void *block = blamed(need(aligned_alloc(256, 1000)));
    void *other = need(aligned_alloc(256, 1000));
    free(block);
    free(hidden(block));
    free(other);
    return 0;
}
