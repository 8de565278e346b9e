/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a block \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

int main(void)
{
    char *block = need(malloc(200000));
    free(blamed(block + 16));
    return 0;
}
