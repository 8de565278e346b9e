/* SPDX-License-Identifier: MIT */
#include "overlay/memory.h"
#include "overlay/sort.h"
#include "tarn/overlay.h"

#include <string.h>

/*
 * A sweep over the times at which something begins or ends, with a tree of what is in use, by
 * address:
 *
 *     address ^     +----+          At each time the tree has stretches that do not overlap. What begins is
 *             |  +--+-?  |          compared with the two that would be its neighbours: if it overlaps none
 *             |  |  +----+          of these it overlaps nothing.
 *             |  |    |
 *             +--+-|--+---> time
 *
 * This file shares nothing with the planner but memory and sorting.
 *
 * Invariant: the tree is ordered by addresses, and by priorities from the root down (a treap:
 * Seidel and Aragon, 1996).
 */

#define NOTHING UINT32_MAX

/* Bytes in use for some time. */
typedef struct extent {
    int64_t low;
    int64_t high;
    size_t buffer;
    uint32_t left; /* in the tree */
    uint32_t right;
} extent;

typedef struct event {
    int64_t time;
    uint32_t stretch;
    bool is_begin;
} event;

typedef struct scan {
    extent *stretches;
    event *events;
    uint32_t count;
    uint32_t root;
} scan;

const char *tarn_overlay_fault_text(tarn_overlay_fault_kind kind)
{
    switch (kind) {
    case TARN_OVERLAY_SOUND:
        return "sound";
    case TARN_OVERLAY_BAD_LIFETIME:
        return "the lifetime ends before it begins";
    case TARN_OVERLAY_BAD_SIZE:
        return "the size is negative";
    case TARN_OVERLAY_BAD_ALIGNMENT:
        return "the alignment is negative";
    case TARN_OVERLAY_BAD_FIXED:
        return "the fixed offset is negative or not aligned";
    case TARN_OVERLAY_BAD_GAP:
        return "a gap is empty, out of order or outside the lifetime, or its window is outside the "
               "buffer";
    case TARN_OVERLAY_NOT_FIXED:
        return "the buffer is not at its fixed offset";
    case TARN_OVERLAY_NOT_ALIGNED:
        return "the offset is not aligned";
    case TARN_OVERLAY_OUTSIDE:
        return "the buffer is not within the capacity";
    case TARN_OVERLAY_COLLISION:
        return "two buffers are on the same bytes at the same time";
    }
    return "not a fault of overlays";
}

/* ------------------------------------------------------------------------------------------------
 * Buffers and offsets alone.
 */

static bool gap_is_sound(const tarn_overlay_buffer *buffer, size_t i)
{
    const tarn_overlay_gap *gap = &buffer->gaps[i];
    const int64_t from = i == 0 ? buffer->lower : buffer->gaps[i - 1].upper;
    if (gap->lower < from || gap->lower >= gap->upper || gap->upper > buffer->upper) {
        return false;
    }
    return !gap->has_window || (gap->window_lower >= 0 && gap->window_lower <= gap->window_upper &&
                                gap->window_upper <= buffer->size);
}

static tarn_overlay_fault inspect(const tarn_overlay_buffer *buffer)
{
    tarn_overlay_fault fault = {.kind = TARN_OVERLAY_SOUND};
    if (buffer->upper < buffer->lower) {
        fault.kind = TARN_OVERLAY_BAD_LIFETIME;
    } else if (buffer->size < 0) {
        fault.kind = TARN_OVERLAY_BAD_SIZE;
    } else if (buffer->alignment < 0) {
        fault.kind = TARN_OVERLAY_BAD_ALIGNMENT;
    } else if (buffer->is_fixed &&
               (buffer->offset < 0 ||
                (buffer->alignment > 0 && buffer->offset % buffer->alignment != 0))) {
        fault.kind = TARN_OVERLAY_BAD_FIXED;
    } else if (buffer->gap_count > 0 && buffer->gaps == NULL) {
        fault.kind = TARN_OVERLAY_BAD_GAP;
    } else {
        for (size_t i = 0; i < buffer->gap_count; i++) {
            if (!gap_is_sound(buffer, i)) {
                fault.kind = TARN_OVERLAY_BAD_GAP;
                fault.other = i;
                break;
            }
        }
    }
    return fault;
}

