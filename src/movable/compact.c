/* SPDX-License-Identifier: MIT */
#include "movable/core.h"

#include <string.h>

/*
 * Sliding, from a place on: everything before `to` is settled, everything from `at` on is as it was, and between them is
 * nothing that is needed.
 *
 *     [ settled ][ given up    ][ run of live chunks ][ hole ][ pinned ][ ...
 *                to             at
 *     [ settled ][ run of live chunks ][ given up            ][ pinned ][ ...
 *                                      to                     at
 *
 * Chunks that lie side by side move together by one memmove, words and padding with them. A chunk that cannot move, be
 * it pinned, too large for the budget, or as near as its alignment allows, leaves a hole before it.
 *
 * The tracts' words are wiped as `at` enters them and written anew for what is settled.
 *
 * Evacuating: the chunks of a tract go into holes of fuller tracts, one by one, emptiest tracts first.
 */

/* Granules that are moved between two looks at the pins, and under a budget of time. */
#define RUN_MAX ((uint32_t)(256 << 10) / GRANULE)
#define TIMED_RUN_MAX ((uint32_t)(32 << 10) / GRANULE)

#define STEPS_PER_LOOK 64       /* chunks or tracts between two looks at the clock */
#define STEP_SIZE ((size_t)512) /* bytes that take as long to be moved as a step, or less */
#define SPEED 512               /* bytes that any machine moves in a microsecond, and then some */

#define SCOUTS 8                                         /* that look ahead while blocks slide */
#define TRACTS_AHEAD 12                                  /* that they go, at most */
#define LINE_GRANULES (64 / (uint32_t)GRANULE)           /* of a cache line */
#define FETCHED_MAX ((uint32_t)4096 / (uint32_t)GRANULE) /* of a live chunk */

#define CLEAN_SLICE ((size_t)512 << 10) /* bytes given to the kernel between two looks */
#define GAP_PART 4 /* a pass shrinks the heap when more than this part of it is gap */

/* What is left of a budget. */
typedef struct move_meter {
    size_t bytes;     /* that may still be moved */
    size_t largest;   /* bytes of the largest chunk that is moved at all */
    uint64_t end;     /* microseconds of the clock; UINT64_MAX: never */
    uint32_t run_max; /* granules */
    size_t steps;     /* since the last look at the clock */
    tarn_movable_report *report;
} move_meter;

static move_meter meter_of(const tarn_movable_budget *budget, uint64_t now,
                           tarn_movable_report *report)
{
    move_meter meter = {.bytes = SIZE_MAX,
                        .largest = SIZE_MAX,
                        .end = UINT64_MAX,
                        .run_max = RUN_MAX,
                        .report = report};
    if (budget != NULL && budget->bytes != 0) {
        meter.bytes = budget->bytes;
        meter.largest = budget->bytes;
    }
    if (budget != NULL && budget->microseconds != 0) {
        meter.end = now + budget->microseconds;
        meter.run_max = TIMED_RUN_MAX;
        if (meter.largest / SPEED > budget->microseconds) {
            meter.largest = (size_t)budget->microseconds * SPEED;
        }
    }
    return meter;
}

static bool time_is_over(move_meter *meter)
{
    meter->steps = 0;
    return meter->end != UINT64_MAX && os_clock_us() >= meter->end;
}

/* Counts one cheap step; true when the time is over. */
static bool step(move_meter *meter)
{
    return ++meter->steps >= STEPS_PER_LOOK && time_is_over(meter);
}

static void note_moved(move_meter *meter, size_t bytes, uint64_t blocks)
{
    meter->report->bytes_moved += bytes;
    meter->report->blocks_moved += blocks;
    meter->bytes -= bytes;
    meter->steps += bytes / STEP_SIZE;
}

typedef enum move_advice { MOVE_IT, LEAVE_IT, STOP_HERE } move_advice;

/* Whether the budget allows to move a chunk: one that is only too large for the rest of it waits for the next pass. */
static move_advice advice_for(const move_meter *meter, uint32_t granules)
{
    if (granules > meter->largest / GRANULE) {
        return LEAVE_IT;
    }
    return granules > meter->bytes / GRANULE ? STOP_HERE : MOVE_IT;
}

/* The entry of the live chunk at the place: what does not belong together is not moved. */
static tarn_movable_entry *entry_of_chunk(const tarn_movable *heap, uint32_t place, uint64_t word)
{
    const uint32_t number = word_number(word);
    const movable_head *head = movable_head_of(heap);
    TARN_CHECK(number != 0 && number <= head->count &&
                   word_granules(word) - 2 < head->end - place &&
                   entry_load(heap, entry_at(heap, number)).place == place + 1,
               "the bytes before the block were overwritten", movable_name(heap),
               word_at(heap, place + 1));
    return entry_at(heap, number);
}

