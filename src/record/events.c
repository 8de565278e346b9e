/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "record/record.h"

#include <errno.h>
#include <string.h>

/*
 * An event that gives a block has the time from after the block was given, one that takes it back the time
 * from before; so of two threads that hand a block, or its address, to each other, the order of their
 * events is that of what happened.
 */

static inline void put(record_stream *stream, uint64_t head, uint64_t size, uint64_t block,
                       uint64_t old_block, bool has_old_block, uint32_t stack, uint32_t pool,
                       uint64_t ticks)
{
    record_time(stream, ticks);
    head |= ticks << 32;
    head |= size <= RING_SIZE_MAX ? size << RING_SIZE_SHIFT : RING_SIZE_WORD;
    head |= stack != 0 ? RING_STACK_WORD : 0;
    record_word(stream, head);
    record_word(stream, block);
    if (has_old_block) {
        record_word(stream, old_block);
    }
    if (base_unlikely(size > RING_SIZE_MAX)) {
        record_word(stream, size);
    }
    if (stack != 0) {
        record_word(stream, stack);
    }
    if (pool != 0) {
        record_word(stream, pool);
    }
    record_publish(stream);
}

enum { NEEDED = RING_EVENT_BYTES_MAX + 16 };

static inline bool is_ready(record_process *here, record_thread *self, size_t bytes)
{
    return record_is_ready(here, self, bytes) || record_prepare(here, self, bytes);
}

static inline uint32_t stack_of(record_process *here, record_thread *self, size_t size,
                                void *const *frame)
{
    if (base_likely(here->stacks == RING_STACKS_NONE)) {
        return 0;
    }
    if (here->stacks == RING_STACKS_SAMPLED) {
        self->sample_left -= (int64_t)(size < INT64_MAX / 2 ? size : INT64_MAX / 2);
        if (self->sample_left >= 0) {
            return 0;
        }
        /* Between half and one and a half of the distance: no loop of the program keeps in step. */
        self->random = self->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        const uint64_t bytes = here->sample_bytes;
        self->sample_left = (int64_t)(bytes / 2 + (self->random >> 33) % (bytes + 1));
    }
    return record_stack(here, self, frame);
}

static __attribute__((noinline, cold)) void put_common(record_process *here, record_thread *self,
                                                       uint64_t head, uint64_t size, uint64_t block,
                                                       uint64_t old_block, bool has_old_block,
                                                       uint32_t stack, uint32_t pool)
{
    const int error = errno;
    record_stream *stream = record_open_common(here, self, NEEDED);
    if (stream != NULL) {
        put(stream, head, size, block, old_block, has_old_block, stack, pool, record_ticks(here));
        record_close_common(here);
    } else {
        record_lose(here);
    }
    errno = error;
}

void record_alloc(record_thread *self, unsigned op, unsigned alignment_log2, const void *block,
                  size_t size, void *const *frame)
{
    record_process *here = record_process_here();
    const uint64_t head = op | alignment_log2 << 4;
    self->allocs++;
    if (base_likely(is_ready(here, self, NEEDED))) {
        const uint32_t stack = stack_of(here, self, size, frame);
        if (base_likely(is_ready(here, self, NEEDED))) {
            put(&self->stream, head, size, (uintptr_t)block, 0, false, stack, 0,
                record_now(here, self));
        } else {
            record_lose(here);
        }
        return;
    }
    if (here->session != 0) {
        put_common(here, self, head, size, (uintptr_t)block, 0, false,
                   stack_of(here, self, size, frame), 0);
    } else {
        record_lose(here);
    }
}

static inline void free_in(record_process *here, record_thread *self, unsigned op,
                           const void *block, void *const *frame)
{
    if (base_likely(is_ready(here, self, NEEDED))) {
        const uint32_t stack =
            here->stacks == RING_STACKS_ALL ? record_stack(here, self, frame) : 0;
        if (base_likely(is_ready(here, self, NEEDED))) {
            put(&self->stream, op, 0, (uintptr_t)block, 0, false, stack, 0, record_now(here, self));
        } else {
            record_lose(here);
        }
        return;
    }
    if (here->session != 0) {
        put_common(here, self, op, 0, (uintptr_t)block, 0, false, 0, 0);
    } else {
        record_lose(here);
    }
}

void record_free(record_thread *self, unsigned op, const void *block, void *const *frame)
{
    free_in(record_process_here(), self, op, block, frame);
}

