/* SPDX-License-Identifier: MIT */
#ifndef TARN_OVERLAY_SEARCH_H
#define TARN_OVERLAY_SEARCH_H

#include "overlay/control.h"
#include "overlay/problem.h"

/*
 * Exact search: all plans of a component within a capacity, those left out that cannot be the only
 * ones.
 */

typedef enum overlay_found {
    OVERLAY_FOUND, /* offsets are there */
    OVERLAY_NONE,  /* there is no plan */
    OVERLAY_LIMIT, /* so many nodes did not suffice */
    OVERLAY_OVER   /* the control said to stop */
} overlay_found;

typedef struct overlay_search overlay_search;

enum { OVERLAY_STYLES_MAX = 16 };

/* Where a search decides next: in the section with the highest product of what is set. */
typedef struct overlay_style {
    uint32_t number; /* below OVERLAY_STYLES_MAX: runs of the same number learn from each other */
    bool by_blame;   /* how often the section was where a branch ended */
    bool by_choice;  /* how few items could be the next one in it */
    bool by_slack;   /* how little of it may stay empty */
    /* Of the items that could be next there, take the lowest, and by rank only among equals. */
    bool is_lowest_first;
    /* Do not look at sections, but take the lowest item of all, and by rank among equals. */
    bool is_by_levels;
} overlay_style;

/* A search for the components of a problem that has neighbours; NULL when upstream refuses. For one
 * thread. */
overlay_search *overlay_search_create(const overlay_problem *problem, overlay_memory *memory);

/* Looks for a plan of `component` whose ends are at most at `capacity`, for `node_limit` nodes. Of
 * the items that could be next in a section the one with the least rank is tried first. Offsets go
 * to `offsets`, one for each item of the problem; only those of the component are written. */
overlay_found overlay_search_run(overlay_search *search, const overlay_component *component,
                                 int64_t capacity, const overlay_style *style,
                                 const uint32_t *ranks, uint64_t node_limit,
                                 overlay_control *control, int64_t *offsets);

/* Nodes of all runs so far. */
uint64_t overlay_search_nodes(const overlay_search *search);

#endif
