/* SPDX-License-Identifier: MIT */
/* The general malloc as a heap, then a heap of one's own that is confined to a buffer. */
#include "heap_run.h"
#include "tarn/malloc.h"

#include <stdalign.h>

static alignas(4096) unsigned char memory[1 << 20];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    if (data[0] % 2 == 0) {
        heap_run(tarn_malloc_heap(), data + 1, size - 1, (size_t)4 << 20);
        return 0;
    }
    const tarn_malloc_options options = {.memory = {memory, sizeof memory}};
    tarn_heap *heap = tarn_malloc_create(&options);
    if (heap == NULL) {
        __builtin_trap();
    }
    heap_run(heap, data + 1, size - 1, sizeof memory / 2);
    tarn_malloc_destroy(heap);
    return 0;
}
