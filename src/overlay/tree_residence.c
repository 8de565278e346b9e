/* SPDX-License-Identifier: MIT */
#include "overlay/tree.h"

#include "base/bits.h"
#include "heap/watch.h"
#include "os/os.h"

#include <string.h>

/*
 * How one path takes another one's place:
 *
 *     area    [ root | common |      old        |   old deepest   |               ]
 *     area    [ root | common |   first   |  ...      |       last                ]
 *     spare                   [   first   |  ...      |   last    ]
 *
 *     1. what of the old path is dirty is written back;
 *     2. the new path is read, from the top: into the spare area what belongs where the old path still is, and into its
 *        place what belongs behind it;
 *     3. nothing can fail any more: the old path goes, and what is in the spare area is copied to its place.
 *
 * Distances in the spare area are those in the area, up to a multiple of all alignments, so that
 * what is aligned in one is aligned in the other.
 *
 * Invariant: is_resident is set for `deepest` and its ancestors, and for nothing else.
 */

static unsigned char *place_of(const tarn_overlay_tree *tree, const overlay_segment *segment)
{
    return tree->area + segment->start;
}

static size_t size_of(const overlay_segment *segment)
{
    return segment->end - segment->start;
}

tarn_status overlay_fail(tarn_overlay_tree *tree, tarn_status status, uint32_t index)
{
    tree->books.failures++;
    tree->books.refusals += status == TARN_BUSY;
    tree->failure = (tarn_overlay_failure){.status = status, .segment = overlay_name(tree, index)};
    return status;
}

tarn_status overlay_fail_pinned(tarn_overlay_tree *tree, uint32_t index)
{
    (void)overlay_fail(tree, TARN_BUSY, index);
    tree->failure.is_pinned = true;
    return TARN_BUSY;
}

static tarn_status fail_to_read(tarn_overlay_tree *tree, tarn_status status, uint32_t index)
{
    (void)overlay_fail(tree, status, index);
    tree->failure.is_read = true;
    return status;
}

/* ---- reading and writing ---- */

bool overlay_can_write(const overlay_segment *segment)
{
    const tarn_overlay_segment_options *options = &segment->options;
    return (options->source == TARN_OVERLAY_FILE && options->is_writable) ||
           (options->source == TARN_OVERLAY_CALLS && options->store != NULL);
}

static tarn_status read_file(tarn_overlay_tree *tree, uint32_t index, size_t offset,
                             unsigned char *to, size_t size)
{
    const tarn_overlay_segment_options *options = &overlay_at(tree, index)->options;
    size_t got = 0;
    const int error =
        os_file_read_at(options->descriptor, to, size, options->offset + offset, &got);
    if (error != 0) {
        (void)fail_to_read(tree, TARN_IO_FAILED, index);
        tree->failure.error = error;
        return TARN_IO_FAILED;
    }
    if (got < size) {
        (void)fail_to_read(tree, TARN_BAD_DATA, index);
        tree->failure.size = options->stored_size;
        tree->failure.got = offset + got;
        return TARN_BAD_DATA;
    }
    return TARN_OK;
}

/* Reads `size` bytes of a segment from `offset` on to where they are to be, now or later. */
static tarn_status read_piece(tarn_overlay_tree *tree, uint32_t index, size_t offset,
                              unsigned char *to, size_t size)
{
    const tarn_overlay_segment_options *options = &overlay_at(tree, index)->options;
    const size_t from = options->source == TARN_OVERLAY_ZEROS ? 0 : options->stored_size;
    const size_t left = offset < from ? from - offset : 0;
    const size_t stored = size < left ? size : left;
    tarn_status status = TARN_OK;
    if (stored > 0 && options->source == TARN_OVERLAY_FILE) {
        status = read_file(tree, index, offset, to, stored);
    } else if (stored > 0) {
        tree->is_inside = true;
        status = options->load(options->context, overlay_name(tree, index), offset, to, stored);
        tree->is_inside = false;
        if (status != TARN_OK) {
            (void)fail_to_read(tree, status, index);
        }
    }
    if (status == TARN_OK) {
        memset(to + stored, 0, size - stored);
        tree->books.bytes_read += stored;
    }
    return status;
}

