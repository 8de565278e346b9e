/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a block of this heap, or the bytes before it were overwritten \(buffer, block 0x[0-9a-f]+\) */
#include "tarn/heaps.h"

static unsigned char memory[4096];

int main(void)
{
    tarn_buffer buffer;
    tarn_buffer_init(&buffer, (tarn_memory){memory, sizeof memory}, NULL);
    char *block = tarn_heap_calloc(&buffer.heap, 1, 64, 0);
    tarn_heap_free(&buffer.heap, block + 32, 32);
    return 0;
}
