/* SPDX-License-Identifier: MIT */
#include "overlay/greedy.h"

#include "overlay/sort.h"

#include <string.h>

/*
 *                      +-----+             The skyline is a list of runs of sections with the same
 *     run      +-------+     +----+        floor, and a heap that knows the lowest.
 *     [   0   ][   1   ][ 2 ][ 3  ]
 *
 * Invariant: neighbouring runs of a component have different floors, but for the moment in which
 * one is being changed, and the heap has each run once.
 */

/* A run; it has the number of its first section. */
typedef struct run {
    int64_t floor;
    uint32_t end;  /* section past its last one */
    uint32_t last; /* of a section: the first one of the run that ends before this one */
    uint32_t heap_at;
} run;

/* Where something else lies: no offset between begin and end is free. */
typedef struct taken {
    int64_t begin;
    int64_t end;
} taken;

/* Of a set of items that follow each other. */
typedef struct node {
    uint32_t least_rank; /* UINT32_MAX: all are placed */
    uint32_t least_end;
} node;

struct overlay_greedy {
    const overlay_problem *problem;
    run *runs;
    uint32_t *heap; /* runs, the lowest first, then the leftmost */
    uint32_t heap_count;
    node *nodes; /* a tree over the items: node 1 has all, and node k has 2k and 2k + 1 */
    uint32_t leaves;
    uint32_t first_item;   /* of the component */
    uint32_t *item_starts; /* of each section: the first item that begins there or later */
    taken *taken;
    bool *is_placed;
};

overlay_greedy *overlay_greedy_create(const overlay_problem *problem, overlay_memory *memory)
{
    overlay_greedy *greedy = overlay_take(memory, 1, sizeof *greedy);
    if (greedy == NULL) {
        return NULL;
    }
    const size_t sections = problem->section_count;
    greedy->problem = problem;
    size_t leaves = 1;
    while (leaves < problem->count) {
        leaves *= 2;
    }
    greedy->runs = overlay_take(memory, sections + 1, sizeof *greedy->runs);
    greedy->heap = overlay_take(memory, sections + 1, sizeof *greedy->heap);
    greedy->nodes = overlay_take(memory, 2 * leaves, sizeof *greedy->nodes);
    greedy->item_starts = overlay_take(memory, sections + 1, sizeof *greedy->item_starts);
    greedy->taken = overlay_take(memory, problem->count, sizeof *greedy->taken);
    greedy->is_placed = overlay_take(memory, problem->count, sizeof *greedy->is_placed);
    if (greedy->runs == NULL || greedy->heap == NULL || greedy->nodes == NULL ||
        greedy->item_starts == NULL || greedy->taken == NULL || greedy->is_placed == NULL) {
        return NULL;
    }
    uint32_t item = 0;
    for (uint32_t s = 0; s <= problem->section_count; s++) {
        while (item < problem->count && problem->items[item].first < s) {
            item++;
        }
        greedy->item_starts[s] = item;
    }
    return greedy;
}

/* ------------------------------------------------------------------------------------------------
 * The heap of runs.
 */

static bool run_is_before(const overlay_greedy *greedy, uint32_t a, uint32_t b)
{
    const int64_t x = greedy->runs[a].floor;
    const int64_t y = greedy->runs[b].floor;
    return x != y ? x < y : a < b;
}

static void put(overlay_greedy *greedy, uint32_t at, uint32_t which)
{
    greedy->heap[at] = which;
    greedy->runs[which].heap_at = at;
}

