/* SPDX-License-Identifier: MIT */
#include "deal.h"

#include "map.h"

enum { EVENTS_AT_ONCE = 4096, NONE = 0 };

/* What is needed while dealing. Numbers of slots are one more than they are, so that zeroed
 * memory has none. */
typedef struct tape_dealer {
    replay_deal *deal;
    uint32_t *slot_of;      /* by slot of the tape: ours */
    uint32_t *turns;        /* by ours: events so far */
    uint32_t *next;         /* by ours: the one that its thread freed before */
    uint32_t *newest;       /* by thread: the one it freed last */
    replay_dealt *previous; /* the event in front, whosever it is */
} tape_dealer;

/* Calls `visit` for each event of the tape, in order. */
static bool for_each(tape_dealer *dealer, const replay_tape *tape,
                     void (*visit)(tape_dealer *dealer, const replay_event *event))
{
    static replay_event events[EVENTS_AT_ONCE];
    for (uint64_t at = 0; at < tape->count;) {
        const size_t count = replay_tape_fetch(tape, at, events, EVENTS_AT_ONCE);
        for (size_t i = 0; i < count; i++) {
            visit(dealer, &events[i]);
        }
        if (count == 0) {
            return false;
        }
        at += count;
    }
    return true;
}

static void count_event(tape_dealer *dealer, const replay_event *event)
{
    dealer->deal->shares[event->thread].count++;
}

static uint32_t take_slot(tape_dealer *dealer, uint32_t thread)
{
    uint32_t slot = dealer->newest[thread];
    if (slot == NONE) {
        slot = ++dealer->deal->slots;
    } else {
        dealer->newest[thread] = dealer->next[slot];
    }
    return slot;
}

static void deal_event(tape_dealer *dealer, const replay_event *event)
{
    replay_share *share = &dealer->deal->shares[event->thread];
    replay_dealt *dealt = &share->events[share->count++];
    uint32_t *slot = &dealer->slot_of[event->slot];
    if (event->op <= REPLAY_CALLOC) {
        *slot = take_slot(dealer, event->thread);
    } else if (event->op == REPLAY_FREE) {
        dealer->next[*slot] = dealer->newest[event->thread];
        dealer->newest[event->thread] = *slot;
    }
    *dealt = (replay_dealt){.event = *event, .turn = dealer->turns[*slot]++};
    dealt->event.slot = *slot - 1;
    if (share->count == 1 && dealer->previous != NULL) {
        dealer->previous->starts = event->thread;
    }
    dealer->previous = dealt;
}

bool replay_deal_make(replay_deal *deal, const replay_tape *tape)
{
    const size_t most = (size_t)tape->allocations + 1;
    replay_dealt *events = replay_map((size_t)tape->count * sizeof *events, true);
    tape_dealer dealer = {
        .deal = deal,
        .slot_of = replay_map(tape->slots * sizeof *dealer.slot_of, false),
        .turns = replay_map(most * sizeof *dealer.turns, false),
        .next = replay_map(most * sizeof *dealer.next, false),
        .newest = replay_map(tape->threads * sizeof *dealer.newest, false),
    };
    *deal = (replay_deal){.shares = replay_map(tape->threads * sizeof *deal->shares, true)};
    if (events == NULL || deal->shares == NULL || dealer.slot_of == NULL || dealer.turns == NULL ||
        dealer.next == NULL || dealer.newest == NULL || !for_each(&dealer, tape, count_event)) {
        return false;
    }
    for (uint32_t i = 0; i < tape->threads; i++) {
        deal->shares[i].events = events;
        events += deal->shares[i].count;
        deal->shares[i].count = 0;
    }
    const bool is_dealt = for_each(&dealer, tape, deal_event);
    replay_unmap(dealer.slot_of, tape->slots * sizeof *dealer.slot_of);
    replay_unmap(dealer.turns, most * sizeof *dealer.turns);
    replay_unmap(dealer.next, most * sizeof *dealer.next);
    replay_unmap(dealer.newest, tape->threads * sizeof *dealer.newest);
    return is_dealt;
}
