/* SPDX-License-Identifier: MIT */
#include "base/check.h"
#include "heap/books.h"
#include "pool/twolevel.h"

#include <string.h>

/*
 *     chunk->start                    chunk->start + chunk->size
 *     [ block | block | ...  | rest ][ map: a byte for each 8 bytes of the chunk ]
 *
 * What the byte of a place says:
 *
 *     IN_USE + size - 1    a block in use that was asked for as `size` bytes
 *     FREE                 a free block
 *     SECOND + list        the second 8 bytes of a block of that list; a block of 8 bytes has none
 *     0                    further bytes of a block, or of the rest
 *
 * The bytes of a free block behind its link are FILL, except where tools watch, who see a write at
 * once.
 *
 * Invariant: the map's blocks are those in use and those in the lists.
 */

enum { IN_USE = 0x80, FREE = 0x40, SECOND = 0x20, FILL = 0xDD };

_Static_assert(TARN_TWOLEVEL_MAX == IN_USE, "seven bits hold the size of a block in use");
_Static_assert(TARN_TWOLEVEL_LISTS <= FREE - SECOND, "five bits hold the number of a list");

/* A place in a chunk, and what the map says of it. */
typedef struct map_place {
    unsigned char *entry; /* NULL: the address is in no chunk, or between places */
    unsigned list;        /* of the block that starts there, if one does */
} map_place;

static unsigned char *map_of(const tarn_twolevel_chunk *chunk)
{
    return chunk->start + chunk->size;
}

static unsigned char *map_end(const tarn_twolevel_chunk *chunk)
{
    return map_of(chunk) + chunk->size / TARN_TWOLEVEL_STEP;
}

static unsigned list_at(const tarn_twolevel_chunk *chunk, const unsigned char *entry)
{
    const bool has_second = entry + 1 < map_end(chunk) && entry[1] >= SECOND && entry[1] < FREE;
    return has_second ? entry[1] - (unsigned)SECOND : 0;
}

static map_place place_of(const tarn_twolevel_store *store, const void *address)
{
    const tarn_twolevel_chunk *chunk = pool_twolevel_chunk_of(store, address);
    if (chunk == NULL) {
        return (map_place){0};
    }
    const size_t offset = (size_t)((uintptr_t)address - (uintptr_t)chunk->start);
    if (offset % TARN_TWOLEVEL_STEP != 0) {
        return (map_place){0};
    }
    unsigned char *entry = map_of(chunk) + offset / TARN_TWOLEVEL_STEP;
    return (map_place){.entry = entry, .list = list_at(chunk, entry)};
}

/* The place of a block that the store itself knows to be one of its. */
static map_place place_of_own(const tarn_twolevel_store *store, const void *block)
{
    const map_place place = place_of(store, block);
    TARN_CHECK(place.entry != NULL, "a free list is overwritten", store->name, block);
    return place;
}

static bool is_free_block(const tarn_twolevel_store *store, const void *block, unsigned list)
{
    const map_place place = place_of(store, block);
    return place.entry != NULL && *place.entry == FREE && place.list == list;
}

/* The place of a block in use that the user names. What is wrong with what he says is misuse. */
static map_place place_in_use(const tarn_twolevel_store *store, const void *block, unsigned list,
                              size_t size)
{
    const map_place place = place_of(store, block);
    TARN_CHECK(place.entry != NULL && *place.entry >= FREE, "not a block of this heap", store->name,
               block);
    TARN_CHECK(*place.entry >= IN_USE, "double free", store->name, block);
    TARN_CHECK(*place.entry - IN_USE + (size_t)1 == size, "wrong size given back with the block",
               store->name, block);
    TARN_CHECK(place.list == list, "given back by another interface than it was taken by",
               store->name, block);
    return place;
}

/* The bytes behind the link. */
static void fill(const tarn_twolevel_store *store, void *block, unsigned list)
{
    if (!store->is_watched) {
        memset((unsigned char *)block + sizeof(void *), FILL,
               pool_twolevel_bytes(list) - sizeof(void *));
    }
}

