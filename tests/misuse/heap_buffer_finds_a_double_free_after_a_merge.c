/* SPDX-License-Identifier: MIT */
/* Expect: tarn: double free \(buffer, block 0x[0-9a-f]+\) */
#include "tarn/heaps.h"

static unsigned char memory[4096];

int main(void)
{
    tarn_buffer buffer;
    tarn_buffer_init(&buffer, (tarn_memory){memory, sizeof memory}, NULL);
    char *first = tarn_heap_alloc(&buffer.heap, 24, 0);
    char *second = tarn_heap_alloc(&buffer.heap, 24, 0);
    tarn_heap_free(&buffer.heap, second, 24);
    tarn_heap_free(&buffer.heap, first, 24);
    tarn_heap_free(&buffer.heap, second, 24);
    return 0;
}
