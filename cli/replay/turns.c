/* SPDX-License-Identifier: MIT */
#include "turns.h"

#include "map.h"

#include <errno.h>
#include <string.h>

enum { STACK_SIZE = 1 << 18 };

/* Who spins for a while takes the processor from the one whose turn it is, unless there is one for
 * each thread and nobody else wants them. */
static void await(sem_t *turn)
{
    while (sem_wait(turn) != 0 && errno == EINTR) {
    }
}

static void *take_turns(void *context);

static bool start(replay_turn_thread *thread)
{
    pthread_t created;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    const int error = pthread_create(&created, &attributes, take_turns, thread);
    pthread_attr_destroy(&attributes);
    errno = error;
    thread->is_started = error == 0;
    return thread->is_started;
}

/* Works, and gives the turn on. True if the thread has come to its end. */
static bool take_turn(replay_turn_thread *thread)
{
    replay_turns *turns = thread->turns;
    const uint32_t number = (uint32_t)(thread - turns->threads);
    if (turns->is_leaving) {
        turns->is_leaving = false;
        pthread_join(turns->leaver, NULL);
    }
    if (turns->is_over) {
        return true;
    }
    uint32_t next = turns->work(turns->context, number);
    if (next != REPLAY_TURNS_OVER && !turns->threads[next].is_started &&
        !start(&turns->threads[next])) {
        turns->has_failed = true;
        next = REPLAY_TURNS_OVER;
    }
    if (next == REPLAY_TURNS_OVER) {
        turns->is_over = true;
        next = 0;
    }
    const bool is_leaving = number != 0 && thread->last < turns->done;
    if (is_leaving) {
        turns->is_leaving = true;
        turns->leaver = pthread_self();
    }
    sem_post(&turns->threads[next].turn);
    return is_leaving;
}

static void *take_turns(void *context)
{
    replay_turn_thread *thread = context;
    do {
        await(&thread->turn);
    } while (!take_turn(thread));
    return NULL;
}

bool replay_turns_init(replay_turns *turns, const replay_tape *tape, replay_turn *work,
                       void *context)
{
    const size_t count = tape->threads > 0 ? tape->threads : 1;
    uint64_t *lasts = replay_map(count * sizeof *lasts, true);
    *turns = (replay_turns){.work = work,
                            .context = context,
                            .threads = replay_map(count * sizeof *turns->threads, true)};
    if (lasts == NULL || turns->threads == NULL || !replay_tape_lasts(tape, lasts)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        turns->threads[i].turns = turns;
        turns->threads[i].last = lasts[i];
        sem_init(&turns->threads[i].turn, 0, 0);
    }
    replay_unmap(lasts, count * sizeof *lasts);
    turns->threads[0].is_started = true;
    return true;
}

bool replay_turns_run(replay_turns *turns)
{
    sem_post(&turns->threads[0].turn);
    take_turns(&turns->threads[0]);
    return !turns->has_failed;
}
