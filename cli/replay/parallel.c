/* SPDX-License-Identifier: MIT */
#include "parallel.h"

#include "hand.h"
#include "ticks.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

/*
 *     by thread   [ events of thread 0 | of thread 1 | ... ]   each in the order of the tape
 *     turn        how many events of its slot come before it
 *     slots       how many events of each are done
 *
 * An event may be done when as many of its slot are done as its turn says. Since every thread keeps the order of the
 * tape, the first event that is not done yet can always be done: nobody waits for ever.
 */

enum { EVENTS_AT_ONCE = 4096, SPINS = 200, STACK_SIZE = 1 << 18 };

typedef struct own_event {
    replay_event event;
    uint32_t turn; /* modulo 2^32 */
} own_event;

typedef struct parallel_player parallel_player;

typedef struct parallel_worker {
    parallel_player *player;
    replay_hand hand;
    own_event *events;
    uint64_t count;
    uint64_t waited; /* ticks */
    pthread_t thread;
} parallel_worker;

struct parallel_player {
    replay_job *job;
    own_event *events;
    _Atomic(uint32_t) *slots;
    parallel_worker *workers;
    uint32_t count;
    pthread_barrier_t start;
    pthread_barrier_t end;
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

static void await(parallel_worker *worker, const own_event *own)
{
    _Atomic(uint32_t) *slot = &worker->player->slots[own->event.slot];
    if (atomic_load_explicit(slot, memory_order_acquire) == own->turn) {
        return;
    }
    const uint64_t from = replay_ticks();
    unsigned spin = 0;
    while (atomic_load_explicit(slot, memory_order_acquire) != own->turn) {
        rest(spin++);
    }
    worker->waited += replay_ticks() - from;
}

static void play(parallel_worker *worker)
{
    for (uint64_t i = 0; i < worker->count; i++) {
        const own_event *own = &worker->events[i];
        await(worker, own);
        replay_hand_one(&worker->hand, &own->event);
        atomic_store_explicit(&worker->player->slots[own->event.slot], own->turn + 1,
                              memory_order_release);
    }
}

static void *work(void *context)
{
    parallel_worker *worker = context;
    pthread_barrier_wait(&worker->player->start);
    const uint64_t from = replay_ticks();
    play(worker);
    worker->hand.ticks = replay_ticks() - from - worker->waited;
    pthread_barrier_wait(&worker->player->end);
    return NULL;
}

/* -------------------------------------------------------------------------------------------------
 * Preparing.
 */
static void *map(size_t size)
{
    void *memory = mmap(NULL, size + 1, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

/* Calls `visit` for each event of the tape, in order. */
static bool for_each(parallel_player *player,
                     void (*visit)(struct parallel_player *player, const replay_event *event))
{
    static replay_event events[EVENTS_AT_ONCE];
    const replay_tape *tape = &player->job->tape;
    for (uint64_t at = 0; at < tape->count;) {
        const size_t count = replay_tape_fetch(tape, at, events, EVENTS_AT_ONCE);
        for (size_t i = 0; i < count; i++) {
            visit(player, &events[i]);
        }
        if (count == 0) {
            return false;
        }
        at += count;
    }
    return true;
}

static void count_event(parallel_player *player, const replay_event *event)
{
    player->workers[event->thread].count++;
}

static void deal_event(parallel_player *player, const replay_event *event)
{
    parallel_worker *worker = &player->workers[event->thread];
    _Atomic(uint32_t) *slot = &player->slots[event->slot];
    const uint32_t turn = atomic_load_explicit(slot, memory_order_relaxed);
    worker->events[worker->count++] = (own_event){.event = *event, .turn = turn};
    atomic_store_explicit(slot, turn + 1, memory_order_relaxed);
}

static bool deal(parallel_player *player)
{
    if (!for_each(player, count_event)) {
        return false;
    }
    own_event *at = player->events;
    for (uint32_t i = 0; i < player->count; i++) {
        player->workers[i].events = at;
        at += player->workers[i].count;
        player->workers[i].count = 0;
    }
    if (!for_each(player, deal_event)) {
        return false;
    }
    for (uint32_t i = 0; i < player->job->tape.slots; i++) {
        atomic_store_explicit(&player->slots[i], 0, memory_order_relaxed);
    }
    return true;
}

static bool prepare(parallel_player *player, replay_subject *subject)
{
    const replay_tape *tape = &player->job->tape;
    replay_block *blocks = map(tape->slots * sizeof *blocks);
    player->count = tape->threads;
    player->events = map((size_t)tape->count * sizeof *player->events);
    player->slots = map(tape->slots * sizeof *player->slots);
    player->workers = map(player->count * sizeof *player->workers);
    if (blocks == NULL || player->events == NULL || player->slots == NULL ||
        player->workers == NULL || !deal(player)) {
        return false;
    }
    for (uint32_t i = 0; i < player->count; i++) {
        parallel_worker *worker = &player->workers[i];
        worker->player = player;
        worker->hand = (replay_hand){
            .subject = subject,
            .job = player->job,
            .blocks = blocks,
        };
    }
    return true;
}

static bool start(parallel_player *player)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_barrier_init(&player->start, NULL, player->count + 1);
    pthread_barrier_init(&player->end, NULL, player->count + 1);
    for (uint32_t i = 0; i < player->count; i++) {
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

/* -------------------------------------------------------------------------------------------------
 * The whole.
 */
static void sum_up(const parallel_player *player)
{
    replay_job *job = player->job;
    uint64_t ticks = 0;
    for (uint32_t i = 0; i < player->count; i++) {
        ticks += player->workers[i].hand.ticks;
        job->failures += player->workers[i].hand.failures;
        job->done += player->workers[i].count;
    }
    job->busy_ns = (uint64_t)((double)ticks * replay_tick_ns());
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
    pthread_barrier_wait(&player->start);
    const uint64_t from = replay_now_ns();
    pthread_barrier_wait(&player->end);
    job->wall_ns = replay_now_ns() - from;
    for (uint32_t i = 0; i < player->count; i++) {
        pthread_join(player->workers[i].thread, NULL);
    }
    sum_up(player);
    replay_job_conclude(job);
}
