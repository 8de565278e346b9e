/* SPDX-License-Identifier: MIT */
#include "overlay/problem.h"

#include "overlay/sort.h"

#include <string.h>

/* More pairs are not kept. */
static const size_t PAIRS_MAX = (size_t)40 << 20;

/* A change: a piece begins or ends. */
typedef struct change {
    int64_t time;
    uint32_t piece;
    bool is_begin;
} change;

static int64_t gcd(int64_t a, int64_t b)
{
    while (b != 0) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static int64_t alignment_of(const tarn_overlay_buffer *buffer)
{
    return buffer->alignment == 0 ? 1 : buffer->alignment;
}

static bool is_whole_gap(const tarn_overlay_gap *gap)
{
    return !gap->has_window || gap->window_lower == gap->window_upper;
}

/* How many pieces a buffer falls into. Writes them with their times when `pieces` is not NULL. */
static uint32_t cut(const tarn_overlay_buffer *buffer, overlay_piece *pieces, int64_t (*times)[2])
{
    uint32_t count = 0;
    int64_t from = buffer->lower;
    for (size_t i = 0; i <= buffer->gap_count; i++) {
        const tarn_overlay_gap *gap = i < buffer->gap_count ? &buffer->gaps[i] : NULL;
        const int64_t to = gap == NULL ? buffer->upper : gap->lower;
        if (from < to) {
            if (pieces != NULL) {
                pieces[count] = (overlay_piece){.low = 0, .high = buffer->size};
                times[count][0] = from;
                times[count][1] = to;
            }
            count++;
        }
        if (gap == NULL) {
            break;
        }
        if (!is_whole_gap(gap)) {
            if (pieces != NULL) {
                pieces[count] =
                    (overlay_piece){.low = gap->window_lower, .high = gap->window_upper};
                times[count][0] = gap->lower;
                times[count][1] = gap->upper;
            }
            count++;
        }
        from = gap->upper;
    }
    return count;
}

/* Sums are checked here once; offsets that methods compute later are sums of fewer terms. */
static bool sums_fit(const tarn_overlay_buffer *buffers, size_t count)
{
    int64_t sum = 0;
    int64_t fixed_end = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t end = buffers[i].size;
        if (buffers[i].is_fixed) {
            if (__builtin_add_overflow(buffers[i].offset, end, &end)) {
                return false;
            }
            if (end > fixed_end) {
                fixed_end = end;
            }
        }
        if (__builtin_add_overflow(sum, buffers[i].size, &sum) ||
            __builtin_add_overflow(sum, alignment_of(&buffers[i]) - 1, &sum)) {
            return false;
        }
    }
    /* Twice, so that sums of two ends do not overflow either. */
    return !__builtin_add_overflow(sum, fixed_end, &sum) && !__builtin_add_overflow(sum, sum, &sum);
}

/* The unit of all sizes, windows, alignments and fixed offsets. An alignment that the rest is a
 * multiple of anyway counts for nothing. */
static int64_t unit_of(const tarn_overlay_buffer *buffers, size_t count)
{
    int64_t unit = 0;
    for (size_t i = 0; i < count; i++) {
        unit = gcd(unit, buffers[i].size);
        if (buffers[i].is_fixed) {
            unit = gcd(unit, buffers[i].offset);
        }
        for (size_t j = 0; j < buffers[i].gap_count; j++) {
            if (!is_whole_gap(&buffers[i].gaps[j])) {
                unit = gcd(unit, buffers[i].gaps[j].window_lower);
                unit = gcd(unit, buffers[i].gaps[j].window_upper);
            }
        }
    }
    /* A unit that got smaller may no longer be a multiple of an alignment that it was one of
     * before. */
    for (bool is_stable = false; !is_stable;) {
        is_stable = true;
        for (size_t i = 0; i < count; i++) {
            const int64_t alignment = alignment_of(&buffers[i]);
            if (unit % alignment != 0 && alignment % unit != 0) {
                unit = gcd(unit, alignment);
                is_stable = false;
            }
        }
    }
    return unit == 0 ? 1 : unit;
}

static bool change_is_before(const change *a, const change *b)
{
    if (a->time != b->time) {
        return a->time < b->time;
    }
    /* What ends makes room for what begins. */
    return a->is_begin != b->is_begin ? !a->is_begin : a->piece < b->piece;
}

OVERLAY_DEFINE_SORT(sort_changes, change, change_is_before)

