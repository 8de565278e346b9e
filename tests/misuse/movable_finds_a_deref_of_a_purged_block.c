/* SPDX-License-Identifier: MIT */
/* Expect: tarn: used after it was purged \(movable, block 0x[0-9a-f]+\) */
#undef NDEBUG
#include "tarn/movable.h"

int main(void)
{
    tarn_movable heap;
    tarn_movable_init(&heap, NULL);
    const tarn_handle handle = tarn_movable_alloc(&heap, 100, 0);
    tarn_movable_set_purgeable(&heap, handle, true);
    tarn_movable_purge(&heap, 100);
    return *(char *)tarn_deref(&heap, handle);
}
