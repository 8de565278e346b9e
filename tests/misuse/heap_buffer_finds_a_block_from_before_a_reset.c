/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a block of this heap, or the bytes before it were overwritten \(buffer, block 0x[0-9a-f]+\) */
#include "tarn/heaps.h"

static unsigned char memory[4096];

int main(void)
{
    tarn_buffer buffer;
    tarn_buffer_init(&buffer, (tarn_memory){memory, sizeof memory}, NULL);
    tarn_heap_alloc(&buffer.heap, 24, 0);
    char *block = tarn_heap_alloc(&buffer.heap, 24, 0);
    tarn_heap_reset(&buffer.heap);
    tarn_heap_free(&buffer.heap, block, 24);
    return 0;
}
