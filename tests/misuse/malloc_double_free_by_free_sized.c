/* SPDX-License-Identifier: MIT */
/* Expect: tarn: double free \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

int main(void)
{
    void *block = blamed(need(malloc(100)));
    free_sized(block, 100);
    free_sized(hidden(block), 100);
    return 0;
}
