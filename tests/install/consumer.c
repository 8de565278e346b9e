/* SPDX-License-Identifier: MIT */
/* Somebody else's program: takes a block from the general malloc by its own name and by the heap interface. */
#include <tarn/base.h>
#include <tarn/heap.h>
#include <tarn/malloc.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    char *block = tarn_malloc(100);
    if (block == NULL || tarn_malloc_usable_size(block) < 100) {
        fprintf(stderr, "consumer: tarn_malloc gave no block of 100 bytes\n");
        return 1;
    }
    memset(block, 'x', 100);
    tarn_free(block);

    tarn_heap *heap = tarn_malloc_heap();
    void *thing = tarn_heap_alloc(heap, 5000, 64);
    if (thing == NULL) {
        fprintf(stderr, "consumer: the heap gave no block of 5000 bytes\n");
        return 1;
    }
    tarn_heap_free(heap, thing, 5000);
    printf("tarn %d.%d.%d: %s\n", TARN_VERSION_MAJOR, TARN_VERSION_MINOR, TARN_VERSION_PATCH,
           tarn_status_text(TARN_OK));
    return 0;
}
