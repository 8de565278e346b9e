/* SPDX-License-Identifier: MIT */
#include "overlay/tree.h"

#include "base/bits.h"
#include "heap/books.h"
#include "os/os.h"

/*
 * What the tree tells of itself: figures, the last failure in words, and whether the books balance.
 */

tarn_overlay_stats tarn_overlay_tree_stats(const tarn_overlay_tree *tree)
{
    return tree->books;
}

tarn_overlay_failure tarn_overlay_tree_failure(const tarn_overlay_tree *tree)
{
    return tree->failure;
}

void tarn_overlay_tree_failure_text(const tarn_overlay_tree *tree, char *text, size_t text_size)
{
    const tarn_overlay_failure *failure = &tree->failure;
    if (failure->status == TARN_OK) {
        (void)snprintf(text, text_size, "%s: nothing failed", tree->options.name);
        return;
    }
    const char *name = overlay_at(tree, overlay_index(tree, failure->segment))->options.name;
    if (failure->is_read && failure->got < failure->size) {
        (void)snprintf(text, text_size, "%s: %s could not be read: %zu of %zu bytes are there",
                       tree->options.name, name, failure->got, failure->size);
        return;
    }
    if (failure->is_pinned) {
        (void)snprintf(text, text_size, "%s: %s is pinned and in the way", tree->options.name,
                       name);
        return;
    }
    const char *what = failure->is_read    ? " could not be read"
                       : failure->is_write ? " could not be written back"
                                           : "";
    const char *why =
        failure->error != 0 ? os_error_text(failure->error) : tarn_status_text(failure->status);
    (void)snprintf(text, text_size, "%s: %s%s: %s", tree->options.name, name, what, why);
}

/* ---- check ---- */

typedef struct complaint {
    char *text;
    size_t size;
} complaint;

static bool check_layout(const tarn_overlay_tree *tree, uint32_t index, const complaint *to)
{
    const overlay_segment *segment = overlay_at(tree, index);
    const overlay_segment *parent = overlay_at(tree, segment->parent);
    const size_t from = index == OVERLAY_ROOT ? 0 : parent->end;
    if (index != OVERLAY_ROOT &&
        (segment->parent >= index || segment->depth != parent->depth + 1)) {
        return heap_fault(to->text, to->size, "segment %u is not below its parent",
                          (unsigned)index);
    }
    if (segment->start != base_align_up(from, segment->options.alignment) ||
        segment->end - segment->start != segment->options.size ||
        segment->end > tree->books.needs.size) {
        return heap_fault(to->text, to->size, "segment %u is not behind its parent",
                          (unsigned)index);
    }
    return true;
}

static bool check_residence(const tarn_overlay_tree *tree, uint32_t index, const complaint *to)
{
    const overlay_segment *segment = overlay_at(tree, index);
    if (segment->is_resident && index != OVERLAY_ROOT &&
        !overlay_at(tree, segment->parent)->is_resident) {
        return heap_fault(to->text, to->size, "segment %u is resident without its parent",
                          (unsigned)index);
    }
    if (!segment->is_resident && (segment->pins > 0 || segment->is_dirty)) {
        return heap_fault(to->text, to->size, "segment %u is %s but not resident", (unsigned)index,
                          segment->pins > 0 ? "pinned" : "dirty");
    }
    if (segment->is_dirty && !overlay_can_write(segment)) {
        return heap_fault(to->text, to->size, "segment %u is dirty but cannot be written back",
                          (unsigned)index);
    }
    return true;
}

/* The resident segments are those on the path to the deepest one. */
static bool check_path(const tarn_overlay_tree *tree, uint32_t resident, const complaint *to)
{
    size_t size = 0;
    if (tree->deepest >= tree->count || !overlay_at(tree, tree->deepest)->is_resident ||
        resident != overlay_at(tree, tree->deepest)->depth + 1) {
        return heap_fault(to->text, to->size, "what is resident is no path");
    }
    for (uint32_t at = tree->deepest;; at = overlay_at(tree, at)->parent) {
        size += overlay_at(tree, at)->options.size;
        if (at == OVERLAY_ROOT) {
            break;
        }
    }
    if (size != tree->books.resident) {
        return heap_fault(to->text, to->size, "%zu bytes are resident but the books have %zu", size,
                          tree->books.resident);
    }
    return true;
}

/* A run adds to the entries of its segment, and those of all runs are all of them. */
static bool check_runs(const tarn_overlay_tree *tree, uint64_t entered, const complaint *to)
{
    uint64_t counted = 0;
    if (tree->run_count > tree->run_capacity) {
        return heap_fault(to->text, to->size, "there are more runs than room for them");
    }
    for (size_t at = 0; at < tree->run_count; at++) {
        const overlay_run *run = &tree->runs[at];
        if (run->segment >= tree->count || run->count == 0 ||
            run->count > overlay_at(tree, run->segment)->entered ||
            (at > 0 && run[-1].segment == run->segment)) {
            return heap_fault(to->text, to->size, "run %zu of what was entered is wrong", at);
        }
        counted += run->count;
    }
    if (counted != entered) {
        return heap_fault(to->text, to->size,
                          "segments were entered %llu times but the runs have %llu",
                          (unsigned long long)entered, (unsigned long long)counted);
    }
    return true;
}

bool tarn_overlay_tree_check(const tarn_overlay_tree *tree, char *fault, size_t fault_size)
{
    const complaint to = {.text = fault, .size = fault_size};
    uint32_t resident = 0;
    uint64_t entered = 0;
    for (uint32_t index = 0; index < tree->count; index++) {
        if (!check_layout(tree, index, &to) || !check_residence(tree, index, &to)) {
            return false;
        }
        resident += overlay_at(tree, index)->is_resident;
        entered += overlay_at(tree, index)->entered;
    }
    if (!tree->is_sealed) {
        return resident == 0 && entered == 0 ? true
                                             : heap_fault(fault, fault_size, "it is not sealed");
    }
    return check_path(tree, resident, &to) && check_runs(tree, entered, &to);
}

void tarn_overlay_tree_visit(const tarn_overlay_tree *tree, tarn_overlay_visitor *visitor,
                             void *context)
{
    for (uint32_t index = 0; index < tree->count; index++) {
        const overlay_segment *segment = overlay_at(tree, index);
        const tarn_overlay_view view = {
            .segment = overlay_name(tree, index),
            .parent = index != OVERLAY_ROOT ? overlay_name(tree, segment->parent) : 0,
            .name = segment->options.name,
            .offset = segment->start,
            .size = segment->options.size,
            .depth = segment->depth,
            .pins = segment->pins,
            .entered = segment->entered,
            .loads = segment->loads,
            .is_resident = segment->is_resident,
            .is_dirty = segment->is_dirty};
        if (!visitor(context, &view)) {
            return;
        }
    }
}
