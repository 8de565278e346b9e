/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPLAY_STRATEGY_H
#define TARN_CLI_REPLAY_STRATEGY_H

/*
 * Strategies: the allocators that a tape can be played on. Each opens a subject, which is a heap
 * and what a player has to know besides. A process plays on one, once, so a subject keeps what it
 * needs in static storage and is never closed.
 */

#include "job.h"
#include "tarn/heap.h"

typedef struct replay_subject {
    tarn_heap *heap;
    /* Where a block is that is no pointer but a name; NULL: blocks are pointers. */
    void *(*address)(void *block);
    /* As tarn_heap_realloc; NULL: that one. */
    void *(*resize)(void *block, size_t old_size, size_t new_size, size_t alignment);
    /* Bytes of the live block with what belongs to it alone; NULL: `measure` knows the sum. */
    size_t (*room)(void *block, size_t size, size_t alignment);
    /* Fills the footprint, and `handed` where there is no `room`; what it does not know it
     * leaves. */
    void (*measure)(replay_moment *moment);
    /* The largest footprint that there ever was; NULL: the largest that was measured. */
    uint64_t (*peak)(void);
    /* Of the blocks that no alignment was asked for, the largest that they have if they are large
     * enough; 0: max_align_t's. */
    size_t alignment;
    /* Called between operations now and then; NULL: never. */
    void (*tend)(replay_job *job);
} replay_subject;

typedef struct replay_strategy {
    const char *name;
    const char *kind;  /* of the results: "region", "pool", "malloc" */
    const char *about; /* one line */
    bool any_thread;
    /* False with the job's status and error set. */
    bool (*open)(replay_subject *subject, replay_job *job);
} replay_strategy;

/* NULL if there is none of that name. */
const replay_strategy *replay_strategy_find(const char *name);

/* All of Tarn's and "system", in the order of the manual. */
size_t replay_strategy_count(void);
const replay_strategy *replay_strategy_at(size_t index);

/* What the process has for a malloc: "system", and what was preloaded. */
const replay_strategy *replay_strategy_of_process(void);

static inline bool replay_strategy_is_region(const replay_strategy *strategy)
{
    return strategy->kind[0] == 'r';
}

/* For `open`: fills status and error and returns false. */
bool replay_job_refuse(replay_job *job, replay_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Bytes that may become resident before memory is looked at again, of all threads together. */
#define REPLAY_UNSEEN_MAX ((uint64_t)64 << 20)

/* Bytes that may yet become resident of those that the job may take; 0: none. */
uint64_t replay_job_left(const replay_job *job);

/* As replay_job_refuse(), for a request of `size` bytes when only `left` are. */
bool replay_job_refuse_memory(replay_job *job, uint64_t size, uint64_t left);

/* The status of a job that came to its end. */
void replay_job_conclude(replay_job *job);

/* region.c, and so on. */
bool replay_open_region(replay_subject *subject, replay_job *job);
bool replay_open_pools(replay_subject *subject, replay_job *job);
bool replay_open_movable(replay_subject *subject, replay_job *job);
bool replay_open_arena(replay_subject *subject, replay_job *job);
bool replay_open_twolevel(replay_subject *subject, replay_job *job);
bool replay_open_tarn(replay_subject *subject, replay_job *job);
bool replay_open_process(replay_subject *subject, replay_job *job);

#endif
