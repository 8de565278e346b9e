/* SPDX-License-Identifier: MIT */
#include "player.h"

#include "hand.h"
#include "map.h"
#include "parallel.h"
#include "resident.h"
#include "ticks.h"
#include "turns.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/*
 * One hand at a time: the events come in pieces from the tape, and each run of events of one
 * thread, up to the next moment that is to be measured, is done in one go.
 *
 *     events   | 1 1 1 1 | 2 | 1 1 ... 1 | 3 3 ...
 *              '--run--'  run  '--run--' ^ point
 *
 * Threads take turns (turns.h); all that is here belongs to the one whose turn it is.
 */

enum { EVENTS_AT_ONCE = 4096 };

typedef struct solo_player {
    replay_hand hand;
    replay_turns turns;
    bool has_threads;
    uint64_t cursor; /* the next event */
    uint64_t first;  /* number of events[0] */
    size_t filled;
    size_t point;    /* of the tape, the next */
    uint64_t unseen; /* bytes that may have become resident since memory was looked at */
    bool is_over;    /* the end, or damage */
    replay_event events[EVENTS_AT_ONCE];
} solo_player;

static solo_player the_player;

/* -------------------------------------------------------------------------------------------------
 * Moments.
 */
static replay_moment moment_now(const replay_hand *hand)
{
    replay_moment moment = {.footprint = REPLAY_UNKNOWN,
                            .handed = hand->subject->room != NULL ? hand->handed : REPLAY_UNKNOWN,
                            .resident = replay_resident_now(),
                            .live = hand->live};
    hand->subject->measure(&moment);
    return moment;
}

static uint64_t larger(uint64_t value, uint64_t than)
{
    return value != REPLAY_UNKNOWN && (than == REPLAY_UNKNOWN || value > than) ? value : than;
}

static void measure_point(solo_player *player)
{
    replay_job *job = player->hand.job;
    const replay_point *point = &job->tape.points[player->point++];
    const replay_moment moment = moment_now(&player->hand);
    job->moments[job->moment_count++] = moment;
    job->peak_footprint = larger(moment.footprint, job->peak_footprint);
    job->peak_resident = larger(moment.resident, job->peak_resident);
    if (point->after == job->tape.peak_after) {
        job->at_peak = moment;
    }
    if (point->after == job->tape.count) {
        job->at_end = moment;
    }
}

/* -------------------------------------------------------------------------------------------------
 * Runs.
 */
static bool fetch(solo_player *player)
{
    if (player->cursor < player->first + player->filled) {
        return true;
    }
    if (replay_job_left(player->hand.job) == 0) {
        return replay_job_refuse_memory(player->hand.job, 0, 0);
    }
    const replay_tape *tape = &player->hand.job->tape;
    player->first = player->cursor;
    player->filled = replay_tape_fetch(tape, player->first, player->events, EVENTS_AT_ONCE);
    if (player->filled == 0 && player->cursor < tape->count) {
        replay_job_refuse(player->hand.job, REPLAY_FAILED, "the operations cannot be read back");
    }
    return player->filled > 0;
}

/* The events from the cursor on that can be done in one go. */
static size_t run_length(const solo_player *player, const replay_event *events)
{
    size_t length = (size_t)(player->first + player->filled - player->cursor);
    const replay_tape *tape = &player->hand.job->tape;
    if (player->hand.job->pass != REPLAY_SPEED && player->point < tape->point_count) {
        const uint64_t left = tape->points[player->point].after - player->cursor;
        length = left < length ? (size_t)left : length;
    }
    if (!player->has_threads) {
        return length;
    }
    size_t same = 1;
    while (same < length && events[same].thread == events[0].thread) {
        same++;
    }
    return same;
}

/* As many of the events as can be done before memory has to be looked at; that is done here, before
 * what may need it is touched. 0, with the job's status and error set, if there is not enough. */