/* ---- sliding ---- */

typedef struct sliding {
    tarn_movable *heap;
    move_meter *meter;
    uint32_t to;
    uint32_t at;
    uint32_t scouts[SCOUTS]; /* places of chunks on their way into the cache; 0: none */
    uint32_t scouted;        /* tracts before this have been given to scouts */
    unsigned turn;           /* of a scout */
    uint32_t wiped;          /* tracts before this have been wiped */
    bool is_full;            /* no hole is in a list any more */
    bool was_hole;           /* the chunk settled last is a hole */
} sliding;

/* Wipes the tracts through the one that the place is in. */
static void wipe_tracts(sliding *slide, uint32_t place)
{
    while (slide->wiped <= tract_of(place)) {
        *tract_at(slide->heap, slide->wiped++) = (movable_tract){0};
    }
}

/* The settled part ends with a hole up to `place`, where a live chunk is that stays. */
static void settle_hole(sliding *slide, uint32_t place)
{
    if (place != slide->to) {
        tract_add_start(slide->heap, slide->to);
        hole_enter(slide->heap, slide->to, place - slide->to);
        slide->to = place;
        slide->was_hole = true;
    }
}

/* The live chunk at `to` is settled. */
static void settle_chunk(sliding *slide, uint32_t granules)
{
    movable_word *word = word_at(slide->heap, slide->to);
    *word = (*word & ~WORD_AFTER_HOLE) | (slide->was_hole ? WORD_AFTER_HOLE : 0);
    tract_add_start(slide->heap, slide->to);
    tract_add_live(slide->heap, slide->to, granules);
    slide->to += granules;
    slide->was_hole = false;
}

/* Where a chunk starts is only known from the one before, so each first look at one would wait for memory. Scouts walk
 * over tracts that are still ahead, by turns, and fetch what is live into the larger cache: so their waits overlap with
 * each other and with the moving. */
static void look_ahead(sliding *slide)
{
    const tarn_movable *heap = slide->heap;
    const uint32_t end = movable_head_of(heap)->end;
    uint32_t *scout = &slide->scouts[slide->turn++ % SCOUTS];
    /* What the slide has overtaken need not be fetched, and may be no chunk any more. */
    uint32_t place = *scout >= slide->at ? *scout : 0;
    if (place != 0) {
        /* The word was asked for a round ago. One that was overwritten leads astray, but not out of the arena. */
        const uint64_t word = *word_at(heap, place);
        const uint32_t granules = word_granules(word);
        const uint32_t fetched = granules < FETCHED_MAX ? granules : FETCHED_MAX;
        for (uint32_t at = LINE_GRANULES; at < fetched && !word_is_free(word);
             at += LINE_GRANULES) {
            __builtin_prefetch(word_at(heap, place + at), 0, 2);
        }
        place = granules < end - place && tract_of(place + granules) == tract_of(place)
                    ? place + granules
                    : 0;
    } else if (slide->scouted <= tract_of(end - 1) &&
               slide->scouted < tract_of(slide->at) + TRACTS_AHEAD) {
        const uint16_t first = tract_at(heap, slide->scouted)->first;
        place = first != 0 ? (slide->scouted << TRACT_SHIFT) + first - 1 : 0;
        slide->scouted++;
    }
    if (place != 0) {
        __builtin_prefetch(word_at(heap, place));
    }
    *scout = place;
}

/* Seizes the chunks from `at` on that can move together to `target`; returns their granules, 0 if the first one
 * cannot move. */
static uint32_t seize_run(sliding *slide, uint32_t target)
{
    const tarn_movable *heap = slide->heap;
    const uint32_t end = movable_head_of(heap)->end;
    const size_t room = slide->meter->bytes / GRANULE;
    uint32_t run = 0;
    while (slide->at + run != end) {
        const uint64_t word = *word_at(heap, slide->at + run);
        const uint32_t granules = word_granules(word);
        if (word_is_free(word) || advice_for(slide->meter, granules) != MOVE_IT ||
            run + (size_t)granules > room || (run > 0 && run + granules > slide->meter->run_max) ||
            chunk_gap(target + run, word_alignment(word)) != 0 ||
            !entry_seize(heap, entry_of_chunk(heap, slide->at + run, word))) {
            break;
        }
        run += granules;
        look_ahead(slide);
    }
    return run;
}

