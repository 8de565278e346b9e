/* SPDX-License-Identifier: MIT */
#include "malloc/core.h"

#include "base/bits.h"

/*
 *     root[address >> 32]  ->  leaf[(uint32_t)address >> 16]  ->  entry
 *
 * The root is zero pages until touched; a leaf covers 4 GiB of address space and is mapped when the first chunk there
 * comes. Entries are written under the page heap's lock before any block of the unit is handed out, and read without
 * a lock: a reader that holds a block of the unit has seen it handed out.
 *
 * Leaves are never given back.
 */

#define ROOT_COUNT 65536
#define LEAF_COUNT 65536

_Static_assert(sizeof(void *) == 8, "the map is laid out for 64-bit addresses");

typedef struct map_leaf {
    _Atomic(uintptr_t) entries[LEAF_COUNT];
} map_leaf;

static _Atomic(map_leaf *) root[ROOT_COUNT];
static os_lock map_lock;

static map_leaf *leaf_of(uintptr_t address)
{
    const uintptr_t index = address >> 32;
    return index < ROOT_COUNT ? atomic_load_explicit(&root[index], memory_order_acquire) : NULL;
}

uintptr_t map_get(uintptr_t address)
{
    map_leaf *leaf = leaf_of(address);
    if (leaf == NULL) {
        return 0;
    }
    return atomic_load_explicit(&leaf->entries[(uint32_t)address >> UNIT_SHIFT],
                                memory_order_acquire);
}

bool map_reserve(uintptr_t start, size_t size)
{
    for (uintptr_t index = start >> 32; index <= (start + size - 1) >> 32; index++) {
        if (index >= ROOT_COUNT) {
            return false;
        }
        if (atomic_load_explicit(&root[index], memory_order_acquire) != NULL) {
            continue;
        }
        os_lock_take(&map_lock);
        if (atomic_load_explicit(&root[index], memory_order_relaxed) == NULL) {
            map_leaf *fresh =
                os_pages_map(base_align_up(sizeof(map_leaf), os_page_size()), os_page_size());
            atomic_store_explicit(&root[index], fresh, memory_order_release);
        }
        os_lock_release(&map_lock);
        if (atomic_load_explicit(&root[index], memory_order_acquire) == NULL) {
            return false;
        }
    }
    return true;
}

void map_set(uintptr_t address, uintptr_t entry)
{
    atomic_store_explicit(&leaf_of(address)->entries[(uint32_t)address >> UNIT_SHIFT], entry,
                          memory_order_release);
}

void map_fork(bool before)
{
    if (before) {
        os_lock_take(&map_lock);
    } else {
        os_lock_release(&map_lock);
    }
}