static tarn_status write_segment(tarn_overlay_tree *tree, uint32_t index)
{
    overlay_segment *segment = overlay_at(tree, index);
    const tarn_overlay_segment_options *options = &segment->options;
    const unsigned char *from = place_of(tree, segment);
    const size_t stored = options->stored_size;
    tarn_status status = TARN_OK;
    int error = 0;
    if (stored > 0 && options->source == TARN_OVERLAY_FILE) {
        error = os_file_write_at(options->descriptor, from, stored, options->offset);
        status = error == 0 ? TARN_OK : TARN_IO_FAILED;
    } else if (stored > 0) {
        tree->is_inside = true;
        status = options->store(options->context, overlay_name(tree, index), from, stored);
        tree->is_inside = false;
    }
    if (status != TARN_OK) {
        (void)overlay_fail(tree, status, index);
        tree->failure.is_write = true;
        tree->failure.error = error;
        return status;
    }
    segment->is_dirty = false;
    tree->books.writes++;
    tree->books.bytes_written += stored;
    return TARN_OK;
}

tarn_status overlay_write_back(tarn_overlay_tree *tree, uint32_t top, bool with_root)
{
    tarn_status status = TARN_OK;
    uint32_t at = tree->deepest;
    for (; at != top && status == TARN_OK; at = overlay_at(tree, at)->parent) {
        if (overlay_at(tree, at)->is_dirty) {
            status = write_segment(tree, at);
        }
    }
    if (status == TARN_OK && with_root && overlay_at(tree, at)->is_dirty) {
        status = write_segment(tree, at);
    }
    return status;
}

/* ---- coming and going ---- */

static void tell(tarn_overlay_tree *tree, uint32_t index,
                 void (*hook)(void *context, tarn_overlay_segment segment, void *address,
                              size_t size))
{
    const overlay_segment *segment = overlay_at(tree, index);
    if (hook != NULL) {
        tree->is_inside = true;
        hook(tree->options.context, overlay_name(tree, index), place_of(tree, segment),
             size_of(segment));
        tree->is_inside = false;
    }
}

void overlay_drop_below(tarn_overlay_tree *tree, uint32_t top)
{
    while (tree->deepest != top) {
        overlay_segment *segment = overlay_at(tree, tree->deepest);
        tell(tree, tree->deepest, tree->options.on_evict);
        heap_watch_hide(place_of(tree, segment), size_of(segment));
        segment->is_resident = false;
        tree->books.resident -= size_of(segment);
        tree->books.evictions++;
        tree->deepest = segment->parent;
    }
}

/* The segment stands in its place. */
static void arrive(tarn_overlay_tree *tree, uint32_t index)
{
    overlay_segment *segment = overlay_at(tree, index);
    segment->is_resident = true;
    segment->loads++;
    tree->books.loads++;
    tree->books.resident += size_of(segment);
    tree->deepest = index;
    tell(tree, index, tree->options.on_load);
}

/* What comes below `last`'s nearest resident ancestor on the way to it; `last` is not resident. */
static uint32_t link_path_to(const tarn_overlay_tree *tree, uint32_t last)
{
    uint32_t first = last;
    for (;;) {
        const uint32_t parent = overlay_at(tree, first)->parent;
        if (overlay_at(tree, parent)->is_resident) {
            return first;
        }
        overlay_at(tree, parent)->below = first;
        first = parent;
    }
}

/* The path from `first` to `last`, of which what belongs below `taken` goes by the spare area. */
typedef struct path {
    uint32_t first;
    uint32_t last;
    size_t taken; /* bytes from the start of the area */
} path;

/* The bytes of a segment, from its first one, that go by the spare area. */
static size_t staged_size(const path *way, const overlay_segment *segment)
{
    const size_t end = way->taken < segment->end ? way->taken : segment->end;
    return end > segment->start ? end - segment->start : 0;
}

static unsigned char *staged(const tarn_overlay_tree *tree, const path *way,
                             const overlay_segment *segment)
{
    const size_t base =
        base_align_down(overlay_at(tree, way->first)->start, tree->books.needs.alignment);
    return tree->spare + (segment->start - base);
}

