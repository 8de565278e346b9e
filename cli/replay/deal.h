/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPLAY_DEAL_H
#define TARN_CLI_REPLAY_DEAL_H

/*
 * Deals the events of a tape out to its threads, so that all can go at a time and wait for each
 * other only where the program's threads had to.
 *
 *     by thread   [ events of thread 0 | of thread 1 | ... ]   each in the order of the tape
 *
 * Slots are dealt anew: who frees a block has its slot for the next block of its own, so no thread
 * waits for another one because of a number. The turn of an event is how many events of its slot
 * come before it; it may be done when as many are. A thread begins when the event of the tape in
 * front of its first one has been done. Every thread keeps the order of the tape, so the first
 * event that is not done yet can always be done: nobody waits for ever.
 */

#include "tape.h"

typedef struct replay_dealt {
    replay_event event;
    uint32_t turn;   /* modulo 2^32 */
    uint32_t starts; /* a thread that begins after it; 0: none, the first one begins by itself */
} replay_dealt;

typedef struct replay_share {
    replay_dealt *events;
    uint64_t count;
} replay_share;

typedef struct replay_deal {
    replay_share *shares; /* of each thread of the tape */
    uint32_t slots;
} replay_deal;

/* Maps the memory for it, which stays until the process ends. False if there is none, or the
 * tape cannot be read. */
bool replay_deal_make(replay_deal *deal, const replay_tape *tape);

#endif
