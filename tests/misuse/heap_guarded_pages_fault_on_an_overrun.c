/* SPDX-License-Identifier: MIT */
/* Expect: tarn: byte 0 past the end of a block of 24 bytes \(guarded, block 0x[0-9a-f]+\) */
#define _GNU_SOURCE
#include "fault.h"

int main(void)
{
    guard_by_pages();
    volatile char *block = tarn_heap_alloc(&guarded.heap, 24, 8);
    block[24] = 'x';
    return 0;
}
