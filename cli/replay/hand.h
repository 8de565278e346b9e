/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPLAY_HAND_H
#define TARN_CLI_REPLAY_HAND_H

/*
 * A hand: one thread's way of doing the operations of a tape, and what it counts meanwhile. The
 * pointers of the blocks are shared by all hands.
 */

#include "strategy.h"
#include "tape.h"

/* A live block as the players know it; NULL: none, or it was refused. */
typedef struct replay_block {
    void *block;
    size_t size;
    size_t alignment;
    uint64_t room; /* as the subject says */
} replay_block;

typedef struct replay_hand {
    replay_subject *subject;
    replay_job *job;
    replay_block *blocks; /* by slot */
    replay_histogram *times;
    uint64_t tick_cost;
    uint64_t page_size;
    uint64_t ticks; /* of the operations */
    uint64_t live;  /* bytes; may wrap in a hand that frees what others gave */
    uint64_t handed;
    uint64_t failures;
    uint64_t number; /* of the event that comes next, for messages */
} replay_hand;

/* Does `count` events, the fastest way; takes their time as a whole. */
void replay_hand_speed(replay_hand *hand, const replay_event *events, size_t count);

/* Does one event in the same way; its time is the caller's to take. */
void replay_hand_one(replay_hand *hand, const replay_event *event);

/* Does them with a clock at each; touches every page of each block and verifies it. False, with
 * the job's status and error set, when a block is damaged. */
bool replay_hand_shape(replay_hand *hand, const replay_event *events, size_t count);

/* Verifies the blocks that are live, of `slots` slots; to be called after the last event, when all
 * that is measured has been. False as above. */
bool replay_hand_verify(replay_hand *hand, uint32_t slots);

#endif
