/* SPDX-License-Identifier: MIT */
#include "heap/wrapper.h"

HEAP_WRAPPER_IS_IN_PLACE(tarn_failing);

static tarn_failing *failing_of(tarn_heap *heap)
{
    return (tarn_failing *)heap;
}

/* splitmix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014). */
static uint64_t draw(uint64_t *state)
{
    *state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t number = *state;
    number = (number ^ (number >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94D049BB133111EB);
    return number ^ (number >> 31);
}

/* Counts a request and says whether the plan lets it pass. */
static bool passes(tarn_failing *failing)
{
    const tarn_failing_plan *plan = &failing->plan;
    const uint64_t request = ++failing->requests;
    const bool fails = request == plan->at || (plan->from != 0 && request >= plan->from) ||
                       (plan->every != 0 && request % plan->every == 0) ||
                       (plan->one_in != 0 && draw(&failing->draws) % plan->one_in == 0);
    failing->refused += fails;
    return !fails;
}

static void *failing_alloc(tarn_heap *heap, size_t size, size_t alignment)
{
    return passes(failing_of(heap)) ? heap_wrapper_alloc(heap, size, alignment)
                                    : heap_wrapper_refuse(heap);
}

static void *failing_alloc_zeroed(tarn_heap *heap, size_t size, size_t alignment)
{
    return passes(failing_of(heap)) ? heap_wrapper_alloc_zeroed(heap, size, alignment)
                                    : heap_wrapper_refuse(heap);
}

static bool failing_resize(tarn_heap *heap, void *block, size_t old_size, size_t new_size)
{
    return passes(failing_of(heap)) && heap_wrapper_resize(heap, block, old_size, new_size);
}

static void *failing_move(tarn_heap *heap, void *block, size_t old_size, size_t new_size,
                          size_t alignment)
{
    return passes(failing_of(heap)) ? heap_wrapper_move(heap, block, old_size, new_size, alignment)
                                    : NULL;
}

void tarn_failing_restart(tarn_failing *failing, const tarn_failing_plan *plan)
{
    failing->plan = plan != NULL ? *plan : (tarn_failing_plan){0};
    failing->requests = 0;
    failing->refused = 0;
    failing->draws = failing->plan.seed;
}

tarn_status tarn_failing_init(tarn_failing *failing, const tarn_failing_options *options)
{
    static const tarn_heap_ops ops = {
        .alloc = failing_alloc,
        .free = heap_wrapper_free,
        .resize = failing_resize,
        .move = failing_move,
        .trim = heap_wrapper_trim,
        .stats = heap_wrapper_stats,
        .check = heap_wrapper_check,
        .visit = heap_wrapper_visit,
        .reset = heap_wrapper_reset,
        .alloc_zeroed = failing_alloc_zeroed,
        .should_move = heap_wrapper_should_move,
    };
    static const tarn_failing_options none;
    if (options == NULL) {
        options = &none;
    }
    tarn_failing_restart(failing, &options->plan);
    heap_wrapper_init(&failing->heap, &ops, options->upstream, options->name, "failing");
    return TARN_OK;
}
