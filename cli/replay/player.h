/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPLAY_PLAYER_H
#define TARN_CLI_REPLAY_PLAYER_H

/*
 * Plays a tape on a subject, once, and fills in what the job asks for. All memory that it needs for
 * itself is mapped and touched before the first operation, none of it comes from malloc.
 */

#include "strategy.h"

void replay_play(replay_subject *subject, replay_job *job);

#endif
