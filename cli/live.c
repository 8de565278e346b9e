/* SPDX-License-Identifier: MIT */
#include "live.h"

#include <stddef.h>
#include <stdlib.h>

/*
 * A hash table with open addressing. A small block is in the sample if the low `shift` bits of its address's
 * hash are zero, and then stands for 2^shift blocks; a large one is always in it, and stands for itself. Where
 * the large ones are too many, what is large becomes larger.
 *
 * Invariant: at most half of the places are taken, so that every search ends.
 */

enum { PLACES = 1 << 17, FULL = PLACES / 2, LARGE = 1 << 15 };

typedef struct live_place {
    uint64_t block; /* 0: empty */
    uint64_t size;
} live_place;

/* A realloc that has given up its block and is not back. */
typedef struct live_move {
    uint64_t block;
    uint32_t thread;
} live_move;

struct cli_live {
    live_place places[PLACES];
    live_move *moves;
    size_t move_count;
    size_t move_room;
    uint32_t count;
    unsigned shift;
    uint64_t large; /* bytes from which on a block is large */
    uint64_t now;
    uint64_t peak;
};

static uint64_t hash_of(uint64_t block)
{
    uint64_t hash = block * UINT64_C(0x9E3779B97F4A7C15);
    hash ^= hash >> 32;
    return hash * UINT64_C(0xBF58476D1CE4E5B9);
}

static bool is_chosen(const cli_live *live, uint64_t block, uint64_t size)
{
    return size >= live->large || (hash_of(block) & ((UINT64_C(1) << live->shift) - 1)) == 0;
}

static uint64_t weight(const cli_live *live, uint64_t size)
{
    return size >= live->large ? size : size << live->shift;
}

cli_live *cli_live_create(void)
{
    cli_live *live = calloc(1, sizeof *live);
    if (live != NULL) {
        live->large = LARGE;
    }
    return live;
}

void cli_live_free(cli_live *live)
{
    if (live != NULL) {
        free(live->moves);
        free(live);
    }
}

static uint32_t home_of(uint64_t block)
{
    return (uint32_t)(hash_of(block) >> 40) % PLACES;
}

/* Where the block is, or the empty place where it would be. */
static uint32_t find(const cli_live *live, uint64_t block)
{
    uint32_t at = home_of(block);
    while (live->places[at].block != 0 && live->places[at].block != block) {
        at = (at + 1) % PLACES;
    }
    return at;
}

/* Empties a place and moves up what was only there, or behind, because of it. */
static void clear(cli_live *live, uint32_t hole)
{
    for (uint32_t at = (hole + 1) % PLACES; live->places[at].block != 0; at = (at + 1) % PLACES) {
        const uint32_t home = home_of(live->places[at].block);
        if ((at - home) % PLACES >= (at - hole) % PLACES) {
            live->places[hole] = live->places[at];
            hole = at;
        }
    }
    live->places[hole].block = 0;
    live->count--;
}

/* Halves the sample of the small ones, or makes more of them small, whichever are more. */
static void thin(cli_live *live)
{
    uint32_t large = 0;
    for (uint32_t at = 0; at < PLACES; at++) {
        large += live->places[at].block != 0 && live->places[at].size >= live->large;
    }
    if (large > live->count / 2) {
        live->large *= 2;
        live->shift += live->shift == 0;
    } else {
        live->shift++;
    }
    for (uint32_t at = 0; at < PLACES;) {
        const live_place *place = &live->places[at];
        if (place->block != 0 && !is_chosen(live, place->block, place->size)) {
            clear(live, at); /* another may have moved here */
        } else {
            at++;
        }
    }
    live->now = 0;
    for (uint32_t at = 0; at < PLACES; at++) {
        if (live->places[at].block != 0) {
            live->now += weight(live, live->places[at].size);
        }
    }
}

void cli_live_add(cli_live *live, uint64_t block, uint64_t size)
{
    if (block == 0 || size > UINT64_MAX >> 20 || !is_chosen(live, block, size)) {
        return;
    }
    const uint32_t at = find(live, block);
    if (live->places[at].block != 0) {
        live->now -= weight(live, live->places[at].size);
    } else {
        live->count++;
    }
    live->places[at] = (live_place){.block = block, .size = size};
    live->now += weight(live, size);
    if (live->now > live->peak) {
        live->peak = live->now;
    }
    while (live->count > FULL && live->shift < 40) {
        thin(live);
    }
    /* As many blocks as that there cannot be: then the figures are of those that found room. */
    if (live->count > FULL) {
        cli_live_remove(live, block);
    }
}

void cli_live_remove(cli_live *live, uint64_t block)
{
    if (block == 0) {
        return;
    }
    const uint32_t at = find(live, block);
    if (live->places[at].block != 0) {
        live->now -= weight(live, live->places[at].size);
        clear(live, at);
    }
}

static void begin_move(cli_live *live, const trace_event *event)
{
    cli_live_remove(live, event->block);
    if (live->move_count == live->move_room) {
        const size_t room = live->move_room != 0 ? 2 * live->move_room : 16;
        live_move *moves = realloc(live->moves, room * sizeof *moves);
        if (moves == NULL) {
            return;
        }
        live->moves = moves;
        live->move_room = room;
    }
    live->moves[live->move_count++] = (live_move){.block = event->block, .thread = event->thread};
}

/* True if the realloc has given up its block before: the address may be another's now. */
static bool end_move(cli_live *live, const trace_event *event)
{
    for (size_t i = 0; i < live->move_count; i++) {
        if (live->moves[i].thread == event->thread && live->moves[i].block == event->old_block) {
            live->moves[i] = live->moves[--live->move_count];
            return true;
        }
    }
    return false;
}

void cli_live_event(cli_live *live, const trace_event *event)
{
    if (trace_op_has_pool(event->op)) {
        return;
    }
    if (event->op == TRACE_MOVE) {
        begin_move(live, event);
    } else if (event->op == TRACE_REALLOC) {
        if (event->block != 0) {
            if (!end_move(live, event)) {
                cli_live_remove(live, event->old_block);
            }
            cli_live_add(live, event->block, event->size);
        }
    } else if (trace_op_is_alloc(event->op)) {
        cli_live_add(live, event->block, event->size);
    } else {
        cli_live_remove(live, event->block);
    }
}

uint64_t cli_live_peak(const cli_live *live)
{
    return live->peak;
}

uint64_t cli_live_now(const cli_live *live)
{
    return live->now;
}

bool cli_live_is_estimate(const cli_live *live)
{
    return live->shift > 0;
}
