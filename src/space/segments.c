/* SPDX-License-Identifier: MIT */
#include "space/core.h"

/*
 * Segments: registers for base, limit and access, in a table that doubles.
 *
 *     number    [ generation, 16 bits | index + 1, 16 bits ]
 *     offset    < limit ?  base + offset -> an address, which the page table translates
 *
 * Invariant: every entry is in use, with a limit, or in the list of free ones.
 */

enum { FIRST_SEGMENTS = 8, SEGMENTS_MAX = UINT16_MAX };

static size_t table_size(uint32_t capacity)
{
    return capacity * sizeof(space_segment);
}

bool segments_prepare(tarn_space *space)
{
    if (space->segment_free != 0 || space->segment_count < space->segment_capacity) {
        return true;
    }
    uint32_t capacity = space->segment_capacity == 0 ? FIRST_SEGMENTS : 2 * space->segment_capacity;
    capacity = capacity < SEGMENTS_MAX ? capacity : SEGMENTS_MAX;
    if (capacity == space->segment_capacity) {
        return false;
    }
    space_segment *segments =
        tarn_heap_realloc(space->options.upstream, space->segments,
                          table_size(space->segment_capacity), table_size(capacity), 0);
    if (segments == NULL) {
        return false;
    }
    space->books.footprint += table_size(capacity) - table_size(space->segment_capacity);
    space->segments = segments;
    space->segment_capacity = capacity;
    return true;
}

tarn_segment segments_add(tarn_space *space, uint64_t base, uint64_t limit, unsigned access)
{
    uint32_t index = space->segment_count;
    uint32_t generation = 0;
    if (space->segment_free != 0) {
        index = space->segment_free - 1;
        generation = space->segments[index].generation;
        space->segment_free = space->segments[index].next;
    } else {
        space->segment_count++;
    }
    space->segments[index] =
        (space_segment){.base = base, .limit = limit, .access = access, .generation = generation};
    space->books.segments++;
    return generation << 16 | (index + 1);
}

bool segments_copy(const tarn_space *space, tarn_space *child)
{
    if (space->segment_capacity == 0) {
        return true;
    }
    space_segment *segments =
        tarn_heap_alloc(child->options.upstream, table_size(space->segment_capacity), 0);
    if (segments == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < space->segment_count; i++) {
        segments[i] = space->segments[i];
    }
    child->segments = segments;
    child->segment_capacity = space->segment_capacity;
    child->segment_count = space->segment_count;
    child->segment_free = space->segment_free;
    child->books.segments = space->books.segments;
    child->books.footprint += table_size(space->segment_capacity);
    return true;
}

void segments_deinit(tarn_space *space)
{
    if (space->segments != NULL) {
        tarn_heap_free(space->options.upstream, space->segments,
                       table_size(space->segment_capacity));
        space->books.footprint -= table_size(space->segment_capacity);
        space->segments = NULL;
        space->segment_capacity = 0;
    }
}

/* NULL for a number that is of no segment. */
static space_segment *segment_of(const tarn_space *space, tarn_segment number)
{
    const uint32_t index = (number & UINT16_MAX) - 1;
    if (index >= space->segment_count) {
        return NULL;
    }
    space_segment *segment = &space->segments[index];
    return segment->limit != 0 && segment->generation == number >> 16 ? segment : NULL;
}

tarn_fault tarn_segment_address(const tarn_space *space, tarn_segment segment, uint64_t offset,
                                uint64_t size, unsigned access, uint64_t *address)
{
    const space_segment *it = segment_of(space, segment);
    access &= TARN_ACCESS_WRITE | TARN_ACCESS_USER;
    if (it == NULL) {
        return TARN_FAULT_NO_SEGMENT;
    }
    if (offset > it->limit || size > it->limit - offset) {
        return TARN_FAULT_LIMIT;
    }
    if ((access & it->access) != access) {
        return TARN_FAULT_PROTECTION;
    }
    *address = it->base + offset;
    return TARN_FAULT_NONE;
}

tarn_translation tarn_segment_translate(tarn_space *space, tarn_segment segment, uint64_t offset,
                                        unsigned access)
{
    uint64_t address = 0;
    const tarn_fault fault = tarn_segment_address(space, segment, offset, 1, access, &address);
    if (fault != TARN_FAULT_NONE) {
        space->books.faults++;
        return (tarn_translation){.fault = fault};
    }
    return tarn_space_translate(space, address, access);
}

tarn_fault tarn_segment_read(tarn_space *space, tarn_segment segment, uint64_t offset, void *to,
                             size_t size, unsigned access)
{
    uint64_t address = 0;
    const tarn_fault fault =
        tarn_segment_address(space, segment, offset, size, access & TARN_ACCESS_USER, &address);
    return fault != TARN_FAULT_NONE ? fault
                                    : tarn_space_read(space, address, to, size, access, NULL);
}

tarn_fault tarn_segment_write(tarn_space *space, tarn_segment segment, uint64_t offset,
                              const void *from, size_t size, unsigned access)
{
    uint64_t address = 0;
    const tarn_fault fault = tarn_segment_address(
        space, segment, offset, size, (access & TARN_ACCESS_USER) | TARN_ACCESS_WRITE, &address);
    return fault != TARN_FAULT_NONE ? fault
                                    : tarn_space_write(space, address, from, size, access, NULL);
}

tarn_status tarn_segment_set(tarn_space *space, tarn_segment segment, uint64_t base, uint64_t limit)
{
    space_segment *it = segment_of(space, segment);
    const uint64_t last = base + (limit - 1);
    const uint64_t end = space->options.limit;
    if (it == NULL || limit == 0 || last < base || !is_canonical(base) || !is_canonical(last) ||
        (base ^ last) >> 63 != 0 || (end != 0 && last >= end)) {
        return TARN_BAD_ARGUMENT;
    }
    it->base = base;
    it->limit = limit;
    return TARN_OK;
}

tarn_status tarn_segment_free(tarn_space *space, tarn_segment segment)
{
    space_segment *it = segment_of(space, segment);
    if (it == NULL) {
        return TARN_BAD_ARGUMENT;
    }
    it->limit = 0;
    it->generation = (it->generation + 1) & UINT16_MAX;
    it->next = space->segment_free;
    space->segment_free = (segment & UINT16_MAX);
    space->books.segments--;
    return TARN_OK;
}
