/* SPDX-License-Identifier: MIT */
/* Expect: tarn: access past the block's limit \(movable, block 0x[0-9a-f]+\) */
#undef NDEBUG
#include "tarn/movable.h"

int main(void)
{
    tarn_movable heap;
    tarn_movable_init(&heap, NULL);
    const tarn_handle handle = tarn_movable_alloc(&heap, 100, 0);
    return *(char *)tarn_movable_at(&heap, handle, 100, 1);
}
