/* SPDX-License-Identifier: MIT */
#ifndef TARN_HEAP_LEDGER_H
#define TARN_HEAP_LEDGER_H

/*
 * A ledger knows every block of a heap by its address, away from the blocks. It allocates nothing:
 * its owner houses it in memory, and in larger memory when it is full.
 *
 * Records have a number that they keep, and an address that is good until the ledger is housed
 * elsewhere. The owner says how large they are; each starts with a heap_ledger_entry.
 *
 * Finding, adding and removing take constant time on average.
 */

#include "tarn/heaps.h"

typedef struct heap_ledger_entry {
    void *block; /* NULL: the record is vacant */
    size_t size; /* asked for; in a vacant record the next one, plus one */
} heap_ledger_entry;

/* An empty ledger, full until it is housed. */
void heap_ledger_init(tarn_ledger *ledger, size_t record_size);

static inline bool heap_ledger_is_full(const tarn_ledger *ledger)
{
    return ledger->count == ledger->capacity;
}

/* Bytes of memory that the ledger needs to hold one more record than it can now; SIZE_MAX if it
 * cannot grow. */
size_t heap_ledger_next_size(const tarn_ledger *ledger);

/* Moves the ledger into `memory`, of at least heap_ledger_next_size() bytes, aligned for
 * max_align_t. Returns the memory it was in, whose start is NULL if there was none. */
tarn_memory heap_ledger_house(tarn_ledger *ledger, tarn_memory memory);

/* Forgets all records and the memory, which is returned as above. */
tarn_memory heap_ledger_empty(tarn_ledger *ledger);

/* Adds a record for `block`, of which there is none; the ledger must not be full. Beside the entry
 * the record is as its last owner left it. */
void *heap_ledger_add(tarn_ledger *ledger, void *block, size_t size);

/* The block's record, or NULL. */
void *heap_ledger_find(const tarn_ledger *ledger, const void *block);

void heap_ledger_remove(tarn_ledger *ledger, void *record);

/* Record by number, below ledger->touched; NULL if it is vacant. */
void *heap_ledger_at(const tarn_ledger *ledger, uint32_t number);

uint32_t heap_ledger_number(const tarn_ledger *ledger, const void *record);

/* True if each record is found and the counts agree; else a fault as in tarn_heap_check().
 * Linear. */
bool heap_ledger_check(const tarn_ledger *ledger, char *fault, size_t fault_size);

#endif
