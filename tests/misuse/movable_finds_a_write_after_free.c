/* SPDX-License-Identifier: MIT */
/* Expect: tarn: a freed block was written to \(movable, block 0x[0-9a-f]+\) */
#include "tarn/movable.h"

#include <string.h>

int main(void)
{
    tarn_movable heap;
    tarn_movable_init(&heap, NULL);
    const tarn_handle first = tarn_movable_alloc(&heap, 100, 8);
    (void)tarn_movable_alloc(&heap, 100, 8);
    char *block = tarn_deref(&heap, first);
    tarn_movable_free(&heap, first);
    memset(block, 'x', 16);
    (void)tarn_movable_alloc(&heap, 100, 8);
    return 0;
}
