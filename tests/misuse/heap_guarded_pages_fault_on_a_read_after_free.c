/* SPDX-License-Identifier: MIT */
/* Expect: tarn: byte 23 of a freed block of 24 bytes \(guarded, block 0x[0-9a-f]+\) */
#define _GNU_SOURCE
#include "fault.h"

int main(void)
{
    guard_by_pages();
    volatile char *block = tarn_heap_alloc(&guarded.heap, 24, 8);
    tarn_heap_free(&guarded.heap, (void *)block, 24);
    return block[23];
}
