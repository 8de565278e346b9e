/* SPDX-License-Identifier: MIT */
#ifndef TARN_REGION_OUTSIDE_H
#define TARN_REGION_OUTSIDE_H

#include "region/index.h"
#include "region/range.h"

/*
 * Dynamic partitions with their books outside: a record for each, chained in the order of addresses,
 * and a hash table from the start of a used one to its record. The range itself is never touched.
 *
 *     block                     nodes
 *     [ anchors of lists        | record 0 | record 1 | ... touched |  ...  capacity ]
 *
 *     record 4                record 0                record 9
 *     used, start 0   <---->  free, start 8   <---->  used, start 20      (before, after)
 *
 * Invariant: following `after` from record `head` gives partitions that fill the range in order; of
 * two neighbours at most one is free; the free ones are in the index, the used ones in the table.
 */

typedef struct __attribute__((may_alias)) region_record {
    region_node node;
    uint32_t before; /* record of the partition before, or REGION_NONE */
    uint32_t after;
} region_record;

_Static_assert(sizeof(region_record) == 1U << REGION_RECORD_SHIFT, "refs are shifted to records");

/* Makes room for some more records; false if there is no memory. Everything may have moved then,
 * but no ref has changed. */
bool region_records_grow(region_range *range) __attribute__((cold, noinline));

/* Records that one call may need at most. */
enum { OUTSIDE_SPARE = 2 };

REGION_INLINE region_record *outside_record(const region_range *range, uint32_t ref)
{
    return (region_record *)(void *)region_node_at(range, ref, true);
}

REGION_INLINE uint32_t *outside_bucket(const region_range *range, uint32_t start)
{
    const uint32_t mixed = (start ^ range->salt) * 0x9E3779B1U;
    return &range->records.buckets[mixed >> range->records.bucket_shift];
}

/* False if there is no memory for the records that a call may need. */
REGION_INLINE bool outside_is_ready(region_range *range)
{
    const region_records *records = &range->records;
    return base_likely(records->spare + (records->capacity - records->touched) >= OUTSIDE_SPARE) ||
           region_records_grow(range);
}

REGION_INLINE uint32_t outside_take_record(region_range *range)
{
    region_records *records = &range->records;
    if (records->vacant != REGION_NONE) {
        const uint32_t ref = records->vacant;
        records->vacant = outside_record(range, ref)->node.a;
        records->spare--;
        return ref;
    }
    return records->touched++;
}

REGION_INLINE void outside_drop_record(region_range *range, uint32_t ref)
{
    region_records *records = &range->records;
    region_record *record = outside_record(range, ref);
    record->node.state = 0;
    record->node.a = records->vacant;
    records->vacant = ref;
    records->spare++;
}

/* Enters a used partition in the table. */
REGION_INLINE void outside_enter(region_range *range, region_record *record, uint32_t ref)
{
    uint32_t *bucket = outside_bucket(range, record->node.start);
    record->node.state = REGION_USED;
    record->node.a = *bucket;
    *bucket = ref;
}

/* The place that leads to the record of the live block at `start`; REGION_NONE is there if none. */
REGION_INLINE uint32_t *outside_place(const region_range *range, uint32_t start)
{
    uint32_t *place = outside_bucket(range, start);
    while (*place != REGION_NONE) {
        region_record *record = outside_record(range, *place);
        if (record->node.start == start) {
            break;
        }
        place = &record->node.a;
    }
    return place;
}

/* Puts a new record behind another. */
REGION_INLINE region_record *outside_append(region_range *range, region_record *record,
                                            uint32_t ref, uint32_t new_ref, uint32_t start,
                                            uint32_t size)
{
    region_record *new = outside_record(range, new_ref);
    new->node.start = start;
    new->node.size = size;
    new->before = ref;
    new->after = record->after;
    if (record->after != REGION_NONE) {
        outside_record(range, record->after)->before = new_ref;
    }
    record->after = new_ref;
    return new;
}

