/* SPDX-License-Identifier: MIT */
/* Expect: tarn: free of a name that has no place \(overlay, block 0x[0-9a-f]+\) */
#include "tarn/overlay_heap.h"

static const tarn_overlay_place places[] = {{"early", 0, 64, false}, {"late", 32, 64, false}};

int main(void)
{
    tarn_overlay_heap heap;
    tarn_overlay_heap_init(&heap, places, 2, NULL);
    tarn_overlay_heap_alloc(&heap, "early", 64);
    tarn_overlay_heap_free(&heap, "lately");
    return 0;
}
