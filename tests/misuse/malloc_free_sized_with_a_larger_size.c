/* SPDX-License-Identifier: MIT */
/* Expect: tarn: wrong size in sized free \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

int main(void)
{
    free_sized(blamed(need(malloc(100))), 1000);
    return 0;
}
