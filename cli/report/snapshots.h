/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_SNAPSHOTS_H
#define TARN_CLI_REPORT_SNAPSHOTS_H

/*
 * How the pages looked at some moments, and which nodes' blocks hold those that are partly free:
 * the free bytes of such a page are charged to the nodes that have blocks there, in proportion to
 * these blocks' bytes on the page.
 */

#include "blocks.h"

typedef struct report_snapshot {
    uint64_t time;
    const char *label; /* "peak", "end" or "" */
    uint64_t footprint;
    uint64_t live;  /* bytes */
    uint64_t pages; /* with a live block */
    uint64_t full_pages;
    uint64_t partial_pages;
    uint64_t free_bytes; /* of the partial pages */
} report_snapshot;

typedef struct report_pin {
    uint32_t node;
    double bytes; /* free ones, charged to the node */
    double pages; /* partial ones, by its part of each */
} report_pin;

/* All zero: none. */
typedef struct report_snapshots {
    report_snapshot *all;
    size_t *ends; /* by snapshot: where its pins end */
    size_t count;
    size_t room;
    size_t end_room;
    report_pin *pins;
    size_t pin_count;
    size_t pin_room;
} report_snapshots;

void report_snapshots_free(report_snapshots *snapshots);

/* Takes one of the live blocks that have a place. `node_of` is by a block's stack, `nodes` more
 * than any of its values; the snapshot's time, label, footprint and live bytes are given. Takes
 * time n log n in the blocks. */
void report_snapshots_take(report_snapshots *snapshots, const report_snapshot *about,
                           const report_blocks *blocks, const uint32_t *node_of, size_t nodes,
                           uint64_t page);

#endif
