/* SPDX-License-Identifier: MIT */
#include "overlay/search.h"

#include <string.h>

/*
 * Depth first, with two branches: an item lies as low as it can (`lowest`), or something else
 * comes below it.
 *
 * Every plan can be lowered until each item lies on another one or on the ground. So when an item
 * is chosen that no other one fits below any more (Giffler and Thompson's active schedules, 1960),
 * then either it lies at `lowest` and its neighbours above it, or it lies on a neighbour that is
 * not placed yet, at the least end of these or higher. The order of decisions is free: the search
 * works where there is least choice.
 *
 *     capacity  +--------------+
 *               |              |        In a section, what is not placed has to be stacked within
 *               |              |        capacity - floor. So the next item above the floor begins at
 *      limit    +- - - - - - - +        capacity - left at most, where `left` is the sum of the sizes:
 *      floor    +--------------+        that is the section's limit.
 *               |##############|
 *
 *   - An item above the limit is not the next one: it lies at the least end of the others or higher.
 *   - If only one item is below the limit it is the next one: the others lie at its end or higher.
 *   - If none is, there is no plan.
 *
 * When the items left fall into parts that share no section, the parts are searched one after the
 * other, and one that has no plan ends the branch that split them: what other parts could do about
 * it is nothing.
 *
 *     order   [ part, part, part | pending | ... | placed, the last one first ]
 *
 * Invariant: the ranges of a frame, of its pending parts and of the placed items are disjoint, and
 * a deeper frame only permutes items within its own range. The same holds for the members of a
 * section.
 */

/* A part of the items left that shares no section with the rest. */
typedef struct part {
    uint32_t start; /* of its range in `order` */
    uint32_t end;
    uint32_t first_section;
    uint32_t end_section;
    uint32_t failure; /* the frame that has failed when this part has no plan */
    uint32_t next;    /* part after it, or NO_PART */
} part;

#define NO_PART UINT32_MAX
#define NO_FRAME UINT32_MAX
#define NO_ITEM UINT32_MAX

enum { SMALL_MAX = 800 };

/* A part of the capacity that keeps a section without slack from outweighing everything. */
static const double SLACK_SOFTENER = 1e-3;

/* A choice that has another branch. */
typedef struct frame {
    part work;
    uint32_t item; /* placed */
    uint32_t part_count;
    size_t trail_count;
} frame;

/* What was before. */
typedef struct old_value {
    int64_t *place;
    int64_t value;
} old_value;

struct overlay_search {
    const overlay_problem *problem;
    const overlay_style *style;
    const uint32_t *ranks;
    int64_t capacity;
    uint64_t nodes;

    int64_t *lowest;   /* of each item: its offset is at least this, or is this if it is placed */
    int64_t *supports; /* the end of what is placed below it */
    bool *is_placed;
    uint32_t *order;
    uint32_t *position; /* of each item in `order` */
    double *blames;     /* for each number of a style: of each section */
    double *blame;      /* those of this run */

    int64_t *left;  /* of each section: sizes of what is not placed */
    uint32_t *cuts; /* items not placed that are in this section and in the next one */

    size_t *member_starts;   /* of each section */
    uint32_t *member_counts; /* not placed; they come first */
    uint32_t *members;
    uint64_t *slots; /* of each item in each of its sections: where it is in members */
    size_t *slot_starts;
    int64_t *lows; /* of each member: where its bytes begin and end */
    int64_t *highs;

    uint32_t *queue; /* sections to look at, a ring */
    bool *is_queued;
    uint32_t queue_head;
    uint32_t queue_count;

    frame *frames;
    part *parts;
    uint32_t part_count;
    old_value *trail;
    size_t trail_count;
    size_t trail_max;
    bool is_trail_full;

    /* Of each section, as long as it is fresh: items that could be next, and the lowest begin of
     * one. */
    bool *is_fresh;
    uint32_t *below;
    int64_t *floors;
    bool is_small; /* draw all conclusions, however seldom they tell anything */
};

