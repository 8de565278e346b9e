/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a block of this heap, or freed already \(pages, block 0x[0-9a-f]+\) */
#include "tarn/heaps.h"

int main(void)
{
    char *block = tarn_heap_alloc(tarn_pages_heap(), 100, 0);
    tarn_heap_free(tarn_pages_heap(), block, 100);
    tarn_heap_free(tarn_pages_heap(), block, 100);
    return 0;
}