/* Moves the seized chunks to `target` and lets go of them. */
static void move_run(sliding *slide, uint32_t target, uint32_t run)
{
    tarn_movable *heap = slide->heap;
    uint64_t blocks = 0;
    memmove(word_at(heap, target), word_at(heap, slide->at), run * GRANULE);
    settle_hole(slide, target);
    slide->at += run;
    wipe_tracts(slide, slide->at - 1);
    while (slide->to != target + run) {
        const uint64_t word = *word_at(heap, slide->to);
        entry_release(heap, entry_at(heap, word_number(word)), slide->to + 1);
        settle_chunk(slide, word_granules(word));
        blocks++;
    }
    note_moved(slide->meter, run * GRANULE, blocks);
}

/* Deals with the chunk at `at`, and those that move with it. */
static void slide_step(sliding *slide)
{
    tarn_movable *heap = slide->heap;
    const uint64_t word = *word_at(heap, slide->at);
    const uint32_t granules = word_granules(word);
    TARN_CHECK(granules - 1 < movable_head_of(heap)->end - slide->at,
               "the bytes before the block were overwritten", movable_name(heap),
               word_at(heap, slide->at + 1));
    wipe_tracts(slide, slide->at);
    look_ahead(slide);
    if (word_is_free(word)) {
        if (!slide->is_full) {
            hole_leave(heap, slide->at, granules);
        }
        slide->at += granules;
        return;
    }
    const uint32_t target = slide->to + chunk_gap(slide->to, word_alignment(word));
    if (target < slide->at) {
        if (advice_for(slide->meter, granules) == STOP_HERE) {
            slide->meter->bytes = 0;
            return;
        }
        const uint32_t run = seize_run(slide, target);
        if (run > 0) {
            move_run(slide, target, run);
            return;
        }
    }
    settle_hole(slide, slide->at);
    slide->at += granules;
    settle_chunk(slide, granules);
}

/* Ends a slide that has not reached the end of the arena: what was given up becomes a hole. */
static void slide_stop(sliding *slide)
{
    tarn_movable *heap = slide->heap;
    const uint32_t end = movable_head_of(heap)->end;
    if (slide->to != slide->at) {
        const uint64_t word = *word_at(heap, slide->at);
        if (word_is_free(word)) {
            /* Never the last chunk: live ones follow. */
            hole_leave(heap, slide->at, word_granules(word));
            slide->at += word_granules(word);
        }
        wipe_tracts(slide, slide->at);
        settle_hole(slide, slide->at);
    }
    /* The rest of the last wiped tract stays as it is, but has to be noted again. */
    for (uint32_t place = slide->at; place != end && tract_of(place) < slide->wiped;) {
        const uint64_t word = *word_at(heap, place);
        tract_add_start(heap, place);
        if (!word_is_free(word)) {
            tract_add_live(heap, place, word_granules(word));
        }
        place += word_granules(word);
    }
}

/* Slides from the place on, where a tract's first chunk starts; true when the end of the arena was reached. */
static bool slide_from(tarn_movable *heap, uint32_t place, move_meter *meter, bool is_full)
{
    movable_head *head = movable_head_of(heap);
    sliding slide = {.heap = heap,
                     .meter = meter,
                     .to = place,
                     .at = place,
                     .wiped = tract_of(place),
                     .is_full = is_full};
    slide.was_hole = place != head->end && !word_is_free(*word_at(heap, place)) &&
                     (*word_at(heap, place) & WORD_AFTER_HOLE) != 0;
    if (is_full) {
        holes_forget(head);
    }
    while (slide.at != head->end) {
        slide_step(&slide);
        if (meter->bytes == 0 || step(meter)) {
            break;
        }
    }
    if (slide.at != head->end) {
        head->cursor = tract_of(slide.to);
        slide_stop(&slide);
        return false;
    }
    head->end = slide.to;
    return true;
}

/* The first chunk that starts in the tract or after it; the end of the arena if none does. */
static uint32_t first_chunk_from(const tarn_movable *heap, uint32_t tract)
{
    const movable_head *head = movable_head_of(heap);
    for (; head->end != FIRST_PLACE && tract <= tract_of(head->end - 1); tract++) {
        const uint16_t first = tract_at(heap, tract)->first;
        if (first != 0) {
            return (tract << TRACT_SHIFT) + first - 1;
        }
    }
    return head->end;
}

/* ---- evacuating ---- */

