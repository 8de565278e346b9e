/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include "memory.h"

#include <stdlib.h>
#include <string.h>

/* A stack's share in all, with all the stacks that begin as it does. */
typedef struct tree_share {
    double share;
    uint32_t node;
} tree_share;

typedef struct tree_builder {
    const report_survey *survey;
    report_symbols *symbols;
    report_frames *frames;
    tree_share *shares; /* largest first, parents before their children */
    size_t share_count; /* of those that have any */
    bool *is_kept;      /* by node of the stacks */
    uint32_t other;     /* frames */
    uint32_t none;
} tree_builder;

/* -------------------------------------------------------------------------------------------------
 * What matters.
 */
static double larger(double a, double b)
{
    return a > b ? a : b;
}

static double share_of(uint64_t part, uint64_t whole)
{
    return whole != 0 ? (double)part / (double)whole : 0;
}

static void add_sum(report_stack_sum *to, const report_stack_sum *sum)
{
    to->allocations += sum->allocations;
    to->bytes += sum->bytes;
    to->live += sum->live;
    to->most_live += sum->most_live;
}

static int compare_shares(const void *left, const void *right)
{
    const tree_share *a = left;
    const tree_share *b = right;
    if (a->share != b->share) {
        return a->share < b->share ? 1 : -1;
    }
    return (a->node > b->node) - (a->node < b->node);
}

static void find_shares(tree_builder *builder)
{
    const report_survey *survey = builder->survey;
    const size_t count = survey->stacks.count;
    report_stack_sum *sums = report_resized(NULL, count, sizeof *sums);
    memcpy(sums, survey->sums, count * sizeof *sums);
    sums[0] = (report_stack_sum){0};
    for (size_t i = count; i-- > 1;) {
        add_sum(&sums[survey->stacks.nodes[i].parent], &sums[i]);
    }
    builder->shares = report_resized(NULL, count, sizeof *builder->shares);
    for (size_t i = 1; i < count; i++) {
        double share = share_of(sums[i].bytes, sums[0].bytes);
        share = larger(share, share_of(sums[i].allocations, sums[0].allocations));
        share = larger(share, share_of(sums[i].live, sums[0].live));
        share = larger(share, share_of(sums[i].most_live, survey->peak_live));
        if (share > 0) {
            builder->shares[builder->share_count++] =
                (tree_share){.share = share, .node = (uint32_t)i};
        }
    }
    qsort(builder->shares, builder->share_count, sizeof *builder->shares, compare_shares);
    free(sums);
}

/* -------------------------------------------------------------------------------------------------
 * Nodes.
 */
static uint32_t child_of(report_tree *tree, uint32_t parent, uint32_t frame)
{
    uint32_t *node = report_numbers_at(&tree->by_parent, (uint64_t)parent << 32 | frame);
    if (*node == REPORT_NONE) {
        tree->nodes = report_grown(tree->nodes, tree->count, &tree->room, sizeof *tree->nodes);
        tree->nodes[tree->count] = (report_node){.parent = parent, .frame = frame};
        *node = (uint32_t)tree->count++;
    }
    return *node;
}

/* How many of an address's frames, from the innermost on, are the allocator's own. */
static size_t allocator_frames(const report_survey *survey, report_symbols *symbols,
                               const report_frames *frames, uint32_t address, size_t *count)
{
    const uint32_t *found = report_symbols_find(symbols, address, count);
    size_t own = 0;
    while (own < *count && report_frames_is_allocator(frames, survey->texts, found[own])) {
        own++;
    }
    return own;
}

/* The node of the tree for a stack that is kept, with those above it; without the allocator's own
 * frames at its inner end, if there are others. */