/* Takes the record behind another away; its partition has become part of that one. */
REGION_INLINE void outside_absorb(region_range *range, region_record *record, uint32_t ref)
{
    const uint32_t gone_ref = record->after;
    const region_record *gone = outside_record(range, gone_ref);
    record->after = gone->after;
    if (gone->after != REGION_NONE) {
        outside_record(range, gone->after)->before = ref;
    }
    outside_drop_record(range, gone_ref);
}

REGION_INLINE void outside_insert(region_range *range, region_record *record, uint32_t ref,
                                  const region_index *index)
{
    record->node.state = REGION_FREE;
    index->insert(range, &record->node, ref);
}

REGION_INLINE uint32_t outside_need(const region_range *range, size_t size)
{
    if (base_unlikely(size > range->largest)) {
        return 0;
    }
    return (uint32_t)((size + ((size_t)1 << range->shift) - 1) >> range->shift);
}

REGION_INLINE uint32_t outside_skip(const region_range *range, uint32_t start, size_t alignment)
{
    const size_t skip = ((0 - region_address(range, start)) & (alignment - 1)) >> range->shift;
    return skip > range->granules ? range->granules : (uint32_t)skip;
}

/* Takes a partition in an index apart: `skip` granules that stay free, a block, the rest. */
REGION_INLINE uint32_t outside_carve(region_range *range, region_found found, uint32_t skip,
                                     uint32_t need, const region_index *index)
{
    uint32_t ref = found.ref;
    region_record *record = outside_record(range, ref);
    const uint32_t start = record->node.start + skip;
    const uint32_t rest = found.size - skip - need;
    index->remove(range, &record->node, ref, found.size);
    if (skip != 0) {
        const uint32_t block_ref = outside_take_record(range);
        region_record *block = outside_append(range, record, ref, block_ref, start, need);
        record->node.size = skip;
        outside_insert(range, record, ref, index);
        record = block;
        ref = block_ref;
    }
    record->node.size = need;
    outside_enter(range, record, ref);
    if (rest != 0) {
        const uint32_t left_ref = outside_take_record(range);
        region_record *left = outside_append(range, record, ref, left_ref, start + need, rest);
        outside_insert(range, left, left_ref, index);
    }
    region_give(range, need);
    return start;
}

REGION_INLINE uint32_t outside_alloc_aligned(region_range *range, uint32_t need, size_t alignment,
                                             const region_index *index)
{
    region_found found = index->find(range, need);
    if (found.ref == REGION_NONE) {
        return REGION_NONE;
    }
    uint32_t skip = outside_skip(range, outside_record(range, found.ref)->node.start, alignment);
    if ((uint64_t)skip + need > found.size) {
        const size_t padded = need + (alignment >> range->shift);
        if (padded > range->granules) {
            return REGION_NONE;
        }
        found = index->find(range, (uint32_t)padded);
        if (found.ref == REGION_NONE) {
            return REGION_NONE;
        }
        skip = outside_skip(range, outside_record(range, found.ref)->node.start, alignment);
    }
    const uint32_t start = outside_carve(range, found, skip, need, index);
    if (index->keeps_rover) {
        range->region->rover = region_address(range, start);
    }
    return start;
}

REGION_INLINE uint32_t outside_alloc(region_range *range, size_t size, size_t alignment,
                                     const region_index *index)
{
    const uint32_t need = outside_need(range, size);
    if (need == 0 || !outside_is_ready(range)) {
        return REGION_NONE;
    }
    if (alignment >> range->shift > 1) {
        return outside_alloc_aligned(range, need, alignment, index);
    }
    const region_found found = index->find(range, need);
    if (found.ref == REGION_NONE) {
        return REGION_NONE;
    }
    region_record *record = outside_record(range, found.ref);
    const uint32_t start = record->node.start;
    if (index->keeps_rover) {
        range->region->rover = region_address(range, start);
    }
    if (found.size == need) {
        index->remove(range, &record->node, found.ref, need);
        outside_enter(range, record, found.ref);
        region_give(range, need);
        return start;
    }
    const uint32_t rest = found.size - need;
    index->change(range, &record->node, found.ref, found.size, rest);
    const uint32_t ref = outside_take_record(range);
    region_record *block = outside_append(range, record, found.ref, ref, start + rest, need);
    outside_enter(range, block, ref);
    region_give(range, need);
    return start + rest;
}

