/* SPDX-License-Identifier: MIT */
#include "region.h"

#include "map.h"
#include "strategy.h"
#include "tarn/region.h"

#include <string.h>

/* The range begins at a multiple of this, wherever it is mapped, so that a tape always meets the
 * same alignments. Alignments above it are served by chance. */
#define RANGE_ALIGNMENT ((size_t)1 << 21)

typedef struct region_name {
    const char *name;
    tarn_region_policy policy;
} region_name;

static const region_name names[] = {
    {"single", TARN_SINGLE},       {"fixed-partitions", TARN_FIXED_PARTITIONS},
    {"first-fit", TARN_FIRST_FIT}, {"next-fit", TARN_NEXT_FIT},
    {"best-fit", TARN_BEST_FIT},   {"worst-fit", TARN_WORST_FIT},
    {"buddy", TARN_BUDDY},         {"segregated-fit", TARN_SEGREGATED_FIT},
};

static tarn_region region;

static tarn_region_policy policy_of(const char *name)
{
    size_t i = 0;
    while (strcmp(names[i].name, name) != 0) {
        i++;
    }
    return names[i].policy;
}

void *replay_map_range(uint64_t size)
{
    const size_t whole = (size_t)size + RANGE_ALIGNMENT;
    unsigned char *start = replay_map(whole, false);
    if (start == NULL) {
        return NULL;
    }
    return start + (RANGE_ALIGNMENT - (uintptr_t)start % RANGE_ALIGNMENT) % RANGE_ALIGNMENT;
}

/* -------------------------------------------------------------------------------------------------
 * Fixed partitions: one for each block of a class that is live at a time.
 *
 * A request takes the smallest that fits, so the partitions of the smallest class serve no other
 * class; they are enough, so none of its blocks takes a larger one; and so on upwards. So no
 * request is refused.
 */
static uint64_t count_partitions(const replay_tape *tape)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < REPLAY_CLASS_COUNT; i++) {
        count += tape->class_peaks[i];
    }
    return count;
}

static bool fill_partitions(const replay_tape *tape, tarn_region_options *options)
{
    const size_t count = (size_t)count_partitions(tape);
    size_t *sizes = replay_map(count * sizeof *sizes, true);
    if (sizes == NULL) {
        return false;
    }
    size_t at = 0;
    for (unsigned i = 0; i < REPLAY_CLASS_COUNT; i++) {
        for (uint64_t k = 0; k < tape->class_peaks[i]; k++) {
            sizes[at++] = (size_t)replay_class_size(i);
        }
    }
    options->sizes = sizes;
    options->size_count = count;
    return true;
}

uint64_t replay_region_least(const char *name, const replay_tape *tape)
{
    if (policy_of(name) != TARN_FIXED_PARTITIONS) {
        return tape->peak_live;
    }
    uint64_t sum = 0;
    for (unsigned i = 0; i < REPLAY_CLASS_COUNT; i++) {
        sum += tape->class_peaks[i] * replay_class_size(i);
    }
    return sum;
}

bool replay_region_options(tarn_region_options *options, replay_job *job)
{
    *options = (tarn_region_options){.name = job->strategy, .policy = policy_of(job->strategy)};
    if (options->policy == TARN_SINGLE && job->tape.peak_blocks > 1) {
        return replay_job_refuse(job, REPLAY_UNSUPPORTED,
                                 "one partition holds one block; the trace has %llu at a time",
                                 (unsigned long long)job->tape.peak_blocks);
    }
    if (options->policy == TARN_FIXED_PARTITIONS && !fill_partitions(&job->tape, options)) {
        return replay_job_refuse(job, REPLAY_FAILED, "no memory for the sizes of the partitions");
    }
    return true;
}

static void measure(replay_moment *moment)
{
    const tarn_stats stats = tarn_region_stats(&region);
    moment->footprint = stats.footprint;
    moment->handed = stats.live;
}

bool replay_open_region(replay_subject *subject, replay_job *job)
{
    tarn_region_options options;
    if (!replay_region_options(&options, job)) {
        return false;
    }
    void *range = replay_map_range(job->range);
    if (range == NULL) {
        return replay_job_refuse(job, REPLAY_FAILED, "no address space for a range of %llu bytes",
                                 (unsigned long long)job->range);
    }
    const tarn_status status =
        tarn_region_init(&region, (tarn_memory){range, (size_t)job->range}, &options);
    if (status != TARN_OK) {
        return replay_job_refuse(job, REPLAY_FAILED, "no region of %llu bytes: %s",
                                 (unsigned long long)job->range, tarn_status_text(status));
    }
    *subject = (replay_subject){.heap = &region.heap, .measure = measure};
    return true;
}