/* A place for the block at `place` in a fuller tract; 0 if there is none. Its word is written. */
static uint32_t find_refuge(tarn_movable *heap, uint32_t place, uint32_t tract)
{
    const uint64_t word = *word_at(heap, place);
    const hole_filter filter = {tract, tract_at(heap, tract)->live};
    uint64_t new_word = 0;
    const uint32_t refuge =
        chunk_take_hole(heap, word_granules(word), word_alignment(word), &filter, &new_word);
    if (refuge != 0) {
        *word_at(heap, refuge) = (word & ~WORD_AFTER_HOLE) | new_word;
    }
    return refuge;
}

/* The chunk behind the one at `place`, or behind the hole that follows it: a start that stays one when the chunk is
 * released. */
static uint32_t next_live(const tarn_movable *heap, uint32_t place)
{
    const uint32_t end = movable_head_of(heap)->end;
    uint32_t next = place + word_granules(*word_at(heap, place));
    if (next != end && word_is_free(*word_at(heap, next))) {
        next += word_granules(*word_at(heap, next));
    }
    return next;
}

/* Moves the block at `place` to a refuge, if there is one. Returns the hole that it leaves, or 0. */
static uint32_t evacuate_block(tarn_movable *heap, uint32_t place, uint32_t tract,
                               move_meter *meter)
{
    const uint64_t word = *word_at(heap, place);
    tarn_movable_entry *entry = entry_of_chunk(heap, place, word);
    if (!entry_seize(heap, entry)) {
        return 0;
    }
    const uint32_t refuge = find_refuge(heap, place, tract);
    if (refuge == 0) {
        entry_release(heap, entry, place + 1);
        return 0;
    }
    const size_t size = (size_t)(word_granules(word) - 1) * GRANULE;
    memcpy(word_at(heap, refuge + 1), word_at(heap, place + 1), size);
    entry_release(heap, entry, refuge + 1);
    note_moved(meter, size + GRANULE, 1);
    return chunk_release(heap, place);
}

static size_t clean_if_hole(tarn_movable *heap, uint32_t place)
{
    return place < movable_head_of(heap)->end && word_is_free(*word_at(heap, place))
               ? hole_clean(heap, place, word_granules(*word_at(heap, place)))
               : 0;
}

/* The blocks of the tract find a refuge; false when the budget is spent. */
static bool evacuate_tract(tarn_movable *heap, uint32_t tract, move_meter *meter)
{
    const movable_head *head = movable_head_of(heap);
    uint32_t hole = 0;
    bool goes_on = true;
    uint32_t place = first_chunk_from(heap, tract);
    while (goes_on && place < head->end && tract_of(place) == tract) {
        const uint64_t word = *word_at(heap, place);
        const uint32_t next = next_live(heap, place);
        if (!word_is_free(word)) {
            const move_advice advice = advice_for(meter, word_granules(word));
            if (advice == STOP_HERE) {
                goes_on = false;
            } else if (advice == MOVE_IT) {
                const uint32_t left = evacuate_block(heap, place, tract, meter);
                hole = left != 0 ? left : hole;
                goes_on = meter->bytes > 0 && !step(meter);
            }
        }
        place = next;
    }
    if (hole != 0) {
        meter->report->bytes_given_back += clean_if_hole(heap, hole);
    }
    return goes_on;
}

/* Evacuates the tracts that are at most so many eighths live, from the cursor on; true when all have been looked at. */
static bool evacuate(tarn_movable *heap, uint32_t eighths, move_meter *meter)
{
    movable_head *head = movable_head_of(heap);
    const uint16_t most = (uint16_t)(TRACT_GRANULES / 8 * eighths);
    while (head->end != FIRST_PLACE && head->cursor <= tract_of(head->end - 1)) {
        const uint16_t live = tract_at(heap, head->cursor)->live;
        if (live > 0 && live <= most && !evacuate_tract(heap, head->cursor, meter)) {
            return false;
        }
        head->cursor++;
        if (step(meter)) {
            return false;
        }
    }
    return true;
}

/* ---- passes ---- */

/* Goes on with the cycle where the pass before stopped; true when the cycle is complete. */
static bool go_on(tarn_movable *heap, move_meter *meter)
{
    movable_head *head = movable_head_of(heap);
    if (head->stage == STAGE_REST) {
        if (head->changes == 0) {
            return true;
        }
        head->changes = 0;
        head->stage = STAGE_EVACUATE;
        head->cursor = 0;
    }
    while (head->stage < STAGE_SLIDE) {
        if (!evacuate(heap, head->stage, meter)) {
            return false;
        }
        head->stage++;
        head->cursor = 0;
    }
    const uint32_t place = first_chunk_from(heap, head->cursor);
    if (place != head->end && !slide_from(heap, place, meter, false)) {
        return false;
    }
    head->stage = STAGE_REST;
    return head->changes == 0;
}

