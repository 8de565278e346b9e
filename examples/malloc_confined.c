/* SPDX-License-Identifier: MIT */
#include <tarn/malloc.h>

#include <stdio.h>
#include <string.h>

/*
 * A malloc in a static buffer, as firmware or a plugin wants it: it takes nothing from the kernel, says NULL when the
 * buffer is full, and goes on when something is freed.
 */

static _Alignas(64) unsigned char memory[1 << 20];

struct message {
    struct message *next;
    size_t size;
};

int main(void)
{
    tarn_heap *heap = tarn_malloc_create(
        &(tarn_malloc_options){.name = "messages", .memory = {memory, sizeof memory}});
    if (heap == NULL) {
        fputs("the buffer is too small\n", stderr);
        return 1;
    }
    struct message *queue = NULL;
    unsigned count = 0;
    for (;;) {
        const size_t size = (size_t)64 << count % 3 * 2;
        struct message *message = tarn_heap_alloc(heap, size, 0);
        if (message == NULL) {
            break;
        }
        memset(message, 0, size);
        message->next = queue;
        message->size = size;
        queue = message;
        count++;
    }
    const tarn_stats full = tarn_heap_stats(heap);
    printf("%u messages fill the buffer: %zu of %zu KiB are theirs\n", count, full.live / 1024,
           sizeof memory / 1024);
    while (queue != NULL) {
        struct message *message = queue;
        queue = message->next;
        tarn_heap_free(heap, message, message->size);
    }
    /* What was cut for messages becomes whole again. */
    (void)tarn_heap_trim(heap);
    void *large = tarn_heap_alloc(heap, sizeof memory / 2, 0);
    printf("and when they are gone, half of it can be had in one: %s\n",
           large != NULL ? "yes" : "no");
    tarn_malloc_destroy(heap);
    return count > 500 && large != NULL ? 0 : 1;
}
