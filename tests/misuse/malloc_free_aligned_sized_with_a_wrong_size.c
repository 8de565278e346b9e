/* SPDX-License-Identifier: MIT */
/* Expect: tarn: wrong size in sized free \(malloc, block 0x[0-9a-f]+\) */
#include "malloc_misuse.h"

int main(void)
{
    free_aligned_sized(blamed(need(aligned_alloc(64, 640))), 64, 64);
    return 0;
}