/* Gives back what has become free at the end of the arena, as far as the time allows. */
static void give_back_some(tarn_movable *heap, move_meter *meter)
{
    size_t given;
    while (!time_is_over(meter) && (given = stretch_clean(heap, CLEAN_SLICE)) > 0) {
        meter->report->bytes_given_back += given;
    }
    const movable_head *head = movable_head_of(heap);
    const size_t table = head->count * sizeof(tarn_movable_entry);
    if (!movable_is_fixed(heap) && stretch_gap(heap) > head->size / GAP_PART &&
        table < TIMED_RUN_MAX * GRANULE && !time_is_over(meter)) {
        meter->report->bytes_given_back += stretch_shrink(heap);
    }
}

static void add_to_history(tarn_movable *heap, const tarn_movable_report *report)
{
    tarn_movable_report *history = &movable_head_of(heap)->history;
    history->bytes_moved += report->bytes_moved;
    history->blocks_moved += report->blocks_moved;
    history->blocks_vetoed += report->blocks_vetoed;
    if (report->microseconds > history->microseconds) {
        history->microseconds = report->microseconds;
    }
    history->is_finished = report->is_finished;
}

void compact_all(tarn_movable *heap, tarn_movable_report *report)
{
    tarn_movable_report own = {0};
    movable_head *head = movable_head_of(heap);
    move_meter meter = meter_of(NULL, 0, &own);
    const uint64_t begun = os_clock_us();
    stretch_note_footprint(heap);
    if (head->hole_granules > 0) {
        (void)slide_from(heap, FIRST_PLACE, &meter, true);
    }
    head->stage = STAGE_REST;
    head->changes = 0;
    own.is_finished = true;
    if (report != NULL) {
        own.bytes_given_back = holes_clean(heap);
        (void)table_trim(heap);
        own.bytes_given_back += stretch_shrink(heap);
    }
    own.microseconds = os_clock_us() - begun;
    if (report != NULL) {
        *report = own;
    }
    add_to_history(heap, &own);
}

tarn_status tarn_movable_compact(tarn_movable *heap, const tarn_movable_budget *budget,
                                 tarn_movable_report *report)
{
    tarn_movable_report own = {0};
    tarn_status status = TARN_OK;
    movable_lock(heap);
    if (movable_head_of(heap)->is_in_pass) {
        status = TARN_BAD_ARGUMENT;
    } else if (budget == NULL || (budget->bytes == 0 && budget->microseconds == 0)) {
        compact_all(heap, &own);
    } else {
        const uint64_t begun = os_clock_us();
        move_meter meter = meter_of(budget, begun, &own);
        stretch_note_footprint(heap);
        own.is_finished = go_on(heap, &meter);
        give_back_some(heap, &meter);
        own.microseconds = os_clock_us() - begun;
        add_to_history(heap, &own);
    }
    movable_unlock(heap);
    if (report != NULL) {
        *report = own;
    }
    return status;
}

/* ---- passes in which the caller copies ---- */

tarn_status tarn_movable_begin(tarn_movable *heap, tarn_movable_pass *pass,
                               const tarn_movable_budget *budget)
{
    tarn_status status = TARN_BAD_ARGUMENT;
    movable_lock(heap);
    movable_head *head = movable_head_of(heap);
    if (!head->is_in_pass) {
        *pass = (tarn_movable_pass){.heap = heap, .begun = os_clock_us()};
        if (budget != NULL) {
            pass->budget = *budget;
        }
        head->is_in_pass = 1;
        head->stage = STAGE_EVACUATE;
        head->cursor = 0;
        status = TARN_OK;
    }
    movable_unlock(heap);
    return status;
}

