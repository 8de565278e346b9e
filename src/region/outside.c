/* SPDX-License-Identifier: MIT */
#include "region/outside.h"

#include "base/check.h"

/*
 * Enlarging the records. Refs are distances, so the records may move.
 */

/* Doubles the buckets and enters every block anew; false if there is no memory. */
static bool grow_buckets(region_range *range)
{
    region_records *records = &range->records;
    const size_t new_size = records->bucket_size * 2;
    tarn_heap *upstream = range->region->options.upstream;
    uint32_t *buckets = tarn_heap_alloc(upstream, new_size, 0);
    if (buckets == NULL) {
        return false;
    }
    tarn_heap_free(upstream, records->buckets, records->bucket_size);
    for (size_t i = 0; i < new_size / sizeof *buckets; i++) {
        buckets[i] = REGION_NONE;
    }
    records->buckets = buckets;
    records->bucket_size = new_size;
    records->bucket_shift--;
    for (uint32_t ref = 0; ref < records->touched; ref++) {
        region_record *record = outside_record(range, ref);
        if (record->node.state == REGION_USED) {
            outside_enter(range, record, ref);
        }
    }
    return true;
}

bool region_records_grow(region_range *range)
{
    region_records *records = &range->records;
    if (records->is_fixed || records->capacity > INT32_MAX / 2) {
        return false;
    }
    const uint32_t capacity = records->capacity * 2;
    const size_t new_size = ((size_t)records->anchors + capacity) << REGION_RECORD_SHIFT;
    unsigned char *block = tarn_heap_realloc(range->region->options.upstream, records->block,
                                             records->block_size, new_size, 0);
    if (block == NULL) {
        return false;
    }
    tarn_region *region = range->region;
    region->footprint += new_size - records->block_size;
    records->block = block;
    records->block_size = new_size;
    records->capacity = capacity;
    range->nodes = block + ((size_t)records->anchors << REGION_RECORD_SHIFT);
    /* Longer chains when this fails are no reason to refuse. */
    const size_t bucket_size = records->bucket_size;
    if (grow_buckets(range)) {
        region->footprint += bucket_size;
    }
    if (region->footprint > region->peak_footprint) {
        region->peak_footprint = region->footprint;
    }
    return true;
}

void region_records_misuse(const region_range *range, uint32_t start)
{
    bool is_free = false;
    for (uint32_t ref = OUTSIDE_HEAD; ref != REGION_NONE && !is_free;) {
        const region_record *record = outside_record(range, ref);
        is_free = record->node.start == start && record->node.state == REGION_FREE;
        ref = record->after;
    }
    region_not_a_block(range, start, is_free);
}
