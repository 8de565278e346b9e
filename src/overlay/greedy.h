/* SPDX-License-Identifier: MIT */
#ifndef TARN_OVERLAY_GREEDY_H
#define TARN_OVERLAY_GREEDY_H

#include "overlay/control.h"
#include "overlay/problem.h"

/*
 * Plans made in one go, from an order of the items.
 */

/* What the greedy methods need; for one thread. */
typedef struct overlay_greedy overlay_greedy;

/* NULL when upstream refuses. */
overlay_greedy *overlay_greedy_create(const overlay_problem *problem, overlay_memory *memory);

/*
 * Levels: takes the lowest stretch of the skyline and puts on it the item with the least rank of
 * those that lie wholly above it; when there is none, the stretch is filled up to the lower of its
 * neighbours. Above fixed items only. Writes the offsets of the component's items and returns
 * their height; INT64_MAX when the control said to stop.
 *
 * Cost: O(n log n) in the items and sections, usually.
 */
int64_t overlay_greedy_levels(overlay_greedy *greedy, const overlay_component *component,
                              const uint32_t *ranks, overlay_control *control, int64_t *offsets);

/*
 * First fit: puts one item after the other at the lowest offset that is free for its whole life,
 * the fixed ones first. The problem has neighbours. `order` has the items of the component. The
 * same results.
 *
 * Cost: O(k log k) for an item with k neighbours.
 */
int64_t overlay_greedy_first_fit(overlay_greedy *greedy, const overlay_component *component,
                                 const uint32_t *order, overlay_control *control, int64_t *offsets);

#endif