/* Fatal: `start` is no live block's. Tells a free partition from no partition. */
_Noreturn void region_records_misuse(const region_range *range, uint32_t start)
    __attribute__((cold, noinline));

REGION_INLINE void outside_free(region_range *range, uint32_t start, const region_index *index)
{
    uint32_t *place = outside_place(range, start);
    uint32_t ref = *place;
    if (base_unlikely(ref == REGION_NONE)) {
        region_records_misuse(range, start);
    }
    region_record *record = outside_record(range, ref);
    *place = record->node.a;
    region_take(range, record->node.size);

    if (record->after != REGION_NONE) {
        region_record *after = outside_record(range, record->after);
        if (after->node.state == REGION_FREE) {
            index->remove(range, &after->node, record->after, after->node.size);
            record->node.size += after->node.size;
            outside_absorb(range, record, ref);
        }
    }
    if (record->before != REGION_NONE) {
        const uint32_t before_ref = record->before;
        region_record *before = outside_record(range, before_ref);
        if (before->node.state == REGION_FREE) {
            const uint32_t size = before->node.size + record->node.size;
            index->change(range, &before->node, before_ref, before->node.size, size);
            outside_absorb(range, before, before_ref);
            return;
        }
    }
    outside_insert(range, record, ref, index);
}

REGION_INLINE void *outside_take(tarn_region *region, size_t size, size_t alignment,
                                 const region_index *index)
{
    region_range *range = region->ranges;
    if (base_likely(region_is_small_alignment(alignment) && size - 1 < range->largest)) {
        const uint32_t start =
            outside_alloc(range, size, alignment == 0 ? REGION_GRANULE : alignment, index);
        if (base_likely(start != REGION_NONE)) {
            return (void *)region_address(range, start);
        }
    }
    return region_alloc_slow(region, size, alignment);
}

REGION_INLINE void outside_give(tarn_region *region, void *block, const region_index *index)
{
    (void)index;
    region_free_slow(region, block);
}

REGION_INLINE bool outside_resize(region_range *range, uint32_t start, size_t bytes,
                                  const region_index *index)
{
    const uint32_t ref = *outside_place(range, start);
    if (base_unlikely(ref == REGION_NONE)) {
        region_records_misuse(range, start);
    }
    const uint32_t need = outside_need(range, bytes);
    if (need == 0) {
        return false;
    }
    region_record *record = outside_record(range, ref);
    const uint32_t old = record->node.size;
    region_record *after = NULL;
    uint32_t whole = old;
    if (record->after != REGION_NONE) {
        after = outside_record(range, record->after);
        whole += after->node.state == REGION_FREE ? after->node.size : 0;
    }
    if (need > whole) {
        return false;
    }
    if (need == old) {
        return true;
    }
    if (whole == old) {
        /* What it gives needs a record; else the one of the free partition behind it serves. */
        if (!outside_is_ready(range)) {
            return false;
        }
        record = outside_record(range, ref);
    } else {
        index->remove(range, &after->node, record->after, after->node.size);
        outside_absorb(range, record, ref);
    }
    record->node.size = need;
    if (whole != need) {
        const uint32_t left_ref = outside_take_record(range);
        region_record *left =
            outside_append(range, record, ref, left_ref, start + need, whole - need);
        outside_insert(range, left, left_ref, index);
    }
    region_change(range, old, need);
    return true;
}

REGION_INLINE size_t outside_room(region_range *range, uint32_t start)
{
    const uint32_t ref = *outside_place(range, start);
    return ref == REGION_NONE ? 0 : (size_t)outside_record(range, ref)->node.size << range->shift;
}

REGION_INLINE size_t outside_largest(region_range *range, const region_index *index)
{
    return (size_t)index->largest(range) << range->shift;
}

REGION_INLINE uint64_t outside_rank(region_range *range, size_t size, const region_index *index)
{
    const uint32_t need = outside_need(range, size);
    return need == 0 ? UINT64_MAX : index->rank(range, need);
}

