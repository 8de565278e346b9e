/* SPDX-License-Identifier: MIT */
#include "extents.h"

#include "memory.h"

#include <stdlib.h>
#include <string.h>

enum { EXTENTS_MAX = 1 << 14 };

#define GAP_AT_FIRST (UINT64_C(1) << 20)

void report_extents_free(report_extents *extents)
{
    free(extents->all);
    *extents = (report_extents){0};
}

/* The first extent that ends at or behind the address, less the gap. */
static size_t first_near(const report_extents *extents, uint64_t address, uint64_t gap)
{
    size_t low = 0;
    size_t high = extents->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (extents->all[middle].end + gap >= address) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* Makes one of those that are near each other, by a gap that is twice as long. */
static void join(report_extents *extents)
{
    extents->gap *= 2;
    size_t kept = 0;
    for (size_t i = 1; i < extents->count; i++) {
        if (extents->all[i].start - extents->all[kept].end <= extents->gap) {
            extents->all[kept].end = extents->all[i].end;
        } else {
            extents->all[++kept] = extents->all[i];
        }
    }
    extents->count = kept + 1;
    extents->last = 0;
}

static void insert(report_extents *extents, size_t at, uint64_t start, uint64_t end)
{
    extents->all = report_grown(extents->all, extents->count, &extents->room, sizeof *extents->all);
    memmove(extents->all + at + 1, extents->all + at, (extents->count - at) * sizeof *extents->all);
    extents->all[at] = (report_extent){.start = start, .end = end};
    extents->count++;
    while (extents->count > EXTENTS_MAX) {
        join(extents);
    }
}

/* Widens the extent, and takes in those that it comes near to. */
static void widen(report_extents *extents, size_t at, uint64_t start, uint64_t end)
{
    report_extent *extent = &extents->all[at];
    extent->start = start < extent->start ? start : extent->start;
    extent->end = end > extent->end ? end : extent->end;
    size_t to = at + 1;
    while (to < extents->count && extents->all[to].start <= extent->end + extents->gap) {
        extent->end = extents->all[to].end > extent->end ? extents->all[to].end : extent->end;
        to++;
    }
    memmove(extents->all + at + 1, extents->all + to, (extents->count - to) * sizeof *extents->all);
    extents->count -= to - at - 1;
}

void report_extents_add(report_extents *extents, uint64_t start, uint64_t size)
{
    /* Sums of addresses and gaps must not overflow. */
    const uint64_t limit = UINT64_C(1) << 62;
    start = start < limit ? start : limit - 1;
    const uint64_t end = size < limit - start ? start + size + (size == 0) : limit;
    if (extents->last < extents->count && extents->all[extents->last].start <= start &&
        end <= extents->all[extents->last].end) {
        return;
    }
    if (extents->gap == 0) {
        extents->gap = GAP_AT_FIRST;
    }
    const size_t at = first_near(extents, start, extents->gap);
    extents->last = at;
    if (at < extents->count && extents->all[at].start <= end + extents->gap) {
        widen(extents, at, start, end);
    } else {
        insert(extents, at, start, end);
    }
}

void report_extents_fold(report_extents *extents, uint64_t page)
{
    uint64_t place = 0;
    for (size_t i = 0; i < extents->count; i++) {
        report_extent *extent = &extents->all[i];
        extent->start &= ~(page - 1);
        extent->end = (extent->end + page - 1) & ~(page - 1);
        extent->place = place;
        place += extent->end - extent->start;
    }
    extents->last = 0;
}

uint64_t report_extents_place(report_extents *extents, uint64_t address)
{
    const report_extent *extent = &extents->all[extents->last];
    if (extents->last >= extents->count || address < extent->start || address >= extent->end) {
        /* Behind the end of none but those before it. */
        extents->last = first_near(extents, address + 1, 0);
        extent = &extents->all[extents->last];
    }
    return extent->place + (address - extent->start);
}

uint64_t report_extents_size(const report_extents *extents)
{
    if (extents->count == 0) {
        return 0;
    }
    const report_extent *last = &extents->all[extents->count - 1];
    return last->place + (last->end - last->start);
}
