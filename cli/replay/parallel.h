/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPLAY_PARALLEL_H
#define TARN_CLI_REPLAY_PARALLEL_H

/*
 * Plays a tape with all of its threads at the same time: each does its own events as fast as it can
 * and waits only for what others do to the same slot before.
 */

#include "strategy.h"

/* More threads than this at a time are refused. */
enum { REPLAY_PARALLEL_MAX = 1024 };

void replay_play_parallel(replay_subject *subject, replay_job *job);

#endif
