/* SPDX-License-Identifier: MIT */
/* Expect: tarn: (double free|not a block) \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

int main(void)
{
    void *block = blamed(need(malloc(200 << 20)));
    free(block);
    free(hidden(block));
    return 0;
}