static bool is_filled(const tarn_twolevel_store *store, const void *block, unsigned list)
{
    const unsigned char *byte = block;
    for (size_t i = sizeof(void *); !store->is_watched && i < pool_twolevel_bytes(list); i++) {
        if (byte[i] != FILL) {
            return false;
        }
    }
    return true;
}

void pool_twolevel_map_clear(const tarn_twolevel_chunk *chunk)
{
    memset(map_of(chunk), 0, chunk->size / TARN_TWOLEVEL_STEP);
}

void pool_twolevel_map_add(const tarn_twolevel_store *store, void *block, unsigned list)
{
    const map_place place = place_of_own(store, block);
    place.entry[0] = FREE;
    if (list > 0) {
        place.entry[1] = (unsigned char)(SECOND + list);
    }
    fill(store, block, list);
}

void pool_twolevel_map_remove(const tarn_twolevel_store *store, void *block)
{
    const map_place place = place_of_own(store, block);
    place.entry[0] = 0;
    if (place.list > 0) {
        place.entry[1] = 0;
    }
}

void pool_twolevel_map_give(const tarn_twolevel_store *store, void *block, unsigned list,
                            size_t size)
{
    const void *next = pool_twolevel_next(store, block);
    TARN_CHECK((next == NULL || is_free_block(store, next, list)) && is_filled(store, block, list),
               "a freed block was written to", store->name, block);
    *place_of_own(store, block).entry = (unsigned char)(IN_USE + size - 1);
    if (store->is_watched) {
        heap_watch_give(block, size);
    }
}

void pool_twolevel_map_take(const tarn_twolevel_store *store, void *block, unsigned list,
                            size_t size)
{
    *place_in_use(store, block, list, size).entry = FREE;
    fill(store, block, list);
    if (store->is_watched) {
        heap_watch_take(block, size);
    }
}

void pool_twolevel_map_resize(const tarn_twolevel_store *store, void *block, unsigned list,
                              size_t old_size, size_t new_size)
{
    *place_in_use(store, block, list, old_size).entry = (unsigned char)(IN_USE + new_size - 1);
    if (store->is_watched) {
        heap_watch_resize(block, old_size, block, new_size);
    }
}

bool pool_twolevel_map_is_free(const tarn_twolevel_store *store, const void *block, unsigned list)
{
    return is_free_block(store, block, list) && is_filled(store, block, list);
}

bool pool_twolevel_map_visit(const tarn_twolevel_store *store, tarn_visitor *visitor, void *context)
{
    for (size_t i = 0; i < store->chunk_count; i++) {
        const tarn_twolevel_chunk *chunk = &store->chunks[i];
        const unsigned char *map = map_of(chunk);
        for (const unsigned char *entry = map; entry < map_end(chunk); entry++) {
            if (*entry >= IN_USE &&
                !visitor(context, chunk->start + (entry - map) * TARN_TWOLEVEL_STEP,
                         *entry - IN_USE + (size_t)1)) {
                return false;
            }
        }
    }
    return true;
}

bool pool_twolevel_map_check(const tarn_twolevel_store *store, const size_t *free, char *fault,
                             size_t fault_size)
{
    size_t in_use_found[TARN_TWOLEVEL_LISTS] = {0};
    size_t free_found[TARN_TWOLEVEL_LISTS] = {0};
    for (size_t i = 0; i < store->chunk_count; i++) {
        const tarn_twolevel_chunk *chunk = &store->chunks[i];
        for (const unsigned char *entry = map_of(chunk); entry < map_end(chunk); entry++) {
            if (*entry >= IN_USE) {
                in_use_found[list_at(chunk, entry)]++;
            } else if (*entry == FREE) {
                free_found[list_at(chunk, entry)]++;
            }
        }
    }
    for (unsigned list = 0; list < TARN_TWOLEVEL_LISTS; list++) {
        const size_t in_use = store->blocks[list] - free[list];
        if (free_found[list] != free[list] || in_use_found[list] != in_use) {
            return heap_fault(
                fault, fault_size,
                "the maps have %zu free blocks of %zu bytes and %zu in use, but there "
                "should be %zu and %zu",
                free_found[list], pool_twolevel_bytes(list), in_use_found[list], free[list],
                in_use);
        }
    }
    return true;
}
