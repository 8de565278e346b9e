/* SPDX-License-Identifier: MIT */
#include "hand.h"

#include "histogram.h"
#include "ticks.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

/*
 * What the shape pass writes into a block:
 *
 *     [ mark |  ...  | word |  ...  | word |  ...  | mark ]
 *       first 8        one at each page's start     last 8
 *
 * The marks and words are those of the slot and the size, so two blocks that overlap spoil each
 * other's. A block of less than 16 bytes has one mark, as much of it as there is room for.
 */

static size_t alignment_of(const replay_event *event)
{
    return event->alignment_log2 != 0 ? (size_t)1 << event->alignment_log2 : 0;
}

static unsigned char *address_of(const replay_hand *hand, void *block)
{
    return hand->subject->address != NULL ? hand->subject->address(block) : block;
}

static void *give(replay_subject *subject, const replay_event *event)
{
    return event->op == REPLAY_CALLOC
               ? tarn_heap_calloc(subject->heap, 1, event->size, alignment_of(event))
               : tarn_heap_alloc(subject->heap, event->size, alignment_of(event));
}

static void *resize(replay_subject *subject, const replay_block *old, size_t size)
{
    return subject->resize != NULL
               ? subject->resize(old->block, old->size, size, 0)
               : tarn_heap_realloc(subject->heap, old->block, old->size, size, 0);
}

/* -------------------------------------------------------------------------------------------------
 * Speed.
 */
static inline void write_first(const replay_hand *hand, const replay_block *block)
{
    unsigned char *at = address_of(hand, block->block);
    if (block->size >= sizeof(uint64_t)) {
        const uint64_t word = (uintptr_t)at;
        memcpy(at, &word, sizeof word);
    } else if (block->size > 0) {
        *at = 1;
    }
}

static inline void keep(replay_hand *hand, replay_block *block, void *given, size_t size)
{
    block->block = given;
    block->size = size;
    if (given != NULL) {
        write_first(hand, block);
    } else {
        hand->failures++;
    }
}

static inline void do_one(replay_hand *hand, const replay_event *event)
{
    replay_subject *const subject = hand->subject;
    replay_block *block = &hand->blocks[event->slot];
    if (event->op == REPLAY_FREE) {
        tarn_heap_free(subject->heap, block->block, block->size);
        block->block = NULL;
    } else if (event->op == REPLAY_REALLOC && block->block != NULL) {
        void *given = resize(subject, block, event->size);
        /* Who is refused has the old block, and no use for it. */
        if (given == NULL) {
            tarn_heap_free(subject->heap, block->block, block->size);
        }
        keep(hand, block, given, event->size);
    } else {
        keep(hand, block, give(subject, event), event->size);
    }
}

void replay_hand_one(replay_hand *hand, const replay_event *event)
{
    do_one(hand, event);
}

void replay_hand_speed(replay_hand *hand, const replay_event *events, size_t count)
{
    const uint64_t from = replay_ticks();
    for (size_t i = 0; i < count; i++) {
        do_one(hand, &events[i]);
    }
    const uint64_t ticks = replay_ticks() - from;
    hand->ticks += ticks > hand->tick_cost ? ticks - hand->tick_cost : 0;
    hand->number += count;
}

/* -------------------------------------------------------------------------------------------------
 * Marks.
 */
static uint64_t mark_of(uint32_t slot, size_t size)
{
    uint64_t mark = ((uint64_t)slot + 1) * UINT64_C(0x9E3779B97F4A7C15) ^ size;
    mark ^= mark >> 29;
    return mark * UINT64_C(0xBF58476D1CE4E5B9);
}

static size_t mark_size(size_t size)
{
    return size < sizeof(uint64_t) ? size : sizeof(uint64_t);
}

/* Offset of the word of the first page that begins within the block, behind the mark and before
 * the other. */
static size_t first_page(const replay_hand *hand, const unsigned char *at)
{
    const size_t into = (uintptr_t)at % hand->page_size;
    const size_t offset = (size_t)hand->page_size - into;
    return offset < sizeof(uint64_t) ? offset + (size_t)hand->page_size : offset;
}

static void write_marks(const replay_hand *hand, uint32_t slot, const replay_block *block)
{
    unsigned char *at = address_of(hand, block->block);
    const uint64_t mark = mark_of(slot, block->size);
    memcpy(at, &mark, mark_size(block->size));
    if (block->size < 2 * sizeof mark) {
        return;
    }
    const size_t last = block->size - sizeof mark;
    for (size_t i = first_page(hand, at); i + sizeof mark <= last; i += hand->page_size) {
        memcpy(at + i, &mark, sizeof mark);
    }
    memcpy(at + last, &mark, sizeof mark);
}

/* Looks at the marks that a block of `old` bytes had, as far as `size` bytes of it are left; the
 * pages too if it stands where it stood. */
static bool has_marks(const replay_hand *hand, uint32_t slot, const unsigned char *at, size_t old,
                      size_t size, bool has_stayed)
{
    const uint64_t mark = mark_of(slot, old);
    const size_t first = mark_size(old) < size ? mark_size(old) : size;
    bool is_kept = memcmp(at, &mark, first) == 0;
    if (old < 2 * sizeof mark) {
        return is_kept;
    }
    const size_t last = old - sizeof mark;
    for (size_t i = first_page(hand, at);
         has_stayed && i + sizeof mark <= last && i + sizeof mark <= size; i += hand->page_size) {
        is_kept = is_kept && memcmp(at + i, &mark, sizeof mark) == 0;
    }
    return is_kept && (old > size || memcmp(at + last, &mark, sizeof mark) == 0);
}