static bool item_is_before(const overlay_item *a, const overlay_item *b)
{
    if (a->first != b->first) {
        return a->first < b->first;
    }
    return a->end != b->end ? a->end < b->end : a->input < b->input;
}

OVERLAY_DEFINE_SORT(sort_items, overlay_item, item_is_before)

/* Gives each piece its sections. A section is made when a piece ends after others began. */
static void make_sections(overlay_problem *problem, change *changes, size_t count)
{
    sort_changes(changes, count);
    uint32_t section = 0;
    bool has_begun = false;
    for (size_t i = 0; i < count; i++) {
        overlay_piece *piece = &problem->pieces[changes[i].piece];
        if (changes[i].is_begin) {
            has_begun = true;
            piece->first = section;
        } else {
            if (has_begun) {
                section++;
                has_begun = false;
            }
            piece->end = section;
        }
    }
    problem->section_count = section;
}

/* Loads as sums of differences, which takes linear time however many sections a piece spans. */
static void weigh(overlay_problem *problem)
{
    for (uint32_t p = 0; p < problem->piece_count; p++) {
        const overlay_piece *piece = &problem->pieces[p];
        problem->loads[piece->first] += piece->high - piece->low;
        problem->loads[piece->end] -= piece->high - piece->low;
    }
    for (uint32_t s = 1; s < problem->section_count; s++) {
        problem->loads[s] += problem->loads[s - 1];
    }
}

/* The largest load of each item's sections, by a table of the largest of 1, 2, 4, ... sections
 * from each on. That is a table of S log S; with less memory the widest items would take too long.
 */
static void find_peaks(overlay_problem *problem, overlay_memory *memory)
{
    const uint32_t sections = problem->section_count;
    uint32_t depth = 1;
    while (sections >> depth != 0) {
        depth++;
    }
    int64_t *most = overlay_take(memory, (size_t)depth * sections, sizeof *most);
    if (most == NULL) {
        return;
    }
    for (uint32_t s = 0; s < sections; s++) {
        most[s] = problem->loads[s];
    }
    for (uint32_t d = 1; d < depth; d++) {
        const int64_t *half = &most[(size_t)(d - 1) * sections];
        int64_t *whole = &most[(size_t)d * sections];
        for (uint32_t s = 0; s + (UINT32_C(1) << d) <= sections; s++) {
            const int64_t right = half[s + (UINT32_C(1) << (d - 1))];
            whole[s] = half[s] > right ? half[s] : right;
        }
    }
    for (uint32_t i = 0; i < problem->count; i++) {
        overlay_item *item = &problem->items[i];
        const uint32_t d = 31U - (uint32_t)__builtin_clz(item->end - item->first);
        const int64_t left = most[(size_t)d * sections + item->first];
        const int64_t right = most[(size_t)d * sections + item->end - (UINT32_C(1) << d)];
        item->load = left > right ? left : right;
    }
    overlay_give_back(memory, most, (size_t)depth * sections, sizeof *most);
}

static void make_components(overlay_problem *problem)
{
    uint32_t count = 0;
    uint32_t reach = 0;
    for (uint32_t i = 0; i < problem->count; i++) {
        const overlay_item *item = &problem->items[i];
        if (i == 0 || item->first >= reach) {
            problem->components[count++] =
                (overlay_component){.first_item = i, .first_section = item->first};
        }
        overlay_component *component = &problem->components[count - 1];
        if (item->end > reach) {
            reach = item->end;
        }
        component->end_item = i + 1;
        component->end_section = reach;
        const int64_t end = item->size + (item->fixed > 0 ? item->fixed : 0);
        component->has_fixed |= item->fixed != OVERLAY_NOWHERE;
        if (end > component->bound) {
            component->bound = end;
        }
    }
    problem->component_count = count;
    for (uint32_t c = 0; c < count; c++) {
        overlay_component *component = &problem->components[c];
        for (uint32_t s = component->first_section; s < component->end_section; s++) {
            if (problem->loads[s] > problem->section_bound) {
                problem->section_bound = problem->loads[s];
            }
            if (problem->loads[s] > component->bound) {
                component->bound = problem->loads[s];
            }
        }
        if (component->bound > problem->bound) {
            problem->bound = component->bound;
        }
    }
}

/* What keeps two items apart: the distance d from a to b is not in any of the open intervals (low,
 * high), of which there is one for each pair of pieces with a common section. */
