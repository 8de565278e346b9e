/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_MODEL_H
#define TARN_CLI_REPORT_MODEL_H

/*
 * Everything that a report shows of a trace: the second pass over it, with what the first one (the
 * survey) knows. Memory is in proportion to the blocks that are live at once, the call tree, and
 * what changes in each bin of time.
 */

#include "cells.h"
#include "curve.h"
#include "histogram.h"
#include "largest.h"
#include "layout.h"
#include "raster.h"
#include "snapshots.h"
#include "tree.h"

typedef struct report_model_options {
    report_symbol_options symbols;
    report_allocators allocators;
    size_t bins;      /* at most this many; a power of two, at most 512 */
    size_t nodes_max; /* of the call tree */
    size_t cells_max; /* of nodes by bins; where more are needed, there are fewer bins */
    size_t rects_max;
    bool has_policy; /* else: recorded addresses, or best fit */
    tarn_region_policy policy;
    uint64_t page; /* bytes; a power of two */
} report_model_options;

/* What a node's own blocks come to, as estimates where stacks were sampled. */
typedef struct report_node_sum {
    uint64_t allocations;
    uint64_t bytes;
    uint64_t frees;
    uint64_t freed; /* bytes */
    uint64_t temporary;
    uint64_t temporary_bytes;
    uint64_t peak_bytes; /* live when most was */
    uint64_t peak_blocks;
} report_node_sum;

typedef struct report_model {
    const char *path;
    report_model_options options;
    report_texts texts;
    report_survey survey;
    report_frames frames;
    report_symbols *symbols;
    report_tree tree;
    report_node_sum *sums; /* by node of the tree */

    size_t bins;
    uint64_t bin_width; /* nanoseconds */
    report_cells cells;
    report_cells threads; /* by thread */
    report_curve curve;
    report_histogram sizes;
    report_histogram lifetimes;
    report_layout *layout;
    report_raster raster;
    report_largest largest;
    report_snapshots snapshots;
} report_model;

/* Reads the file twice, or more often where the map's policy needs that. False, said, if it is
 * damaged; then nothing is held. */
bool report_model_make(report_model *model, cli_trace_file *file,
                       const report_model_options *options);
void report_model_free(report_model *model);

#endif