static uint32_t place_of(tree_builder *builder, report_tree *tree, uint32_t stack)
{
    const report_stack_node *nodes = builder->survey->stacks.nodes;
    uint32_t way[TRACE_FRAMES_MAX];
    size_t depth = 0;
    for (; stack != 0 && depth < TRACE_FRAMES_MAX; stack = nodes[stack].parent) {
        way[depth++] = nodes[stack].frame;
    }
    uint32_t node = 0;
    while (depth-- > 0) {
        size_t count;
        size_t own = allocator_frames(builder->survey, builder->symbols, builder->frames,
                                      way[depth], &count);
        const uint32_t *frames = report_symbols_find(builder->symbols, way[depth], &count);
        own = depth == 0 && own < count ? own : 0;
        while (count-- > own) {
            node = child_of(tree, node, frames[count]);
        }
    }
    return node;
}

static bool has_blocks(const report_stack_sum *sum)
{
    return sum->allocations != 0;
}

static void build(tree_builder *builder, report_tree *tree, size_t kept)
{
    const report_survey *survey = builder->survey;
    report_tree_free(tree);
    tree->nodes = report_grown(NULL, 0, &tree->room, sizeof *tree->nodes);
    tree->nodes[0] = (report_node){0};
    tree->count = 1;
    tree->node_of = report_zeroed(survey->stacks.count, sizeof *tree->node_of);
    memset(builder->is_kept, 0, survey->stacks.count * sizeof *builder->is_kept);
    builder->is_kept[0] = true;
    for (size_t i = 0; i < kept && i < builder->share_count; i++) {
        builder->is_kept[builder->shares[i].node] = true;
    }
    if (has_blocks(&survey->sums[0])) {
        tree->node_of[0] = child_of(tree, 0, builder->none);
    }
    for (uint32_t i = 1; i < survey->stacks.count; i++) {
        if (!has_blocks(&survey->sums[i])) {
            continue;
        }
        uint32_t stack = i;
        while (!builder->is_kept[stack]) {
            stack = survey->stacks.nodes[stack].parent;
        }
        tree->node_of[i] =
            stack == i
                ? place_of(builder, tree,
                           report_tree_trim(survey, builder->symbols, builder->frames, stack))
                : child_of(tree, place_of(builder, tree, stack), builder->other);
    }
}

static uint32_t special(report_frames *frames, report_texts *texts, const char *name)
{
    return report_frames_add(frames,
                             (report_frame){.function = report_texts_add_string(texts, name)});
}

void report_tree_build(report_tree *tree, const report_survey *survey, report_symbols *symbols,
                       report_frames *frames, size_t nodes_max)
{
    tree_builder builder = {.survey = survey, .symbols = symbols, .frames = frames};
    *tree = (report_tree){0};
    builder.is_kept = report_zeroed(survey->stacks.count, sizeof *builder.is_kept);
    builder.other = special(frames, survey->texts, "(other)");
    builder.none = special(frames, survey->texts,
                           survey->weights.sample_bytes != 0 ? "(not sampled)" : "(no stack)");
    find_shares(&builder);
    /* Functions that were put into others make more nodes of one, and each that has something left
     * out has one for that; so how many may be kept is tried. */
    size_t kept = nodes_max;
    build(&builder, tree, kept);
    while (tree->count > nodes_max && kept > 0) {
        kept = (size_t)((double)kept * 0.95 * (double)nodes_max / (double)tree->count);
        build(&builder, tree, kept);
    }
    free(builder.is_kept);
    free(builder.shares);
}

uint32_t report_tree_trim(const report_survey *survey, report_symbols *symbols,
                          const report_frames *frames, uint32_t stack)
{
    const report_stack_node *nodes = survey->stacks.nodes;
    while (nodes[stack].parent != 0) {
        size_t count;
        const size_t own = allocator_frames(survey, symbols, frames, nodes[stack].frame, &count);
        if (own < count) {
            break;
        }
        stack = nodes[stack].parent;
    }
    return stack;
}

void report_tree_free(report_tree *tree)
{
    free(tree->nodes);
    free(tree->node_of);
    report_numbers_free(&tree->by_parent);
    *tree = (report_tree){0};
}
