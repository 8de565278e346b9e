/* SPDX-License-Identifier: MIT */
#include "snapshots.h"

#include "layout.h"
#include "memory.h"

#include <stdlib.h>

/* A live block, as far as pages care. */
typedef struct snapshot_block {
    uint64_t place;
    uint64_t size;
    uint32_t node;
} snapshot_block;

/* A part of a block on the page that is looked at. */
typedef struct snapshot_part {
    uint64_t bytes;
    uint32_t node;
} snapshot_part;

typedef struct snapshot_look {
    report_snapshot snapshot;
    uint64_t page_size;
    uint64_t page; /* that is looked at */
    uint64_t live; /* bytes on it */
    snapshot_part *parts;
    size_t part_count;
    size_t part_room;
    report_pin *pins; /* by node */
} snapshot_look;

void report_snapshots_free(report_snapshots *snapshots)
{
    free(snapshots->all);
    free(snapshots->ends);
    free(snapshots->pins);
    *snapshots = (report_snapshots){0};
}

static int compare_places(const void *left, const void *right)
{
    const snapshot_block *a = left;
    const snapshot_block *b = right;
    return (a->place > b->place) - (a->place < b->place);
}

static snapshot_block *list_blocks(const report_blocks *blocks, const uint32_t *node_of,
                                   size_t *count)
{
    snapshot_block *list = report_resized(NULL, report_blocks_live(blocks), sizeof *list);
    *count = 0;
    for (size_t i = 0; i < report_blocks_count(blocks); i++) {
        const report_block *block = report_blocks_at(blocks, i);
        if (block->name != 0 && block->size != 0 && block->place != REPORT_NO_PLACE) {
            list[(*count)++] = (snapshot_block){
                .place = block->place, .size = block->size, .node = node_of[block->stack]};
        }
    }
    qsort(list, *count, sizeof *list, compare_places);
    return list;
}

static void end_page(snapshot_look *look)
{
    if (look->part_count == 0) {
        return;
    }
    look->snapshot.pages++;
    if (look->live >= look->page_size) {
        look->snapshot.full_pages++;
    } else {
        const uint64_t free_bytes = look->page_size - look->live;
        look->snapshot.partial_pages++;
        look->snapshot.free_bytes += free_bytes;
        for (size_t i = 0; i < look->part_count; i++) {
            const double share = (double)look->parts[i].bytes / (double)look->live;
            report_pin *pin = &look->pins[look->parts[i].node];
            pin->bytes += share * (double)free_bytes;
            pin->pages += share;
        }
    }
    look->part_count = 0;
    look->live = 0;
}

static void add_part(snapshot_look *look, uint64_t page, uint64_t bytes, uint32_t node)
{
    if (page != look->page) {
        end_page(look);
        look->page = page;
    }
    look->parts =
        report_grown(look->parts, look->part_count, &look->part_room, sizeof *look->parts);
    look->parts[look->part_count++] = (snapshot_part){.bytes = bytes, .node = node};
    look->live += bytes;
}

static void add_block(snapshot_look *look, const snapshot_block *block)
{
    const uint64_t end = block->place + block->size;
    const uint64_t first = block->place / look->page_size;
    const uint64_t last = (end - 1) / look->page_size;
    if (first == last) {
        add_part(look, first, block->size, block->node);
        return;
    }
    add_part(look, first, (first + 1) * look->page_size - block->place, block->node);
    look->snapshot.pages += last - first - 1;
    look->snapshot.full_pages += last - first - 1;
    add_part(look, last, end - last * look->page_size, block->node);
}

static void keep(report_snapshots *snapshots, const snapshot_look *look, size_t nodes)
{
    for (uint32_t node = 0; node < nodes; node++) {
        if (look->pins[node].pages > 0) {
            snapshots->pins = report_grown(snapshots->pins, snapshots->pin_count,
                                           &snapshots->pin_room, sizeof *snapshots->pins);
            snapshots->pins[snapshots->pin_count] = look->pins[node];
            snapshots->pins[snapshots->pin_count++].node = node;
        }
    }
    snapshots->all =
        report_grown(snapshots->all, snapshots->count, &snapshots->room, sizeof *snapshots->all);
    snapshots->ends = report_grown(snapshots->ends, snapshots->count, &snapshots->end_room,
                                   sizeof *snapshots->ends);
    snapshots->all[snapshots->count] = look->snapshot;
    snapshots->ends[snapshots->count++] = snapshots->pin_count;
}

void report_snapshots_take(report_snapshots *snapshots, const report_snapshot *about,
                           const report_blocks *blocks, const uint32_t *node_of, size_t nodes,
                           uint64_t page)
{
    snapshot_look look = {.snapshot = *about, .page_size = page};
    look.pins = report_zeroed(nodes, sizeof *look.pins);
    size_t count;
    snapshot_block *list = list_blocks(blocks, node_of, &count);
    for (size_t i = 0; i < count; i++) {
        add_block(&look, &list[i]);
    }
    end_page(&look);
    keep(snapshots, &look, nodes);
    free(list);
    free(look.pins);
    free(look.parts);
}
