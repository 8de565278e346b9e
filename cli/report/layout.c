/* SPDX-License-Identifier: MIT */
#include "layout.h"

#include "cli.h"
#include "memory.h"
#include "numbers.h"

#include <stdlib.h>
#include <string.h>

/* What a region can name: fewer granules than this. Buddies have books for each of theirs, so that
 * fewer are enough. */
#define GRANULES_MAX ((UINT64_C(1) << 31) - 1)
#define BUDDIES_MAX (UINT64_C(1) << 26)

/* As regions have them where nothing else is said. */
enum { GRANULE = 16, SMALLEST_BUDDY = 64 };

struct report_layout {
    const char *name;
    /* Recorded addresses. */
    report_extents *extents; /* NULL: simulated */
    uint64_t page;
    report_numbers shared; /* by page that a block begins or ends in: 1 more than how many do */
    uint64_t pages;        /* with a live block */
    /* Simulated. */
    tarn_region region;
    bool has_region;
    bool is_upwards;
    uint64_t size; /* bytes of the range */
    uint64_t granule;
    uint64_t failures;

    uint64_t footprint;
    uint64_t peak;
};

typedef struct layout_policy {
    tarn_region_policy policy;
    bool is_greedy;
} layout_policy;

const char *const report_policy_names[] = {"best-fit",       "first-fit", "next-fit", "worst-fit",
                                           "segregated-fit", "buddy",     NULL};

/* In the order of the names. */
static const layout_policy policies[] = {{TARN_BEST_FIT, false},       {TARN_FIRST_FIT, true},
                                         {TARN_NEXT_FIT, true},        {TARN_WORST_FIT, true},
                                         {TARN_SEGREGATED_FIT, false}, {TARN_BUDDY, false}};

static size_t index_of(tarn_region_policy policy)
{
    size_t at = 0;
    while (policies[at].policy != policy) {
        at++;
    }
    return at;
}

bool report_policy_find(const char *name, tarn_region_policy *policy)
{
    for (size_t i = 0; report_policy_names[i] != NULL; i++) {
        if (strcmp(report_policy_names[i], name) == 0) {
            *policy = policies[i].policy;
            return true;
        }
    }
    return false;
}

bool report_policy_is_tight(tarn_region_policy policy, bool has_alignment)
{
    return policies[index_of(policy)].is_greedy || has_alignment;
}

uint64_t report_policy_rounded(uint64_t size)
{
    const uint64_t least = size != 0 ? size : 1;
    return (least + GRANULE - 1) & ~(uint64_t)(GRANULE - 1);
}

bool report_policy_aligns(unsigned alignment_log2)
{
    return alignment_log2 < 64 && UINT64_C(1) << alignment_log2 > GRANULE;
}

report_layout *report_layout_recorded(report_extents *extents, uint64_t page)
{
    report_layout *layout = report_zeroed(1, sizeof *layout);
    layout->name = "recorded addresses";
    layout->extents = extents;
    layout->page = page;
    return layout;
}

/* Buddies of a range that is no power of two would be taken from its small rest first, far from its
 * low end. */
static void set_range(report_layout *layout, uint64_t size)
{
    const uint64_t most = layout->is_upwards ? BUDDIES_MAX : GRANULES_MAX;
    layout->granule = layout->is_upwards ? SMALLEST_BUDDY : GRANULE;
    while (size / layout->granule >= most) {
        layout->granule *= 2;
    }
    layout->size = (size / layout->granule + 1) * layout->granule;
    if (layout->is_upwards) {
        uint64_t range = layout->granule;
        while (range < size) {
            range *= 2;
        }
        layout->size = range;
    }
}

report_layout *report_layout_simulated(tarn_region_policy policy, uint64_t size)
{
    report_layout *layout = report_zeroed(1, sizeof *layout);
    layout->name = cli_format("%s (simulated)", report_policy_names[index_of(policy)]);
    layout->is_upwards = policy == TARN_BUDDY;
    set_range(layout, size);
    const tarn_region_options options = {
        .name = "map", .policy = policy, .books = TARN_BOOKS_OUTSIDE, .granule = layout->granule};
    const tarn_status status =
        tarn_region_init(&layout->region, (tarn_memory){NULL, layout->size}, &options);
    if (status != TARN_OK) {
        cli_error("cannot lay out a map of %llu bytes: %s", (unsigned long long)layout->size,
                  tarn_status_text(status));
        exit(CLI_EXIT_FAILURE);
    }
    layout->has_region = true;
    return layout;
}

void report_layout_free(report_layout *layout)
{
    if (layout != NULL) {
        if (layout->has_region) {
            tarn_region_deinit(&layout->region);
        }
        report_numbers_free(&layout->shared);
        free(layout);
    }
}