static bool list_members(overlay_search *search, overlay_memory *memory)
{
    const overlay_problem *problem = search->problem;
    size_t *starts = overlay_take(memory, (size_t)problem->section_count + 2, sizeof *starts);
    search->slot_starts =
        overlay_take(memory, (size_t)problem->count + 1, sizeof *search->slot_starts);
    search->member_counts =
        overlay_take(memory, (size_t)problem->section_count + 1, sizeof *search->member_counts);
    if (starts == NULL || search->slot_starts == NULL || search->member_counts == NULL) {
        return false;
    }
    size_t sum = 0;
    for (uint32_t p = 0; p < problem->piece_count; p++) {
        const overlay_piece *piece = &problem->pieces[p];
        sum += piece->end - piece->first;
        for (uint32_t s = piece->first; s < piece->end; s++) {
            starts[s + 2]++;
        }
    }
    for (uint32_t i = 0; i < problem->count; i++) {
        search->slot_starts[i + 1] =
            search->slot_starts[i] + problem->items[i].end - problem->items[i].first;
    }
    search->members = overlay_take(memory, sum, sizeof *search->members);
    search->slots =
        overlay_take(memory, search->slot_starts[problem->count], sizeof *search->slots);
    search->lows = overlay_take(memory, sum, sizeof *search->lows);
    search->highs = overlay_take(memory, sum, sizeof *search->highs);
    if (search->members == NULL || search->slots == NULL || search->lows == NULL ||
        search->highs == NULL) {
        return false;
    }
    for (uint32_t s = 0; s < problem->section_count; s++) {
        starts[s + 2] += starts[s + 1];
    }
    for (uint32_t i = 0; i < problem->count; i++) {
        const overlay_item *item = &problem->items[i];
        for (uint32_t p = item->piece; p < item->piece + item->piece_count; p++) {
            const overlay_piece *piece = &problem->pieces[p];
            for (uint32_t s = piece->first; s < piece->end; s++) {
                const size_t m = starts[s + 1]++;
                search->members[m] = i;
                search->lows[m] = piece->low;
                search->highs[m] = piece->high;
                search->slots[search->slot_starts[i] + (s - item->first)] = m;
            }
        }
    }
    search->member_starts = starts;
    return true;
}

overlay_search *overlay_search_create(const overlay_problem *problem, overlay_memory *memory)
{
    overlay_search *search = overlay_take(memory, 1, sizeof *search);
    if (search == NULL) {
        return NULL;
    }
    const size_t count = problem->count;
    const size_t sections = problem->section_count;
    search->problem = problem;
    search->lowest = overlay_take(memory, count, sizeof *search->lowest);
    search->supports = overlay_take(memory, count, sizeof *search->supports);
    search->is_placed = overlay_take(memory, count, sizeof *search->is_placed);
    search->order = overlay_take(memory, count, sizeof *search->order);
    search->position = overlay_take(memory, count, sizeof *search->position);
    search->blames = overlay_take(memory, OVERLAY_STYLES_MAX * sections, sizeof *search->blames);
    search->left = overlay_take(memory, sections, sizeof *search->left);
    search->cuts = overlay_take(memory, sections, sizeof *search->cuts);
    search->is_fresh = overlay_take(memory, sections, sizeof *search->is_fresh);
    search->below = overlay_take(memory, sections, sizeof *search->below);
    search->floors = overlay_take(memory, sections, sizeof *search->floors);
    search->queue = overlay_take(memory, sections, sizeof *search->queue);
    search->is_queued = overlay_take(memory, sections, sizeof *search->is_queued);
    search->frames = overlay_take(memory, count + 1, sizeof *search->frames);
    search->parts = overlay_take(memory, count + 1, sizeof *search->parts);
    search->trail_max = 4 * problem->pair_count + 64 * count + 1024;
    search->trail = overlay_take(memory, search->trail_max, sizeof *search->trail);
    const bool is_whole = search->lowest != NULL && search->supports != NULL &&
                          search->is_placed != NULL && search->order != NULL &&
                          search->position != NULL && search->blames != NULL &&
                          search->left != NULL && search->cuts != NULL && search->queue != NULL &&
                          search->is_queued != NULL && search->frames != NULL &&
                          search->parts != NULL && search->trail != NULL;
    return is_whole && list_members(search, memory) ? search : NULL;
}

/* ------------------------------------------------------------------------------------------------
 * What follows from what is placed.
 */

