/* SPDX-License-Identifier: MIT */
#include "overlay/tree.h"

#include "base/bits.h"
#include "heap/watch.h"
#include "tarn/heaps.h"

#include <stdatomic.h>
#include <string.h>

/*
 *     table   [ root | fft | inverse | filter | b | text | ... ]     parents before children
 *     runs    [ filter, 1 | fft, 3 | ... ]                           entered and not left, the last one is current
 *     area    [ root | filter | b | hidden ... ]                     the path to `deepest`
 *     spare   [ ... ]                                                as tree_residence.c shows
 *
 * Invariant: a segment starts at the first multiple of its alignment behind its parent's end.
 */

enum { SEGMENTS_FIRST = 8, DEPTH_DEFAULT = 16 };

#define SEGMENTS_MOST (UINT32_C(1) << 31)

static void check_outside(const tarn_overlay_tree *tree)
{
    TARN_CHECK(!tree->is_inside, "called by one of its own callbacks", tree->options.name, tree);
}

/* ------------------------------------------------------------------------------------------------
 * Adding
 */

/* Fills in what the options leave open. */
static tarn_status complete(tarn_overlay_segment_options *options)
{
    if (options->name == NULL) {
        options->name = "segment";
    }
    if (options->alignment == 0) {
        options->alignment = _Alignof(max_align_t);
    }
    if (!base_is_power_of_two(options->alignment)) {
        return TARN_BAD_LAYOUT;
    }
    if (options->stored_size > options->size ||
        (options->source != TARN_OVERLAY_ZEROS && options->source != TARN_OVERLAY_FILE &&
         options->source != TARN_OVERLAY_CALLS) ||
        (options->source == TARN_OVERLAY_CALLS && options->load == NULL)) {
        return TARN_BAD_ARGUMENT;
    }
    if (options->stored_size == 0) {
        options->stored_size = options->size;
    }
    if (options->source == TARN_OVERLAY_FILE &&
        (options->offset > INT64_MAX || options->stored_size > INT64_MAX - options->offset)) {
        return TARN_TOO_LARGE;
    }
    return TARN_OK;
}

/* Makes room in the table for one more. */
static tarn_status make_room(tarn_overlay_tree *tree)
{
    if (tree->count < tree->capacity) {
        return TARN_OK;
    }
    if (tree->count == SEGMENTS_MOST) {
        return TARN_TOO_LARGE;
    }
    const uint32_t capacity = tree->capacity == 0 ? SEGMENTS_FIRST : tree->capacity * 2;
    const size_t size = tree->capacity * sizeof(overlay_segment);
    size_t new_size = 0;
    if (!base_checked_mul(capacity, sizeof(overlay_segment), &new_size)) {
        return TARN_TOO_LARGE;
    }
    overlay_segment *table =
        tarn_heap_realloc(tree->options.upstream, tree->segments, size, new_size, 0);
    if (table == NULL) {
        return TARN_NO_MEMORY;
    }
    tree->segments = table;
    tree->capacity = capacity;
    tree->books.footprint += new_size - size;
    return TARN_OK;
}

static tarn_status add(tarn_overlay_tree *tree, const tarn_overlay_segment_options *options,
                       uint32_t parent)
{
    overlay_segment segment = {.options = *options, .parent = parent};
    const size_t from = tree->count == 0 ? 0 : overlay_at(tree, parent)->end;
    tarn_status status = complete(&segment.options);
    if (status != TARN_OK) {
        return status;
    }
    if (!base_checked_align_up(from, segment.options.alignment, &segment.start) ||
        !base_checked_add(segment.start, segment.options.size, &segment.end) ||
        segment.end > PTRDIFF_MAX) {
        return TARN_TOO_LARGE;
    }
    status = make_room(tree);
    if (status != TARN_OK) {
        return status;
    }
    tarn_overlay_needs *needs = &tree->books.needs;
    if (tree->count > 0) {
        segment.depth = overlay_at(tree, parent)->depth + 1;
    }
    if (segment.options.alignment > needs->alignment) {
        needs->alignment = segment.options.alignment;
    }
    if (segment.end > needs->size) {
        needs->size = segment.end;
    }
    if (!base_checked_add(needs->sum, segment.options.size, &needs->sum)) {
        needs->sum = SIZE_MAX;
    }
    *overlay_at(tree, tree->count) = segment;
    tree->count++;
    tree->books.segments++;
    return TARN_OK;
}

