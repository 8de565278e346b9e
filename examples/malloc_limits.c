/* SPDX-License-Identifier: MIT */
#include <tarn/malloc.h>

#include <stdio.h>
#include <string.h>

/*
 * A heap of one's own for a cache: it sheds its oldest entries when it passes the soft limit, never passes the hard
 * one, and is thrown away as a whole.
 */

enum { ENTRIES = 1000, ENTRY_SIZE = 20000 };

struct cache {
    void *entries[ENTRIES];
    unsigned oldest;
    unsigned next;
    unsigned shed;
};

/* Called after the request that crossed the soft limit was served, without the heap's lock. */
static void shed_half(void *context, tarn_heap *heap, size_t footprint)
{
    struct cache *cache = context;
    const unsigned until = cache->oldest + (cache->next - cache->oldest) / 2;
    printf("%zu KiB held: shedding %u entries\n", footprint / 1024, until - cache->oldest);
    for (; cache->oldest < until; cache->oldest++) {
        tarn_heap_free(heap, cache->entries[cache->oldest], ENTRY_SIZE);
        cache->shed++;
    }
    (void)tarn_heap_trim(heap);
}

int main(void)
{
    struct cache cache = {0};
    tarn_heap *heap = tarn_malloc_create(&(tarn_malloc_options){.name = "cache",
                                                                .soft_limit = 4 << 20,
                                                                .hard_limit = 8 << 20,
                                                                .on_soft_limit = shed_half,
                                                                .context = &cache});
    if (heap == NULL) {
        fputs("no memory for the heap\n", stderr);
        return 1;
    }
    while (cache.next < ENTRIES) {
        void *entry = tarn_heap_alloc(heap, ENTRY_SIZE, 0);
        if (entry == NULL) {
            fputs("the hard limit is reached\n", stderr);
            break;
        }
        memset(entry, 1, ENTRY_SIZE);
        cache.entries[cache.next++] = entry;
    }
    const tarn_stats stats = tarn_heap_stats(heap);
    printf("%u entries made, %u shed; %zu KiB live, at most %zu KiB held\n", cache.next, cache.shed,
           stats.live / 1024, stats.peak_footprint / 1024);
    /* All entries at once. */
    tarn_malloc_destroy(heap);
    return stats.peak_footprint <= 8 << 20 ? 0 : 1;
}