typedef struct apart {
    int64_t low;
    int64_t high;
    bool has_holes; /* between low and high a distance is allowed */
    bool share;
} apart;

static apart keep_apart(const overlay_problem *problem, const overlay_item *a,
                        const overlay_item *b)
{
    apart all = {0};
    if (a->piece_count == 1 && b->piece_count == 1) {
        const overlay_piece *p = &problem->pieces[a->piece];
        const overlay_piece *q = &problem->pieces[b->piece];
        all.share = true;
        all.low = p->low - q->high;
        all.high = p->high - q->low;
        return all;
    }
    /* Each round takes the intervals that meet what is covered so far, until there is none; then
     * what is left must be beyond a hole. */
    int64_t least = INT64_MAX;
    int64_t most = INT64_MIN;
    int64_t covered_low = 0;
    int64_t covered_high = 0;
    for (bool grows = true; grows;) {
        grows = false;
        uint32_t i = a->piece;
        uint32_t j = b->piece;
        while (i < a->piece + a->piece_count && j < b->piece + b->piece_count) {
            const overlay_piece *p = &problem->pieces[i];
            const overlay_piece *q = &problem->pieces[j];
            if (p->first < q->end && q->first < p->end) {
                const int64_t low = p->low - q->high;
                const int64_t high = p->high - q->low;
                if (!all.share) {
                    all.share = true;
                    covered_low = low;
                    covered_high = high;
                }
                if (low < covered_high && high > covered_low &&
                    (low < covered_low || high > covered_high)) {
                    covered_low = low < covered_low ? low : covered_low;
                    covered_high = high > covered_high ? high : covered_high;
                    grows = true;
                }
                least = low < least ? low : least;
                most = high > most ? high : most;
            }
            if (p->end <= q->end) {
                i++;
            } else {
                j++;
            }
        }
    }
    all.low = least;
    all.high = most;
    all.has_holes = all.share && (least < covered_low || most > covered_high);
    return all;
}

