/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "record/next.h"
#include "record/record.h"

#include "base/bits.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* gcc's analyzer takes a block that was moved to for one that is lost while it asks whether there is a next allocator. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

/*
 * libc's names. Each asks the next allocator in line, whichever that is, and records what came of it.
 *
 * While the next allocator is at work, or the recorder, the thread is busy: calls from inside go through
 * and are not events. To find the next allocator dlsym() may itself allocate: until it is found, a small
 * arena serves, whose blocks are never taken back.
 */

#define EXPORT __attribute__((visibility("default")))

record_next next;
_Atomic(unsigned) record_searches = 1;

enum { ARENA_SIZE = 1 << 16, ARENA_ALIGNMENT = 16 };

static unsigned char arena[ARENA_SIZE] __attribute__((aligned(64)));
static _Atomic(size_t) arena_used;
static _Atomic(int) finding; /* 0 not yet, 1 at it, 2 done */

static bool is_of_arena(const void *block)
{
    return (uintptr_t)block - (uintptr_t)arena < ARENA_SIZE;
}

static void *take_from_arena(size_t size, size_t alignment)
{
    const size_t room = base_align_up(size, ARENA_ALIGNMENT);
    if (alignment > 64 || size > ARENA_SIZE || room + alignment > ARENA_SIZE) {
        return NULL;
    }
    const size_t from = atomic_fetch_add(&arena_used, room + alignment);
    if (from > ARENA_SIZE - room - alignment) {
        return NULL;
    }
    return arena + base_align_up(from, alignment > ARENA_ALIGNMENT ? alignment : ARENA_ALIGNMENT);
}

static void find(void *function, const char *name)
{
    void *symbol = record_next_symbol(name);
    memcpy(function, &symbol, sizeof symbol);
}

void record_find_next(void)
{
    find(&next.calloc, "calloc");
    find(&next.realloc, "realloc");
    find(&next.free, "free");
    find(&next.aligned_alloc, "aligned_alloc");
    find(&next.posix_memalign, "posix_memalign");
    find(&next.memalign, "memalign");
    find(&next.valloc, "valloc");
    find(&next.pvalloc, "pvalloc");
    find(&next.free_sized, "free_sized");
    find(&next.free_aligned_sized, "free_aligned_sized");
    find(&next.malloc, "malloc");
    atomic_fetch_add(&record_searches, 1);
}

/* False while somebody is still at it: the arena has to serve. */
static __attribute__((noinline, cold)) bool find_next(void)
{
    int is_new = 0;
    if (!atomic_compare_exchange_strong(&finding, &is_new, 1)) {
        return is_new == 2;
    }
    const int error = errno;
    record_find_next();
    record_start();
    errno = error;
    atomic_store(&finding, 2);
    return true;
}

bool record_has_next(void)
{
    return base_likely(atomic_load_explicit(&finding, memory_order_acquire) == 2) || find_next();
}

/* A program has a trace even if it asks for nothing, and its threads begin with everything found. */
static __attribute__((constructor)) void begin(void)
{
    record_thread *self = &record_self;
    if (record_has_next() && !self->is_busy) {
        self->is_busy = true;
        record_prepare(record_process_here(), self, RING_EVENT_BYTES_MAX);
        self->is_busy = false;
    }
}

static void *refuse(void)
{
    errno = ENOMEM;
    return NULL;
}

/* The caller's frame pointer, and behind it the address that is returned to. */
#define FRAME ((void *const *)__builtin_frame_address(0))

EXPORT void *malloc(size_t size)
{
    record_thread *self = &record_self;
    if (base_unlikely(!record_has_next())) {
        return take_from_arena(size, ARENA_ALIGNMENT);
    }
    if (base_unlikely(self->is_busy)) {
        return next.malloc(size);
    }
    self->is_busy = true;
    void *block = next.malloc(size);
    record_alloc(self, TRACE_MALLOC, 0, block, size, FRAME);
    self->is_busy = false;
    return block;
}

EXPORT void *calloc(size_t count, size_t size)
{
    record_thread *self = &record_self;
    size_t bytes;
    if (base_unlikely(!record_has_next())) {
        /* The arena is zero, and every block of it is given once. */
        return base_checked_mul(count, size, &bytes) ? take_from_arena(bytes, ARENA_ALIGNMENT)
                                                     : NULL;
    }
    if (base_unlikely(self->is_busy)) {
        return next.calloc(count, size);
    }
    self->is_busy = true;
    void *block = next.calloc(count, size);
    if (base_unlikely(!base_checked_mul(count, size, &bytes))) {
        bytes = SIZE_MAX;
    }
    record_alloc(self, TRACE_CALLOC, 0, block, bytes, FRAME);
    self->is_busy = false;
    return block;
}

EXPORT void free(void *block)
{
    record_thread *self = &record_self;
    if (block == NULL || base_unlikely(is_of_arena(block)) || base_unlikely(!record_has_next())) {
        return;
    }
    if (base_unlikely(self->is_busy)) {
        next.free(block);
        return;
    }
    self->is_busy = true;
    record_free(self, TRACE_FREE, block, FRAME);
    next.free(block);
    self->is_busy = false;
}