tarn_status tarn_overlay_tree_add(tarn_overlay_tree *tree,
                                  const tarn_overlay_segment_options *options,
                                  tarn_overlay_segment *segment)
{
    check_outside(tree);
    const uint32_t parent = options->parent != 0 ? overlay_index(tree, options->parent) : 0;
    if (tree->is_sealed) {
        return TARN_BAD_ARGUMENT;
    }
    const tarn_status status = add(tree, options, parent);
    if (status == TARN_OK && segment != NULL) {
        *segment = overlay_name(tree, tree->count - 1);
    }
    return status;
}

/* ------------------------------------------------------------------------------------------------
 * Making and ending
 */

tarn_status tarn_overlay_tree_init(tarn_overlay_tree *tree,
                                   const tarn_overlay_tree_options *options)
{
    static _Atomic(uint32_t) trees;
    memset(tree, 0, sizeof *tree);
    if (options != NULL) {
        tree->options = *options;
    }
    if (tree->options.name == NULL) {
        tree->options.name = "overlay";
    }
    if (tree->options.upstream == NULL) {
        tree->options.upstream = tarn_pages_heap();
    }
    if (tree->options.depth == 0) {
        tree->options.depth = DEPTH_DEFAULT;
    }
    if (tree->options.root.name == NULL) {
        tree->options.root.name = "root";
    }
    tree->tag = atomic_fetch_add_explicit(&trees, 1, memory_order_relaxed) + 1;
    tree->books.needs.alignment = 1;
    const tarn_status status = add(tree, &tree->options.root, 0);
    if (status != TARN_OK) {
        tarn_overlay_tree_deinit(tree);
    }
    return status;
}

/* Memory for an area: the caller's where there is some, else upstream's, which is in `block`
 * then. */
static tarn_status take_area(tarn_overlay_tree *tree, tarn_memory given, size_t size,
                             unsigned char **area, void **block)
{
    const size_t alignment = tree->books.needs.alignment;
    if (size == 0) {
        /* Any aligned address will do, since there is no byte to be touched. */
        *area = (unsigned char *)alignment;
        return TARN_OK;
    }
    if (given.start == NULL) {
        *block = tarn_heap_alloc(tree->options.upstream, size, alignment);
        *area = *block;
        tree->books.footprint += *block != NULL ? size : 0;
        return *block != NULL ? TARN_OK : TARN_NO_MEMORY;
    }
    const size_t before = (size_t)(-(uintptr_t)given.start & (alignment - 1));
    if (before > given.size || size > given.size - before) {
        return TARN_NO_ROOM;
    }
    *area = (unsigned char *)given.start + before;
    return TARN_OK;
}

static void give_area(tarn_overlay_tree *tree, size_t size, unsigned char **area, void **block)
{
    if (*block != NULL) {
        tarn_heap_free(tree->options.upstream, *block, size);
        tree->books.footprint -= size;
    }
    *area = NULL;
    *block = NULL;
}

static tarn_status grow_runs(tarn_overlay_tree *tree, size_t capacity)
{
    const size_t size = tree->run_capacity * sizeof(overlay_run);
    size_t new_size = 0;
    if (!base_checked_mul(capacity, sizeof(overlay_run), &new_size) || new_size > PTRDIFF_MAX) {
        return TARN_NO_MEMORY;
    }
    overlay_run *runs = tarn_heap_realloc(tree->options.upstream, tree->runs, size, new_size, 0);
    if (runs == NULL) {
        return TARN_NO_MEMORY;
    }
    tree->runs = runs;
    tree->run_capacity = capacity;
    tree->books.footprint += new_size - size;
    return TARN_OK;
}

/* Gives back what the seal took. */
static void unseal(tarn_overlay_tree *tree)
{
    const tarn_overlay_needs *needs = &tree->books.needs;
    if (tree->area != NULL) {
        heap_watch_show(tree->area, needs->size);
    }
    give_area(tree, needs->size, &tree->area, &tree->area_block);
    give_area(tree, needs->spare_size, &tree->spare, &tree->spare_block);
    if (tree->runs != NULL) {
        const size_t size = tree->run_capacity * sizeof(overlay_run);
        tarn_heap_free(tree->options.upstream, tree->runs, size);
        tree->books.footprint -= size;
    }
    tree->runs = NULL;
    tree->run_capacity = 0;
    tree->is_sealed = false;
}

void tarn_overlay_tree_deinit(tarn_overlay_tree *tree)
{
    check_outside(tree);
    unseal(tree);
    tarn_heap_free(tree->options.upstream, tree->segments,
                   tree->capacity * sizeof(overlay_segment));
    tree->segments = NULL;
    tree->capacity = 0;
    tree->count = 0;
}

