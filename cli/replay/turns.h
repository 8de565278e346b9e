/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPLAY_TURNS_H
#define TARN_CLI_REPLAY_TURNS_H

/*
 * Threads that take turns, as the events of a tape do: one works, all others wait.
 *
 * A thread is there from its first event to its last, as it was in the program: it is started by
 * the one whose turn comes before its first, and has ended, with all that allocators do at a
 * thread's end, when the turn after its last begins. The first thread of the tape is the one that
 * calls.
 *
 * Who waits for its turn sleeps.
 */

#include "tape.h"

#include <pthread.h>
#include <semaphore.h>

/* No thread's turn: all is done. */
#define REPLAY_TURNS_OVER UINT32_MAX

/* Works until the turn is another's; returns whose. */
typedef uint32_t replay_turn(void *context, uint32_t thread);

/* One thread of the tape. */
typedef struct replay_turn_thread {
    struct replay_turns *turns;
    uint64_t last; /* its last event */
    sem_t turn;    /* raised when it is its turn */
    bool is_started;
} replay_turn_thread;

/* All but the semaphores belongs to who has the turn. */
typedef struct replay_turns {
    replay_turn *work;
    void *context;
    replay_turn_thread *threads;
    uint64_t done; /* set by `work`: events before the turn that is next */
    bool is_over;
    bool is_leaving; /* the thread that had the turn before has to be waited for */
    bool has_failed; /* a thread could not be started */
    pthread_t leaver;
} replay_turns;

/* False if there is no memory. */
bool replay_turns_init(replay_turns *turns, const replay_tape *tape, replay_turn *work,
                       void *context);

/* Returns when a turn has ended with REPLAY_TURNS_OVER; false if a thread could not be started. */
bool replay_turns_run(replay_turns *turns);

#endif
