/* SPDX-License-Identifier: MIT */
#include "movable/core.h"

/*
 * The table of entries, at the high end of the heap's memory, growing down:
 *
 *     low                                                  table
 *     [ entry n | ... | entry 3 | entry 2 | entry 1 ]
 *                         vacant: place --> number of the next vacant one
 *
 * A generation lives as long as its entry: it is one more each time that the entry is used again. Entries that the table
 * has dropped start, if they come back, at a generation that none of them ever had.
 */

static uint32_t next_generation(uint32_t state)
{
    const uint32_t next = (state & STATE_GENERATION) + (1u << GENERATION_SHIFT);
    /* A handle is never 0. */
    return next != 0 ? next : 1u << GENERATION_SHIFT;
}

tarn_movable_entry *entry_find(const tarn_movable *heap, tarn_handle handle, entry_view *seen)
{
    const uint32_t number = handle_number(handle);
    const uint32_t state = (uint32_t)(handle >> 32);
    const uint32_t count = __atomic_load_n(&movable_head_of(heap)->count, __ATOMIC_ACQUIRE);
    if (number == 0 || number > count || (uint32_t)handle % sizeof(tarn_movable_entry) != 0 ||
        (state & ~STATE_GENERATION) != KIND_LIVE) {
        return NULL;
    }
    tarn_movable_entry *entry = entry_at(heap, number);
    *seen = entry_load(heap, entry);
    if (((seen->state ^ state) & STATE_GENERATION) != 0 ||
        (seen->state & KIND_MASK) == KIND_VACANT) {
        return NULL;
    }
    return entry;
}

uint32_t entry_take(tarn_movable *heap)
{
    movable_head *head = movable_head_of(heap);
    uint32_t number = head->vacant;
    if (number != 0) {
        head->vacant = entry_load(heap, entry_at(heap, number)).place;
    } else if (head->count < NUMBER_MAX) {
        number = head->count + 1;
        entry_store(heap, entry_at(heap, number), 0, head->generation);
        __atomic_store_n(&head->count, number, __ATOMIC_RELEASE);
    }
    return number;
}

void entry_give(tarn_movable *heap, uint32_t number)
{
    movable_head *head = movable_head_of(heap);
    tarn_movable_entry *entry = entry_at(heap, number);
    entry_store(heap, entry, head->vacant,
                next_generation(entry_load(heap, entry).state) | KIND_VACANT);
    head->vacant = number;
}

bool entry_seize(const tarn_movable *heap, tarn_movable_entry *entry)
{
    entry_view seen = entry_load(heap, entry);
    for (;;) {
        if ((seen.state & KIND_MASK) != KIND_LIVE || (seen.state & STATE_PINS) != 0) {
            return false;
        }
        const uint32_t moving = (seen.state & ~KIND_MASK) | KIND_MOVING;
        if (!movable_head_of(heap)->has_threads) {
            entry_store(heap, entry, seen.place, moving);
            return true;
        }
        if (entry_exchange(heap, entry, &seen, seen.place, moving)) {
            return true;
        }
    }
}

void entry_release(const tarn_movable *heap, tarn_movable_entry *entry, uint32_t place)
{
    entry_store(heap, entry, place, (entry_load(heap, entry).state & ~KIND_MASK) | KIND_LIVE);
}

size_t table_trim(tarn_movable *heap)
{
    movable_head *head = movable_head_of(heap);
    uint32_t count = head->count;
    while (count > 0 &&
           (entry_load(heap, entry_at(heap, count)).state & KIND_MASK) == KIND_VACANT) {
        const uint32_t next = entry_load(heap, entry_at(heap, count)).state & STATE_GENERATION;
        if (next > head->generation) {
            head->generation = next;
        }
        count--;
    }
    const uint32_t dropped = head->count - count;
    if (dropped == 0) {
        return 0;
    }
    __atomic_store_n(&head->count, count, __ATOMIC_RELEASE);
    head->vacant = 0;
    for (uint32_t number = count; number > 0; number--) {
        tarn_movable_entry *entry = entry_at(heap, number);
        const entry_view seen = entry_load(heap, entry);
        if ((seen.state & KIND_MASK) == KIND_VACANT) {
            entry_store(heap, entry, head->vacant, seen.state);
            head->vacant = number;
        }
    }
    return dropped * sizeof(tarn_movable_entry);
}
