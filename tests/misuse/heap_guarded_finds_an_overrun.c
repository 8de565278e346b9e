/* SPDX-License-Identifier: MIT */
/* Expect: tarn: byte 0 past the end of a block of 24 bytes was overwritten \(guarded, block 0x[0-9a-f]+\) */
#include "tarn/heaps.h"

int main(void)
{
    tarn_guarded guarded;
    tarn_guarded_init(&guarded, NULL);
    char *block = tarn_heap_alloc(&guarded.heap, 24, 0);
    block[24] = 'x';
    tarn_heap_free(&guarded.heap, block, 24);
    return 0;
}