/* The most that a path has to read while another one is still where it belongs: what the second
 * largest branch of a parent takes, since of two branches the smaller one is the overlap. */
static size_t measure_spare(tarn_overlay_tree *tree)
{
    size_t most = 0;
    for (uint32_t index = 0; index < tree->count; index++) {
        overlay_at(tree, index)->highest = overlay_at(tree, index)->end;
        overlay_at(tree, index)->second = 0;
    }
    /* From the leaves to the root: a segment's own branches are known before it is one. */
    for (uint32_t index = tree->count; index-- > 0;) {
        const overlay_segment *segment = overlay_at(tree, index);
        if (segment->second > segment->end) {
            const size_t from = base_align_down(segment->end, tree->books.needs.alignment);
            most = segment->second - from > most ? segment->second - from : most;
        }
        if (index == OVERLAY_ROOT) {
            break;
        }
        overlay_segment *parent = overlay_at(tree, segment->parent);
        /* A parent that has no branch yet reaches to its own end, and so is as good as a branch of
         * no size. */
        if (segment->highest > parent->highest) {
            parent->second = parent->highest;
            parent->highest = segment->highest;
        } else if (segment->highest > parent->second) {
            parent->second = segment->highest;
        }
    }
    return most;
}

tarn_overlay_needs tarn_overlay_tree_needs(tarn_overlay_tree *tree)
{
    if (!tree->is_sealed && !tree->options.in_place) {
        tree->books.needs.spare_size = measure_spare(tree);
    }
    return tree->books.needs;
}

tarn_status tarn_overlay_tree_seal(tarn_overlay_tree *tree)
{
    check_outside(tree);
    if (tree->is_sealed) {
        return overlay_fail(tree, TARN_BAD_ARGUMENT, OVERLAY_ROOT);
    }
    const tarn_overlay_needs needs = tarn_overlay_tree_needs(tree);
    const tarn_overlay_tree_options *options = &tree->options;
    tarn_status status =
        take_area(tree, options->memory, needs.size, &tree->area, &tree->area_block);
    if (status == TARN_OK) {
        heap_watch_hide(tree->area, needs.size);
        status =
            take_area(tree, options->spare, needs.spare_size, &tree->spare, &tree->spare_block);
    }
    if (status == TARN_OK) {
        status = grow_runs(tree, options->depth);
    }
    if (status != TARN_OK) {
        (void)overlay_fail(tree, status, OVERLAY_ROOT);
    } else {
        status = overlay_load_root(tree);
    }
    if (status != TARN_OK) {
        unseal(tree);
        return status;
    }
    tree->is_sealed = true;
    return TARN_OK;
}

/* ------------------------------------------------------------------------------------------------
 * Entering, leaving, pinning
 */

/* Makes the segment resident for a caller who wants it. */
static tarn_status want(tarn_overlay_tree *tree, uint32_t index)
{
    const bool is_hit = overlay_at(tree, index)->is_resident;
    const tarn_status status = overlay_reside(tree, index);
    if (status == TARN_OK) {
        tree->books.enters++;
        tree->books.hits += is_hit;
    }
    return status;
}

static overlay_run *current(const tarn_overlay_tree *tree)
{
    return tree->run_count > 0 ? &tree->runs[tree->run_count - 1] : NULL;
}

tarn_status tarn_overlay_enter(tarn_overlay_tree *tree, tarn_overlay_segment segment)
{
    check_outside(tree);
    const uint32_t index = overlay_index(tree, segment);
    if (!tree->is_sealed) {
        return overlay_fail(tree, TARN_BAD_ARGUMENT, index);
    }
    overlay_run *run = current(tree);
    const bool is_new = run == NULL || run->segment != index;
    if (is_new && tree->run_count == tree->run_capacity &&
        grow_runs(tree, tree->run_capacity * 2) != TARN_OK) {
        return overlay_fail(tree, TARN_NO_MEMORY, index);
    }
    const tarn_status status = want(tree, index);
    if (status != TARN_OK) {
        return status;
    }
    if (is_new) {
        run = &tree->runs[tree->run_count++];
        *run = (overlay_run){.segment = index};
    }
    run->count++;
    overlay_at(tree, index)->entered++;
    return TARN_OK;
}

