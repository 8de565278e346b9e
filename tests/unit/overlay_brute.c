/* SPDX-License-Identifier: MIT */
#include "overlay_brute.h"

#include <string.h>

enum { TIMES = 32 };

uint64_t overlay_brute_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

static int64_t below(uint64_t *state, int64_t limit)
{
    return (int64_t)(overlay_brute_random(state) % (uint64_t)limit);
}

static void fill_gaps(overlay_small *problem, size_t i, const overlay_kind *kind, uint64_t *state)
{
    tarn_overlay_buffer *buffer = &problem->buffers[i];
    int64_t from = buffer->lower;
    buffer->gaps = problem->gaps[i];
    for (int g = 0; g < OVERLAY_BRUTE_GAPS && from + 1 < buffer->upper; g++) {
        if (below(state, 2) == 0) {
            continue;
        }
        tarn_overlay_gap *gap = &problem->gaps[i][buffer->gap_count++];
        gap->lower = from + below(state, buffer->upper - from);
        gap->upper = gap->lower + 1 + below(state, buffer->upper - gap->lower);
        gap->has_window = kind->has_windows && below(state, 3) != 0;
        gap->window_lower = gap->has_window ? below(state, buffer->size + 1) : 0;
        gap->window_upper =
            gap->has_window ? gap->window_lower + below(state, buffer->size - gap->window_lower + 1)
                            : 0;
        from = gap->upper;
    }
}

void overlay_brute_fill(overlay_small *problem, const overlay_kind *kind, uint64_t *state)
{
    memset(problem, 0, sizeof *problem);
    problem->count = 1 + (size_t)below(state, (int64_t)kind->count_max);
    const int64_t times = 2 + below(state, 10);
    for (size_t i = 0; i < problem->count; i++) {
        tarn_overlay_buffer *buffer = &problem->buffers[i];
        buffer->lower = below(state, times);
        buffer->upper = buffer->lower + below(state, 1 + times - buffer->lower + 1);
        buffer->size = below(state, 8) == 0 ? 0 : 1 + below(state, kind->size_max);
        if (kind->has_alignments && below(state, 3) == 0) {
            buffer->alignment = 1 + below(state, 4);
        }
        if (kind->has_fixed && below(state, 5) == 0) {
            const int64_t alignment = buffer->alignment == 0 ? 1 : buffer->alignment;
            buffer->is_fixed = true;
            buffer->offset = alignment * below(state, 5);
        }
        if (kind->has_gaps) {
            fill_gaps(problem, i, kind, state);
        }
    }
}

/* The bytes that are in use at that time. */
static void bytes_at(const tarn_overlay_buffer *buffer, int64_t time, int64_t *low, int64_t *high)
{
    *low = 0;
    *high = time >= buffer->lower && time < buffer->upper ? buffer->size : 0;
    for (size_t g = 0; g < buffer->gap_count; g++) {
        const tarn_overlay_gap *gap = &buffer->gaps[g];
        if (time >= gap->lower && time < gap->upper) {
            *low = gap->has_window ? gap->window_lower : 0;
            *high = gap->has_window ? gap->window_upper : 0;
        }
    }
}

static bool collide(const tarn_overlay_buffer *a, int64_t a_offset, const tarn_overlay_buffer *b,
                    int64_t b_offset)
{
    for (int64_t time = 0; time < TIMES; time++) {
        int64_t a_low;
        int64_t a_high;
        int64_t b_low;
        int64_t b_high;
        bytes_at(a, time, &a_low, &a_high);
        bytes_at(b, time, &b_low, &b_high);
        if (a_low < a_high && b_low < b_high && a_offset + a_low < b_offset + b_high &&
            b_offset + b_low < a_offset + a_high) {
            return true;
        }
    }
    return false;
}

static bool may_be_at(const tarn_overlay_buffer *buffer, int64_t offset)
{
    return offset >= 0 && (buffer->alignment < 2 || offset % buffer->alignment == 0) &&
           (!buffer->is_fixed || offset == buffer->offset);
}

bool overlay_brute_holds(const tarn_overlay_buffer *buffers, size_t count, const int64_t *offsets,
                         int64_t capacity)
{
    for (size_t i = 0; i < count; i++) {
        if (!may_be_at(&buffers[i], offsets[i]) ||
            (capacity > 0 && offsets[i] + buffers[i].size > capacity)) {
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (collide(&buffers[i], offsets[i], &buffers[j], offsets[j])) {
                return false;
            }
        }
    }
    return true;
}

static bool fits(const tarn_overlay_buffer *const *buffers, size_t count, size_t placed,
                 int64_t *offsets, int64_t capacity)
{
    if (placed == count) {
        return true;
    }
    const tarn_overlay_buffer *buffer = buffers[placed];
    for (int64_t offset = 0; offset + buffer->size <= capacity; offset++) {
        if (!may_be_at(buffer, offset)) {
            continue;
        }
        bool is_free = true;
        for (size_t i = 0; i < placed && is_free; i++) {
            is_free = !collide(buffer, offset, buffers[i], offsets[i]);
        }
        offsets[placed] = offset;
        if (is_free && fits(buffers, count, placed + 1, offsets, capacity)) {
            return true;
        }
    }
    return false;
}

int64_t overlay_brute_least(const tarn_overlay_buffer *buffers, size_t count, int64_t limit)
{
    int64_t offsets[OVERLAY_BRUTE_BUFFERS];
    /* Those with the least choice first: that saves time. */
    const tarn_overlay_buffer *order[OVERLAY_BRUTE_BUFFERS];
    size_t ordered = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < count; i++) {
            if (buffers[i].is_fixed == (pass == 0)) {
                order[ordered++] = &buffers[i];
            }
        }
    }
    /* What is in use at a time has to fit; trying less would only take time. */
    int64_t start = 0;
    for (int64_t time = 0; time < TIMES; time++) {
        int64_t sum = 0;
        for (size_t i = 0; i < count; i++) {
            int64_t low;
            int64_t high;
            bytes_at(&buffers[i], time, &low, &high);
            sum += high - low;
        }
        start = sum > start ? sum : start;
    }
    for (int64_t capacity = start; capacity <= limit; capacity++) {
        if (fits(order, count, 0, offsets, capacity)) {
            return capacity;
        }
    }
    return -1;
}
