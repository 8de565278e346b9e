/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a block \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

int main(void)
{
    free(blamed((void *)(uintptr_t) "a literal"));
    return 0;
}