static bool is_whole(const replay_hand *hand, uint32_t slot, const replay_block *block)
{
    /* Blocks behind names may have moved, and then begin elsewhere on their pages. */
    return has_marks(hand, slot, address_of(hand, block->block), block->size, block->size,
                     hand->subject->address == NULL);
}

/* -------------------------------------------------------------------------------------------------
 * Shape.
 */
static bool damaged(const replay_hand *hand, const char *what, size_t size)
{
    return replay_job_refuse(hand->job, REPLAY_FAILED,
                             "operation %" PRIu64 ": %s a block of %zu bytes", hand->number + 1,
                             what, size);
}

static void forget(replay_hand *hand, const replay_block *block)
{
    hand->live -= block->size;
    hand->handed -= block->room;
}

/* Of a block of which none was asked for: the largest that an object of its size can need, which is
 * what malloc promises. */
static size_t natural_alignment(const replay_subject *subject, size_t size)
{
    const size_t most = subject->alignment != 0 ? subject->alignment : _Alignof(max_align_t);
    size_t alignment = 1;
    while (alignment < most && 2 * alignment <= size) {
        alignment *= 2;
    }
    return alignment;
}

static bool is_aligned(replay_hand *hand, const replay_block *block, const unsigned char *at)
{
    if (block->alignment != 0) {
        return (uintptr_t)at % block->alignment == 0 ||
               damaged(hand, "the alignment is not that asked for:", block->size);
    }
    return (uintptr_t)at % natural_alignment(hand->subject, block->size) == 0 ||
           damaged(hand, "the alignment is not one for every object of that size:", block->size);
}

static bool remember(replay_hand *hand, uint32_t slot, replay_block *block)
{
    if (block->block == NULL) {
        hand->failures++;
        return true;
    }
    const unsigned char *at = address_of(hand, block->block);
    if (!is_aligned(hand, block, at)) {
        return false;
    }
    write_marks(hand, slot, block);
    block->room = hand->subject->room != NULL
                      ? hand->subject->room(block->block, block->size, block->alignment)
                      : 0;
    hand->live += block->size;
    hand->handed += block->room;
    return true;
}

static void note_time(replay_hand *hand, uint64_t from)
{
    const uint64_t ticks = replay_ticks() - from;
    const uint64_t net = ticks > hand->tick_cost ? ticks - hand->tick_cost : 0;
    hand->ticks += net;
    replay_histogram_add(hand->times, net);
}

static bool shape_free(replay_hand *hand, const replay_event *event, replay_block *block)
{
    if (block->block == NULL) {
        return true;
    }
    if (!is_whole(hand, event->slot, block)) {
        return damaged(hand, "something wrote into", block->size);
    }
    forget(hand, block);
    const uint64_t from = replay_ticks();
    tarn_heap_free(hand->subject->heap, block->block, block->size);
    note_time(hand, from);
    block->block = NULL;
    return true;
}

static bool shape_alloc(replay_hand *hand, const replay_event *event, replay_block *block)
{
    const uint64_t from = replay_ticks();
    void *given = give(hand->subject, event);
    note_time(hand, from);
    *block = (replay_block){.block = given, .size = event->size, .alignment = alignment_of(event)};
    if (given != NULL && event->op == REPLAY_CALLOC && event->size >= 8) {
        const unsigned char *at = address_of(hand, given);
        uint64_t ends[2];
        memcpy(&ends[0], at, sizeof ends[0]);
        memcpy(&ends[1], at + event->size - sizeof ends[1], sizeof ends[1]);
        if ((ends[0] | ends[1]) != 0) {
            return damaged(hand, "calloc gave, not zeroed,", event->size);
        }
    }
    return remember(hand, event->slot, block);
}

static bool shape_resize(replay_hand *hand, const replay_event *event, replay_block *block)
{
    const replay_block old = *block;
    if (!is_whole(hand, event->slot, block)) {
        return damaged(hand, "something wrote into", old.size);
    }
    forget(hand, block);
    const uint64_t from = replay_ticks();
    void *given = resize(hand->subject, &old, event->size);
    note_time(hand, from);
    if (given == NULL) {
        tarn_heap_free(hand->subject->heap, old.block, old.size);
    } else if (!has_marks(hand, event->slot, address_of(hand, given), old.size, event->size,
                          false)) {
        return damaged(hand, "realloc did not keep the contents of", old.size);
    }
    *block = (replay_block){.block = given, .size = event->size};
    return remember(hand, event->slot, block);
}

bool replay_hand_verify(replay_hand *hand, uint32_t slots)
{
    for (uint32_t i = 0; i < slots; i++) {
        const replay_block *block = &hand->blocks[i];
        if (block->block != NULL && !is_whole(hand, i, block)) {
            return replay_job_refuse(hand->job, REPLAY_FAILED,
                                     "after the last operation: something wrote into a block of "
                                     "%zu bytes that was never freed",
                                     block->size);
        }
    }
    return true;
}

bool replay_hand_shape(replay_hand *hand, const replay_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const replay_event *event = &events[i];
        replay_block *block = &hand->blocks[event->slot];
        bool is_sound;
        if (event->op == REPLAY_FREE) {
            is_sound = shape_free(hand, event, block);
        } else if (event->op == REPLAY_REALLOC && block->block != NULL) {
            is_sound = shape_resize(hand, event, block);
        } else {
            is_sound = shape_alloc(hand, event, block);
        }
        if (!is_sound) {
            return false;
        }
        hand->number++;
        if (hand->subject->tend != NULL) {
            hand->subject->tend(hand->job);
        }
    }
    return true;
}
