/* SPDX-License-Identifier: MIT */
/* Expect: tarn: not a handle of this heap, or freed already \(movable, block 0x[0-9a-f]+\) */
#undef NDEBUG
#include "tarn/movable.h"

int main(void)
{
    tarn_movable heap;
    tarn_movable_init(&heap, NULL);
    const tarn_handle handle = tarn_movable_alloc(&heap, 100, 0);
    tarn_movable_free(&heap, handle);
    return *(char *)tarn_deref(&heap, handle);
}
