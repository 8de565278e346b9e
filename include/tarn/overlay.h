/* SPDX-License-Identifier: MIT */
#ifndef TARN_OVERLAY_H
#define TARN_OVERLAY_H

#include "tarn/base.h"
#include "tarn/heap.h"
#include "tarn/overlay_heap.h" /* the blocks of a plan, by name */
#include "tarn/overlay_tree.h" /* the manager: segments that share an area */

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Overlays: things that are never needed at the same time share the same memory.
 *
 * The planner. Buffers come with the time in which each is needed; out come offsets, such that
 * buffers which live at the same time never overlap, in as little memory as possible:
 *
 *     offset
 *       ^      +-----+     +---+
 *       |      |  b  +-----+ e |        a, b, c, d and e live for some time each;
 *       |  +---+-----+  d  +---+        b and e share addresses, and so do a and c
 *       |  |    a    +--+--+---+
 *       |  +---------+  |  c   |
 *       +--+---------+--+------+-->  time
 *
 * This is "dynamic storage allocation", problem SR2 of Garey and Johnson, and NP-hard. The planner
 * starts with greedy plans, betters them, and searches all plans as far as that is within reach;
 * it says what it has proven. docs/overlays.md tells how.
 *
 * Units: times are integers of any unit, negative ones included; a lifetime is half-open. Sizes,
 * offsets and alignments are bytes, or any other unit that all of them share. All are int64_t, so
 * that what a file says can be handed over as it is, and a negative size is refused and not taken
 * for a huge one.
 *
 * Memory: what the planner needs comes from the upstream heap and is back there when the call
 * returns: some 300 bytes for each buffer, and for each thread some 100 for each pair of buffers
 * that live at the same time. Above a bound on these pairs, and when upstream refuses them, it
 * does without and finds worse plans. Nothing of the caller's is kept.
 *
 * Threads: the functions share nothing, so any thread may call them at any time, with heaps that
 * it may use. Upstream and `progress` are called by the calling thread alone, also when more
 * threads work on the plan.
 *
 * Source: Moffitt, "MiniMalloc: A Lightweight Memory Allocator for Hardware-Accelerated Machine
 * Learning" (ASPLOS 2023), for sections, canonical plans and decomposition; Giffler and Thompson,
 * "Algorithms for Solving Production-Scheduling Problems" (1960), for active schedules; Carlier
 * and Pinson, "An Algorithm for Solving the Job-Shop Problem" (1989), for what cannot come first;
 * Boussemart and others, "Boosting Systematic Search by Weighting Constraints" (2004); Burke,
 * Kendall and Whitwell, "A New Placement Heuristic for the Orthogonal Stock-Cutting Problem"
 * (2004), for levels; Nagata and Braysy, "A Powerful Route Minimization Heuristic for the Vehicle
 * Routing Problem with Time Windows" (2009), for ejection.
 */

/* A part of a buffer's lifetime, [lower, upper), in which not all of it is in use: none of it, or
 * with `has_window` only its bytes [window_lower, window_upper), relative to the buffer's offset.
 *
 * With windows, two buffers may fit into each other such that one lies above the other at a time
 * and below it at another. The verifier knows such plans; the planner makes none, so it cannot
 * prove by search that there is no lower plan where buffers might do that: only a bound can. */
typedef struct tarn_overlay_gap {
    int64_t lower;
    int64_t upper;
    bool has_window;
    int64_t window_lower;
    int64_t window_upper;
} tarn_overlay_gap;

/* What is to get an offset. */
typedef struct tarn_overlay_buffer {
    int64_t lower; /* in use from this time on, */
    int64_t upper; /* up to this one, which is not part of it; equal to `lower`: never in use */
    int64_t size;  /* 0: needs no place, conflicts with nothing */
    /* The offset is a multiple of this, which need not be a power of two; 0: 1. */
    int64_t alignment;
    /* The offset is `offset` and no other, which must be at least 0 and aligned. */
    bool is_fixed;
    int64_t offset;
    /* Within the lifetime, each of at least one unit, in the order of times, and apart from each
     * other. The caller's, and only read; NULL with 0. */
    const tarn_overlay_gap *gaps;
    size_t gap_count;
} tarn_overlay_buffer;

