/* SPDX-License-Identifier: MIT */
#include "region.h"

#include "map.h"
#include "strategy.h"
#include "ticks.h"

/*
 * The smallest range: the tape is played in one range after the other, without touching the blocks,
 * and each try ends with the first request that is refused.
 *
 *     least      refused        found        served
 *       |-----------|-------------|-------------|-------->  bytes
 *
 * First the range grows by larger and larger steps until it serves, then it is halved between. The
 * books are inside, as in the run that is measured, so what serves here serves there. A policy may
 * refuse in a larger range what it serves in a smaller one; what is found is a range that serves,
 * within a hundredth of one that does not.
 */

enum { EVENTS_AT_ONCE = 4096 };

typedef struct search_block {
    void *block;
    uint64_t size;
} search_block;

typedef struct range_search {
    replay_job *job;
    tarn_region region;
    tarn_region_options options;
    search_block *blocks; /* by slot */
    void *range;
    uint64_t mapped;
    uint64_t deadline_ns;
    replay_event events[EVENTS_AT_ONCE];
} range_search;

static range_search the_search;

static bool resize(range_search *search, search_block *block, const replay_event *event)
{
    if (tarn_region_resize(&search->region, block->block, event->size)) {
        return true;
    }
    /* As tarn_heap_realloc(), but for the copy. */
    void *moved = tarn_region_alloc(&search->region, event->size, 0);
    if (moved != NULL) {
        tarn_region_free(&search->region, block->block);
        block->block = moved;
    }
    return moved != NULL;
}

static bool serve(range_search *search, const replay_event *event)
{
    search_block *block = &search->blocks[event->slot];
    switch ((replay_op)event->op) {
    case REPLAY_FREE:
        tarn_region_free(&search->region, block->block);
        block->block = NULL;
        return true;
    case REPLAY_REALLOC:
        return resize(search, block, event);
    case REPLAY_ALLOC:
    case REPLAY_CALLOC:
        break;
    }
    const size_t alignment = event->alignment_log2 != 0 ? (size_t)1 << event->alignment_log2 : 0;
    block->block = tarn_region_alloc(&search->region, event->size, alignment);
    return block->block != NULL;
}

static bool play(range_search *search)
{
    const replay_tape *tape = &search->job->tape;
    for (uint64_t at = 0; at < tape->count;) {
        const size_t count = replay_tape_fetch(tape, at, search->events, EVENTS_AT_ONCE);
        if (count == 0) {
            return false;
        }
        for (size_t i = 0; i < count; i++) {
            if (!serve(search, &search->events[i])) {
                search->job->done += i + 1;
                return false;
            }
        }
        search->job->done += count;
        at += count;
    }
    return true;
}

/* The memory is mapped anew only where it must be larger: what was touched before is touched
 * already. */
static bool has_range(range_search *search, uint64_t size)
{
    if (size <= search->mapped) {
        return true;
    }
    if (search->range != NULL) {
        replay_unmap(search->range, (size_t)search->mapped);
    }
    search->mapped = size + size / 2;
    search->range = replay_map_range(search->mapped);
    if (search->range == NULL) {
        search->mapped = 0;
    }
    return search->range != NULL;
}

static bool serves(range_search *search, uint64_t size)
{
    search->job->tries++;
    const tarn_memory range = {search->range, (size_t)size};
    if (tarn_region_init(&search->region, range, &search->options) != TARN_OK) {
        return false;
    }
    const bool is_served = play(search);
    tarn_region_deinit(&search->region);
    return is_served;
}

static bool is_late(const range_search *search)
{
    return replay_now_ns() >= search->deadline_ns;
}

/* Finds a range that serves; `refused` is one that does not, or less than which none can. */
static uint64_t grow(range_search *search, uint64_t *refused)
{
    /* What no region has granules for, or no machine memory. */
    static const uint64_t granules_end = (UINT64_C(1) << 35) - 16;
    const uint64_t most = search->job->memory < granules_end ? search->job->memory : granules_end;
    double part = 1.0 / 128;
    const uint64_t least = *refused;
    for (;;) {
        const double wanted = (double)least * (1 + part) + 4096 * part + 1024;
        const uint64_t size = wanted < (double)most ? (uint64_t)wanted : most;
        if (!has_range(search, size)) {
            return 0;
        }
        if (serves(search, size)) {
            return size;
        }
        *refused = size;
        if (size == most) {
            return 0;
        }
        part *= is_late(search) ? 4 : 2;
    }
}

static uint64_t narrow(range_search *search, uint64_t refused, uint64_t served)
{
    while (served - refused > served / 100 && served - refused > 64 && !is_late(search)) {
        const uint64_t middle = (refused + (served - refused) / 2 + 15) & ~UINT64_C(15);
        if (serves(search, middle)) {
            served = middle;
        } else {
            refused = middle;
        }
    }
    return served;
}

void replay_region_search(replay_job *job)
{
    range_search *search = &the_search;
    *search = (struct range_search){.job = job};
    if (!replay_region_options(&search->options, job)) {
        return;
    }
    search->deadline_ns = replay_now_ns() + job->search_ms * 1000000;
    search->blocks = replay_map(job->tape.slots * sizeof *search->blocks, true);
    if (search->blocks == NULL) {
        replay_job_refuse(job, REPLAY_FAILED, "no memory for the addresses of the blocks");
        return;
    }
    uint64_t refused = replay_region_least(job->strategy, &job->tape);
    const uint64_t served = grow(search, &refused);
    if (served == 0) {
        replay_job_refuse(job, REPLAY_FAILED,
                          "no range that a region can have, and the machine has memory for, "
                          "serves all requests");
        return;
    }
    job->found = narrow(search, refused, served);
    job->status = REPLAY_OK;
}