tarn_status tarn_overlay_leave(tarn_overlay_tree *tree, tarn_overlay_segment segment)
{
    check_outside(tree);
    const uint32_t index = overlay_index(tree, segment);
    overlay_run *run = current(tree);
    const void *block = (const void *)(uintptr_t)segment;
    TARN_CHECK(overlay_at(tree, index)->entered > 0, "left without being entered",
               tree->options.name, block);
    TARN_CHECK(run != NULL && run->segment == index, "left before what was entered after it",
               tree->options.name, block);
    if (run->count == 1 && tree->run_count > 1) {
        const uint32_t before = run[-1].segment;
        if (!overlay_at(tree, before)->is_resident) {
            const tarn_status status = overlay_reside(tree, before);
            if (status != TARN_OK) {
                return status;
            }
            tree->books.restores++;
        }
    }
    run->count--;
    tree->run_count -= run->count == 0;
    overlay_at(tree, index)->entered--;
    return TARN_OK;
}

tarn_overlay_segment tarn_overlay_current(const tarn_overlay_tree *tree)
{
    const overlay_run *run = current(tree);
    return run != NULL ? overlay_name(tree, run->segment) : 0;
}

tarn_status tarn_overlay_pin(tarn_overlay_tree *tree, tarn_overlay_segment segment)
{
    check_outside(tree);
    const uint32_t index = overlay_index(tree, segment);
    if (!tree->is_sealed) {
        return overlay_fail(tree, TARN_BAD_ARGUMENT, index);
    }
    if (overlay_at(tree, index)->pins == UINT32_MAX) {
        return overlay_fail(tree, TARN_TOO_LARGE, index);
    }
    const tarn_status status = want(tree, index);
    if (status == TARN_OK) {
        overlay_at(tree, index)->pins++;
    }
    return status;
}

void tarn_overlay_unpin(tarn_overlay_tree *tree, tarn_overlay_segment segment)
{
    check_outside(tree);
    overlay_segment *pinned = overlay_at(tree, overlay_index(tree, segment));
    TARN_CHECK(pinned->pins > 0, "unpinned without being pinned", tree->options.name,
               (const void *)(uintptr_t)segment);
    pinned->pins--;
}

/* ------------------------------------------------------------------------------------------------
 * Contents
 */

tarn_status tarn_overlay_set_dirty(tarn_overlay_tree *tree, tarn_overlay_segment segment)
{
    check_outside(tree);
    const uint32_t index = overlay_index(tree, segment);
    overlay_segment *changed = overlay_at(tree, index);
    TARN_CHECK(changed->is_resident, "marked as dirty while it is not resident", tree->options.name,
               (const void *)(uintptr_t)segment);
    if (!overlay_can_write(changed)) {
        return overlay_fail(tree, TARN_UNSUPPORTED, index);
    }
    changed->is_dirty = true;
    return TARN_OK;
}

tarn_status tarn_overlay_flush(tarn_overlay_tree *tree)
{
    check_outside(tree);
    if (!tree->is_sealed) {
        return overlay_fail(tree, TARN_BAD_ARGUMENT, OVERLAY_ROOT);
    }
    return overlay_write_back(tree, OVERLAY_ROOT, true);
}

tarn_status tarn_overlay_evict(tarn_overlay_tree *tree, tarn_overlay_segment segment)
{
    check_outside(tree);
    const uint32_t index = overlay_index(tree, segment);
    const overlay_run *run = current(tree);
    if (!tree->is_sealed) {
        return overlay_fail(tree, TARN_BAD_ARGUMENT, index);
    }
    if (!overlay_at(tree, index)->is_resident) {
        return TARN_OK;
    }
    if (index == OVERLAY_ROOT) {
        return overlay_fail(tree, TARN_BUSY, index);
    }
    const uint32_t top = overlay_at(tree, index)->parent;
    for (uint32_t at = tree->deepest; at != top; at = overlay_at(tree, at)->parent) {
        if (overlay_at(tree, at)->pins > 0) {
            return overlay_fail_pinned(tree, at);
        }
        if (run != NULL && run->segment == at) {
            return overlay_fail(tree, TARN_BUSY, at);
        }
    }
    const tarn_status status = overlay_write_back(tree, top, false);
    if (status == TARN_OK) {
        overlay_drop_below(tree, top);
    }
    return status;
}

void *tarn_overlay_address(const tarn_overlay_tree *tree, tarn_overlay_segment segment)
{
    const overlay_segment *wanted = overlay_at(tree, overlay_index(tree, segment));
    return wanted->is_resident ? tree->area + wanted->start : NULL;
}

size_t tarn_overlay_offset(const tarn_overlay_tree *tree, tarn_overlay_segment segment)
{
    return overlay_at(tree, overlay_index(tree, segment))->start;
}

tarn_overlay_segment tarn_overlay_tree_root(const tarn_overlay_tree *tree)
{
    return overlay_name(tree, OVERLAY_ROOT);
}
