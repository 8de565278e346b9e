/* SPDX-License-Identifier: MIT */
#include "slots.h"

#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 *     places   [ block, pool, slot | empty | ... ]     a hash table with linear probing
 *     links    by slot: the live blocks of each pool but 0, newest first; or the next free number
 *     pools    by pool: its newest block
 *
 * Invariant: at most half of the places are taken, so that every search ends.
 */

typedef struct slots_place {
    uint64_t block; /* 0: empty */
    uint32_t pool;
    uint32_t slot;
} slots_place;

typedef struct slots_link {
    uint64_t block;
    uint32_t next; /* older one of the pool, or next free number */
    uint32_t previous;
} slots_link;

struct cli_slots {
    slots_place *places;
    size_t mask; /* places, less one */
    size_t live;
    slots_link *links;
    size_t room; /* of links */
    size_t count;
    uint32_t free; /* the number that was freed last */
    uint32_t *pools;
    size_t pool_room;
};

enum { PLACES_AT_FIRST = 1 << 12 };

/* The table must grow: there is no way to go on without. */
static void *resized(void *array, size_t count, size_t size)
{
    void *larger = count <= SIZE_MAX / size ? realloc(array, count * size) : NULL;
    if (larger == NULL) {
        errno = ENOMEM;
        cli_fail_errno("no memory for the blocks of the trace");
    }
    return larger;
}

static slots_place *places_of(size_t count)
{
    slots_place *places = calloc(count, sizeof *places);
    if (places == NULL) {
        cli_fail_errno("no memory for the blocks of the trace");
    }
    return places;
}

cli_slots *cli_slots_create(void)
{
    cli_slots *slots = resized(NULL, 1, sizeof *slots);
    *slots = (cli_slots){
        .places = places_of(PLACES_AT_FIRST), .mask = PLACES_AT_FIRST - 1, .free = CLI_SLOT_NONE};
    return slots;
}

void cli_slots_free(cli_slots *slots)
{
    if (slots != NULL) {
        free(slots->places);
        free(slots->links);
        free(slots->pools);
        free(slots);
    }
}

/* Blocks are mostly multiples of 16 that follow each other: the product spreads them, and those that are near in
 * the table's order are not near in memory's, so nothing is lost by mixing well. */
static size_t home_of(const cli_slots *slots, uint32_t pool, uint64_t block)
{
    uint64_t hash = (block ^ (uint64_t)pool << 40) * UINT64_C(0x9E3779B97F4A7C15);
    hash ^= hash >> 32;
    return (size_t)hash & slots->mask;
}

/* Where the block is, or the empty place where it would be. */
static size_t place_of(const cli_slots *slots, uint32_t pool, uint64_t block)
{
    size_t at = home_of(slots, pool, block);
    while (slots->places[at].block != 0 &&
           (slots->places[at].block != block || slots->places[at].pool != pool)) {
        at = (at + 1) & slots->mask;
    }
    return at;
}

static void grow_table(cli_slots *slots)
{
    slots_place *old = slots->places;
    const size_t old_count = slots->mask + 1;
    slots->places = places_of(old_count * 2);
    slots->mask = old_count * 2 - 1;
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].block != 0) {
            slots->places[place_of(slots, old[i].pool, old[i].block)] = old[i];
        }
    }
    free(old);
}

static uint32_t new_number(cli_slots *slots)
{
    if (slots->free != CLI_SLOT_NONE) {
        const uint32_t slot = slots->free;
        slots->free = slots->links[slot].next;
        return slot;
    }
    if (slots->count == slots->room) {
        slots->room = slots->room == 0 ? PLACES_AT_FIRST : slots->room * 2;
        slots->links = resized(slots->links, slots->room, sizeof *slots->links);
    }
    if (slots->count == CLI_SLOT_NONE) {
        errno = EOVERFLOW;
        cli_fail_errno("the trace has too many blocks at once");
    }
    return (uint32_t)slots->count++;
}