/* -------------------------------------------------------------------------------------------------
 * Recorded addresses.
 */
static bool share_page(report_layout *layout, uint64_t page)
{
    uint32_t *sharers = report_numbers_at(&layout->shared, page);
    const bool is_first = *sharers == REPORT_NONE || *sharers == 1;
    *sharers = *sharers == REPORT_NONE ? 2 : *sharers + 1;
    return is_first;
}

static bool leave_page(report_layout *layout, uint64_t page)
{
    uint32_t *sharers = report_numbers_at(&layout->shared, page);
    return --*sharers == 1;
}

/* Only the first and the last page of a block may have others. */
static void hold_pages(report_layout *layout, uint64_t place, uint64_t size, bool is_given)
{
    const uint64_t first = place / layout->page;
    const uint64_t last = (place + (size != 0 ? size - 1 : 0)) / layout->page;
    uint64_t pages = last > first ? last - first - 1 : 0;
    bool (*change)(report_layout *, uint64_t) = is_given ? share_page : leave_page;
    pages += change(layout, first);
    if (last != first) {
        pages += change(layout, last);
    }
    layout->pages = is_given ? layout->pages + pages : layout->pages - pages;
    layout->footprint = layout->pages * layout->page;
    layout->peak = layout->footprint > layout->peak ? layout->footprint : layout->peak;
}

/* -------------------------------------------------------------------------------------------------
 * Simulated.
 */
static uint64_t rounded(const report_layout *layout, uint64_t size)
{
    const uint64_t least = size != 0 ? size : 1;
    return (least + layout->granule - 1) & ~(layout->granule - 1);
}

static size_t offset_of(const report_layout *layout, const report_block *block)
{
    return layout->is_upwards
               ? (size_t)block->place
               : (size_t)(layout->size - block->place - rounded(layout, block->size));
}

static void set_place(report_layout *layout, report_block *block, size_t offset)
{
    const uint64_t size = rounded(layout, block->size);
    block->place = layout->is_upwards ? offset : layout->size - offset - size;
    const uint64_t reach = layout->is_upwards
                               ? offset + tarn_region_room_offset(&layout->region, offset)
                               : layout->size - offset;
    layout->footprint = reach > layout->footprint ? reach : layout->footprint;
    layout->peak = layout->footprint;
}

static void give_offset(report_layout *layout, report_block *block, unsigned alignment_log2)
{
    const size_t alignment = alignment_log2 < 48 ? (size_t)1 << alignment_log2 : 0;
    const size_t offset =
        block->size <= layout->size
            ? tarn_region_alloc_offset(&layout->region, (size_t)block->size,
                                       alignment > layout->granule ? alignment : 0)
            : TARN_NO_OFFSET;
    if (offset == TARN_NO_OFFSET) {
        block->place = REPORT_NO_PLACE;
        layout->failures++;
    } else {
        set_place(layout, block, offset);
    }
}

/* -------------------------------------------------------------------------------------------------
 * Either.
 */
void report_layout_give(report_layout *layout, report_block *block, unsigned alignment_log2)
{
    if (layout->extents != NULL) {
        block->place = report_extents_place(layout->extents, block->name);
        hold_pages(layout, block->place, block->size, true);
    } else {
        give_offset(layout, block, alignment_log2);
    }
}

void report_layout_take(report_layout *layout, const report_block *block)
{
    if (layout->extents != NULL) {
        hold_pages(layout, block->place, block->size, false);
    } else if (block->place != REPORT_NO_PLACE) {
        tarn_region_free_offset(&layout->region, offset_of(layout, block));
    }
}

void report_layout_move(report_layout *layout, const report_block *old, report_block *block,
                        unsigned alignment_log2)
{
    if (layout->extents == NULL && old->place != REPORT_NO_PLACE && block->size <= layout->size) {
        const size_t offset = offset_of(layout, old);
        if (tarn_region_resize_offset(&layout->region, offset, (size_t)block->size)) {
            set_place(layout, block, offset);
            return;
        }
        /* Both are there while the contents are copied. */
        report_layout_give(layout, block, alignment_log2);
        tarn_region_free_offset(&layout->region, offset);
        return;
    }
    report_layout_take(layout, old);
    report_layout_give(layout, block, alignment_log2);
}

uint64_t report_layout_footprint(const report_layout *layout)
{
    return layout->footprint;
}

uint64_t report_layout_peak_footprint(const report_layout *layout)
{
    return layout->peak;
}

uint64_t report_layout_failures(const report_layout *layout)
{
    return layout->failures;
}

const char *report_layout_name(const report_layout *layout)
{
    return layout->name;
}
