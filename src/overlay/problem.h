/* SPDX-License-Identifier: MIT */
#ifndef TARN_OVERLAY_PROBLEM_H
#define TARN_OVERLAY_PROBLEM_H

#include "overlay/memory.h"
#include "tarn/overlay.h"

/*
 * What the caller gave, made ready for the methods:
 *
 *     sections   0     1      2      3        the sets of buffers live at a time, without those that are
 *                [  a  ]                      part of another such set
 *                [     b      ]
 *                             [      c      ]
 *     components |----- 0 ----|----- 1 -----|
 *
 * All sizes and offsets are divided by `unit`, their greatest common divisor. Buffers that are
 * never in use or empty are left out. The others are *items*, sorted by their first section, then
 * by their last.
 */

enum { OVERLAY_NOWHERE = -1 };

/* Stretch of sections in which the bytes [low, high) of an item are in use. */
typedef struct overlay_piece {
    uint32_t first;
    uint32_t end;
    int64_t low;
    int64_t high;
} overlay_piece;

typedef struct overlay_item {
    int64_t size;
    int64_t alignment; /* at least 1 */
    int64_t fixed;     /* where it has to be, or OVERLAY_NOWHERE */
    uint32_t first;    /* section */
    uint32_t end;      /* section past the last; in between it may be out of use */
    uint32_t piece;    /* its first one */
    uint32_t piece_count;
    uint32_t input; /* index in the caller's array */
    double width;   /* units of time in which it is in use */
    int64_t load;   /* the largest of its sections */
} overlay_item;

/* A group of items that shares no section with others. */
typedef struct overlay_component {
    uint32_t first_item;
    uint32_t end_item;
    uint32_t first_section;
    uint32_t end_section;
    int64_t bound; /* no plan of it is lower */
    bool has_fixed;
} overlay_component;

typedef struct overlay_problem {
    overlay_item *items;
    uint32_t count;
    overlay_piece *pieces;
    uint32_t piece_count;
    int64_t *loads; /* bytes in use in each section */
    uint32_t section_count;
    overlay_component *components;
    uint32_t component_count;

    /* The items that share a section with item i are near[starts[i]] to near[starts[i + 1] - 1], in
     * ascending order. NULL when there are too many. */
    size_t *starts;
    uint32_t *near;
    size_t pair_count; /* of items that live at the same time; without `near`, at most so many */
    /* Beside each of `near` how far it is at least from item i when it lies above; NULL: the size
     * of i. */
    int64_t *rises;

    int64_t unit;
    int64_t idle_height;   /* of what is left out, in the caller's unit */
    int64_t section_bound; /* the largest load */
    int64_t bound;         /* no plan is lower */
    bool is_simple;        /* no item has a gap */
    bool is_plain;         /* nor an alignment, nor a fixed offset */
    /* Two items may lie one above the other at a time and below it at another. */
    bool may_change_places;
} overlay_problem;

static inline int64_t overlay_rise(const overlay_problem *problem, uint32_t item, size_t edge)
{
    return problem->rises == NULL ? problem->items[item].size : problem->rises[edge];
}

/* How far the item is at least from the neighbour of that edge when it lies above. */
static inline int64_t overlay_rise_back(const overlay_problem *problem, uint32_t item, size_t edge)
{
    const uint32_t other = problem->near[edge];
    if (problem->rises == NULL) {
        return problem->items[other].size;
    }
    /* The same pair seen from the other one. */
    size_t low = problem->starts[other];
    size_t high = problem->starts[other + 1];
    while (low + 1 < high) {
        const size_t middle = low + (high - low) / 2;
        if (problem->near[middle] <= item) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return problem->rises[low];
}

static inline int64_t overlay_align(int64_t offset, int64_t alignment)
{
    if (alignment == 1) {
        return offset;
    }
    const int64_t over = offset % alignment;
    return over == 0 ? offset : over < 0 ? offset - over : offset + (alignment - over);
}

/* The state of splitmix64, a generator with 64 bits of state (Steele, Lea and Flood, 2014). */
static inline uint64_t overlay_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* Uniform below `limit`, which is at least 1 and at most 2^32. */
static inline uint32_t overlay_random_below(uint64_t *state, uint64_t limit)
{
    return (uint32_t)((overlay_random(state) >> 32) * limit >> 32);
}

/* The buffers keep their contracts. TARN_TOO_LARGE, TARN_NO_MEMORY. */
tarn_status overlay_problem_init(overlay_problem *problem, const tarn_overlay_buffer *buffers,
                                 size_t count, overlay_memory *memory);

#endif
