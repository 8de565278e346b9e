/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "record/record.h"

#include "base/bits.h"

#include <errno.h>
#include <string.h>

/*
 * Pools of libtarn, which finds these functions by their names (base/record.h).
 *
 * Which pools there are is kept beside the session: a forked child has them, too, and its trace begins with
 * them.
 */

#define EXPORT __attribute__((visibility("default")))

enum { POOLS = 1 << 12 };

typedef struct record_pool {
    const void *heap; /* NULL: empty */
    const char *kind;
    const char *name;
    uint32_t number;
    uint32_t parent;
} record_pool;

/* Guarded by the process's lock, which a child finds unlocked. */
static record_pool pools[POOLS];
static uint32_t numbers; /* given */

typedef struct pool_note {
    uint64_t number;
    uint64_t parent;
    uint64_t kind_size;
    uint64_t name_size;
    char text[RING_NAME_MAX];
} pool_note;

static void tell_pool(record_process *here, record_thread *self, const record_pool *pool)
{
    pool_note note = {.number = pool->number, .parent = pool->parent};
    note.kind_size = strnlen(pool->kind, RING_NAME_MAX / 2);
    note.name_size = strnlen(pool->name, RING_NAME_MAX / 2);
    memcpy(note.text, pool->kind, note.kind_size);
    memcpy(note.text + note.kind_size, pool->name, note.name_size);
    record_note(here, self, RING_NOTE_POOL, &note,
                offsetof(pool_note, text) + note.kind_size + note.name_size);
}

void record_pools(record_process *here, record_thread *self)
{
    os_lock_take(&here->pools_lock);
    for (unsigned i = 0; i < POOLS; i++) {
        if (pools[i].heap != NULL) {
            tell_pool(here, self, &pools[i]);
        }
    }
    os_lock_release(&here->pools_lock);
}

static uint32_t home_of(const void *heap)
{
    return (uint32_t)((uintptr_t)heap * UINT64_C(0x9E3779B97F4A7C15) >> 52);
}

_Static_assert(POOLS == 1 << (64 - 52), "homes are places of the table");

/* The pool, or the empty place where it would be; NULL: the table is full. */
static record_pool *find_pool(const void *heap)
{
    const uint32_t home = home_of(heap);
    for (uint32_t i = 0; i < POOLS; i++) {
        record_pool *pool = &pools[(home + i) % POOLS];
        if (pool->heap == heap || pool->heap == NULL) {
            return pool;
        }
    }
    return NULL;
}

/* Moves up what is behind the place only because that was taken. */
static void remove_pool(uint32_t number)
{
    uint32_t hole = 0;
    while (hole < POOLS && (pools[hole].heap == NULL || pools[hole].number != number)) {
        hole++;
    }
    if (hole == POOLS) {
        return;
    }
    for (uint32_t at = (hole + 1) % POOLS; pools[at].heap != NULL && at != hole;
         at = (at + 1) % POOLS) {
        const uint32_t home = home_of(pools[at].heap);
        if ((at - home) % POOLS >= (at - hole) % POOLS) {
            pools[hole] = pools[at];
            hole = at;
        }
    }
    pools[hole].heap = NULL;
}

EXPORT uint32_t tarn_record_open(const void *heap, const void *upstream, const char *kind,
                                 const char *name);
EXPORT void tarn_record_note(uint32_t number, unsigned what, const void *block, size_t size,
                             size_t alignment);

uint32_t tarn_record_open(const void *heap, const void *upstream, const char *kind,
                          const char *name)
{
    record_thread *self = &record_self;
    record_process *here = record_process_here();
    if (here == NULL || self->is_busy) {
        return 0;
    }
    self->is_busy = true;
    const int error = errno;
    uint32_t number = 0;
    if (record_prepare(here, self, RING_NOTE_BYTES_MAX) || here->session != 0) {
        os_lock_take(&here->pools_lock);
        const record_pool *parent = find_pool(upstream);
        record_pool pool = {
            .heap = heap, .kind = kind, .name = name, .number = ++numbers, .parent = 0};
        if (parent != NULL && parent->heap != NULL) {
            pool.parent = parent->number;
        }
        record_pool *place = find_pool(heap);
        if (place != NULL) {
            *place = pool;
        }
        os_lock_release(&here->pools_lock);
        tell_pool(here, self, &pool);
        number = pool.number;
    }
    errno = error;
    self->is_busy = false;
    return number;
}

void tarn_record_note(uint32_t number, unsigned what, const void *block, size_t size,
                      size_t alignment)
{
    record_thread *self = &record_self;
    if (self->is_busy) {
        return;
    }
    self->is_busy = true;
    const int error = errno;
    record_pool_event(self, what, number, alignment > 1 ? base_log2_floor(alignment) : 0, block,
                      size, __builtin_frame_address(0));
    if (what == TRACE_POOL_CLOSE) {
        record_process *here = record_process_here();
        os_lock_take(&here->pools_lock);
        remove_pool(number);
        os_lock_release(&here->pools_lock);
    }
    errno = error;
    self->is_busy = false;
}