static void report(tarn_overlay_fault *fault, tarn_overlay_fault found)
{
    if (fault != NULL) {
        *fault = found;
    }
}

tarn_status tarn_overlay_inspect(const tarn_overlay_buffer *buffers, size_t count,
                                 tarn_overlay_fault *fault)
{
    for (size_t i = 0; i < count; i++) {
        tarn_overlay_fault found = inspect(&buffers[i]);
        if (found.kind != TARN_OVERLAY_SOUND) {
            found.buffer = i;
            report(fault, found);
            return TARN_BAD_ARGUMENT;
        }
    }
    report(fault, (tarn_overlay_fault){.kind = TARN_OVERLAY_SOUND});
    return TARN_OK;
}

/* Whether the buffer is where it may be; raises `height` to its end. */
static tarn_overlay_fault_kind look_at(const tarn_overlay_buffer *buffer, int64_t offset,
                                       int64_t capacity, int64_t *height)
{
    int64_t end;
    if (buffer->is_fixed && offset != buffer->offset) {
        return TARN_OVERLAY_NOT_FIXED;
    }
    if (offset < 0 || __builtin_add_overflow(offset, buffer->size, &end) ||
        (capacity > 0 && end > capacity)) {
        return TARN_OVERLAY_OUTSIDE;
    }
    if (buffer->alignment > 1 && offset % buffer->alignment != 0) {
        return TARN_OVERLAY_NOT_ALIGNED;
    }
    *height = end > *height ? end : *height;
    return TARN_OVERLAY_SOUND;
}

/* ------------------------------------------------------------------------------------------------
 * The tree. Stretches that are compared do not overlap, so their low ends tell them apart.
 */

static uint32_t priority(uint32_t stretch)
{
    uint32_t mixed = stretch * UINT32_C(0x9E3779B9);
    mixed = (mixed ^ mixed >> 16) * UINT32_C(0x85EBCA6B);
    return mixed ^ mixed >> 13;
}

/* Splits the tree at `root` in what lies below `low` and the rest. */
static void split(extent *stretches, uint32_t root, int64_t low, uint32_t *below, uint32_t *above)
{
    while (root != NOTHING) {
        if (stretches[root].low < low) {
            *below = root;
            below = &stretches[root].right;
            root = *below;
        } else {
            *above = root;
            above = &stretches[root].left;
            root = *above;
        }
    }
    *below = NOTHING;
    *above = NOTHING;
}

static uint32_t merge(extent *stretches, uint32_t below, uint32_t above)
{
    uint32_t root;
    uint32_t *place = &root;
    while (below != NOTHING && above != NOTHING) {
        if (priority(below) > priority(above)) {
            *place = below;
            place = &stretches[below].right;
            below = *place;
        } else {
            *place = above;
            place = &stretches[above].left;
            above = *place;
        }
    }
    *place = below != NOTHING ? below : above;
    return root;
}

/* What overlaps the stretch, or NOTHING. */
static uint32_t find_overlap(const scan *sweep, const extent *with)
{
    uint32_t at = sweep->root;
    while (at != NOTHING) {
        const extent *here = &sweep->stretches[at];
        if (here->low < with->high && with->low < here->high) {
            return at;
        }
        at = here->low < with->low ? here->right : here->left;
    }
    return NOTHING;
}

static void insert(scan *sweep, uint32_t added)
{
    extent *stretches = sweep->stretches;
    uint32_t *place = &sweep->root;
    while (*place != NOTHING && priority(*place) >= priority(added)) {
        place = stretches[*place].low < stretches[added].low ? &stretches[*place].right
                                                             : &stretches[*place].left;
    }
    uint32_t below;
    uint32_t above;
    split(stretches, *place, stretches[added].low, &below, &above);
    stretches[added].left = below;
    stretches[added].right = above;
    *place = added;
}

static void take_out(scan *sweep, uint32_t gone)
{
    extent *stretches = sweep->stretches;
    uint32_t *place = &sweep->root;
    while (*place != gone) {
        place = stretches[*place].low < stretches[gone].low ? &stretches[*place].right
                                                            : &stretches[*place].left;
    }
    *place = merge(stretches, stretches[gone].left, stretches[gone].right);
}

