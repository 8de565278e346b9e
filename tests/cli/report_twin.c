/* SPDX-License-Identifier: MIT */
#include "cli/report_twin.h"

#include "trace/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* Where blocks can be: some way apart, and at some places very far. */
static uint64_t address_of(size_t slot)
{
    return UINT64_C(0x10000) + slot * 8192 + slot % 5 * 48 + slot / 50 * (UINT64_C(1) << 32);
}

uint64_t twin_random(twin *naive)
{
    naive->random ^= naive->random << 13;
    naive->random ^= naive->random >> 7;
    naive->random ^= naive->random << 17;
    return naive->random;
}

/* Who is at a place now, for the makers of traces; SIZE_MAX: nobody. */
static size_t live_at[TWIN_SLOTS];
static size_t last_of[TWIN_THREADS + 1]; /* the block that the thread's last event gave */

static trace_event *add_event(twin *naive, unsigned op, uint32_t thread)
{
    trace_event *event = &naive->events[naive->count++];
    memset(event, 0, sizeof *event);
    event->op = (uint8_t)op;
    event->thread = thread;
    event->time = naive->duration;
    return event;
}

static void give(twin *naive, trace_event *event, size_t slot)
{
    event->block = address_of(slot);
    event->size =
        twin_random(naive) % 8 == 0 ? twin_random(naive) % 7000 : twin_random(naive) % 300;
    event->stack = (uint32_t)(twin_random(naive) % (TWIN_STACKS + 1));
    naive->blocks[naive->block_count] = (twin_block){
        .address = event->block,
        .size = event->size,
        .begin = event->time,
        .first = naive->count,
        .last = SIZE_MAX,
        .stack = event->stack,
        .thread = event->thread,
    };
    live_at[slot] = naive->block_count;
    last_of[event->thread] = naive->block_count++;
}

static void end_block(twin *naive, const trace_event *event, size_t index, bool is_temporary)
{
    twin_block *block = &naive->blocks[index];
    block->end = event->time;
    block->last = naive->count;
    block->taker = event->thread;
    block->is_temporary = is_temporary;
    last_of[event->thread] = SIZE_MAX;
}

static void take(twin *naive, const trace_event *event, size_t slot)
{
    end_block(naive, event, live_at[slot], last_of[event->thread] == live_at[slot]);
    live_at[slot] = SIZE_MAX;
}

static size_t free_slot(twin *naive)
{
    size_t slot;
    do {
        slot = twin_random(naive) % TWIN_SLOTS;
    } while (live_at[slot] != SIZE_MAX);
    return slot;
}

/* A realloc, whole or in two with something of another thread between. */
static void resize(twin *naive, uint32_t thread, size_t slot)
{
    const size_t to = twin_random(naive) % 3 == 0 ? slot : free_slot(naive);
    if (to != slot && twin_random(naive) % 2 == 0) {
        trace_event *move = add_event(naive, TRACE_MOVE, thread);
        move->block = address_of(slot);
        const size_t moved = live_at[slot];
        const bool is_temporary = last_of[thread] == moved;
        live_at[slot] = SIZE_MAX;
        const uint32_t other = thread % TWIN_THREADS + 1;
        give(naive, add_event(naive, TRACE_MALLOC, other), slot);
        trace_event *event = add_event(naive, TRACE_REALLOC, thread);
        event->old_block = address_of(slot);
        end_block(naive, event, moved, is_temporary);
        give(naive, event, to);
        return;
    }
    trace_event *event = add_event(naive, TRACE_REALLOC, thread);
    event->old_block = address_of(slot);
    take(naive, event, slot);
    give(naive, event, to);
}

static void fail_to_give(twin *naive, uint32_t thread, uint64_t old_block)
{
    trace_event *event = add_event(naive, old_block != 0 ? TRACE_REALLOC : TRACE_CALLOC, thread);
    event->old_block = old_block;
    event->size = UINT64_C(1) << 50;
    naive->failed++;
    last_of[thread] = SIZE_MAX;
}

/* A block that was given up for a realloc that failed is as it was. */
static void fail_to_move(twin *naive, uint32_t thread, size_t slot)
{
    add_event(naive, TRACE_MOVE, thread)->block = address_of(slot);
    naive->duration += twin_random(naive) % 1000;
    fail_to_give(naive, thread, address_of(slot));
}