static void set(overlay_search *search, int64_t *place, int64_t value)
{
    if (search->trail_count == search->trail_max) {
        search->is_trail_full = true;
        return;
    }
    search->trail[search->trail_count++] = (old_value){place, *place};
    *place = value;
}

static void queue_section(overlay_search *search, uint32_t section)
{
    if (!search->is_queued[section]) {
        search->is_queued[section] = true;
        uint32_t at = search->queue_head + search->queue_count++;
        at -= at >= search->problem->section_count ? search->problem->section_count : 0;
        search->queue[at] = section;
    }
}

/* The item was raised: where it could have been the next one and cannot any more, something may
 * follow. */
static void note_raise(overlay_search *search, uint32_t item, int64_t from, int64_t to)
{
    const overlay_item *about = &search->problem->items[item];
    for (uint32_t p = about->piece; p < about->piece + about->piece_count; p++) {
        const overlay_piece *piece = &search->problem->pieces[p];
        for (uint32_t s = piece->first; s < piece->end; s++) {
            const int64_t limit = search->capacity - search->left[s];
            search->is_fresh[s] = false;
            if (to + piece->low > limit && (from + piece->low <= limit || search->is_small)) {
                queue_section(search, s);
            }
        }
    }
}

/* The item's offset is at least `to`. */
static bool raise(overlay_search *search, uint32_t item, int64_t to)
{
    const overlay_item *about = &search->problem->items[item];
    to = overlay_align(to, about->alignment);
    if (to <= search->lowest[item]) {
        return true;
    }
    if (to + about->size > search->capacity || about->fixed != OVERLAY_NOWHERE) {
        return false;
    }
    const int64_t from = search->lowest[item];
    set(search, &search->lowest[item], to);
    note_raise(search, item, from, to);
    return true;
}

/* Draws the conclusions from a section's limit. */
static bool look_at(overlay_search *search, uint32_t section)
{
    const size_t start = search->member_starts[section];
    const size_t end = start + search->member_counts[section];
    const int64_t limit = search->capacity - search->left[section];
    int64_t least_end = INT64_MAX;  /* of all, */
    int64_t second_end = INT64_MAX; /* and of the others than that */
    uint32_t least = NO_ITEM;
    uint32_t below = 0;
    uint32_t next = NO_ITEM;
    int64_t next_end = 0;
    for (size_t m = start; m < end; m++) {
        const uint32_t item = search->members[m];
        const int64_t begin = search->lowest[item] + search->lows[m];
        const int64_t top = search->lowest[item] + search->highs[m];
        if (top < least_end) {
            second_end = least_end;
            least_end = top;
            least = item;
        } else if (top < second_end) {
            second_end = top;
        }
        if (begin <= limit) {
            below++;
            next = item;
            next_end = top;
        }
    }
    if (start == end) {
        return true;
    }
    if (below == 0) {
        return false;
    }
    if (below == end - start) {
        return true;
    }
    for (size_t m = start; m < end; m++) {
        const uint32_t item = search->members[m];
        if (search->lowest[item] + search->lows[m] <= limit) {
            continue;
        }
        int64_t others = item == least ? second_end : least_end;
        if (below == 1 && next != item && next_end > others) {
            others = next_end;
        }
        if (!raise(search, item, others - search->lows[m])) {
            return false;
        }
    }
    return true;
}

static void forget_queue(overlay_search *search)
{
    for (; search->queue_count > 0; search->queue_count--) {
        search->is_queued[search->queue[search->queue_head]] = false;
        search->queue_head =
            search->queue_head + 1 == search->problem->section_count ? 0 : search->queue_head + 1;
    }
}

