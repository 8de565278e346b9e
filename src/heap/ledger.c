/* SPDX-License-Identifier: MIT */
#include "heap/ledger.h"

#include "base/bits.h"
#include "heap/books.h"

#include <string.h>

/*
 *     memory
 *     [ record 0 ][ record 1 ] ... [ record capacity-1 ][ index: 2 * capacity numbers ]
 *
 * The index is a hash table with linear probing, at most half full. A vacant record's entry links
 * to the next vacant one; records past `touched` were never used and are in no chain.
 *
 * Invariant: each record in use is found in the index from its block's place on without an empty
 * slot between.
 */

enum {
    INDEX_PER_RECORD = 2,
    FIRST_CAPACITY = 64,
};

/* Record numbers plus one must fit 32 bits, and so must the index's length. */
#define CAPACITY_MAX ((uint32_t)1 << 30)

static size_t memory_size(const tarn_ledger *ledger, uint32_t capacity)
{
    return (size_t)capacity * (ledger->record_size + INDEX_PER_RECORD * sizeof *ledger->index);
}

static heap_ledger_entry *entry_at(const tarn_ledger *ledger, uint32_t number)
{
    return (heap_ledger_entry *)(void *)(ledger->records + number * ledger->record_size);
}

static uint32_t index_mask(const tarn_ledger *ledger)
{
    return ledger->capacity * INDEX_PER_RECORD - 1;
}

/* Fibonacci hashing (Knuth, volume 3, section 6.4): the product's high bits depend on all of the
 * address. */
static uint32_t place_of(const tarn_ledger *ledger, const void *block)
{
    const uint64_t product = ((uint64_t)(uintptr_t)block >> 3) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(product >> 32) & index_mask(ledger);
}

/* Where the block's number is in the index, or the empty slot where it would go. */
static uint32_t slot_of(const tarn_ledger *ledger, const void *block)
{
    uint32_t slot = place_of(ledger, block);
    while (ledger->index[slot] != 0 && entry_at(ledger, ledger->index[slot] - 1)->block != block) {
        slot = (slot + 1) & index_mask(ledger);
    }
    return slot;
}

void heap_ledger_init(tarn_ledger *ledger, size_t record_size)
{
    *ledger = (tarn_ledger){.record_size = record_size};
}

static uint32_t next_capacity(const tarn_ledger *ledger)
{
    return ledger->capacity == 0 ? FIRST_CAPACITY : ledger->capacity * 2;
}

size_t heap_ledger_next_size(const tarn_ledger *ledger)
{
    const uint32_t capacity = next_capacity(ledger);
    return capacity > CAPACITY_MAX || capacity > SIZE_MAX / (2 * ledger->record_size)
               ? SIZE_MAX
               : memory_size(ledger, capacity);
}

tarn_memory heap_ledger_house(tarn_ledger *ledger, tarn_memory memory)
{
    const tarn_memory old_memory = ledger->memory;
    if (ledger->touched > 0) {
        memcpy(memory.start, ledger->records, ledger->touched * ledger->record_size);
    }
    ledger->memory = memory;
    ledger->records = memory.start;
    ledger->capacity = next_capacity(ledger);
    ledger->index = (uint32_t *)(void *)(ledger->records + ledger->capacity * ledger->record_size);
    memset(ledger->index, 0, ((size_t)index_mask(ledger) + 1) * sizeof *ledger->index);
    for (uint32_t number = 0; number < ledger->touched; number++) {
        const void *block = entry_at(ledger, number)->block;
        if (block != NULL) {
            ledger->index[slot_of(ledger, block)] = number + 1;
        }
    }
    return old_memory;
}

tarn_memory heap_ledger_empty(tarn_ledger *ledger)
{
    const tarn_memory memory = ledger->memory;
    heap_ledger_init(ledger, ledger->record_size);
    return memory;
}

void *heap_ledger_add(tarn_ledger *ledger, void *block, size_t size)
{
    uint32_t number = ledger->touched;
    if (ledger->vacant != 0) {
        number = ledger->vacant - 1;
        ledger->vacant = (uint32_t)entry_at(ledger, number)->size;
    } else {
        ledger->touched++;
    }
    heap_ledger_entry *entry = entry_at(ledger, number);
    ledger->index[slot_of(ledger, block)] = number + 1;
    *entry = (heap_ledger_entry){.block = block, .size = size};
    ledger->count++;
    return entry;
}

void *heap_ledger_find(const tarn_ledger *ledger, const void *block)
{
    if (ledger->count == 0) {
        return NULL;
    }
    const uint32_t numbered = ledger->index[slot_of(ledger, block)];
    return numbered == 0 ? NULL : entry_at(ledger, numbered - 1);
}

void heap_ledger_remove(tarn_ledger *ledger, void *record)
{
    heap_ledger_entry *entry = record;
    const uint32_t mask = index_mask(ledger);
    uint32_t hole = slot_of(ledger, entry->block);

    /* Close the gap: a number may move into the hole unless its own place lies behind the hole,
     * where a search for it starts (Knuth, volume 3, section 6.4, algorithm R). */
    for (uint32_t slot = (hole + 1) & mask; ledger->index[slot] != 0; slot = (slot + 1) & mask) {
        const uint32_t place = place_of(ledger, entry_at(ledger, ledger->index[slot] - 1)->block);
        if (((slot - place) & mask) >= ((slot - hole) & mask)) {
            ledger->index[hole] = ledger->index[slot];
            hole = slot;
        }
    }
    ledger->index[hole] = 0;

    *entry = (heap_ledger_entry){.block = NULL, .size = ledger->vacant};
    ledger->vacant = heap_ledger_number(ledger, record) + 1;
    ledger->count--;
}

void *heap_ledger_at(const tarn_ledger *ledger, uint32_t number)
{
    heap_ledger_entry *entry = entry_at(ledger, number);
    return entry->block == NULL ? NULL : entry;
}

uint32_t heap_ledger_number(const tarn_ledger *ledger, const void *record)
{
    const size_t offset = (size_t)((const unsigned char *)record - ledger->records);
    return (uint32_t)(offset / ledger->record_size);
}

bool heap_ledger_check(const tarn_ledger *ledger, char *fault, size_t fault_size)
{
    uint32_t found = 0;
    for (uint32_t number = 0; number < ledger->touched; number++) {
        const void *record = heap_ledger_at(ledger, number);
        if (record == NULL) {
            continue;
        }
        const void *block = ((const heap_ledger_entry *)record)->block;
        if (heap_ledger_find(ledger, block) != record) {
            return heap_fault(fault, fault_size, "block %p is not found in the ledger", block);
        }
        found++;
    }
    if (found != ledger->count) {
        return heap_fault(fault, fault_size, "the ledger has %u records but counts %u",
                          (unsigned)found, (unsigned)ledger->count);
    }
    return true;
}
