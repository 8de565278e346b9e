/* SPDX-License-Identifier: MIT */
#include "region/strips.h"

static uint32_t strip_count(uint32_t granules)
{
    return (granules + REGION_STRIP_MASK) >> REGION_STRIP_SHIFT;
}

size_t region_strips_size(const tarn_region_options *options, uint32_t granules)
{
    (void)options;
    uint32_t entries = strip_count(granules);
    size_t words = region_level_entries(entries); /* roots */
    do {
        words += region_level_entries(entries);
        entries = (entries + REGION_FAN - 1) / REGION_FAN;
    } while (entries > 1);
    return words * sizeof(uint32_t);
}

HEAP_UNWATCHED void region_strips_open(region_range *range)
{
    region_strips *strips = &range->index.strips;
    uint32_t *place = (uint32_t *)(void *)range->index_memory;
    uint32_t entries = strip_count(range->granules);
    strips->count = entries;
    strips->roots = place;
    for (uint32_t i = 0; i < region_level_entries(entries); i++) {
        *place++ = REGION_NONE;
    }
    strips->level_count = 0;
    do {
        strips->levels[strips->level_count++] = place;
        for (uint32_t i = 0; i < region_level_entries(entries); i++) {
            *place++ = 0;
        }
        entries = (entries + REGION_FAN - 1) / REGION_FAN;
    } while (entries > 1);
}
