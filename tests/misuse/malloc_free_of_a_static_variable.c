/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a block \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

static long number[100];

int main(void)
{
    free(blamed(number));
    return 0;
}