static uint32_t *newest_of(cli_slots *slots, uint32_t pool)
{
    if (pool >= slots->pool_room) {
        const size_t room = ((size_t)pool + 64) & ~(size_t)63;
        slots->pools = resized(slots->pools, room, sizeof *slots->pools);
        for (size_t i = slots->pool_room; i < room; i++) {
            slots->pools[i] = CLI_SLOT_NONE;
        }
        slots->pool_room = room;
    }
    return &slots->pools[pool];
}

static void link_in(cli_slots *slots, uint32_t pool, uint32_t slot)
{
    uint32_t *newest = newest_of(slots, pool);
    slots->links[slot].next = *newest;
    slots->links[slot].previous = CLI_SLOT_NONE;
    if (*newest != CLI_SLOT_NONE) {
        slots->links[*newest].previous = slot;
    }
    *newest = slot;
}

static void link_out(cli_slots *slots, uint32_t pool, uint32_t slot)
{
    const slots_link link = slots->links[slot];
    if (link.previous != CLI_SLOT_NONE) {
        slots->links[link.previous].next = link.next;
    } else {
        slots->pools[pool] = link.next;
    }
    if (link.next != CLI_SLOT_NONE) {
        slots->links[link.next].previous = link.previous;
    }
}

uint32_t cli_slots_add(cli_slots *slots, uint32_t pool, uint64_t block)
{
    if ((slots->live + 1) * 2 > slots->mask + 1) {
        grow_table(slots);
    }
    const uint32_t slot = new_number(slots);
    slots->places[place_of(slots, pool, block)] =
        (slots_place){.block = block, .pool = pool, .slot = slot};
    slots->links[slot].block = block;
    slots->live++;
    if (pool != 0) {
        link_in(slots, pool, slot);
    }
    return slot;
}

uint32_t cli_slots_find(const cli_slots *slots, uint32_t pool, uint64_t block)
{
    const slots_place *place = &slots->places[place_of(slots, pool, block)];
    return block != 0 && place->block != 0 ? place->slot : CLI_SLOT_NONE;
}

/* Empties a place and moves up what was only there, or behind, because of it. */
static void clear_place(cli_slots *slots, size_t hole)
{
    const size_t mask = slots->mask;
    for (size_t at = (hole + 1) & mask; slots->places[at].block != 0; at = (at + 1) & mask) {
        const size_t home = home_of(slots, slots->places[at].pool, slots->places[at].block);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            slots->places[hole] = slots->places[at];
            hole = at;
        }
    }
    slots->places[hole].block = 0;
}

static uint32_t forget(cli_slots *slots, size_t place)
{
    const uint32_t slot = slots->places[place].slot;
    clear_place(slots, place);
    slots->links[slot].next = slots->free;
    slots->free = slot;
    slots->live--;
    return slot;
}

uint32_t cli_slots_remove(cli_slots *slots, uint32_t pool, uint64_t block)
{
    const size_t place = place_of(slots, pool, block);
    if (block == 0 || slots->places[place].block == 0) {
        return CLI_SLOT_NONE;
    }
    if (pool != 0) {
        link_out(slots, pool, slots->places[place].slot);
    }
    return forget(slots, place);
}

void cli_slots_remove_pool(cli_slots *slots, uint32_t pool,
                           void (*gone)(void *context, uint32_t slot), void *context)
{
    if (pool == 0 || pool >= slots->pool_room) {
        return;
    }
    for (uint32_t slot = slots->pools[pool]; slot != CLI_SLOT_NONE;) {
        const slots_link link = slots->links[slot];
        gone(context, forget(slots, place_of(slots, pool, link.block)));
        slot = link.next;
    }
    slots->pools[pool] = CLI_SLOT_NONE;
}

size_t cli_slots_live(const cli_slots *slots)
{
    return slots->live;
}

size_t cli_slots_count(const cli_slots *slots)
{
    return slots->count;
}
