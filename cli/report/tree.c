/* SPDX-License-Identifier: MIT */
#include "cli/report/tree.h"

#include "cli/report/memory.h"

#include <stdlib.h>
#include <string.h>

/* A stack's share in all, with all the stacks that begin as it does. */
typedef struct tree_share {
    double share;
    uint32_t node;
} tree_share;

/* The frames that an address became: `count` of them from `first` on in a list, outermost first. */
typedef struct tree_span {
    uint32_t first;
    uint32_t count; /* 0: not looked up yet */
} tree_span;

typedef struct tree_builder {
    const report_survey *survey;
    report_symbols *symbols;
    report_frames *frames;
    tree_share *shares; /* largest first, parents before their children */
    size_t share_count; /* of those that have any */
    bool *is_kept;      /* by node of the stacks */
    tree_span *spans;   /* by frame of the stacks */
    uint32_t *list;
    size_t list_count;
    size_t list_room;
    uint32_t other; /* frames */
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

static tree_span span_of(tree_builder *builder, uint32_t frame)
{
    tree_span *span = &builder->spans[frame];
    if (span->count == 0) {
        size_t count;
        const uint32_t *found =
            report_symbols_find(builder->symbols, &builder->survey->stacks.frames[frame], &count);
        *span = (tree_span){.first = (uint32_t)builder->list_count, .count = (uint32_t)count};
        while (count-- > 0) {
            builder->list = report_grown(builder->list, builder->list_count, &builder->list_room,
                                         sizeof *builder->list);
            builder->list[builder->list_count++] = found[count];
        }
    }
    return *span;
}

/* The node of the tree for a stack that is kept, with those above it. */
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
        const tree_span span = span_of(builder, way[depth]);
        for (uint32_t i = 0; i < span.count; i++) {
            node = child_of(tree, node, builder->list[span.first + i]);
        }
    }
    return node;
}

/* A stack without the allocator's own frames at its inner end. */
static uint32_t without_allocator(tree_builder *builder, uint32_t stack)
{
    const report_stack_node *nodes = builder->survey->stacks.nodes;
    while (nodes[stack].parent != 0) {
        const tree_span span = span_of(builder, nodes[stack].frame);
        for (uint32_t i = 0; i < span.count; i++) {
            if (!report_frames_is_allocator(builder->frames, builder->survey->texts,
                                            builder->list[span.first + i])) {
                return stack;
            }
        }
        stack = nodes[stack].parent;
    }
    return stack;
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
        tree->node_of[i] = stack == i
                               ? place_of(builder, tree, without_allocator(builder, stack))
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
    builder.spans = report_zeroed(survey->stacks.frame_count, sizeof *builder.spans);
    builder.other = special(frames, survey->texts, "(other)");
    builder.none =
        special(frames, survey->texts, survey->sample_bytes != 0 ? "(not sampled)" : "(no stack)");
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
    free(builder.spans);
    free(builder.list);
    free(builder.shares);
}

void report_tree_free(report_tree *tree)
{
    free(tree->nodes);
    free(tree->node_of);
    report_numbers_free(&tree->by_parent);
    *tree = (report_tree){0};
}
