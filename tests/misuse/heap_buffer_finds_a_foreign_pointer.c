/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a block of this heap \(buffer, block 0x[0-9a-f]+\) */
#include "tarn/heaps.h"

static unsigned char memory[4096];

int main(void)
{
    tarn_buffer buffer;
    tarn_buffer_init(&buffer, (tarn_memory){memory, sizeof memory}, NULL);
    char block[24];
    tarn_heap_free(&buffer.heap, block, 24);
    return 0;
}
