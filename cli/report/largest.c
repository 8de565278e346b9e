/* SPDX-License-Identifier: MIT */
#include "largest.h"

#include "memory.h"

#include <stdlib.h>

void report_largest_init(report_largest *largest, size_t most)
{
    *largest = (report_largest){.most = most};
}

void report_largest_free(report_largest *largest)
{
    free(largest->all);
    *largest = (report_largest){0};
}

static void sift_up(report_rect *all, size_t at, report_rect rect)
{
    while (at > 0 && all[(at - 1) / 2].area > rect.area) {
        all[at] = all[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    all[at] = rect;
}

static void sift_down(report_rect *all, size_t count, report_rect rect)
{
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < count && all[child + 1].area < all[child].area) {
            child++;
        }
        if (child >= count || all[child].area >= rect.area) {
            break;
        }
        all[at] = all[child];
        at = child;
    }
    all[at] = rect;
}

void report_largest_add(report_largest *largest, const report_paint *block, bool is_leaked)
{
    const uint64_t lived = block->end > block->begin ? block->end - block->begin : 1;
    const report_rect rect = {
        .block = *block, .area = (double)block->size * (double)lived, .is_leaked = is_leaked};
    if (block->size == 0) {
        return;
    }
    if (largest->count < largest->most) {
        largest->all =
            report_grown(largest->all, largest->count, &largest->room, sizeof *largest->all);
        sift_up(largest->all, largest->count++, rect);
    } else if (largest->most != 0 && rect.area > largest->all[0].area) {
        sift_down(largest->all, largest->count, rect);
    }
}
