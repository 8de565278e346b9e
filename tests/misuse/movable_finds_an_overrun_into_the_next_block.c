/* SPDX-License-Identifier: MIT */
/* Expect: tarn: the bytes before the block were overwritten \(movable, block 0x[0-9a-f]+\) */
#include "tarn/movable.h"

#include <string.h>

int main(void)
{
    tarn_movable heap;
    tarn_movable_init(&heap, NULL);
    const tarn_handle first = tarn_movable_alloc(&heap, 24, 8);
    const tarn_handle second = tarn_movable_alloc(&heap, 24, 8);
    memset(tarn_deref(&heap, first), 'x', 32);
    tarn_movable_free(&heap, second);
    return 0;
}
