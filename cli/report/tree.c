/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include "memory.h"

#include <stdlib.h>
#include <string.h>

/* All ways, of which some are kept. */
typedef struct tree_builder {
    const report_survey *survey;
    report_symbols *symbols;
    report_frames *frames;
    report_tree all; /* its `node_of` for stacks that have blocks */
    double *shares;  /* by node of all */
    uint32_t *order; /* nodes with a share, the largest first, parents before their children */
    size_t order_count;
    uint32_t *kept_as; /* by node of all: node of the tree that is made; 0: none, or the root */
    uint32_t other;    /* frames */
    uint32_t none;
} tree_builder;

/* -------------------------------------------------------------------------------------------------
 * Nodes.
 */
static void begin(report_tree *tree, const report_survey *survey)
{
    *tree = (report_tree){0};
    tree->nodes = report_grown(NULL, 0, &tree->room, sizeof *tree->nodes);
    tree->nodes[0] = (report_node){0};
    tree->count = 1;
    tree->node_of = report_zeroed(survey->stacks.stack_count, sizeof *tree->node_of);
}

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
static size_t allocator_frames(report_symbols *symbols, const report_frames *frames,
                               uint32_t address, size_t *count)
{
    const uint32_t *found = report_symbols_find(symbols, address, count);
    size_t own = 0;
    while (own < *count && report_frames_is_allocator(frames, found[own])) {
        own++;
    }
    return own;
}

/* The node for an address that is called from `node`, without its innermost `own` frames. */
static uint32_t descend(tree_builder *builder, uint32_t node, uint32_t address, size_t own)
{
    size_t count;
    const uint32_t *frames = report_symbols_find(builder->symbols, address, &count);
    while (count-- > own) {
        node = child_of(&builder->all, node, frames[count]);
    }
    return node;
}

/* A stack's node has the allocator's own frames only if there are no others. */
static uint32_t site_of(tree_builder *builder, const uint32_t *places, uint32_t stack)
{
    const report_survey *survey = builder->survey;
    const uint32_t end = report_tree_trim(survey, builder->symbols, builder->frames, stack);
    if (end == 0) {
        return child_of(&builder->all, 0, builder->none);
    }
    const report_stack_node *node = &survey->stacks.nodes[end];
    size_t count;
    const size_t own = allocator_frames(builder->symbols, builder->frames, node->frame, &count);
    return descend(builder, places[node->parent], node->frame, own < count ? own : 0);
}

static void find_all(tree_builder *builder)
{
    const report_survey *survey = builder->survey;
    const report_stack_node *nodes = survey->stacks.nodes;
    uint32_t *places = report_zeroed(survey->stacks.count, sizeof *places);
    begin(&builder->all, survey);
    for (size_t i = 1; i < survey->stacks.count; i++) {
        places[i] = descend(builder, places[nodes[i].parent], nodes[i].frame, 0);
    }
    for (uint32_t stack = 0; stack < survey->stacks.stack_count; stack++) {
        if (survey->sums[stack].allocations != 0) {
            builder->all.node_of[stack] = site_of(builder, places, stack);
        }
    }
    free(places);
    report_numbers_free(&builder->all.by_parent);
}

/* -------------------------------------------------------------------------------------------------
 * What matters.
 */
typedef enum tree_measure { BYTES, ALLOCATIONS, LIVE, MOST_LIVE, MEASURES } tree_measure;

static double measure_of(const report_stack_sum *sum, tree_measure measure)
{
    const uint64_t values[] = {sum->bytes, sum->allocations, sum->live, sum->most_live};
    return (double)values[measure];
}

/* A node's share is the largest of those that it has, with all below it, by any measure. */
static void add_shares(tree_builder *builder, double *sums, tree_measure measure)
{
    const report_survey *survey = builder->survey;
    const report_tree *all = &builder->all;
    memset(sums, 0, all->count * sizeof *sums);
    for (size_t stack = 0; stack < survey->stacks.stack_count; stack++) {
        sums[all->node_of[stack]] += measure_of(&survey->sums[stack], measure);
    }
    for (size_t i = all->count; i-- > 1;) {
        sums[all->nodes[i].parent] += sums[i];
    }
    const double whole = measure == MOST_LIVE ? (double)survey->peak_live : sums[0];
    for (size_t i = 1; i < all->count && whole > 0; i++) {
        const double share = sums[i] / whole;
        builder->shares[i] = share > builder->shares[i] ? share : builder->shares[i];
    }
}

