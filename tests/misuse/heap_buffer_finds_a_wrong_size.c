/* SPDX-License-Identifier: MIT */
/* Expect: tarn: wrong size given back with the block \(buffer, block 0x[0-9a-f]+\) */
#include "tarn/heaps.h"

static unsigned char memory[4096];

int main(void)
{
    tarn_buffer buffer;
    tarn_buffer_init(&buffer, (tarn_memory){memory, sizeof memory}, NULL);
    char *block = tarn_heap_alloc(&buffer.heap, 24, 0);
    tarn_heap_free(&buffer.heap, block, 240);
    return 0;
}