typedef enum tarn_overlay_goal {
    /* The least height: goes on until it is proven that no plan is lower, or the call has to stop.
     * With a capacity, only plans within it count. */
    TARN_OVERLAY_LEAST = 0,
    /* Any plan within the capacity, or the proof that there is none. */
    TARN_OVERLAY_FITS,
    /* The lowest plan by the deadline (or the limit of steps): all effort goes into better plans,
     * none into proofs by search. */
    TARN_OVERLAY_ANYTIME
} tarn_overlay_goal;

/* How far the planner is. */
typedef struct tarn_overlay_progress {
    bool has_plan;
    int64_t height;      /* of the best plan so far; 0 without one */
    int64_t lower_bound; /* proven: no plan is lower */
    uint64_t steps;      /* see tarn_overlay_options */
    uint64_t elapsed_ms; /* since the call */
} tarn_overlay_progress;

typedef struct tarn_overlay_options {
    tarn_overlay_goal goal;
    int64_t capacity;     /* bytes that a plan may use; 0: no limit */
    uint64_t deadline_ms; /* milliseconds that the call may take, about; 0: no limit */
    /* Steps that the call may take, about; 0: no limit. A step is a node of a search or an offset
     * chosen by a heuristic. The same input, seed and limit, with one thread and no deadline that
     * strikes, give the same result. TARN_OVERLAY_ANYTIME needs a deadline or a limit; the others
     * may run for ever without. */
    uint64_t step_limit;
    uint64_t seed;       /* of what is decided at random */
    unsigned threads;    /* that work on the plan, the caller's among them; 0: 1; at most 64 */
    tarn_heap *upstream; /* where memory comes from; NULL: tarn_pages_heap() */
    /* Called with each better plan or bound, and besides some ten times a second. Returns false to
     * make the planner stop with what it has. NULL: none. */
    bool (*progress)(void *context, const tarn_overlay_progress *progress);
    void *context;
} tarn_overlay_options;

typedef enum tarn_overlay_outcome {
    /* No plan, and no proof that there is none: the call had to stop. */
    TARN_OVERLAY_UNKNOWN = 0,
    /* A plan, within the capacity if one was given. It may not be the lowest: the lower bound says
     * how far it is from that at most. */
    TARN_OVERLAY_FOUND,
    /* A plan, and the proof that none is lower. */
    TARN_OVERLAY_OPTIMAL,
    /* The proof that there is no plan (within the capacity, or with these fixed offsets). */
    TARN_OVERLAY_INFEASIBLE
} tarn_overlay_outcome;

typedef enum tarn_overlay_stop {
    TARN_OVERLAY_DONE = 0,   /* it had its answer */
    TARN_OVERLAY_DEADLINE,   /* the time was over */
    TARN_OVERLAY_STEP_LIMIT, /* the steps were used up */
    TARN_OVERLAY_CANCELLED   /* `progress` returned false */
} tarn_overlay_stop;

typedef struct tarn_overlay_result {
    tarn_overlay_outcome outcome;
    tarn_overlay_stop stop;
    int64_t height;        /* of the plan: the highest end of a buffer; 0 without a plan */
    int64_t lower_bound;   /* proven: no plan is lower, with whatever capacity */
    int64_t section_bound; /* the most bytes in use at any time, which is a bound, too */
    size_t components;     /* groups of buffers that share no time, planned apart */
    size_t sections;       /* stretches of time between two changes */
    size_t conflicts;      /* pairs of buffers that live at the same time */
    uint64_t plans;        /* that heuristics made */
    uint64_t nodes;        /* of searches */
    uint64_t steps;
    uint64_t elapsed_ms;
    size_t peak_memory; /* bytes taken from upstream at a time */
} tarn_overlay_result;

