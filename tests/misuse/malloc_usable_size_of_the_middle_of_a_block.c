/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a block \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

int main(void)
{
    char *block = need(malloc(1000));
    return malloc_usable_size(blamed(block + 16)) > 100;
}