/* A block of the arena moves to the next allocator. Its size is not known: what follows it in the arena
 * can be read, too. */
static void *leave_arena(void *block, size_t size)
{
    void *moved = record_has_next() ? malloc(size) : take_from_arena(size, ARENA_ALIGNMENT);
    if (moved != NULL) {
        const size_t there = (size_t)(arena + ARENA_SIZE - (unsigned char *)block);
        memcpy(moved, block, size < there ? size : there);
    }
    return moved;
}

static void *resize(void *block, size_t size, void *const *frame)
{
    record_thread *self = &record_self;
    if (base_unlikely(is_of_arena(block))) {
        return leave_arena(block, size);
    }
    if (base_unlikely(!record_has_next())) {
        return block == NULL ? take_from_arena(size, ARENA_ALIGNMENT) : NULL;
    }
    if (base_unlikely(self->is_busy)) {
        return next.realloc(block, size);
    }
    self->is_busy = true;
    const uint64_t began = record_realloc_begin(self, block, size, frame);
    void *resized = next.realloc(block, size);
    record_realloc(self, block, resized, size, began, frame);
    self->is_busy = false;
    return resized;
}

EXPORT void *realloc(void *block, size_t size)
{
    return resize(block, size, FRAME);
}

EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;
    return base_checked_mul(count, size, &bytes) ? resize(block, bytes, FRAME) : refuse();
}

static unsigned log2_of(size_t alignment)
{
    return alignment > 1 ? base_log2_floor(alignment) : 0;
}

/* What the aligned ones have in common once they have called the next. */
static void *note_aligned(record_thread *self, void *block, size_t size, size_t alignment,
                          void *const *frame)
{
    record_alloc(self, TRACE_ALIGNED, log2_of(alignment), block, size, frame);
    self->is_busy = false;
    return block;
}

static void *align_by(void *(*function)(size_t, size_t), size_t alignment, size_t size,
                      void *const *frame)
{
    record_thread *self = &record_self;
    if (base_unlikely(function == NULL)) {
        return refuse();
    }
    if (base_unlikely(self->is_busy)) {
        return function(alignment, size);
    }
    self->is_busy = true;
    return note_aligned(self, function(alignment, size), size, alignment, frame);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    return record_has_next() ? align_by(next.aligned_alloc, alignment, size, FRAME)
                             : take_from_arena(size, alignment);
}

EXPORT void *memalign(size_t alignment, size_t size)
{
    return record_has_next() ? align_by(next.memalign, alignment, size, FRAME)
                             : take_from_arena(size, alignment);
}

EXPORT int posix_memalign(void **result, size_t alignment, size_t size)
{
    record_thread *self = &record_self;
    if (base_unlikely(!record_has_next())) {
        *result = take_from_arena(size, alignment);
        return *result != NULL ? 0 : ENOMEM;
    }
    if (base_unlikely(next.posix_memalign == NULL)) {
        return ENOMEM;
    }
    if (base_unlikely(self->is_busy)) {
        return next.posix_memalign(result, alignment, size);
    }
    self->is_busy = true;
    const int error = next.posix_memalign(result, alignment, size);
    if (error != EINVAL) {
        record_alloc(self, TRACE_ALIGNED, log2_of(alignment), error == 0 ? *result : NULL, size,
                     FRAME);
    }
    self->is_busy = false;
    return error;
}

static void *page_by(void *(*function)(size_t), size_t size, void *const *frame)
{
    record_thread *self = &record_self;
    if (base_unlikely(function == NULL)) {
        return refuse();
    }
    if (base_unlikely(self->is_busy)) {
        return function(size);
    }
    self->is_busy = true;
    return note_aligned(self, function(size), size, os_page_size(), frame);
}

EXPORT void *valloc(size_t size)
{
    return record_has_next() ? page_by(next.valloc, size, FRAME) : NULL;
}

EXPORT void *pvalloc(size_t size)
{
    return record_has_next() ? page_by(next.pvalloc, size, FRAME) : NULL;
}

EXPORT void free_sized(void *block, size_t size);
EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size);

EXPORT void free_sized(void *block, size_t size)
{
    record_thread *self = &record_self;
    if (block == NULL || base_unlikely(is_of_arena(block)) || !record_has_next()) {
        return;
    }
    const bool was_busy = self->is_busy;
    if (!was_busy) {
        self->is_busy = true;
        record_free(self, TRACE_FREE_SIZED, block, FRAME);
    }
    if (next.free_sized != NULL) {
        next.free_sized(block, size);
    } else {
        next.free(block);
    }
    self->is_busy = was_busy;
}

EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size)
{
    record_thread *self = &record_self;
    if (block == NULL || base_unlikely(is_of_arena(block)) || !record_has_next()) {
        return;
    }
    const bool was_busy = self->is_busy;
    if (!was_busy) {
        self->is_busy = true;
        record_free(self, TRACE_FREE_SIZED, block, FRAME);
    }
    if (next.free_aligned_sized != NULL) {
        next.free_aligned_sized(block, alignment, size);
    } else {
        next.free(block);
    }
    self->is_busy = was_busy;
}
