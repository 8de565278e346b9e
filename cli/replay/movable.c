/* SPDX-License-Identifier: MIT */
#include "tarn/movable.h"

#include "strategy.h"
#include <string.h>

/*
 * The movable heap: a tape's blocks are handles here. In a pass that compacts, the heap is looked
 * at after every TEND_EVENTS operations, and when more than a quarter of the footprint, and more
 * than SLACK bytes, are free, blocks of at most PASS_BYTES are moved. A bound on the time instead
 * would have other results each time.
 */

enum { TEND_EVENTS = 64, PASS_BYTES = 1 << 20, SLACK = 1 << 18, ENTRY_BYTES = 16 };

static tarn_movable movable;
static uint64_t until_look;

static tarn_handle handle_of(void *block)
{
    return (tarn_handle)(uintptr_t)block;
}

static void *movable_alloc(tarn_heap *heap, size_t size, size_t alignment)
{
    (void)heap;
    return (void *)(uintptr_t)tarn_movable_alloc(&movable, size, alignment);
}

/* What is zeroed is what the name stands for. */
static void *movable_alloc_zeroed(tarn_heap *heap, size_t size, size_t alignment)
{
    void *block = movable_alloc(heap, size, alignment);
    if (block != NULL) {
        memset(tarn_deref(&movable, handle_of(block)), 0, size);
    }
    return block;
}

static void movable_free(tarn_heap *heap, void *block, size_t size)
{
    (void)heap;
    (void)size;
    tarn_movable_free(&movable, handle_of(block));
}

static const tarn_heap_ops ops = {
    .alloc = movable_alloc, .free = movable_free, .alloc_zeroed = movable_alloc_zeroed};
static tarn_heap heap = {.ops = &ops, .name = "movable"};

static void *address(void *block)
{
    return tarn_deref(&movable, handle_of(block));
}

static void *resize(void *block, size_t old_size, size_t new_size, size_t alignment)
{
    (void)old_size;
    (void)alignment;
    return tarn_movable_resize(&movable, handle_of(block), new_size) ? block : NULL;
}

static size_t room(void *block, size_t size, size_t alignment)
{
    (void)block;
    (void)alignment;
    return (size + TARN_MOVABLE_GRANULE - 1) / TARN_MOVABLE_GRANULE * TARN_MOVABLE_GRANULE +
           ENTRY_BYTES;
}

static void measure(replay_moment *moment)
{
    moment->footprint = tarn_movable_stats(&movable).footprint;
}

static uint64_t peak(void)
{
    return tarn_movable_stats(&movable).peak_footprint;
}

static void compact(replay_compaction *sum)
{
    const tarn_movable_budget budget = {.bytes = PASS_BYTES};
    tarn_movable_report report;
    if (tarn_movable_compact(&movable, &budget, &report) != TARN_OK) {
        return;
    }
    sum->passes++;
    sum->bytes_moved += report.bytes_moved;
    sum->blocks_moved += report.blocks_moved;
    sum->longest_us = report.microseconds > sum->longest_us ? report.microseconds : sum->longest_us;
}

static void tend(replay_job *job)
{
    if (++until_look < TEND_EVENTS) {
        return;
    }
    until_look = 0;
    const tarn_stats stats = tarn_movable_stats(&movable);
    const size_t used = stats.live + (size_t)stats.blocks * ENTRY_BYTES;
    const size_t free_bytes = stats.footprint > used ? stats.footprint - used : 0;
    if (free_bytes > stats.footprint / 4 && free_bytes > SLACK) {
        compact(&job->compaction);
    }
}

bool replay_open_movable(replay_subject *subject, replay_job *job)
{
    const tarn_status status = tarn_movable_init(&movable, NULL);
    if (status != TARN_OK) {
        return replay_job_refuse(job, REPLAY_FAILED, "no movable heap: %s",
                                 tarn_status_text(status));
    }
    *subject = (replay_subject){
        .heap = &heap,
        .address = address,
        .resize = resize,
        .room = room,
        .measure = measure,
        .peak = peak,
        .alignment = TARN_MOVABLE_GRANULE,
        .tend = job->pass == REPLAY_COMPACT ? tend : NULL,
    };
    return true;
}