/* The first item after i that begins when i has ended. */
static uint32_t end_of_near(const overlay_problem *problem, uint32_t i)
{
    uint32_t low = i + 1;
    uint32_t high = problem->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (problem->items[middle].first < problem->items[i].end) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool share_a_section(const overlay_problem *problem, uint32_t a, uint32_t b)
{
    return problem->is_simple || keep_apart(problem, &problem->items[a], &problem->items[b]).share;
}

/* Lists the neighbours of each item; the problem goes without when there are too many or upstream
 * refuses. */
static void make_near(overlay_problem *problem, bool has_windows, overlay_memory *memory)
{
    size_t pairs = 0;
    for (uint32_t i = 0; i < problem->count; i++) {
        pairs += end_of_near(problem, i) - i - 1;
    }
    problem->pair_count = pairs;
    if (pairs > PAIRS_MAX) {
        return;
    }
    size_t *starts = overlay_take(memory, (size_t)problem->count + 1, sizeof *starts);
    uint32_t *near = overlay_take(memory, 2 * pairs, sizeof *near);
    size_t *fill = overlay_take(memory, (size_t)problem->count + 1, sizeof *fill);
    int64_t *rises = has_windows ? overlay_take(memory, 2 * pairs, sizeof *rises) : NULL;
    if (starts == NULL || near == NULL || fill == NULL || (has_windows && rises == NULL)) {
        return;
    }
    for (uint32_t i = 0; i < problem->count; i++) {
        const uint32_t end = end_of_near(problem, i);
        for (uint32_t j = i + 1; j < end; j++) {
            const size_t shares = share_a_section(problem, i, j);
            starts[i + 1] += shares;
            starts[j + 1] += shares;
        }
    }
    for (uint32_t i = 0; i < problem->count; i++) {
        starts[i + 1] += starts[i];
        fill[i] = starts[i];
    }
    for (uint32_t i = 0; i < problem->count; i++) {
        const uint32_t end = end_of_near(problem, i);
        for (uint32_t j = i + 1; j < end; j++) {
            if (!share_a_section(problem, i, j)) {
                continue;
            }
            if (rises != NULL) {
                const apart between = keep_apart(problem, &problem->items[i], &problem->items[j]);
                rises[fill[i]] = between.high;
                rises[fill[j]] = -between.low;
                problem->may_change_places |=
                    between.has_holes || between.high <= 0 || between.low >= 0;
            }
            near[fill[i]++] = j;
            near[fill[j]++] = i;
        }
    }
    overlay_give_back(memory, fill, (size_t)problem->count + 1, sizeof *fill);
    problem->starts = starts;
    problem->near = near;
    problem->rises = rises;
    problem->pair_count = starts[problem->count] / 2;
}

/* Leaves out what needs no place. */
static bool is_idle(const tarn_overlay_buffer *buffer)
{
    return buffer->size == 0 || cut(buffer, NULL, NULL) == 0;
}

static bool scale(overlay_problem *problem, const tarn_overlay_buffer *buffers, size_t count,
                  int64_t (*times)[2], change *changes)
{
    bool has_windows = false;
    problem->is_simple = true;
    problem->is_plain = true;
    for (size_t i = 0; i < count; i++) {
        const tarn_overlay_buffer *buffer = &buffers[i];
        if (is_idle(buffer)) {
            const int64_t end = buffer->size + (buffer->is_fixed ? buffer->offset : 0);
            problem->idle_height = end > problem->idle_height ? end : problem->idle_height;
            continue;
        }
        overlay_item *item = &problem->items[problem->count++];
        const int64_t alignment = alignment_of(buffer);
        item->size = buffer->size / problem->unit;
        item->alignment = problem->unit % alignment == 0 ? 1 : alignment / problem->unit;
        item->fixed = buffer->is_fixed ? buffer->offset / problem->unit : OVERLAY_NOWHERE;
        item->input = (uint32_t)i;
        item->piece = problem->piece_count;
        item->piece_count = cut(buffer, &problem->pieces[item->piece], &times[item->piece]);
        problem->piece_count += item->piece_count;
        problem->is_plain &= item->alignment == 1 && item->fixed == OVERLAY_NOWHERE;
        for (uint32_t p = item->piece; p < problem->piece_count; p++) {
            overlay_piece *piece = &problem->pieces[p];
            item->width += (double)((uint64_t)times[p][1] - (uint64_t)times[p][0]);
            piece->low /= problem->unit;
            piece->high /= problem->unit;
            has_windows |= piece->low != 0 || piece->high != item->size;
            changes[2 * (size_t)p] = (change){.time = times[p][0], .piece = p, .is_begin = true};
            changes[2 * (size_t)p + 1] =
                (change){.time = times[p][1], .piece = p, .is_begin = false};
        }
        problem->is_simple &= item->piece_count == 1;
    }
    problem->is_simple &= !has_windows;
    problem->is_plain &= problem->is_simple;
    return has_windows;
}

tarn_status overlay_problem_init(overlay_problem *problem, const tarn_overlay_buffer *buffers,
                                 size_t count, overlay_memory *memory)
{
    memset(problem, 0, sizeof *problem);
    if (count > INT32_MAX || !sums_fit(buffers, count)) {
        return TARN_TOO_LARGE;
    }
    size_t pieces = 0;
    size_t items = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_idle(&buffers[i])) {
            items++;
            pieces += cut(&buffers[i], NULL, NULL);
        }
    }
    if (pieces > INT32_MAX) {
        return TARN_TOO_LARGE;
    }
    problem->unit = unit_of(buffers, count);
    problem->items = overlay_take(memory, items, sizeof *problem->items);
    problem->pieces = overlay_take(memory, pieces, sizeof *problem->pieces);
    problem->loads = overlay_take(memory, pieces + 1, sizeof *problem->loads);
    problem->components = overlay_take(memory, items, sizeof *problem->components);
    int64_t(*times)[2] = overlay_take(memory, pieces, sizeof *times);
    change *changes = overlay_take(memory, 2 * pieces, sizeof *changes);
    if (problem->items == NULL || problem->pieces == NULL || problem->loads == NULL ||
        problem->components == NULL || times == NULL || changes == NULL) {
        return TARN_NO_MEMORY;
    }
    const bool has_windows = scale(problem, buffers, count, times, changes);
    make_sections(problem, changes, 2 * pieces);
    overlay_give_back(memory, times, pieces, sizeof *times);
    overlay_give_back(memory, changes, 2 * pieces, sizeof *changes);
    for (uint32_t i = 0; i < problem->count; i++) {
        overlay_item *item = &problem->items[i];
        item->first = problem->pieces[item->piece].first;
        item->end = problem->pieces[item->piece + item->piece_count - 1].end;
    }
    weigh(problem);
    sort_items(problem->items, problem->count);
    make_components(problem);
    find_peaks(problem, memory);
    make_near(problem, has_windows, memory);
    return TARN_OK;
}
