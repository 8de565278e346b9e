/* SPDX-License-Identifier: MIT */
#ifndef TARN_TESTS_HEAP_MODEL_H
#define TARN_TESTS_HEAP_MODEL_H

#include "tarn/heap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The tests that every heap has to pass, whatever it is made of: random operations against a naive
 * twin, and a shortage of memory at every request in turn.
 *
 * The twin is a plain array of what the heap should have: where each block is, how large, and what
 * was written into it. After each operation the heap's answers are held against it.
 *
 * A failure is told on standard error with the seed; TARN_SEED=... in the environment repeats it.
 */

/* A kind of heap, or a composition of heaps, to be tested. */
typedef struct heap_model_subject {
    const char *name; /* for messages */
    void *state;      /* for open and close */

    /* Makes the heap over `upstream`, which one without an upstream ignores. NULL if there is no
     * memory for it, which is a fault unless upstream was made to fail. */
    tarn_heap *(*open)(void *state, tarn_heap *upstream);
    void (*close)(void *state);

    size_t size_max;      /* bytes of the largest request */
    size_t alignment_max; /* largest alignment; 0: 4096 */
    unsigned blocks_max;  /* live blocks at once, at most; 0: 256 */

    bool may_refuse;   /* its memory is limited: NULL is no fault */
    bool cannot_check; /* below, what the interface leaves open */
    bool cannot_visit;
    bool cannot_reset;
    bool visits_room;      /* visit tells the room of blocks, not the size asked for */
    bool counts_room;      /* stats.live is the room of blocks, not the size asked for */
    bool keeps_no_history; /* stats of the past (peak_live, allocs, frees, failures) are 0 */
    bool keeps_footprint;  /* footprint does not return to 0 when all is freed and trimmed */
    bool counts_no_blocks; /* stats of blocks (blocks, allocs, frees) are 0 */
    bool frees_nothing;    /* what a free leaves is only given back after a reset */
    bool promises_largest; /* a request of stats.largest_free bytes is always served */
} heap_model_subject;

/* The seed from TARN_SEED, or else a new one. */
uint64_t heap_model_seed(void);

/* Runs random operations; true if the heap did as its twin. */
bool heap_model_run(const heap_model_subject *subject, uint64_t seed, unsigned operations);

/* Runs the same operations again and again over an upstream whose 1st, 2nd, n-th request fails,
 * alone and with all after it; true if nothing was lost or changed by it. For subjects that use
 * their upstream. */
bool heap_model_run_short_of_memory(const heap_model_subject *subject, uint64_t seed,
                                    unsigned operations);

#endif