/*
 * Plans `count` buffers: fills `offsets`, one for each in their order, and `result` (may be NULL).
 *
 * TARN_OK: result->outcome says what was found; offsets are there when it is TARN_OVERLAY_FOUND or
 * TARN_OVERLAY_OPTIMAL, and are not touched otherwise. No buffers are planned at height 0. Without
 * `options` (NULL) it looks for the least height, for as long as that takes.
 *
 * Else nothing was done, and `offsets` is as it was:
 * TARN_BAD_ARGUMENT  a buffer breaks its contract (tarn_overlay_inspect() says how), or an option does.
 * TARN_TOO_LARGE     there are 2^31 buffers or more, or an end could pass INT64_MAX: twice the sum of
 *                    all sizes and alignments and of the highest fixed end does.
 * TARN_NO_MEMORY     upstream cannot give what is needed at least.
 *
 * Cost: the first plan takes time O(n log n) in the buffers, and where they are kept in the pairs
 * that live at the same time; the plans and searches after it take what the options allow. A
 * deadline is kept within some milliseconds once the pairs are listed, which is not interrupted;
 * if it strikes before there is a plan, the outcome is TARN_OVERLAY_UNKNOWN.
 */
TARN_API tarn_status tarn_overlay_plan(const tarn_overlay_buffer *buffers, size_t count,
                                       const tarn_overlay_options *options, int64_t *offsets,
                                       tarn_overlay_result *result);

/* What is wrong with a buffer or with a plan. */
typedef enum tarn_overlay_fault_kind {
    TARN_OVERLAY_SOUND = 0,
    TARN_OVERLAY_BAD_LIFETIME,  /* upper < lower */
    TARN_OVERLAY_BAD_SIZE,      /* negative */
    TARN_OVERLAY_BAD_ALIGNMENT, /* negative */
    TARN_OVERLAY_BAD_FIXED,     /* a fixed offset that is negative or not aligned */
    TARN_OVERLAY_BAD_GAP,       /* empty, not within the lifetime, out of order, or a bad window */
    TARN_OVERLAY_NOT_FIXED,     /* a plan has a fixed buffer elsewhere */
    TARN_OVERLAY_NOT_ALIGNED,   /* a plan has an offset that is no multiple of the alignment */
    TARN_OVERLAY_OUTSIDE,       /* a plan has a negative offset, or an end past the capacity */
    TARN_OVERLAY_COLLISION      /* a plan has two buffers on the same bytes at the same time */
} tarn_overlay_fault_kind;

typedef struct tarn_overlay_fault {
    tarn_overlay_fault_kind kind;
    size_t buffer; /* its index */
    size_t other;  /* of a collision: the index of the other one; else the gap's index */
    int64_t time;  /* of a collision: the first time at which the two collide */
} tarn_overlay_fault;

/* The fault in a short English phrase, in static storage; never NULL. */
TARN_API const char *tarn_overlay_fault_text(tarn_overlay_fault_kind kind);

/* Finds the first buffer that breaks its contract. TARN_OK, or TARN_BAD_ARGUMENT with the fault in
 * `fault` (may be NULL). Takes linear time and no memory. */
TARN_API tarn_status tarn_overlay_inspect(const tarn_overlay_buffer *buffers, size_t count,
                                          tarn_overlay_fault *fault);

/*
 * Verifies any plan, whoever made it, by a way that has nothing in common with the planner's: each
 * buffer is where it may be, ends within `capacity` (0: no limit), and at no time shares a byte
 * with another one.
 *
 * TARN_OK: the plan holds; its height is in `height` (may be NULL). TARN_BAD_DATA: it does not;
 * `fault` (may be NULL) has one fault, the earliest collision when all offsets are where they may
 * be. TARN_BAD_ARGUMENT as tarn_overlay_inspect(). TARN_NO_MEMORY: upstream (NULL:
 * tarn_pages_heap()) refused.
 *
 * Cost: O(n log n) time and O(n) memory in the buffers and their gaps.
 */
TARN_API tarn_status tarn_overlay_verify(const tarn_overlay_buffer *buffers, size_t count,
                                         const int64_t *offsets, int64_t capacity,
                                         tarn_heap *upstream, int64_t *height,
                                         tarn_overlay_fault *fault);

#ifdef __cplusplus
}
#endif

#endif