static tarn_status read_segment(tarn_overlay_tree *tree, const path *way, uint32_t index)
{
    const overlay_segment *segment = overlay_at(tree, index);
    const size_t by_spare = staged_size(way, segment);
    const size_t rest = size_of(segment) - by_spare;
    unsigned char *to = place_of(tree, segment) + by_spare;
    tarn_status status = TARN_OK;
    heap_watch_give(to, rest);
    if (by_spare > 0) {
        status = read_piece(tree, index, 0, staged(tree, way, segment), by_spare);
    }
    if (status == TARN_OK && rest > 0) {
        status = read_piece(tree, index, by_spare, to, rest);
    }
    return status;
}

/* Reads the whole path. When that fails, nothing of it was there. */
static tarn_status read_path(tarn_overlay_tree *tree, const path *way)
{
    uint32_t at = way->first;
    tarn_status status = read_segment(tree, way, at);
    while (status == TARN_OK && at != way->last) {
        at = overlay_at(tree, at)->below;
        status = read_segment(tree, way, at);
    }
    while (status != TARN_OK) {
        const overlay_segment *segment = overlay_at(tree, at);
        const size_t by_spare = staged_size(way, segment);
        heap_watch_hide(place_of(tree, segment) + by_spare, size_of(segment) - by_spare);
        if (at == way->first) {
            break;
        }
        at = segment->parent;
    }
    return status;
}

static void arrive_path(tarn_overlay_tree *tree, const path *way)
{
    for (uint32_t at = way->first;; at = overlay_at(tree, at)->below) {
        const overlay_segment *segment = overlay_at(tree, at);
        const size_t by_spare = staged_size(way, segment);
        if (by_spare > 0) {
            heap_watch_give(place_of(tree, segment), by_spare);
            memcpy(place_of(tree, segment), staged(tree, way, segment), by_spare);
        }
        arrive(tree, at);
        if (at == way->last) {
            return;
        }
    }
}

/* In place: brings back what was displaced for nothing, as far as it can be read. The failure that
 * is told of is the first one. */
static void bring_back(tarn_overlay_tree *tree, uint32_t last)
{
    if (overlay_at(tree, last)->is_resident) {
        return;
    }
    const tarn_overlay_failure failure = tree->failure;
    const uint64_t failures = tree->books.failures;
    const uint64_t refusals = tree->books.refusals;
    path way = {.first = link_path_to(tree, last)};
    for (bool is_last = false; !is_last; way.first = overlay_at(tree, way.first)->below) {
        is_last = way.first == last;
        way.last = way.first;
        if (read_path(tree, &way) != TARN_OK) {
            break;
        }
        arrive_path(tree, &way);
    }
    tree->failure = failure;
    tree->books.failures = failures;
    tree->books.refusals = refusals;
}

tarn_status overlay_reside(tarn_overlay_tree *tree, uint32_t index)
{
    if (overlay_at(tree, index)->is_resident) {
        return TARN_OK;
    }
    path way = {.first = link_path_to(tree, index), .last = index};
    const uint32_t common = overlay_at(tree, way.first)->parent;
    const uint32_t old = tree->deepest;
    for (uint32_t at = old; at != common; at = overlay_at(tree, at)->parent) {
        if (overlay_at(tree, at)->pins > 0) {
            return overlay_fail_pinned(tree, at);
        }
    }
    tarn_status status = overlay_write_back(tree, common, false);
    if (status != TARN_OK) {
        return status;
    }
    if (tree->options.in_place) {
        overlay_drop_below(tree, common);
    } else if (old != common) {
        way.taken = overlay_at(tree, old)->end;
    }
    status = read_path(tree, &way);
    if (status == TARN_OK) {
        overlay_drop_below(tree, common);
        arrive_path(tree, &way);
    } else if (tree->options.in_place) {
        bring_back(tree, old);
    }
    return status;
}

tarn_status overlay_load_root(tarn_overlay_tree *tree)
{
    const path way = {.first = OVERLAY_ROOT, .last = OVERLAY_ROOT};
    const tarn_status status = read_path(tree, &way);
    if (status == TARN_OK) {
        arrive_path(tree, &way);
    }
    return status;
}
