/* SPDX-License-Identifier: MIT */
#include "parallel.h"

#include "deal.h"
#include "hand.h"
#include "map.h"
#include "resident.h"
#include "ticks.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { SPINS = 200, LOOK_EVENTS = 1 << 14, STACK_SIZE = 1 << 18 };

typedef struct parallel_player parallel_player;

typedef struct parallel_worker {
    parallel_player *player;
    replay_hand hand;
    const replay_share *share;
    uint64_t waited_ns; /* of processor time */
    uint64_t busy_ns;   /* the same, without waiting */
    uint64_t unseen;    /* bytes that may have become resident since it looked at memory */
    pthread_t thread;
    sem_t start;
} parallel_worker;

struct parallel_player {
    replay_job *job;
    replay_deal deal;
    uint64_t clock_ns;       /* that a look at the clock of processor time takes */
    _Atomic(uint32_t) *done; /* by slot: events */
    _Atomic(bool) is_stopped;
    parallel_worker *workers;
};

static parallel_player the_player;

/* -------------------------------------------------------------------------------------------------
 * Threads.
 */
static void rest(unsigned spin)
{
    if (spin > SPINS) {
        sched_yield();
        return;
    }
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Looks whether there is memory left, now and then and before more is touched than may go unseen;
 * the first one that finds none says so. */
static bool goes_on(parallel_worker *worker, uint64_t number, uint64_t size)
{
    parallel_player *player = worker->player;
    const bool is_seen = number % LOOK_EVENTS != LOOK_EVENTS - 1 &&
                         worker->unseen + size <= REPLAY_UNSEEN_MAX / player->job->tape.threads;
    if (!is_seen) {
        const uint64_t left = replay_job_left(player->job);
        if ((left == 0 || size > left) && !atomic_exchange(&player->is_stopped, true)) {
            replay_job_refuse_memory(player->job, size, left);
        }
        worker->unseen = 0;
    }
    worker->unseen += size;
    return !atomic_load_explicit(&player->is_stopped, memory_order_relaxed);
}

/* What this thread has had of a processor, be it one that it shares with others. */
static uint64_t processor_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t processor_clock_ns(void)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 1000; i++) {
        const uint64_t from = processor_ns();
        const uint64_t cost = processor_ns() - from;
        least = cost < least ? cost : least;
    }
    return least;
}

static void await(parallel_worker *worker, const _Atomic(uint32_t) *done, uint32_t turn)
{
    if (atomic_load_explicit(done, memory_order_acquire) == turn) {
        return;
    }
    const uint64_t from_ns = processor_ns();
    unsigned spin = 0;
    while (atomic_load_explicit(done, memory_order_acquire) != turn &&
           !atomic_load_explicit(&worker->player->is_stopped, memory_order_relaxed)) {
        rest(spin++);
    }
    worker->waited_ns += processor_ns() - from_ns + worker->player->clock_ns;
}

static void play(parallel_worker *worker)
{
    parallel_player *player = worker->player;
    for (uint64_t i = 0; i < worker->share->count; i++) {
        const replay_dealt *dealt = &worker->share->events[i];
        _Atomic(uint32_t) *done = &player->done[dealt->event.slot];
        await(worker, done, dealt->turn);
        if (!goes_on(worker, i, dealt->event.size)) {
            break;
        }
        replay_hand_one(&worker->hand, &dealt->event);
        atomic_store_explicit(done, dealt->turn + 1, memory_order_release);
        if (dealt->starts != 0) {
            sem_post(&player->workers[dealt->starts].start);
        }
    }
}

/* Those that never began begin, to end. */
static void stop_others(parallel_player *player)
{
    for (uint32_t i = 0; i < player->job->tape.threads; i++) {
        sem_post(&player->workers[i].start);
    }
}

static void *work(void *context)
{
    parallel_worker *worker = context;
    while (sem_wait(&worker->start) != 0 && errno == EINTR) {
    }
    const uint64_t from_ns = processor_ns();
    play(worker);
    if (atomic_load(&worker->player->is_stopped)) {
        stop_others(worker->player);
    }
    const uint64_t whole_ns = processor_ns() - from_ns;
    worker->busy_ns = whole_ns > worker->waited_ns ? whole_ns - worker->waited_ns : 0;
    return NULL;
}

/* -------------------------------------------------------------------------------------------------
 * The whole.
 */
static bool prepare(parallel_player *player, replay_subject *subject)
{
    const replay_tape *tape = &player->job->tape;
    if (!replay_deal_make(&player->deal, tape)) {
        return false;
    }
    replay_block *blocks = replay_map(player->deal.slots * sizeof *blocks, true);
    player->done = replay_map(player->deal.slots * sizeof *player->done, true);
    player->workers = replay_map(tape->threads * sizeof *player->workers, true);
    if (blocks == NULL || player->done == NULL || player->workers == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < tape->threads; i++) {
        parallel_worker *worker = &player->workers[i];
        worker->player = player;
        worker->share = &player->deal.shares[i];
        worker->hand = (replay_hand){.subject = subject, .job = player->job, .blocks = blocks};
        sem_init(&worker->start, 0, 0);
    }
    return true;
}

static bool start(parallel_player *player)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    for (uint32_t i = 0; i < player->job->tape.threads; i++) {
        parallel_worker *worker = &player->workers[i];
        errno = pthread_create(&worker->thread, &attributes, work, worker);
        if (errno != 0) {
            return replay_job_refuse(player->job, REPLAY_FAILED,
                                     "a thread of the trace cannot be started: %s",
                                     strerror(errno));
        }
    }
    return true;
}

static void sum_up(const parallel_player *player)
{
    replay_job *job = player->job;
    for (uint32_t i = 0; i < job->tape.threads; i++) {
        job->busy_ns += player->workers[i].busy_ns;
        job->failures += player->workers[i].hand.failures;
        job->done += player->workers[i].share->count;
    }
    replay_job_conclude(job);
}

void replay_play_parallel(replay_subject *subject, replay_job *job)
{
    parallel_player *player = &the_player;
    player->job = job;
    if (job->tape.threads > REPLAY_PARALLEL_MAX) {
        replay_job_refuse(job, REPLAY_UNSUPPORTED, "%u threads at a time are too many; at most %d",
                          job->tape.threads, REPLAY_PARALLEL_MAX);
        return;
    }
    if (!prepare(player, subject)) {
        replay_job_refuse(job, REPLAY_FAILED, "no memory to deal the operations to their threads");
        return;
    }
    if (!start(player)) {
        return;
    }
    player->clock_ns = processor_clock_ns();
    replay_resident_begin();
    const uint64_t from = replay_now_ns();
    sem_post(&player->workers[0].start);
    for (uint32_t i = 0; i < job->tape.threads; i++) {
        pthread_join(player->workers[i].thread, NULL);
    }
    job->wall_ns = replay_now_ns() - from;
    sum_up(player);
}
