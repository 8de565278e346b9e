/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_TREE_H
#define TARN_CLI_REPORT_TREE_H

/*
 * The call tree that is shown: frames with names, and only as many nodes as matter. Node 0 is the
 * root; a parent has a smaller number than its children. Ways that differ in addresses alone are one.
 * What a stack stands for goes to one node of this tree, whose frame is its call site. Where the way
 * there did not matter, that node is below a child "(other)" of the nearest one that did; so that
 * nothing is lost, neither as a whole nor of a call site.
 */

#include "survey.h"
#include "symbols.h"

typedef struct report_node {
    uint32_t parent;
    uint32_t frame; /* of report_frames */
} report_node;

typedef struct report_tree {
    report_node *nodes;
    size_t count;
    size_t room;
    report_numbers by_parent; /* private: by parent and frame */
    uint32_t *node_of;        /* by stack of the survey; where 0 goes to has no stack */
} report_tree;

/* At most `nodes_max` nodes, or two more than there are call sites if these are more; those with the
 * largest share of what was allocated, by bytes or count, was live at most, or at the end. */
void report_tree_build(report_tree *tree, const report_survey *survey, report_symbols *symbols,
                       report_frames *frames, size_t nodes_max);
void report_tree_free(report_tree *tree);

/* The node that a stack of the survey ends with, without the allocator's own frames at its inner
 * end. */
uint32_t report_tree_trim(const report_survey *survey, report_symbols *symbols,
                          const report_frames *frames, uint32_t stack);

#endif