static void sift(overlay_greedy *greedy, uint32_t at, uint32_t which)
{
    while (at > 0 && run_is_before(greedy, which, greedy->heap[(at - 1) / 2])) {
        put(greedy, at, greedy->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (uint32_t child = 2 * at + 1; child < greedy->heap_count; child = 2 * at + 1) {
        if (child + 1 < greedy->heap_count &&
            run_is_before(greedy, greedy->heap[child + 1], greedy->heap[child])) {
            child++;
        }
        if (!run_is_before(greedy, greedy->heap[child], which)) {
            break;
        }
        put(greedy, at, greedy->heap[child]);
        at = child;
    }
    put(greedy, at, which);
}

static void add_run(overlay_greedy *greedy, uint32_t first, uint32_t end, int64_t floor)
{
    run *made = &greedy->runs[first];
    made->floor = floor;
    made->end = end;
    greedy->runs[end].last = first;
    sift(greedy, greedy->heap_count++, first);
}

static void drop_run(overlay_greedy *greedy, uint32_t first)
{
    const uint32_t at = greedy->runs[first].heap_at;
    const uint32_t other = greedy->heap[--greedy->heap_count];
    if (other != first) {
        sift(greedy, at, other);
    }
}

/* Gives the sections from `first` to `end`, which are part of a run, a floor of their own. */
static void set_floor(overlay_greedy *greedy, const overlay_component *component, uint32_t within,
                      uint32_t first, uint32_t end, int64_t floor)
{
    const run whole = greedy->runs[within];
    if (within < first) {
        greedy->runs[within].end = first;
        greedy->runs[first].last = within;
    } else {
        drop_run(greedy, within);
    }
    if (end < whole.end) {
        add_run(greedy, end, whole.end, whole.floor);
    } else if (end < component->end_section && greedy->runs[end].floor == floor) {
        const uint32_t after = end;
        end = greedy->runs[after].end;
        drop_run(greedy, after);
    }
    if (first > component->first_section) {
        const uint32_t before = greedy->runs[first].last;
        if (greedy->runs[before].floor == floor) {
            drop_run(greedy, before);
            first = before;
        }
    }
    add_run(greedy, first, end, floor);
}

/* ------------------------------------------------------------------------------------------------
 * The tree of items.
 */

static node join(node a, node b)
{
    return (node){.least_rank = a.least_rank < b.least_rank ? a.least_rank : b.least_rank,
                  .least_end = a.least_end < b.least_end ? a.least_end : b.least_end};
}

static void take_out(overlay_greedy *greedy, uint32_t item)
{
    uint32_t at = greedy->leaves + (item - greedy->first_item);
    greedy->nodes[at] = (node){UINT32_MAX, UINT32_MAX};
    for (at /= 2; at > 0; at /= 2) {
        greedy->nodes[at] = join(greedy->nodes[2 * (size_t)at], greedy->nodes[2 * (size_t)at + 1]);
    }
}

/* A search for the item of least rank, among those from `first` to `end`, that ends at `limit` or
 * before. */
typedef struct wish {
    uint32_t first;
    uint32_t end;
    uint32_t limit;
    uint32_t rank; /* the least so far */
    uint32_t item;
} wish;

static void ask(const overlay_greedy *greedy, wish *query, uint32_t at, uint32_t first,
                uint32_t size)
{
    const node *here = &greedy->nodes[at];
    if (here->least_rank >= query->rank || here->least_end > query->limit || first >= query->end ||
        first + size <= query->first) {
        return;
    }
    if (size == 1) {
        query->rank = here->least_rank;
        query->item = first;
        return;
    }
    const uint32_t half = size / 2;
    const bool right_first =
        greedy->nodes[2 * (size_t)at + 1].least_rank < greedy->nodes[2 * (size_t)at].least_rank;
    if (right_first) {
        ask(greedy, query, 2 * at + 1, first + half, half);
    }
    ask(greedy, query, 2 * at, first, half);
    if (!right_first) {
        ask(greedy, query, 2 * at + 1, first + half, half);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Levels.
 */

/* Fills the tree and the skyline; fixed items are where they have to be. Returns the items to
 * place. */
static uint32_t lay_out(overlay_greedy *greedy, const overlay_component *component,
                        const uint32_t *ranks, int64_t *offsets, int64_t *height)
{
    const overlay_problem *problem = greedy->problem;
    const uint32_t sections = component->end_section - component->first_section;
    const uint32_t count = component->end_item - component->first_item;
    uint32_t left = 0;
    greedy->first_item = component->first_item;
    greedy->leaves = 1;
    while (greedy->leaves < count) {
        greedy->leaves *= 2;
    }
    for (uint32_t k = 0; k < greedy->leaves; k++) {
        const uint32_t i = component->first_item + k;
        const bool is_free = k < count && problem->items[i].fixed == OVERLAY_NOWHERE;
        left += is_free;
        greedy->nodes[greedy->leaves + k] =
            is_free ? (node){ranks[i], problem->items[i].end} : (node){UINT32_MAX, UINT32_MAX};
    }
    for (uint32_t at = greedy->leaves - 1; at > 0; at--) {
        greedy->nodes[at] = join(greedy->nodes[2 * (size_t)at], greedy->nodes[2 * (size_t)at + 1]);
    }
    /* Ends of fixed items by section, in the place of runs. */
    for (uint32_t s = 0; s < sections; s++) {
        greedy->runs[component->first_section + s].floor = 0;
    }
    *height = 0;
    for (uint32_t i = component->first_item; component->has_fixed && i < component->end_item; i++) {
        const overlay_item *item = &problem->items[i];
        if (item->fixed == OVERLAY_NOWHERE) {
            continue;
        }
        const int64_t end = item->fixed + item->size;
        offsets[i] = item->fixed;
        *height = end > *height ? end : *height;
        for (uint32_t s = item->first; s < item->end; s++) {
            if (greedy->runs[s].floor < end) {
                greedy->runs[s].floor = end;
            }
        }
    }
    greedy->heap_count = 0;
    for (uint32_t s = component->first_section; s < component->end_section;) {
        const int64_t floor = greedy->runs[s].floor;
        uint32_t end = s + 1;
        while (end < component->end_section && greedy->runs[end].floor == floor) {
            end++;
        }
        add_run(greedy, s, end, floor);
        s = end;
    }
    return left;
}

int64_t overlay_greedy_levels(overlay_greedy *greedy, const overlay_component *component,
                              const uint32_t *ranks, overlay_control *control, int64_t *offsets)
{
    const overlay_problem *problem = greedy->problem;
    int64_t height;
    uint32_t left = lay_out(greedy, component, ranks, offsets, &height);
    while (left > 0) {
        if (overlay_step(control, 1)) {
            return INT64_MAX;
        }
        const uint32_t lowest = greedy->heap[0];
        const run here = greedy->runs[lowest];
        wish query = {.first = greedy->item_starts[lowest] - component->first_item,
                      .end = greedy->item_starts[here.end] - component->first_item,
                      .limit = here.end,
                      .rank = UINT32_MAX};
        ask(greedy, &query, 1, 0, greedy->leaves);
        if (query.rank != UINT32_MAX) {
            const uint32_t chosen = component->first_item + query.item;
            const overlay_item *item = &problem->items[chosen];
            const int64_t offset = overlay_align(here.floor, item->alignment);
            offsets[chosen] = offset;
            take_out(greedy, chosen);
            left--;
            height = offset + item->size > height ? offset + item->size : height;
            set_floor(greedy, component, lowest, item->first, item->end, offset + item->size);
            continue;
        }
        int64_t next = INT64_MAX;
        if (lowest > component->first_section) {
            next = greedy->runs[here.last].floor;
        }
        if (here.end < component->end_section && greedy->runs[here.end].floor < next) {
            next = greedy->runs[here.end].floor;
        }
        set_floor(greedy, component, lowest, lowest, here.end, next);
    }
    return height;
}

/* ------------------------------------------------------------------------------------------------
 * First fit.
 */

static bool taken_is_before(const taken *a, const taken *b)
{
    return a->begin < b->begin;
}

OVERLAY_DEFINE_SORT(sort_taken, taken, taken_is_before)

/* The lowest offset for the item between what is placed. */
static int64_t lowest_free(overlay_greedy *greedy, uint32_t item, const int64_t *offsets)
{
    const overlay_problem *problem = greedy->problem;
    const overlay_item *about = &problem->items[item];
    size_t count = 0;
    for (size_t e = problem->starts[item]; e < problem->starts[item + 1]; e++) {
        const uint32_t other = problem->near[e];
        if (greedy->is_placed[other]) {
            const int64_t fall = overlay_rise(problem, item, e);
            const int64_t rise = overlay_rise_back(problem, item, e);
            greedy->taken[count++] = (taken){offsets[other] - fall, offsets[other] + rise};
        }
    }
    sort_taken(greedy->taken, count);
    int64_t offset = 0;
    for (size_t t = 0; t < count; t++) {
        if (greedy->taken[t].begin >= offset) {
            break;
        }
        if (greedy->taken[t].end > offset) {
            offset = overlay_align(greedy->taken[t].end, about->alignment);
        }
    }
    return offset;
}

int64_t overlay_greedy_first_fit(overlay_greedy *greedy, const overlay_component *component,
                                 const uint32_t *order, overlay_control *control, int64_t *offsets)
{
    const overlay_problem *problem = greedy->problem;
    int64_t height = 0;
    for (uint32_t i = component->first_item; i < component->end_item; i++) {
        const overlay_item *item = &problem->items[i];
        greedy->is_placed[i] = item->fixed != OVERLAY_NOWHERE;
        if (greedy->is_placed[i]) {
            offsets[i] = item->fixed;
            height = item->fixed + item->size > height ? item->fixed + item->size : height;
        }
    }
    for (uint32_t k = 0; k < component->end_item - component->first_item; k++) {
        const uint32_t i = order[k];
        if (greedy->is_placed[i]) {
            continue;
        }
        if (overlay_step(control, 1 + (problem->starts[i + 1] - problem->starts[i]) / 16)) {
            return INT64_MAX;
        }
        const int64_t offset = lowest_free(greedy, i, offsets);
        offsets[i] = offset;
        greedy->is_placed[i] = true;
        const int64_t end = offset + problem->items[i].size;
        height = end > height ? end : height;
    }
    return height;
}