/* ------------------------------------------------------------------------------------------------
 * The sweep.
 */

static void add(scan *sweep, size_t buffer, int64_t from, int64_t to, int64_t low, int64_t high)
{
    if (from >= to || low >= high) {
        return;
    }
    const uint32_t at = sweep->count++;
    sweep->stretches[at] = (extent){.low = low, .high = high, .buffer = buffer};
    sweep->events[2 * (size_t)at] = (event){.time = from, .stretch = at, .is_begin = true};
    sweep->events[2 * (size_t)at + 1] = (event){.time = to, .stretch = at, .is_begin = false};
}

static void add_buffer(scan *sweep, const tarn_overlay_buffer *buffer, size_t index, int64_t offset)
{
    int64_t from = buffer->lower;
    for (size_t i = 0; i < buffer->gap_count; i++) {
        const tarn_overlay_gap *gap = &buffer->gaps[i];
        add(sweep, index, from, gap->lower, offset, offset + buffer->size);
        if (gap->has_window) {
            add(sweep, index, gap->lower, gap->upper, offset + gap->window_lower,
                offset + gap->window_upper);
        }
        from = gap->upper;
    }
    add(sweep, index, from, buffer->upper, offset, offset + buffer->size);
}

static bool event_is_before(const event *a, const event *b)
{
    if (a->time != b->time) {
        return a->time < b->time;
    }
    return a->is_begin != b->is_begin ? !a->is_begin : a->stretch < b->stretch;
}

OVERLAY_DEFINE_SORT(sort_events, event, event_is_before)

/* The earliest collision. */
static tarn_overlay_fault find_collision(scan *sweep)
{
    sort_events(sweep->events, 2 * (size_t)sweep->count);
    sweep->root = NOTHING;
    for (size_t e = 0; e < 2 * (size_t)sweep->count; e++) {
        const event *now = &sweep->events[e];
        if (!now->is_begin) {
            take_out(sweep, now->stretch);
            continue;
        }
        const uint32_t other = find_overlap(sweep, &sweep->stretches[now->stretch]);
        if (other != NOTHING) {
            return (tarn_overlay_fault){.kind = TARN_OVERLAY_COLLISION,
                                        .buffer = sweep->stretches[other].buffer,
                                        .other = sweep->stretches[now->stretch].buffer,
                                        .time = now->time};
        }
        insert(sweep, now->stretch);
    }
    return (tarn_overlay_fault){.kind = TARN_OVERLAY_SOUND};
}

tarn_status tarn_overlay_verify(const tarn_overlay_buffer *buffers, size_t count,
                                const int64_t *offsets, int64_t capacity, tarn_heap *upstream,
                                int64_t *height, tarn_overlay_fault *fault)
{
    const tarn_status status = tarn_overlay_inspect(buffers, count, fault);
    if (status != TARN_OK) {
        return status;
    }
    int64_t highest = 0;
    size_t stretches = 0;
    for (size_t i = 0; i < count; i++) {
        const tarn_overlay_fault_kind kind = look_at(&buffers[i], offsets[i], capacity, &highest);
        if (kind != TARN_OVERLAY_SOUND) {
            report(fault, (tarn_overlay_fault){.kind = kind, .buffer = i});
            return TARN_BAD_DATA;
        }
        stretches += 2 * buffers[i].gap_count + 1;
    }
    if (stretches >= NOTHING) {
        return TARN_NO_MEMORY;
    }
    overlay_memory memory;
    overlay_memory_init(&memory, upstream);
    scan sweep = {.stretches = overlay_take(&memory, stretches, sizeof *sweep.stretches),
                  .events = overlay_take(&memory, 2 * stretches, sizeof *sweep.events)};
    if (sweep.stretches == NULL || sweep.events == NULL) {
        overlay_memory_deinit(&memory);
        return TARN_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        add_buffer(&sweep, &buffers[i], i, offsets[i]);
    }
    const tarn_overlay_fault found = find_collision(&sweep);
    overlay_memory_deinit(&memory);
    report(fault, found);
    if (found.kind != TARN_OVERLAY_SOUND) {
        return TARN_BAD_DATA;
    }
    if (height != NULL) {
        *height = highest;
    }
    return TARN_OK;
}
