/* SPDX-License-Identifier: MIT */
#include <tarn/region.h>

#include <stdio.h>

/*
 * A firmware's heap: a static buffer, as the main memory of a controller would be, and a second one, as
 * its core-coupled memory, added later. Nothing comes from a malloc or from the kernel.
 */

static _Alignas(16) unsigned char main_memory[16 * 1024];
static _Alignas(16) unsigned char core_memory[8 * 1024];

static void tell(tarn_region *heap, const char *when)
{
    const tarn_stats stats = tarn_region_stats(heap);
    printf("%-28s %2llu blocks, %5zu bytes live, largest free %5zu\n", when,
           (unsigned long long)stats.blocks, stats.live, stats.largest_free);
}

int main(void)
{
    tarn_region heap;
    const tarn_region_options options = {.name = "firmware", .policy = TARN_SEGREGATED_FIT};
    if (tarn_region_init(&heap, (tarn_memory){main_memory, sizeof main_memory}, &options) !=
        TARN_OK) {
        return 1;
    }
    void *frame = tarn_region_alloc(&heap, 10 * 1024, 32);
    tell(&heap, "a frame buffer:");
    void *packet = tarn_region_alloc(&heap, 6 * 1024, 0);
    printf("a packet of 6 KiB: %s\n", packet == NULL ? "no room" : "served");

    if (tarn_region_add(&heap, (tarn_memory){core_memory, sizeof core_memory}) != TARN_OK) {
        return 1;
    }
    packet = tarn_region_alloc(&heap, 6 * 1024, 0);
    printf("with a second range: %s\n", packet == NULL ? "no room" : "served");
    tell(&heap, "frame and packet:");

    tarn_region_free(&heap, packet);
    const bool is_gone = tarn_region_remove(&heap, core_memory) == TARN_OK;
    printf("the second range, empty again: %s\n", is_gone ? "taken away" : "still there");
    tarn_region_free(&heap, frame);
    tell(&heap, "at the end:");
    tarn_region_deinit(&heap);
    return packet != NULL && is_gone ? 0 : 1;
}
