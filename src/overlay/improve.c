/* SPDX-License-Identifier: MIT */
#include "overlay/improve.h"

#include "overlay/sort.h"

/*
 * Ejection: what does not fit under the target is taken out, and put back one after the other. An
 * item that fits nowhere throws out what is in its way, where that costs least, and becomes dearer
 * itself; so what is hard to place gets its place in the end, and the others find theirs around
 * it.
 *
 *      waiting [ v, ... ]           +---+      prices: 1, 1, 3
 *                 |            +----+ 3 |      v throws out one of price 1, not the one of price 3
 *                 '--->   +--+ |  1 +---+
 *                         |1 | +----+
 *
 * Invariant: the items that do not wait are a plan without collisions below the target.
 *
 * Source: Nagata and Braeysy, "A powerful route minimization heuristic for the vehicle routing
 * problem with time windows" (2009), for guided ejection.
 */

/* The price of standing at a place changes there. */
typedef struct edge {
    int64_t at;
    int64_t price; /* > 0: begins to collide beyond `at`; < 0: does so no more from `at` on */
} edge;

struct overlay_improve {
    const overlay_problem *problem;
    int64_t *prices;
    bool *is_waiting;
    uint32_t *waiting;
    uint32_t waiting_count;
    edge *edges;
};

overlay_improve *overlay_improve_create(const overlay_problem *problem, overlay_memory *memory)
{
    overlay_improve *improve = overlay_take(memory, 1, sizeof *improve);
    if (improve == NULL) {
        return NULL;
    }
    improve->problem = problem;
    improve->prices = overlay_take(memory, problem->count, sizeof *improve->prices);
    improve->is_waiting = overlay_take(memory, problem->count, sizeof *improve->is_waiting);
    improve->waiting = overlay_take(memory, problem->count, sizeof *improve->waiting);
    improve->edges = overlay_take(memory, 2 * (size_t)problem->count + 2, sizeof *improve->edges);
    if (improve->prices == NULL || improve->is_waiting == NULL || improve->waiting == NULL ||
        improve->edges == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < problem->count; i++) {
        improve->prices[i] = 1;
    }
    return improve;
}

static bool edge_is_before(const edge *a, const edge *b)
{
    /* At the same place collisions end before others begin. */
    return a->at != b->at ? a->at < b->at : a->price < b->price;
}

OVERLAY_DEFINE_SORT(sort_edges, edge, edge_is_before)

static void wait_for_place(overlay_improve *improve, uint32_t item)
{
    improve->is_waiting[item] = true;
    improve->waiting[improve->waiting_count++] = item;
}

/* The price of what may not be thrown out: more than all others together. */
static const int64_t NEVER = INT64_C(1) << 45;
static const int64_t PRICE_MAX = 1 << 16;

/* Lists where the item collides with what. */
static size_t list_edges(overlay_improve *improve, uint32_t item, int64_t most,
                         const int64_t *offsets)
{
    const overlay_problem *problem = improve->problem;
    size_t count = 0;
    for (size_t e = problem->starts[item]; e < problem->starts[item + 1]; e++) {
        const uint32_t other = problem->near[e];
        if (improve->is_waiting[other]) {
            continue;
        }
        const int64_t begin = offsets[other] - overlay_rise(problem, item, e);
        const int64_t end = offsets[other] + overlay_rise_back(problem, item, e);
        if (end <= 0 || begin >= most) {
            continue;
        }
        const int64_t price =
            problem->items[other].fixed == OVERLAY_NOWHERE ? improve->prices[other] : NEVER;
        improve->edges[count++] = (edge){begin, price};
        improve->edges[count++] = (edge){end, -price};
    }
    return count;
}

/* The cheapest offset from 0 to `most`, any of them among equals. */
static int64_t find_place(overlay_improve *improve, uint32_t item, int64_t most,
                          const int64_t *offsets, uint64_t *random, int64_t *price)
{
    const int64_t alignment = improve->problem->items[item].alignment;
    size_t count = list_edges(improve, item, most, offsets);
    improve->edges[count++] = (edge){0, 0};
    improve->edges[count++] = (edge){most, 0};
    sort_edges(improve->edges, count);
    int64_t sum = 0;
    int64_t best = INT64_MAX;
    int64_t place = OVERLAY_NOWHERE;
    uint32_t equals = 0;
    int64_t last = OVERLAY_NOWHERE;
    for (size_t k = 0; k < count; k++) {
        const edge *here = &improve->edges[k];
        if (here->price > 0) {
            /* Ends at this place came first: this is what it costs here. */
            if (here->at >= 0 && here->at <= most && here->at != last &&
                here->at % alignment == 0) {
                last = here->at;
                if (sum < best) {
                    best = sum;
                    place = here->at;
                    equals = 1;
                } else if (sum == best && overlay_random_below(random, ++equals) == 0) {
                    place = here->at;
                }
            }
            sum += here->price;
            continue;
        }
        sum += here->price;
        if (k + 1 < count && improve->edges[k + 1].at == here->at) {
            continue;
        }
        const int64_t at = overlay_align(here->at, alignment);
        if (at >= 0 && at <= most && at != last &&
            (k + 1 == count || at <= improve->edges[k + 1].at)) {
            last = at;
            if (sum < best) {
                best = sum;
                place = at;
                equals = 1;
            } else if (sum == best && overlay_random_below(random, ++equals) == 0) {
                place = at;
            }
        }
    }
    *price = best;
    return place;
}

/* Throws out what collides with the item at the offset. */
static void eject(overlay_improve *improve, uint32_t item, int64_t offset, const int64_t *offsets)
{
    const overlay_problem *problem = improve->problem;
    for (size_t e = problem->starts[item]; e < problem->starts[item + 1]; e++) {
        const uint32_t other = problem->near[e];
        if (!improve->is_waiting[other] &&
            offset > offsets[other] - overlay_rise(problem, item, e) &&
            offset < offsets[other] + overlay_rise_back(problem, item, e)) {
            wait_for_place(improve, other);
        }
    }
}

bool overlay_improve_run(overlay_improve *improve, const overlay_component *component,
                         int64_t target, uint64_t steps, uint64_t *random, overlay_control *control,
                         int64_t *offsets)
{
    const overlay_problem *problem = improve->problem;
    if (target < component->bound) {
        return false;
    }
    improve->waiting_count = 0;
    for (uint32_t i = component->first_item; i < component->end_item; i++) {
        improve->is_waiting[i] = false;
        if (offsets[i] + problem->items[i].size > target) {
            wait_for_place(improve, i);
        }
    }
    for (uint64_t step = 0; step < steps && improve->waiting_count > 0;) {
        /* The last one thrown out, or now and then any. */
        uint32_t at = improve->waiting_count - 1;
        if (overlay_random_below(random, 4) == 0) {
            at = overlay_random_below(random, improve->waiting_count);
        }
        const uint32_t item = improve->waiting[at];
        const uint64_t cost = 1 + (problem->starts[item + 1] - problem->starts[item]) / 16;
        step += cost;
        if (overlay_step(control, cost)) {
            return false;
        }
        int64_t price;
        const int64_t most = target - problem->items[item].size;
        const int64_t place = find_place(improve, item, most, offsets, random, &price);
        if (place == OVERLAY_NOWHERE || price >= NEVER) {
            return false;
        }
        improve->waiting[at] = improve->waiting[--improve->waiting_count];
        if (price > 0) {
            eject(improve, item, place, offsets);
            improve->prices[item] += improve->prices[item] < PRICE_MAX;
        }
        offsets[item] = place;
        improve->is_waiting[item] = false;
    }
    return improve->waiting_count == 0;
}
