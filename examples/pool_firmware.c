/* SPDX-License-Identifier: MIT */
#include <tarn/heaps.h>
#include <tarn/pool.h>

#include <stdio.h>
#include <string.h>

/*
 * A firmware's heap: everything is in one static buffer, so that the linker's map shows what memory is for. Packets and
 * timers have a pool each, of a size that was decided beforehand; what else is needed comes from the rest. A packet that
 * never comes back costs packets, and nothing else.
 */

static _Alignas(16) unsigned char memory[24 * 1024];

enum { PACKETS = 64, TIMERS = 32 };

typedef struct packet {
    unsigned length;
    unsigned char bytes[124];
} packet;

typedef struct timer {
    unsigned due; /* in ticks */
    unsigned period;
    void (*ring)(void *what);
    void *what;
} timer;

static void tell(tarn_heap *heap)
{
    const tarn_stats stats = tarn_heap_stats(heap);
    printf("%-10s %3llu blocks, %5zu bytes live of %5zu\n", heap->name,
           (unsigned long long)stats.blocks, stats.live, stats.footprint);
}

/* All of them from the start, and checked: a wild pointer is found where it is given back. */
static tarn_status make(tarn_pool *pool, tarn_heap *heap, const char *name, size_t size,
                        size_t count)
{
    return tarn_pool_init(pool, &(tarn_pool_options){.size = size,
                                                     .upstream = heap,
                                                     .name = name,
                                                     .max_objects = count,
                                                     .preallocate = true,
                                                     .checks = true});
}

int main(void)
{
    tarn_buffer all;
    tarn_pool packets;
    tarn_pool timers;
    if (tarn_buffer_init(&all, (tarn_memory){memory, sizeof memory}, NULL) != TARN_OK ||
        make(&packets, &all.heap, "packets", sizeof(packet), PACKETS) != TARN_OK ||
        make(&timers, &all.heap, "timers", sizeof(timer), TIMERS) != TARN_OK) {
        fputs("the buffer is too small\n", stderr);
        return 1;
    }
    timer *const blink = tarn_pool_alloc(&timers);
    *blink = (timer){.due = 500, .period = 500};
    char *const settings = tarn_heap_alloc(&all.heap, 300, 0);
    memset(settings, 0, 300);

    /* A storm of packets: the pool is empty in the end, and the rest does not notice. */
    packet *storm[PACKETS];
    unsigned dropped = 0;
    for (unsigned i = 0; i < PACKETS + 20; i++) {
        packet *const arrived = tarn_pool_alloc(&packets);
        if (arrived == NULL) {
            dropped++;
            continue;
        }
        arrived->length = i;
        storm[i] = arrived;
    }
    tell(&packets.heap);
    tell(&timers.heap);
    tell(&all.heap);
    timer *const watchdog = tarn_pool_alloc(&timers);
    printf("packets dropped: %u; a timer meanwhile: %s\n", dropped,
           watchdog != NULL ? "served" : "no room");

    for (unsigned i = 0; i < PACKETS; i++) {
        tarn_pool_free(&packets, storm[i]);
    }
    printf("after the storm a packet is %s\n",
           tarn_pool_owns(&packets, storm[0]) ? "the pool's again" : "lost");
    const bool is_good = tarn_pool_stats(&packets).blocks == 0 && dropped == 20 && watchdog != NULL;
    tarn_pool_deinit(&timers);
    tarn_pool_deinit(&packets);
    tarn_heap_free(&all.heap, settings, 300);
    tarn_buffer_deinit(&all);
    return is_good ? 0 : 1;
}