/* What a realloc said before it began. */
enum { BEGAN_UNSAID, BEGAN_GIVEN_UP, BEGAN_FREED };

/* Another thread may have the old block's address before the realloc is back, and what it writes then may be
 * seen first; so that the block is given up is said before. Where nobody can come between, `tarn record` makes one
 * event of the two. */
uint64_t record_realloc_begin(record_thread *self, const void *old_block, size_t size,
                              void *const *frame)
{
    record_process *here = record_process_here();
    if (old_block == NULL || record_is_alone(here)) {
        return BEGAN_UNSAID;
    }
    if (size == 0) {
        /* libc's realloc to nothing frees the block. */
        free_in(here, self, TRACE_FREE, old_block, frame);
        return BEGAN_FREED;
    }
    if (base_likely(is_ready(here, self, NEEDED))) {
        put(&self->stream, TRACE_MOVE, 0, (uintptr_t)old_block, 0, false, 0, 0,
            record_now(here, self));
    } else if (here->session != 0) {
        put_common(here, self, TRACE_MOVE, 0, (uintptr_t)old_block, 0, false, 0, 0);
    } else {
        return BEGAN_UNSAID;
    }
    return BEGAN_GIVEN_UP;
}

static void put_realloc(record_process *here, record_thread *self, const void *old_block,
                        const void *block, size_t size, void *const *frame)
{
    if (base_likely(is_ready(here, self, NEEDED))) {
        const uint32_t stack = stack_of(here, self, size, frame);
        if (base_likely(is_ready(here, self, NEEDED))) {
            put(&self->stream, TRACE_REALLOC, size, (uintptr_t)block, (uintptr_t)old_block, true,
                stack, 0, record_now(here, self));
        } else {
            record_lose(here);
        }
        return;
    }
    if (here->session != 0) {
        put_common(here, self, TRACE_REALLOC, size, (uintptr_t)block, (uintptr_t)old_block, true,
                   stack_of(here, self, size, frame), 0);
    } else {
        record_lose(here);
    }
}

void record_realloc(record_thread *self, const void *old_block, const void *block, size_t size,
                    uint64_t began, void *const *frame)
{
    record_process *here = record_process_here();
    if (size == 0 && old_block != NULL && block == NULL && began != BEGAN_GIVEN_UP) {
        /* Of one that does not free it, that is not to be seen. */
        if (began == BEGAN_UNSAID) {
            free_in(here, self, TRACE_FREE, old_block, frame);
        }
        return;
    }
    const void *given_up = began != BEGAN_FREED ? old_block : NULL;
    if (given_up != NULL || block != NULL) {
        put_realloc(here, self, given_up, block, size, frame);
    }
}

void record_pool_event(record_thread *self, unsigned op, uint32_t pool, unsigned alignment_log2,
                       const void *block, size_t size, void *const *frame)
{
    record_process *here = record_process_here();
    const uint64_t head = op | alignment_log2 << 4;
    const bool is_alloc = op == TRACE_POOL_ALLOC;
    uint32_t stack = 0;
    if (is_ready(here, self, NEEDED)) {
        if (is_alloc || here->stacks == RING_STACKS_ALL) {
            stack = stack_of(here, self, size, frame);
        }
        if (is_ready(here, self, NEEDED)) {
            put(&self->stream, head, size, (uintptr_t)block, 0, false, stack, pool,
                record_now(here, self));
        } else {
            record_lose(here);
        }
        return;
    }
    if (here->session != 0) {
        put_common(here, self, head, size, (uintptr_t)block, 0, false, stack, pool);
    } else {
        record_lose(here);
    }
}

static void put_note(record_stream *stream, unsigned which, const void *bytes, size_t size)
{
    record_word(stream, RING_NOTE | which << 4 | (uint64_t)size << 32);
    memcpy(stream->at, bytes, size);
    stream->at += (size + 7) & ~(size_t)7;
}

void record_note(record_process *here, record_thread *self, unsigned which, const void *bytes,
                 size_t size)
{
    if (size > RING_NOTE_BYTES_MAX) {
        return;
    }
    if (record_prepare(here, self, size + 16)) {
        put_note(&self->stream, which, bytes, size);
        record_publish(&self->stream);
        return;
    }
    const int error = errno;
    record_stream *stream = record_open_common(here, self, size + 16);
    if (stream != NULL) {
        put_note(stream, which, bytes, size);
        record_close_common(here);
    }
    errno = error;
}
