/* SPDX-License-Identifier: MIT */
#include "blocks.h"

#include "memory.h"

#include <stdlib.h>

/* A realloc that has given up its block and is not back. Its block is live, but its name may be
 * another's by now. */
typedef struct blocks_move {
    report_block block;
    uint32_t thread;   /* the trace's */
    bool is_temporary; /* what the thread did before was to get the block */
} blocks_move;

/* No machine has more, and sums of a few do not overflow. */
#define SIZE_LIMIT (UINT64_C(1) << 56)

struct report_blocks {
    cli_slots *slots;
    report_block *all; /* by slot */
    size_t count;
    size_t room;
    uint64_t serial;
    uint64_t
        *last; /* by thread: the serial of the block that its last event gave; 0: it gave none */
    size_t threads;
    blocks_move *moves;
    size_t move_count;
    size_t move_room;
};

report_blocks *report_blocks_create(void)
{
    report_blocks *blocks = report_zeroed(1, sizeof *blocks);
    blocks->slots = cli_slots_create();
    return blocks;
}

void report_blocks_free(report_blocks *blocks)
{
    if (blocks != NULL) {
        cli_slots_free(blocks->slots);
        free(blocks->all);
        free(blocks->last);
        free(blocks->moves);
        free(blocks);
    }
}

static uint64_t *last_of(report_blocks *blocks, uint32_t thread)
{
    if (thread >= blocks->threads) {
        const size_t count = (size_t)thread + 64;
        blocks->last = report_resized(blocks->last, count, sizeof *blocks->last);
        for (size_t i = blocks->threads; i < count; i++) {
            blocks->last[i] = 0;
        }
        blocks->threads = count;
    }
    return &blocks->last[thread];
}

static bool take(report_blocks *blocks, uint64_t name, report_step *step)
{
    const uint32_t slot = cli_slots_remove(blocks->slots, 0, name);
    if (slot == CLI_SLOT_NONE) {
        step->is_unknown = name != 0;
        return false;
    }
    step->taken[step->taken_count++] = blocks->all[slot];
    blocks->all[slot].name = 0;
    return true;
}

/* Makes the block live under its name. */
static report_block *hold(report_blocks *blocks, const report_block *block, report_step *step)
{
    const bool is_unknown = step->is_unknown;
    if (cli_slots_find(blocks->slots, 0, block->name) != CLI_SLOT_NONE) {
        take(blocks, block->name, step);
    }
    step->is_unknown = is_unknown;
    const uint32_t slot = cli_slots_add(blocks->slots, 0, block->name);
    if (slot >= blocks->count) {
        blocks->all = report_grown(blocks->all, slot, &blocks->room, sizeof *blocks->all);
        blocks->count = (size_t)slot + 1;
    }
    blocks->all[slot] = *block;
    return &blocks->all[slot];
}

static void give(report_blocks *blocks, const trace_event *event, uint32_t thread,
                 report_step *step)
{
    const report_block block = {
        .name = event->block,
        .size = event->size < SIZE_LIMIT ? event->size : SIZE_LIMIT,
        .time = event->time,
        .serial = ++blocks->serial,
        .thread = thread,
    };
    step->given = hold(blocks, &block, step);
}

/* Nothing is taken yet: the realloc may fail. */
static void begin_move(report_blocks *blocks, const trace_event *event, uint64_t last,
                       report_step *step)
{
    const uint32_t slot = cli_slots_remove(blocks->slots, 0, event->block);
    if (slot == CLI_SLOT_NONE) {
        step->is_unknown = event->block != 0;
        return;
    }
    blocks->moves =
        report_grown(blocks->moves, blocks->move_count, &blocks->move_room, sizeof *blocks->moves);
    blocks->moves[blocks->move_count++] = (blocks_move){
        .block = blocks->all[slot],
        .thread = event->thread,
        .is_temporary = blocks->all[slot].serial == last,
    };
    blocks->all[slot].name = 0;
}

/* True if the realloc has given up its block before: the address may be another's now. */
static bool end_move(report_blocks *blocks, const trace_event *event, blocks_move *move)
{
    for (size_t i = blocks->move_count; i-- > 0;) {
        if (blocks->moves[i].thread == event->thread &&
            blocks->moves[i].block.name == event->old_block) {
            *move = blocks->moves[i];
            blocks->moves[i] = blocks->moves[--blocks->move_count];
            return true;
        }
    }
    return false;
}

static void resize(report_blocks *blocks, const trace_event *event, uint32_t thread,
                   report_step *step)
{
    blocks_move move;
    const bool has_moved = blocks->move_count != 0 && end_move(blocks, event, &move);
    step->is_failed = event->block == 0;
    if (step->is_failed && has_moved) {
        hold(blocks, &move.block, step);
    } else if (!step->is_failed) {
        if (has_moved) {
            step->taken[step->taken_count++] = move.block;
            step->is_temporary = move.is_temporary;
        }
        step->is_resize =
            has_moved || (event->old_block != 0 && take(blocks, event->old_block, step));
        give(blocks, event, thread, step);
    }
}

void report_blocks_step(report_blocks *blocks, const trace_event *event, uint32_t thread,
                        report_step *step)
{
    step->taken_count = 0;
    step->given = NULL;
    step->is_temporary = step->is_failed = step->is_unknown = step->is_resize = false;
    if (trace_op_has_pool(event->op)) {
        return;
    }
    uint64_t *last = last_of(blocks, thread);
    if (event->op == TRACE_MOVE) {
        begin_move(blocks, event, *last, step);
    } else if (event->op == TRACE_REALLOC) {
        resize(blocks, event, thread, step);
    } else if (!trace_op_is_alloc(event->op)) {
        take(blocks, event->block, step);
    } else if (event->block != 0) {
        give(blocks, event, thread, step);
    } else {
        step->is_failed = true;
    }
    step->is_temporary |= step->taken_count != 0 && step->taken[0].serial == *last;
    *last = step->given != NULL ? step->given->serial : 0;
}

size_t report_blocks_count(const report_blocks *blocks)
{
    return blocks->count + blocks->move_count;
}

const report_block *report_blocks_at(const report_blocks *blocks, size_t at)
{
    return at < blocks->count ? &blocks->all[at] : &blocks->moves[at - blocks->count].block;
}

report_block *report_blocks_change(report_blocks *blocks, size_t at)
{
    return at < blocks->count ? &blocks->all[at] : &blocks->moves[at - blocks->count].block;
}

size_t report_blocks_live(const report_blocks *blocks)
{
    return cli_slots_live(blocks->slots) + blocks->move_count;
}