REGION_INLINE void outside_open(region_range *range, const region_index *index)
{
    region_records *records = &range->records;
    index->open(range);
    for (uint32_t i = 0; i <= UINT32_MAX >> records->bucket_shift; i++) {
        records->buckets[i] = REGION_NONE;
    }
    records->vacant = REGION_NONE;
    records->spare = 0;
    records->touched = 1;
    region_record *all = outside_record(range, 0);
    all->node.start = 0;
    all->node.size = range->granules;
    all->before = REGION_NONE;
    all->after = REGION_NONE;
    outside_insert(range, all, 0, index);
}

/* For check, which must survive overwritten links: is the live block at `start` in the table? */
REGION_INLINE bool outside_has(const region_range *range, uint32_t start, uint32_t ref)
{
    const region_records *records = &range->records;
    uint32_t at = *outside_bucket(range, start);
    for (uint32_t left = records->touched; left > 0 && at < records->touched; left--) {
        const region_record *record = outside_record(range, at);
        if (at == ref || record->node.start == start) {
            return at == ref;
        }
        at = record->node.a;
    }
    return false;
}

/* For check: are there as many vacant records as there should be? */
REGION_INLINE bool outside_vacant_balance(const region_range *range)
{
    const region_records *records = &range->records;
    uint32_t ref = records->vacant;
    for (uint32_t left = records->spare; left > 0; left--) {
        if (ref >= records->touched || outside_record(range, ref)->node.state != 0) {
            return false;
        }
        ref = outside_record(range, ref)->node.a;
    }
    return ref == REGION_NONE;
}

/* The record of the lowest partition: low ends stay with their record, so it is always the same. */
enum { OUTSIDE_HEAD = 0 };

REGION_INLINE bool outside_check(region_range *range, const region_index *index, char *fault,
                                 size_t fault_size)
{
    uint32_t blocks = 0;
    uint32_t free_count = 0;
    uint32_t start = 0;
    uint32_t before = REGION_NONE;
    bool before_free = false;
    for (uint32_t ref = OUTSIDE_HEAD; ref != REGION_NONE;) {
        if (ref >= range->records.touched) {
            return region_fault(range, start, "a record was overwritten", fault, fault_size);
        }
        const region_record *record = outside_record(range, ref);
        const uint8_t state = record->node.state;
        if (record->node.start != start || record->node.size == 0 ||
            record->node.size > range->granules - start || record->before != before ||
            (state != REGION_USED && state != REGION_FREE)) {
            return region_fault(range, start, "a record was overwritten", fault, fault_size);
        }
        if (state == REGION_FREE) {
            if (before_free) {
                return region_fault(range, start, "two free neighbours", fault, fault_size);
            }
            if (!index->has(range, &record->node, ref)) {
                return region_fault(range, start, "a free partition is not in the index", fault,
                                    fault_size);
            }
            free_count++;
        } else {
            if (!outside_has(range, start, ref)) {
                return region_fault(range, start, "a block is not in the table", fault, fault_size);
            }
            blocks++;
        }
        before_free = state == REGION_FREE;
        before = ref;
        start += record->node.size;
        ref = record->after;
    }
    if (start != range->granules) {
        return region_fault(range, start, "the partitions do not fill the range", fault,
                            fault_size);
    }
    if (blocks != range->blocks ||
        blocks + free_count + range->records.spare != range->records.touched ||
        !outside_vacant_balance(range)) {
        return region_fault(range, 0, "the count of blocks does not balance", fault, fault_size);
    }
    if (!index->balances(range, free_count)) {
        return region_fault(range, 0, "the index does not balance", fault, fault_size);
    }
    return true;
}

REGION_INLINE bool outside_visit(region_range *range, tarn_partition_visitor *visitor,
                                 void *context)
{
    for (uint32_t ref = OUTSIDE_HEAD; ref != REGION_NONE;) {
        const region_record *record = outside_record(range, ref);
        if (!region_show(range, record->node.start, (size_t)record->node.size << range->shift,
                         record->node.state == REGION_FREE, visitor, context)) {
            return false;
        }
        ref = record->after;
    }
    return true;
}

#endif