/* Lets go of the batch: moves that are neither vetoed nor cancelled take place. */
static void settle(tarn_movable_pass *pass, bool cancelled)
{
    tarn_movable *heap = pass->heap;
    for (size_t i = 0; i < pass->count; i++) {
        const tarn_movable_move *move = &pass->moves[i];
        const uint32_t from = (uint32_t)((movable_word *)move->from - word_at(heap, 0));
        const uint32_t to = (uint32_t)((movable_word *)move->to - word_at(heap, 0));
        tarn_movable_entry *entry = entry_at(heap, handle_number(move->handle));
        uint32_t place = to;
        if (move->veto || cancelled) {
            place = from;
            pass->report.blocks_vetoed += !cancelled;
        } else {
            /* The caller has copied the block's bytes; how many there are is noted behind them. */
            chunk_set_size(heap, to - 1, move->size);
            pass->report.bytes_moved += move->size;
            pass->report.blocks_moved++;
        }
        entry_release(heap, entry, place);
        pass->report.bytes_given_back +=
            clean_if_hole(heap, chunk_release(heap, (place == to ? from : to) - 1));
    }
    pass->count = 0;
}

/* Plans the moves of one tract; false when the batch is full or the budget spent, to be gone on with at pass->resume. */
static bool plan_tract(tarn_movable_pass *pass, uint32_t tract, size_t capacity, move_meter *meter)
{
    tarn_movable *heap = pass->heap;
    const movable_head *head = movable_head_of(heap);
    for (uint32_t place = first_chunk_from(heap, tract);
         place < head->end && tract_of(place) == tract;
         place += word_granules(*word_at(heap, place))) {
        const uint64_t word = *word_at(heap, place);
        if (word_is_free(word) || place < pass->resume) {
            continue;
        }
        const move_advice advice = advice_for(meter, word_granules(word));
        if (pass->count == capacity || advice == STOP_HERE) {
            pass->resume = place;
            return false;
        }
        tarn_movable_entry *entry = entry_at(heap, word_number(word));
        if (advice == LEAVE_IT || entry_load(heap, entry).place != place + 1 ||
            !entry_seize(heap, entry)) {
            continue;
        }
        const uint32_t refuge = find_refuge(heap, place, tract);
        if (refuge == 0) {
            entry_release(heap, entry, place + 1);
            continue;
        }
        pass->moves[pass->count++] = (tarn_movable_move){
            .from = word_at(heap, place + 1),
            .to = word_at(heap, refuge + 1),
            .size = chunk_size(heap, place),
            .handle = handle_of(word_number(word), entry_load(heap, entry).state),
        };
        meter->bytes -= word_granules(word) * GRANULE;
    }
    return true;
}

size_t tarn_movable_next_moves(tarn_movable_pass *pass, tarn_movable_move *moves, size_t capacity)
{
    tarn_movable *heap = pass->heap;
    movable_lock(heap);
    movable_head *head = movable_head_of(heap);
    settle(pass, false);
    pass->moves = moves;
    move_meter meter = meter_of(&pass->budget, pass->begun, &pass->report);
    if (pass->budget.bytes != 0) {
        meter.bytes -=
            pass->report.bytes_moved < meter.bytes ? pass->report.bytes_moved : meter.bytes;
    }
    while (head->stage < STAGE_SLIDE && meter.bytes > 0 && pass->count < capacity &&
           !time_is_over(&meter)) {
        if (head->end == FIRST_PLACE || head->cursor > tract_of(head->end - 1)) {
            head->stage++;
            head->cursor = 0;
            pass->resume = 0;
            continue;
        }
        const uint16_t live = tract_at(heap, head->cursor)->live;
        if (live > 0 && live <= TRACT_GRANULES / 8 * head->stage &&
            !plan_tract(pass, head->cursor, capacity, &meter)) {
            break;
        }
        head->cursor++;
    }
    const size_t count = pass->count;
    movable_unlock(heap);
    return count;
}

static void end_pass(tarn_movable_pass *pass, bool cancelled, tarn_movable_report *report)
{
    tarn_movable *heap = pass->heap;
    movable_lock(heap);
    movable_head *head = movable_head_of(heap);
    settle(pass, cancelled);
    pass->report.is_finished = head->stage == STAGE_SLIDE;
    head->is_in_pass = 0;
    head->stage = STAGE_REST;
    move_meter meter = meter_of(&pass->budget, os_clock_us(), &pass->report);
    give_back_some(heap, &meter);
    pass->report.microseconds = os_clock_us() - pass->begun;
    add_to_history(heap, &pass->report);
    movable_unlock(heap);
    if (report != NULL) {
        *report = pass->report;
    }
    pass->heap = NULL;
}

void tarn_movable_commit(tarn_movable_pass *pass, tarn_movable_report *report)
{
    end_pass(pass, false, report);
}

void tarn_movable_abort(tarn_movable_pass *pass, tarn_movable_report *report)
{
    end_pass(pass, true, report);
}
