/* SPDX-License-Identifier: MIT */
/* Expect: tarn: (double free|not a block|use after free|freed block) \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

int main(void)
{
    void *block = blamed(need(malloc(100)));
    free(block);
    (void)need(realloc(hidden(block), 5000));
    return 0;
}