static size_t affordable(solo_player *player, const replay_event *events, size_t length)
{
    size_t count = 0;
    for (; count < length; count++) {
        const uint64_t size = events[count].size;
        if (size > REPLAY_UNSEEN_MAX - player->unseen) {
            if (count > 0) {
                break;
            }
            const uint64_t left = replay_job_left(player->hand.job);
            if (size > left) {
                replay_job_refuse_memory(player->hand.job, size, left);
                break;
            }
            player->unseen = 0;
        }
        player->unseen += size < REPLAY_UNSEEN_MAX ? size : REPLAY_UNSEEN_MAX;
    }
    return count;
}

static bool do_run(solo_player *player, const replay_event *events, size_t length)
{
    replay_job *job = player->hand.job;
    if (job->pass == REPLAY_SPEED) {
        replay_hand_speed(&player->hand, events, length);
    } else if (!replay_hand_shape(&player->hand, events, length)) {
        return false;
    }
    player->cursor += length;
    job->done = player->cursor;
    if (job->pass != REPLAY_SPEED && player->point < job->tape.point_count &&
        job->tape.points[player->point].after == player->cursor) {
        measure_point(player);
    }
    return true;
}

/* Plays as long as it is the thread's turn; returns whose is next. */
static uint32_t play_turn(void *context, uint32_t thread)
{
    solo_player *player = context;
    while (!player->is_over && fetch(player)) {
        const replay_event *events = &player->events[player->cursor - player->first];
        if (player->has_threads && events->thread != thread) {
            player->turns.done = player->cursor;
            return events->thread;
        }
        const size_t length = affordable(player, events, run_length(player, events));
        if (length == 0 || !do_run(player, events, length)) {
            break;
        }
    }
    player->is_over = true;
    player->turns.done = player->cursor;
    return REPLAY_TURNS_OVER;
}

/* -------------------------------------------------------------------------------------------------
 * The whole.
 */
static bool prepare(solo_player *player, replay_subject *subject, replay_job *job)
{
    memset(player, 0, sizeof *player);
    player->hand = (replay_hand){
        .subject = subject,
        .job = job,
        .times = &job->times,
        .page_size = (uint64_t)sysconf(_SC_PAGESIZE),
        .tick_cost = replay_ticks_cost(),
        .blocks = replay_map(job->tape.slots * sizeof(replay_block), true),
    };
    player->has_threads = job->played == REPLAY_EXACT;
    job->peak_footprint = REPLAY_UNKNOWN;
    if (player->hand.blocks == NULL) {
        return replay_job_refuse(job, REPLAY_FAILED, "no memory for the addresses of the blocks");
    }
    if (player->has_threads && !replay_turns_init(&player->turns, &job->tape, play_turn, player)) {
        return replay_job_refuse(job, REPLAY_FAILED, "no memory for the threads of the trace");
    }
    return true;
}

static void finish(solo_player *player, double tick_ns)
{
    replay_job *job = player->hand.job;
    job->tick_ns = tick_ns;
    job->busy_ns = (uint64_t)((double)player->hand.ticks * tick_ns);
    job->failures = player->hand.failures;
    job->peak_resident = larger(replay_resident_peak(), job->peak_resident);
    if (player->hand.subject->peak != NULL) {
        job->peak_footprint = larger(player->hand.subject->peak(), job->peak_footprint);
    }
    if (job->pass != REPLAY_SPEED && job->status == REPLAY_UNFINISHED) {
        replay_hand_verify(&player->hand, job->tape.slots);
    }
    replay_job_conclude(job);
}

void replay_play(replay_subject *subject, replay_job *job)
{
    solo_player *player = &the_player;
    if (job->played == REPLAY_PARALLEL) {
        replay_play_parallel(subject, job);
        return;
    }
    if (!prepare(player, subject, job)) {
        return;
    }
    const double tick_ns = replay_tick_ns();
    replay_resident_begin();
    if (player->has_threads && !replay_turns_run(&player->turns)) {
        replay_job_refuse(job, REPLAY_FAILED, "a thread of the trace cannot be started: %s",
                          strerror(errno));
    } else if (!player->has_threads) {
        play_turn(player, 0);
    }
    finish(player, tick_ns);
}
