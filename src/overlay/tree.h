/* SPDX-License-Identifier: MIT */
#ifndef TARN_OVERLAY_TREE_CORE_H
#define TARN_OVERLAY_TREE_CORE_H

#include "tarn/overlay_tree.h"

#include "base/check.h"

/*
 * What the files of the overlay tree share. Segments are indices into the table, the root is 0, and
 * a parent's index is below those of its children.
 */

#define OVERLAY_ROOT 0

typedef struct overlay_segment {
    tarn_overlay_segment_options options; /* as given, with the defaults filled in */
    size_t start;                         /* bytes from the start of the area */
    size_t end;
    uint32_t parent; /* the root's is the root */
    uint32_t depth;
    uint32_t below; /* the next one of a path that is being worked on; else of no meaning */
    size_t highest; /* the end of its largest branch, */
    size_t second;  /* and of the one after that; both from the seal on */
    uint32_t pins;
    uint64_t entered; /* in all runs */
    uint64_t loads;
    bool is_resident;
    bool is_dirty;
} overlay_segment;

/* So many enters of a segment, one after the other. */
typedef struct overlay_run {
    uint32_t segment;
    uint64_t count;
} overlay_run;

static inline overlay_segment *overlay_at(const tarn_overlay_tree *tree, uint32_t index)
{
    return &tree->segments[index];
}

static inline tarn_overlay_segment overlay_name(const tarn_overlay_tree *tree, uint32_t index)
{
    return (uint64_t)tree->tag << 32 | ((uint64_t)index + 1);
}

/* The index of a segment, which has to be one of the tree. */
static inline uint32_t overlay_index(const tarn_overlay_tree *tree, tarn_overlay_segment segment)
{
    const uint32_t index = (uint32_t)segment - 1;
    TARN_CHECK(segment >> 32 == tree->tag && index < tree->count, "not a segment of this tree",
               tree->options.name, (const void *)(uintptr_t)segment);
    return index;
}

/* True if the segment can be written back. */
bool overlay_can_write(const overlay_segment *segment);

/* Makes the segment and its ancestors resident, or fails with `tree->failure` filled in. */
tarn_status overlay_reside(tarn_overlay_tree *tree, uint32_t index);

/* Makes the root resident, of which nothing else is. */
tarn_status overlay_load_root(tarn_overlay_tree *tree);

/* Writes back what is dirty, from the deepest resident segment up to the child of `top`, or to
 * `top` itself if that is the root and `with_root`. */
tarn_status overlay_write_back(tarn_overlay_tree *tree, uint32_t top, bool with_root);

/* Ends the residence of all below `top`; nothing of it is dirty or pinned. */
void overlay_drop_below(tarn_overlay_tree *tree, uint32_t top);

/* Notes why a call fails, and returns the status. */
tarn_status overlay_fail(tarn_overlay_tree *tree, tarn_status status, uint32_t index);
tarn_status overlay_fail_pinned(tarn_overlay_tree *tree, uint32_t index);

#endif
