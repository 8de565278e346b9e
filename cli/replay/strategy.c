/* SPDX-License-Identifier: MIT */
#include "strategy.h"

#include "resident.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const replay_strategy strategies[] = {
    {"single", "region", "a range that is one partition", false, replay_open_region},
    {"fixed-partitions", "region",
     "a range cut into partitions once, as many of each size as the trace needs", false,
     replay_open_region},
    {"first-fit", "region", "a range, the first free partition that fits", false,
     replay_open_region},
    {"next-fit", "region", "a range, the first that fits after the last one taken", false,
     replay_open_region},
    {"best-fit", "region", "a range, the smallest free partition that fits", false,
     replay_open_region},
    {"worst-fit", "region", "a range, the largest free partition", false, replay_open_region},
    {"segregated-fit", "region", "a range, a good fit in constant time", false, replay_open_region},
    {"buddy", "region", "a range, powers of two that halve and merge", false, replay_open_region},
    {"two-level", "pool", "lists of small blocks over the system's malloc", false,
     replay_open_twolevel},
    {"arena", "pool", "blocks that go all at once; a free gives back large ones and the last one",
     false, replay_open_arena},
    {"pools", "pool", "a pool for each class of sizes, large blocks from the kernel", false,
     replay_open_pools},
    {"movable", "pool", "blocks behind handles, never compacted", false, replay_open_movable},
    {"tarn", "malloc", "Tarn's general malloc, called as a library", true, replay_open_tarn},
    {"system", "malloc", "the system's malloc", true, replay_open_process},
};

static const replay_strategy preloaded = {"", "library", "preloaded in the place of malloc", true,
                                          replay_open_process};

enum { STRATEGY_COUNT = sizeof strategies / sizeof strategies[0] };

size_t replay_strategy_count(void)
{
    return STRATEGY_COUNT;
}

const replay_strategy *replay_strategy_at(size_t index)
{
    return &strategies[index];
}

const replay_strategy *replay_strategy_of_process(void)
{
    return &preloaded;
}

const replay_strategy *replay_strategy_find(const char *name)
{
    for (size_t i = 0; i < STRATEGY_COUNT; i++) {
        if (strcmp(strategies[i].name, name) == 0) {
            return &strategies[i];
        }
    }
    return NULL;
}

bool replay_job_refuse(replay_job *job, replay_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(job->error, sizeof job->error, format, arguments);
    va_end(arguments);
    job->status = status;
    return false;
}

uint64_t replay_job_left(const replay_job *job)
{
    const uint64_t resident = replay_resident_now();
    return resident < job->memory ? job->memory - resident : 0;
}

bool replay_job_refuse_memory(replay_job *job, uint64_t size, uint64_t left)
{
    return left == 0
               ? replay_job_refuse(job, REPLAY_FAILED,
                                   "took %llu MiB and was stopped, so that the machine has memory "
                                   "left",
                                   (unsigned long long)(job->memory >> 20))
               : replay_job_refuse(job, REPLAY_FAILED,
                                   "stopped at a request of %llu MiB, so that the machine has "
                                   "memory left: there are %llu MiB for it",
                                   (unsigned long long)(size >> 20),
                                   (unsigned long long)(left >> 20));
}

void replay_job_conclude(replay_job *job)
{
    if (job->status == REPLAY_UNFINISHED && job->failures > 0) {
        replay_job_refuse(job, REPLAY_FAILED, "%llu %s refused", (unsigned long long)job->failures,
                          job->failures == 1 ? "request was" : "requests were");
    } else if (job->status == REPLAY_UNFINISHED) {
        job->status = REPLAY_OK;
    }
}