static int compare_shares(const void *left, const void *right, void *context)
{
    const double *shares = context;
    const uint32_t a = *(const uint32_t *)left;
    const uint32_t b = *(const uint32_t *)right;
    if (shares[a] != shares[b]) {
        return shares[a] < shares[b] ? 1 : -1;
    }
    return (a > b) - (a < b);
}

static void find_order(tree_builder *builder)
{
    const size_t count = builder->all.count;
    builder->shares = report_zeroed(count, sizeof *builder->shares);
    double *sums = report_resized(NULL, count, sizeof *sums);
    for (tree_measure measure = BYTES; measure < MEASURES; measure++) {
        add_shares(builder, sums, measure);
    }
    free(sums);
    builder->order = report_resized(NULL, count, sizeof *builder->order);
    for (uint32_t i = 1; i < count; i++) {
        if (builder->shares[i] > 0) {
            builder->order[builder->order_count++] = i;
        }
    }
    qsort_r(builder->order, builder->order_count, sizeof *builder->order, compare_shares,
            builder->shares);
}

/* -------------------------------------------------------------------------------------------------
 * What is kept.
 */
static uint32_t place_of(const tree_builder *builder, report_tree *tree, uint32_t site)
{
    const report_node *nodes = builder->all.nodes;
    uint32_t at = site;
    while (at != 0 && builder->kept_as[at] == 0) {
        at = nodes[at].parent;
    }
    if (at == site) {
        return builder->kept_as[at];
    }
    return child_of(tree, child_of(tree, builder->kept_as[at], builder->other), nodes[site].frame);
}

static void build(tree_builder *builder, report_tree *tree, size_t kept)
{
    const report_survey *survey = builder->survey;
    const report_node *nodes = builder->all.nodes;
    report_tree_free(tree);
    begin(tree, survey);
    memset(builder->kept_as, 0, builder->all.count * sizeof *builder->kept_as);
    for (size_t i = 0; i < kept && i < builder->order_count; i++) {
        const uint32_t at = builder->order[i];
        builder->kept_as[at] = child_of(tree, builder->kept_as[nodes[at].parent], nodes[at].frame);
    }
    for (size_t stack = 0; stack < survey->stacks.stack_count; stack++) {
        if (survey->sums[stack].allocations != 0) {
            tree->node_of[stack] = place_of(builder, tree, builder->all.node_of[stack]);
        }
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
    builder.other = special(frames, survey->texts, "(other)");
    builder.none = special(frames, survey->texts,
                           survey->weights.sample_bytes != 0 ? "(not sampled)" : "(no stack)");
    find_all(&builder);
    find_order(&builder);
    builder.kept_as = report_resized(NULL, builder.all.count, sizeof *builder.kept_as);
    /* Each that has something left out has more nodes for that; so how many may be kept is tried. */
    size_t kept = nodes_max;
    build(&builder, tree, kept);
    while (tree->count > nodes_max && kept > 0) {
        kept = (size_t)((double)kept * 0.95 * (double)nodes_max / (double)tree->count);
        build(&builder, tree, kept);
    }
    report_tree_free(&builder.all);
    free(builder.shares);
    free(builder.order);
    free(builder.kept_as);
}

uint32_t report_tree_trim(const report_survey *survey, report_symbols *symbols,
                          const report_frames *frames, uint32_t stack)
{
    const report_stack_node *nodes = survey->stacks.nodes;
    uint32_t node = survey->stacks.ends[stack];
    while (node != 0 && nodes[node].parent != 0) {
        size_t count;
        const size_t own = allocator_frames(symbols, frames, nodes[node].frame, &count);
        if (own < count) {
            break;
        }
        node = nodes[node].parent;
    }
    return node;
}

void report_tree_free(report_tree *tree)
{
    free(tree->nodes);
    free(tree->node_of);
    report_numbers_free(&tree->by_parent);
    *tree = (report_tree){0};
}
