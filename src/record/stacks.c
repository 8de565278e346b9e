/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "record/record.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/*
 * Stacks have numbers, and a stack is told when it gets one. Which have is remembered in a table of fixed
 * size, in lines of eight; a stack that was forgotten is told again and gets a new number.
 *
 *     entry: 40 bits of the stack's hash, 24 bits of number; 0: empty
 *
 * With the 14 bits that choose the line, 54 bits tell one stack from the other.
 */

enum { LINES = 1 << 14, LINE_ENTRIES = 8, NUMBER_BITS = 24 };

#define NUMBER_MASK ((UINT64_C(1) << NUMBER_BITS) - 1)

#define TABLE_SIZE ((size_t)LINES * LINE_ENTRIES * sizeof(uint64_t))

bool record_stacks_start(record_process *here)
{
    if (here->stack_table == NULL) {
        void *memory =
            mmap(NULL, TABLE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        /* A child's numbers are its own. */
        if (memory == MAP_FAILED || madvise(memory, TABLE_SIZE, MADV_WIPEONFORK) != 0) {
            return false;
        }
        here->stack_table = memory;
        return true;
    }
    /* That of an earlier recording. Memory that was given back is zero. */
    return madvise(here->stack_table, TABLE_SIZE, MADV_DONTNEED) == 0;
}

static __attribute__((noinline)) uint32_t tell(record_process *here, record_thread *self,
                                               _Atomic(uint64_t) *line, uint64_t tag)
{
    const uint32_t number = atomic_fetch_add(&here->stack_ids, 1) + 1;
    if (number > NUMBER_MASK) {
        return 0;
    }
    uint64_t note[1 + TRACE_FRAMES_MAX];
    const record_walk *walk = self->walk;
    const uint32_t count = walk->count < TRACE_FRAMES_MAX ? walk->count : TRACE_FRAMES_MAX;
    note[0] = number;
    for (uint32_t i = 0; i < count; i++) {
        note[1 + i] = walk->levels[walk->count - 1 - i].back;
    }
    record_note(here, self, RING_NOTE_STACK, note, (count + 1) * sizeof *note);
    unsigned at = number % LINE_ENTRIES;
    for (unsigned i = 0; i < LINE_ENTRIES; i++) {
        if (atomic_load_explicit(&line[i], memory_order_relaxed) == 0) {
            at = i;
            break;
        }
    }
    /* Others may name it from here on: it has been told. */
    atomic_store_explicit(&line[at], tag | number, memory_order_release);
    return number;
}

static uint32_t number_of(record_process *here, record_thread *self)
{
    const uint64_t hash =
        self->walk->levels[self->walk->count - 1].hash * UINT64_C(0xBF58476D1CE4E5B9);
    const uint64_t tag = hash & ~NUMBER_MASK;
    _Atomic(uint64_t) *line = here->stack_table + hash % LINES * LINE_ENTRIES;
    for (unsigned i = 0; i < LINE_ENTRIES; i++) {
        const uint64_t entry = atomic_load_explicit(&line[i], memory_order_acquire);
        if ((entry & ~NUMBER_MASK) == tag && entry != 0) {
            return (uint32_t)(entry & NUMBER_MASK);
        }
    }
    return tell(here, self, line, tag);
}

uint32_t record_stack(record_process *here, record_thread *self, void *const *frame)
{
    /* Whoever is ending would leave its walk behind. */
    if (self->is_ended) {
        return 0;
    }
    /* What the kernel says to whoever walks is not the program's to see. */
    const int error = errno;
    const uint32_t number = record_unwind(here, self, frame) ? number_of(here, self) : 0;
    errno = error;
    return number;
}