static void step(twin *naive, size_t *live)
{
    const uint32_t thread = 1 + (uint32_t)(twin_random(naive) % TWIN_THREADS);
    const size_t slot = twin_random(naive) % TWIN_SLOTS;
    const bool is_there = live_at[slot] != SIZE_MAX;
    const uint64_t choice = twin_random(naive) % 100;
    naive->duration += twin_random(naive) % 4 == 0 ? twin_random(naive) % 100000 : 0;
    if (choice < 3) {
        fail_to_give(naive, thread, is_there ? address_of(slot) : 0);
    } else if (is_there && choice < 6) {
        fail_to_move(naive, thread, slot);
    } else if (is_there && choice < 30 && *live + 2 < TWIN_SLOTS / 2) {
        const size_t before = naive->block_count;
        resize(naive, thread, slot);
        *live += naive->block_count - before - 1;
    } else if (is_there) {
        trace_event *event = add_event(naive, TRACE_FREE, thread);
        event->block = address_of(slot);
        take(naive, event, slot);
        *live -= 1;
    } else if (*live < TWIN_SLOTS / 2) {
        give(naive, add_event(naive, choice % 2 == 0 ? TRACE_MALLOC : TRACE_NEW, thread), slot);
        *live += 1;
    } else if (last_of[thread] != SIZE_MAX) {
        fail_to_give(naive, thread, 0);
    }
}

void twin_make(twin *naive, uint64_t seed)
{
    memset(naive, 0, sizeof *naive);
    naive->random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    memset(live_at, 0xff, sizeof live_at);
    memset(last_of, 0xff, sizeof last_of);
    size_t live = 0;
    while (naive->count + 3 < TWIN_EVENTS) {
        step(naive, &live);
    }
    naive->duration = naive->events[naive->count - 1].time;
    for (size_t i = 0; i < naive->block_count; i++) {
        if (naive->blocks[i].last == SIZE_MAX) {
            naive->blocks[i].end = naive->duration;
        }
    }
}

uint32_t twin_frames(uint32_t stack, uint64_t frames[8])
{
    const uint32_t count = 1 + stack % 6;
    for (uint32_t i = 0; i < count; i++) {
        /* The outer ones are common to many. */
        frames[count - 1 - i] = 0x1000 + i * 256 + stack % (i + 2) * 16;
    }
    frames[0] += stack * 65536;
    return count;
}

static bool put(void *context, const void *bytes, size_t size)
{
    return write(*(int *)context, bytes, size) == (ssize_t)size;
}

int twin_write(const twin *naive, bool has_addresses, bool has_stacks, char path[64])
{
    int descriptor = memfd_create("twin", MFD_CLOEXEC);
    assert_true(descriptor >= 0);
    snprintf(path, 64, "/proc/self/fd/%d", descriptor);
    trace_writer *writer = trace_writer_create(&(trace_writer_options){
        .sink = put, .context = &descriptor, .unit_ns = 1, .events_max = 1000, .level = 1});
    assert_non_null(writer);
    trace_writer_info(writer, "command", "twin \xff\x1b[31m");
    trace_writer_info(writer, "stacks", has_stacks ? "full" : "none");
    trace_writer_info(writer, "blocks", has_addresses ? "addresses" : "names");
    for (uint32_t stack = 1; stack <= TWIN_STACKS && has_stacks; stack++) {
        uint64_t frames[8];
        const uint32_t count = twin_frames(stack, frames);
        trace_writer_stack(writer, &(trace_stack){stack, count, frames});
    }
    for (size_t i = 0; i < naive->count; i++) {
        trace_event event = naive->events[i];
        event.stack = has_stacks ? event.stack : 0;
        assert_true(trace_writer_event(writer, &event));
    }
    assert_true(trace_writer_close(writer, 0));
    return descriptor;
}

uint64_t twin_live(const twin *naive, size_t events, uint64_t *blocks)
{
    uint64_t bytes = 0;
    *blocks = 0;
    for (size_t i = 0; i < naive->block_count; i++) {
        if (naive->blocks[i].first <= events && naive->blocks[i].last > events) {
            bytes += naive->blocks[i].size;
            *blocks += 1;
        }
    }
    return bytes;
}
