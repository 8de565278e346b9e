/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPLAY_REGION_H
#define TARN_CLI_REPLAY_REGION_H

/*
 * Regions as what a tape is played on: how each policy is set up for a tape, and how large a range
 * it needs.
 */

#include "job.h"
#include "tarn/region.h"

/* Address space for a range, at an alignment that is the same each time; NULL if there is none. */
void *replay_map_range(uint64_t size);

/* The options of the region that the job names. False, with the job's status and error set, if
 * that policy can never serve the tape, or there is no memory for what it has to know. */
bool replay_region_options(tarn_region_options *options, replay_job *job);

/* Bytes that no range of the policy `name` which serves the tape is below. */
uint64_t replay_region_least(const char *name, const replay_tape *tape);

/* Finds the smallest range in which every request succeeds, to within a hundredth, and leaves it
 * in job->found. */
void replay_region_search(replay_job *job);

#endif
