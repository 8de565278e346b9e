/* SPDX-License-Identifier: MIT */
/*
 * The overlay planner on tiny problems, against brute force, and its verifier on the plans. A
 * buffer is six bytes:
 *
 *     [ lower ][ length ][ size ][ alignment or fixed offset ][ gap: start and length ][ window ]
 */
#include "../tests/unit/overlay_brute.h"

#include <stdio.h>
#include <string.h>

enum { BUFFER_BYTES = 6, BUFFERS_MAX = 6, LEAST_MAX = 48, STEPS = 100000 };

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "overlay_fuzz: %s\n", what);
        __builtin_trap();
    }
}

/* Fills one more buffer, always a sound one. */
static void fill(overlay_small *problem, const uint8_t *bytes)
{
    const size_t i = problem->count++;
    tarn_overlay_buffer *buffer = &problem->buffers[i];
    tarn_overlay_gap *gap = &problem->gaps[i][0];
    buffer->lower = bytes[0] % 10;
    buffer->upper = buffer->lower + bytes[1] % 8;
    buffer->size = bytes[2] % 5;
    if (bytes[3] % 4 == 1) {
        buffer->alignment = 1 + bytes[3] / 4 % 4;
    } else if (bytes[3] % 4 == 2) {
        buffer->is_fixed = true;
        buffer->offset = bytes[3] / 4 % 8;
    }
    gap->lower = buffer->lower + bytes[4] % 8;
    gap->upper = gap->lower + 1 + bytes[4] / 8 % 8;
    if (gap->upper <= buffer->upper) {
        gap->has_window = bytes[5] % 2 != 0 && buffer->size > 0;
        if (gap->has_window) {
            gap->window_lower = bytes[5] / 2 % (buffer->size + 1);
            gap->window_upper =
                gap->window_lower + bytes[5] / 16 % (buffer->size - gap->window_lower + 1);
        }
        buffer->gaps = gap;
        buffer->gap_count = 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    overlay_small problem;
    memset(&problem, 0, sizeof problem);
    while (size >= BUFFER_BYTES && problem.count < BUFFERS_MAX) {
        fill(&problem, data);
        data += BUFFER_BYTES;
        size -= BUFFER_BYTES;
    }
    int64_t offsets[BUFFERS_MAX];
    tarn_overlay_result result;
    const tarn_overlay_options options = {.step_limit = STEPS, .seed = size};
    must(tarn_overlay_plan(problem.buffers, problem.count, &options, offsets, &result) == TARN_OK,
         "a sound problem is refused");
    const int64_t least = overlay_brute_least(problem.buffers, problem.count, LEAST_MAX);
    if (least < 0) {
        must(result.outcome == TARN_OVERLAY_INFEASIBLE, "a plan that cannot be");
        return 0;
    }
    must(result.outcome == TARN_OVERLAY_OPTIMAL || result.outcome == TARN_OVERLAY_FOUND,
         "no plan where there is one");
    must(result.lower_bound <= least, "a bound that is none");
    must(result.outcome != TARN_OVERLAY_OPTIMAL || result.height == least,
         "a proof of what is not so");
    must(overlay_brute_holds(problem.buffers, problem.count, offsets, result.height),
         "a plan that does not hold");
    must(tarn_overlay_verify(problem.buffers, problem.count, offsets, result.height, NULL, NULL,
                             NULL) == TARN_OK,
         "the verifier finds a fault in a plan that holds");
    return 0;
}
