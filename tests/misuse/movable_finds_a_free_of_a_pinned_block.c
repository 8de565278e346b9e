/* SPDX-License-Identifier: MIT */
/* Expect: tarn: freed while it is pinned \(movable, block 0x[0-9a-f]+\) */
#include "tarn/movable.h"

int main(void)
{
    tarn_movable heap;
    tarn_movable_init(&heap, NULL);
    const tarn_handle handle = tarn_movable_alloc(&heap, 100, 0);
    (void)tarn_pin(&heap, handle);
    tarn_movable_free(&heap, handle);
    return 0;
}
