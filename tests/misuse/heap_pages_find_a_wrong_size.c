/* SPDX-License-Identifier: MIT */
/* Expect: tarn: wrong size given back with the block \(pages, block 0x[0-9a-f]+\) */
#include "tarn/heaps.h"

int main(void)
{
    char *block = tarn_heap_alloc(tarn_pages_heap(), 100, 0);
    tarn_heap_free(tarn_pages_heap(), block, 99);
    return 0;
}