/* Looks at all queued sections, until nothing new follows. */
static bool settle(overlay_search *search)
{
    while (search->queue_count > 0) {
        const uint32_t section = search->queue[search->queue_head];
        search->is_queued[section] = false;
        search->queue_head =
            search->queue_head + 1 == search->problem->section_count ? 0 : search->queue_head + 1;
        search->queue_count--;
        if (!look_at(search, section)) {
            search->blame[section] += 1;
            forget_queue(search);
            return false;
        }
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * Placing an item and taking it back.
 */

static void move_to_end(overlay_search *search, uint32_t end, uint32_t item)
{
    const uint32_t last = search->order[end - 1];
    const uint32_t at = search->position[item];
    search->order[at] = last;
    search->position[last] = at;
    search->order[end - 1] = item;
    search->position[item] = end - 1;
}

static void leave_section(overlay_search *search, uint32_t item, uint32_t section)
{
    const uint32_t first = search->problem->items[item].first;
    const size_t from = search->slots[search->slot_starts[item] + (section - first)];
    const size_t to = search->member_starts[section] + --search->member_counts[section];
    const uint32_t other = search->members[to];
    const int64_t low = search->lows[from];
    const int64_t high = search->highs[from];
    search->members[from] = other;
    search->lows[from] = search->lows[to];
    search->highs[from] = search->highs[to];
    search->members[to] = item;
    search->lows[to] = low;
    search->highs[to] = high;
    const uint32_t other_first = search->problem->items[other].first;
    search->slots[search->slot_starts[other] + (section - other_first)] = from;
    search->slots[search->slot_starts[item] + (section - first)] = to;
    search->left[section] -= high - low;
}

static bool place(overlay_search *search, uint32_t item)
{
    const overlay_problem *problem = search->problem;
    const overlay_item *about = &problem->items[item];
    const int64_t offset = search->lowest[item];
    search->is_placed[item] = true;
    for (uint32_t p = about->piece; p < about->piece + about->piece_count; p++) {
        for (uint32_t s = problem->pieces[p].first; s < problem->pieces[p].end; s++) {
            leave_section(search, item, s);
            search->is_fresh[s] = false;
            queue_section(search, s);
        }
    }
    for (uint32_t s = about->first; s + 1 < about->end; s++) {
        search->cuts[s]--;
    }
    for (size_t e = problem->starts[item]; e < problem->starts[item + 1]; e++) {
        const uint32_t other = problem->near[e];
        if (search->is_placed[other]) {
            continue;
        }
        const int64_t top = offset + overlay_rise(problem, item, e);
        if (top > search->supports[other]) {
            set(search, &search->supports[other], top);
            if (!raise(search, other, top)) {
                search->blame[problem->items[other].first] += 1;
                return false;
            }
        }
    }
    return !search->is_trail_full;
}

static void unplace(overlay_search *search, const frame *at)
{
    const overlay_problem *problem = search->problem;
    const overlay_item *about = &problem->items[at->item];
    while (search->trail_count > at->trail_count) {
        const old_value *change = &search->trail[--search->trail_count];
        *change->place = change->value;
    }
    search->is_placed[at->item] = false;
    for (uint32_t s = at->work.first_section; s < at->work.end_section; s++) {
        search->is_fresh[s] = false;
    }
    for (uint32_t p = about->piece; p < about->piece + about->piece_count; p++) {
        const overlay_piece *piece = &problem->pieces[p];
        for (uint32_t s = piece->first; s < piece->end; s++) {
            search->member_counts[s]++;
            search->left[s] += piece->high - piece->low;
        }
    }
    for (uint32_t s = about->first; s + 1 < about->end; s++) {
        search->cuts[s]++;
    }
    search->part_count = at->part_count;
}

/* Makes a part of the items in the sections up to `end_section`; its range is the start of the
 * rest's. */
static part split_off(overlay_search *search, part *rest, uint32_t end_section)
{
    part made = *rest;
    uint32_t end = rest->start;
    for (uint32_t i = rest->start; i < rest->end; i++) {
        const uint32_t item = search->order[i];
        if (search->problem->items[item].first < end_section) {
            const uint32_t other = search->order[end];
            search->order[end] = item;
            search->position[item] = end;
            search->order[i] = other;
            search->position[other] = i;
            end++;
        }
    }
    made.end = end;
    made.end_section = end_section;
    rest->start = end;
    rest->first_section = end_section;
    return made;
}

/* The work after the frame's item has been placed. */
static part work_after(overlay_search *search, const frame *at, uint32_t depth)
{
    const overlay_item *item = &search->problem->items[at->item];
    part rest = at->work;
    move_to_end(search, rest.end, at->item);
    rest.end--;
    rest.failure = depth;
    for (uint32_t s = item->first; s + 1 < item->end && rest.start < rest.end; s++) {
        if (search->cuts[s] == 0) {
            const part made = split_off(search, &rest, s + 1);
            if (made.start < made.end) {
                search->parts[search->part_count] = made;
                rest.next = search->part_count++;
            }
        }
    }
    return rest;
}

/* ------------------------------------------------------------------------------------------------
 * What to decide next.
 */

/* The neighbour not placed whose end is the least that the item could lie on; `end` is where it
 * would. */
static uint32_t least_below(const overlay_search *search, uint32_t item, int64_t *end)
{
    const overlay_problem *problem = search->problem;
    uint32_t least = NO_ITEM;
    *end = INT64_MAX;
    for (size_t e = problem->starts[item]; e < problem->starts[item + 1]; e++) {
        const uint32_t other = problem->near[e];
        if (search->is_placed[other]) {
            continue;
        }
        const int64_t rise = overlay_rise_back(problem, item, e);
        if (search->lowest[other] + rise < *end) {
            *end = search->lowest[other] + rise;
            least = other;
        }
    }
    return least;
}

/* How much a section asks to be looked at: by how often it failed, how few items could be next,
 * and how little may be left empty. */
static double score_of(const overlay_search *search, uint32_t section, uint32_t below,
                       int64_t limit, int64_t floor)
{
    const overlay_style *style = search->style;
    const double capacity = (double)search->capacity;
    double score = style->by_blame ? 1 + search->blame[section] : 1;
    if (style->by_choice) {
        score /= below;
    }
    if (style->by_slack) {
        score /= SLACK_SOFTENER + (double)(limit - floor) / capacity;
    }
    return score;
}

static void refresh(overlay_search *search, uint32_t section)
{
    const size_t start = search->member_starts[section];
    const size_t end = start + search->member_counts[section];
    const int64_t limit = search->capacity - search->left[section];
    int64_t floor = INT64_MAX;
    uint32_t below = 0;
    for (size_t m = start; m < end; m++) {
        const int64_t begin = search->lowest[search->members[m]] + search->lows[m];
        below += begin <= limit;
        floor = begin < floor ? begin : floor;
    }
    search->below[section] = below;
    search->floors[section] = floor;
    search->is_fresh[section] = true;
}

/* The section to decide about. */
static uint32_t pick_section(overlay_search *search, const part *work)
{
    uint32_t best = work->first_section;
    double best_score = -1;
    for (uint32_t s = work->first_section; s < work->end_section; s++) {
        if (search->member_counts[s] == 0) {
            continue;
        }
        if (!search->is_fresh[s]) {
            refresh(search, s);
        }
        const int64_t limit = search->capacity - search->left[s];
        const double score = score_of(search, s, search->below[s], limit, search->floors[s]);
        if (score > best_score) {
            best_score = score;
            best = s;
        }
    }
    return best;
}

static bool is_better(const overlay_search *search, uint32_t a, uint32_t b)
{
    if (search->style->is_lowest_first && search->lowest[a] != search->lowest[b]) {
        return search->lowest[a] < search->lowest[b];
    }
    return search->ranks[a] < search->ranks[b];
}

/* The item to decide about, unless something fits below it. */
static uint32_t pick_target(overlay_search *search, const part *work)
{
    uint32_t item = NO_ITEM;
    if (search->style->is_by_levels) {
        for (uint32_t i = work->start; i < work->end; i++) {
            const uint32_t other = search->order[i];
            if (item == NO_ITEM || is_better(search, other, item)) {
                item = other;
            }
        }
        return item;
    }
    const uint32_t section = pick_section(search, work);
    const size_t start = search->member_starts[section];
    const size_t end = start + search->member_counts[section];
    const int64_t limit = search->capacity - search->left[section];
    for (size_t m = start; m < end; m++) {
        const uint32_t other = search->members[m];
        if (search->lowest[other] + search->lows[m] <= limit &&
            (item == NO_ITEM || is_better(search, other, item))) {
            item = other;
        }
    }
    return item;
}

/* An item to decide about, or NO_ITEM when there is no plan. */
static uint32_t pick(overlay_search *search, const part *work)
{
    for (;;) {
        uint32_t item = pick_target(search, work);
        bool is_new = false;
        for (;;) {
            int64_t below;
            const uint32_t other = least_below(search, item, &below);
            if (other != NO_ITEM && below <= search->lowest[item]) {
                item = other;
                continue;
            }
            const overlay_item *about = &search->problem->items[item];
            if (about->fixed != OVERLAY_NOWHERE ||
                overlay_align(search->supports[item], about->alignment) == search->lowest[item]) {
                break;
            }
            /* It was raised to lie on something that is not placed, and must lie on something. */
            if (other == NO_ITEM || !raise(search, item, below) || !settle(search)) {
                return NO_ITEM;
            }
            is_new = true;
            break;
        }
        if (!is_new) {
            return item;
        }
        if (search->is_trail_full) {
            return NO_ITEM;
        }
    }
}

/* The other branch: the item lies on something that is not placed. */
static bool lift(overlay_search *search, uint32_t item)
{
    int64_t below;
    return least_below(search, item, &below) != NO_ITEM && raise(search, item, below);
}

static void begin(overlay_search *search, const overlay_component *component)
{
    const overlay_problem *problem = search->problem;
    search->trail_count = 0;
    search->is_trail_full = false;
    search->part_count = 0;
    forget_queue(search);
    for (uint32_t s = component->first_section; s < component->end_section; s++) {
        search->left[s] = problem->loads[s];
        search->cuts[s] = 0;
        search->member_counts[s] =
            (uint32_t)(search->member_starts[s + 1] - search->member_starts[s]);
        search->is_fresh[s] = false;
        queue_section(search, s);
    }
    for (uint32_t i = component->first_item; i < component->end_item; i++) {
        const overlay_item *item = &problem->items[i];
        search->order[i] = i;
        search->position[i] = i;
        search->is_placed[i] = false;
        search->lowest[i] = item->fixed == OVERLAY_NOWHERE ? 0 : item->fixed;
        search->supports[i] = 0;
        for (uint32_t s = item->first; s + 1 < item->end; s++) {
            search->cuts[s]++;
        }
    }
}

overlay_found overlay_search_run(overlay_search *search, const overlay_component *component,
                                 int64_t capacity, const overlay_style *style,
                                 const uint32_t *ranks, uint64_t node_limit,
                                 overlay_control *control, int64_t *offsets)
{
    if (component->bound > capacity) {
        return OVERLAY_NONE;
    }
    search->capacity = capacity;
    search->is_small = component->end_item - component->first_item <= SMALL_MAX;
    search->style = style;
    search->blame = &search->blames[(size_t)style->number * search->problem->section_count];
    search->ranks = ranks;
    begin(search, component);
    const uint64_t end = search->nodes + node_limit;
    part work = {.start = component->first_item,
                 .end = component->end_item,
                 .first_section = component->first_section,
                 .end_section = component->end_section,
                 .failure = NO_FRAME,
                 .next = NO_PART};
    uint32_t depth = 0;
    bool can_be = settle(search);
    for (;;) {
        if (can_be && work.start == work.end) {
            if (work.next == NO_PART) {
                break;
            }
            work = search->parts[work.next];
            continue;
        }
        const uint32_t item = can_be ? pick(search, &work) : NO_ITEM;
        if (search->is_trail_full || search->nodes == end) {
            return OVERLAY_LIMIT;
        }
        search->nodes++;
        if (overlay_step(control, 1)) {
            return OVERLAY_OVER;
        }
        if (item != NO_ITEM) {
            frame *at = &search->frames[depth];
            at->work = work;
            at->item = item;
            at->part_count = search->part_count;
            at->trail_count = search->trail_count;
            can_be = place(search, item);
            work = work_after(search, at, depth++);
            can_be = can_be && settle(search);
            if (!can_be) {
                forget_queue(search);
            }
            continue;
        }
        if (work.failure == NO_FRAME) {
            return OVERLAY_NONE;
        }
        const uint32_t target = work.failure;
        while (depth > target) {
            unplace(search, &search->frames[--depth]);
        }
        work = search->frames[target].work;
        can_be = search->problem->items[search->frames[target].item].fixed == OVERLAY_NOWHERE &&
                 lift(search, search->frames[target].item) && settle(search);
        if (!can_be) {
            forget_queue(search);
        }
    }
    for (uint32_t i = component->first_item; i < component->end_item; i++) {
        offsets[i] = search->lowest[i];
    }
    return OVERLAY_FOUND;
}

uint64_t overlay_search_nodes(const overlay_search *search)
{
    return search->nodes;
}
