/* SPDX-License-Identifier: MIT */
#include "cli/replay/tape.h"
#include "trace/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * The twin keeps the live blocks in a list and plays the tape with sizes alone: at the end of each
 * event both must have the same live bytes, and every event of the tape must name a slot that is in
 * use, or free, as it should be.
 */

enum { BLOCKS = 3000, THREADS = 5, STEPS = 60000, POOL = 7, SPIKE = 1 << 30 };

typedef struct twin_block {
    uint64_t block;
    uint64_t size;
} twin_block;

typedef struct tape_twin {
    trace_writer *writer;
    FILE *file;
    char path[64];
    uint64_t random;
    uint64_t time;
    twin_block blocks[BLOCKS];
    size_t count;
    uint64_t live;
    uint64_t peak;
    uint64_t peak_blocks;
    uint64_t events; /* that are to be played */
    uint64_t allocations;
    uint64_t reallocs;
    uint64_t failed;
    uint64_t unknown;
    uint64_t *lives; /* live bytes after each event that is played */
    uint64_t given;  /* names, so far */
} tape_twin;

static void *zeroed(size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static bool put(void *context, const void *bytes, size_t size)
{
    return fwrite(bytes, 1, size, context) == size;
}

static uint64_t next_random(tape_twin *twin, uint64_t below)
{
    twin->random ^= twin->random << 13;
    twin->random ^= twin->random >> 7;
    twin->random ^= twin->random << 17;
    return twin->random % below;
}

static void begin(tape_twin *twin)
{
    snprintf(twin->path, sizeof twin->path, "tape-test-XXXXXX");
    const int descriptor = mkstemp(twin->path);
    assert_true(descriptor >= 0);
    twin->file = fdopen(descriptor, "wb");
    if (twin->file == NULL) {
        abort();
    }
    twin->writer = trace_writer_create(
        &(trace_writer_options){.sink = put, .context = twin->file, .unit_ns = 1});
    assert_non_null(twin->writer);
    twin->lives = zeroed((size_t)2 * STEPS * sizeof *twin->lives);
}

static void write_event(tape_twin *twin, trace_event event)
{
    event.time = twin->time += 10;
    assert_true(trace_writer_event(twin->writer, &event));
}

static void note_played(tape_twin *twin)
{
    twin->peak = twin->live > twin->peak ? twin->live : twin->peak;
    twin->peak_blocks = twin->count > twin->peak_blocks ? twin->count : twin->peak_blocks;
    twin->lives[twin->events++] = twin->live;
}

/* Reads what was written. */
static void read_back(tape_twin *twin, replay_tape *tape, bool pools)
{
    cli_trace_file file;
    const char *command = NULL;
    assert_true(trace_writer_close(twin->writer, 0));
    assert_int_equal(fclose(twin->file), 0);
    assert_true(cli_trace_file_open(&file, twin->path));
    assert_true(replay_tape_read(tape, &file, pools, &command));
    cli_trace_file_close(&file);
    unlink(twin->path);
}

static void end(tape_twin *twin, replay_tape *tape)
{
    replay_tape_close(tape);
    free(tape);
    free(twin->lives);
    free(twin);
}

/* -------------------------------------------------------------------------------------------------
 * Random events.
 */
static uint64_t random_size(tape_twin *twin)
{
    return next_random(twin, 9) == 0 ? 0 : next_random(twin, 1 << next_random(twin, 20)) + 1;
}

static uint64_t new_name(tape_twin *twin)
{
    return ++twin->given * 64;
}

static void step_alloc(tape_twin *twin, uint32_t thread)
{
    static const uint8_t ops[] = {TRACE_MALLOC, TRACE_CALLOC, TRACE_NEW, TRACE_NEW_ARRAY,
                                  TRACE_ALIGNED};
    const uint64_t size = random_size(twin);
    const uint8_t op = ops[next_random(twin, 5)];
    const bool fails = next_random(twin, 50) == 0;
    const uint64_t block = fails ? 0 : new_name(twin);
    write_event(twin, (trace_event){.op = op,
                                    .thread = thread,
                                    .block = block,
                                    .size = size,
                                    .alignment_log2 = op == TRACE_ALIGNED ? 6 : 0});
    if (fails) {
        twin->failed++;
        return;
    }
    twin->blocks[twin->count++] = (twin_block){block, size};
    twin->live += size;
    twin->allocations++;
    note_played(twin);
}

/* A peak that is soon over, and has to be among the points however many events come after it. */
static void step_spike(tape_twin *twin)
{
    const uint64_t block = new_name(twin);
    write_event(twin,
                (trace_event){.op = TRACE_MALLOC, .thread = 1, .block = block, .size = SPIKE});
    twin->count++;
    twin->live += SPIKE;
    twin->allocations++;
    note_played(twin);
    write_event(twin, (trace_event){.op = TRACE_FREE, .thread = 1, .block = block});
    twin->count--;
    twin->live -= SPIKE;
    note_played(twin);
}

static void step_free(tape_twin *twin, uint32_t thread)
{
    static const uint8_t ops[] = {TRACE_FREE, TRACE_FREE_SIZED, TRACE_DELETE, TRACE_DELETE_ARRAY};
    const uint8_t op = ops[next_random(twin, 4)];
    if (twin->count == 0 || next_random(twin, 40) == 0) {
        write_event(twin, (trace_event){.op = op, .thread = thread, .block = 48});
        twin->unknown++;
        return;
    }
    twin_block *block = &twin->blocks[next_random(twin, twin->count)];
    write_event(twin, (trace_event){.op = op, .thread = thread, .block = block->block});
    twin->live -= block->size;
    *block = twin->blocks[--twin->count];
    note_played(twin);
}

/* In one event, or given up first with another thread's event between. */
static void step_realloc(tape_twin *twin, uint32_t thread)
{
    if (twin->count == 0) {
        return;
    }
    const size_t at = next_random(twin, twin->count);
    const uint64_t old = twin->blocks[at].block;
    const uint64_t size = random_size(twin);
    const bool fails = next_random(twin, 20) == 0;
    const bool moves = !fails && next_random(twin, 2) == 0;
    const uint64_t block = fails ? 0 : moves || next_random(twin, 2) == 0 ? new_name(twin) : old;
    if (moves) {
        write_event(twin, (trace_event){.op = TRACE_MOVE, .thread = thread, .block = old});
        step_alloc(twin, thread % THREADS + 1);
    }
    write_event(
        twin,
        (trace_event){
            .op = TRACE_REALLOC, .thread = thread, .old_block = old, .block = block, .size = size});
    if (fails) {
        twin->failed++;
        return;
    }
    twin->live += size - twin->blocks[at].size;
    twin->blocks[at] = (twin_block){block, size};
    twin->reallocs++;
    note_played(twin);
}

static void write_random(tape_twin *twin)
{
    for (size_t i = 0; i < STEPS; i++) {
        const uint32_t thread = 1 + (uint32_t)next_random(twin, THREADS);
        const uint64_t what = next_random(twin, 10);
        if (i == STEPS / 10) {
            step_spike(twin);
        }
        if (what < 4 && twin->count < BLOCKS - 2) {
            step_alloc(twin, thread);
        } else if (what < 8) {
            step_free(twin, thread);
        } else if (twin->count < BLOCKS - 2) {
            step_realloc(twin, thread);
        }
    }
}

/* -------------------------------------------------------------------------------------------------
 * The tape.
 */

/* Plays the tape with sizes alone. */
static void expect_events(const replay_tape *tape, const tape_twin *twin)
{
    uint64_t *sizes =
        zeroed(((size_t)tape->slots + 1) * sizeof *sizes); /* one more than they are; 0: free */
    uint64_t *lasts = zeroed(((size_t)tape->threads + 1) * sizeof *lasts);
    uint64_t *seen = zeroed(((size_t)tape->threads + 1) * sizeof *seen);
    uint64_t live = 0;
    for (uint64_t i = 0; i < tape->count; i++) {
        replay_event event;
        assert_int_equal(replay_tape_fetch(tape, i, &event, 1), 1);
        assert_true(event.slot < tape->slots && event.thread < tape->threads);
        uint64_t *size = &sizes[event.slot];
        assert_int_equal(*size != 0, event.op == REPLAY_REALLOC || event.op == REPLAY_FREE);
        live -= *size != 0 ? *size - 1 : 0;
        *size = event.op == REPLAY_FREE ? 0 : event.size + 1;
        live += event.size;
        assert_int_equal(live, twin->lives[i]);
        seen[event.thread] = i;
    }
    replay_event beyond;
    assert_int_equal(replay_tape_fetch(tape, tape->count, &beyond, 1), 0);
    assert_true(replay_tape_lasts(tape, lasts));
    assert_memory_equal(lasts, seen, tape->threads * sizeof *lasts);
    free(sizes);
    free(lasts);
    free(seen);
}

static void expect_points(const replay_tape *tape, const tape_twin *twin)
{
    bool has_peak = false;
    uint64_t before = 0;
    assert_true(tape->point_count > 0 && tape->point_count <= REPLAY_POINTS_MAX);
    for (size_t i = 0; i < tape->point_count; i++) {
        const replay_point *point = &tape->points[i];
        assert_true(point->after > before);
        assert_int_equal(point->live, twin->lives[point->after - 1]);
        has_peak = has_peak || (point->after == tape->peak_after && point->live == twin->peak);
        before = point->after;
    }
    assert_true(has_peak);
    assert_int_equal(before, tape->count);
}

static void a_tape_is_what_the_naive_twin_says(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        tape_twin *twin = zeroed(sizeof *twin);
        replay_tape *tape = zeroed(sizeof *tape);
        twin->random = seed * UINT64_C(0x9E3779B97F4A7C15);
        print_message("seed %llu\n", (unsigned long long)seed);
        begin(twin);
        write_random(twin);
        read_back(twin, tape, false);
        assert_int_equal(tape->count, twin->events);
        assert_int_equal(tape->allocations, twin->allocations);
        assert_int_equal(tape->reallocs, twin->reallocs);
        assert_int_equal(tape->frees, twin->events - twin->allocations - twin->reallocs);
        assert_int_equal(tape->failed, twin->failed);
        assert_int_equal(tape->unknown, twin->unknown);
        assert_int_equal(tape->peak_live, twin->peak);
        assert_int_equal(tape->peak_blocks, twin->peak_blocks);
        assert_int_equal(tape->live_end, twin->live);
        assert_int_equal(tape->blocks_end, twin->count);
        assert_true(tape->slots <= twin->peak_blocks + THREADS);
        assert_int_equal(tape->threads, THREADS);
        assert_int_equal(tape->twice, 0);
        expect_events(tape, twin);
        expect_points(tape, twin);
        end(twin, tape);
    }
}

static void a_block_that_is_given_while_it_is_live_was_freed_before(void **state)
{
    (void)state;
    tape_twin *twin = zeroed(sizeof *twin);
    replay_tape *tape = zeroed(sizeof *tape);
    begin(twin);
    const trace_event first = {.op = TRACE_MALLOC, .thread = 1, .block = 64, .size = 100};
    const trace_event other = {.op = TRACE_MALLOC, .thread = 1, .block = 128, .size = 7};
    write_event(twin, first);
    write_event(twin, other);
    write_event(twin, (trace_event){.op = TRACE_MALLOC, .thread = 1, .block = 64, .size = 50});
    write_event(
        twin,
        (trace_event){.op = TRACE_REALLOC, .thread = 1, .old_block = 64, .block = 128, .size = 60});
    read_back(twin, tape, false);
    assert_int_equal(tape->twice, 2);
    assert_int_equal(tape->count, 6);
    assert_int_equal(tape->peak_live, 107);
    assert_int_equal(tape->live_end, 60);
    end(twin, tape);
}

/* The first thread's realloc has given up a block whose address the second one gets, and gives
 * up as well. */
static void two_threads_may_move_blocks_of_one_address(void **state)
{
    (void)state;
    tape_twin *twin = zeroed(sizeof *twin);
    replay_tape *tape = zeroed(sizeof *tape);
    begin(twin);
    write_event(twin, (trace_event){.op = TRACE_MALLOC, .thread = 1, .block = 64, .size = 100});
    write_event(twin, (trace_event){.op = TRACE_MOVE, .thread = 1, .block = 64});
    write_event(twin, (trace_event){.op = TRACE_MALLOC, .thread = 2, .block = 64, .size = 30});
    write_event(twin, (trace_event){.op = TRACE_MOVE, .thread = 2, .block = 64});
    write_event(twin,
                (trace_event){
                    .op = TRACE_REALLOC, .thread = 1, .old_block = 64, .block = 640, .size = 1000});
    write_event(
        twin,
        (trace_event){.op = TRACE_REALLOC, .thread = 2, .old_block = 64, .block = 64, .size = 7});
    write_event(twin, (trace_event){.op = TRACE_FREE, .thread = 2, .block = 640});
    read_back(twin, tape, false);
    assert_int_equal(tape->count, 5);
    assert_int_equal(tape->reallocs, 2);
    assert_int_equal(tape->twice, 0);
    assert_int_equal(tape->unknown, 0);
    assert_int_equal(tape->peak_live, 1030);
    assert_int_equal(tape->live_end, 7);
    assert_int_equal(tape->slots, 2);
    end(twin, tape);
}

static void a_block_whose_realloc_failed_is_back(void **state)
{
    (void)state;
    tape_twin *twin = zeroed(sizeof *twin);
    replay_tape *tape = zeroed(sizeof *tape);
    begin(twin);
    write_event(twin, (trace_event){.op = TRACE_MALLOC, .thread = 1, .block = 64, .size = 100});
    write_event(twin, (trace_event){.op = TRACE_MOVE, .thread = 1, .block = 64});
    write_event(twin,
                (trace_event){.op = TRACE_REALLOC, .thread = 1, .old_block = 64, .size = 1000});
    write_event(twin, (trace_event){.op = TRACE_FREE, .thread = 2, .block = 64});
    read_back(twin, tape, false);
    assert_int_equal(tape->failed, 1);
    assert_int_equal(tape->unknown, 0);
    assert_int_equal(tape->count, 2);
    assert_int_equal(tape->live_end, 0);
    end(twin, tape);
}

static void sizes_that_no_event_has_room_for_are_left_out(void **state)
{
    (void)state;
    tape_twin *twin = zeroed(sizeof *twin);
    replay_tape *tape = zeroed(sizeof *tape);
    begin(twin);
    write_event(twin, (trace_event){
                          .op = TRACE_MALLOC, .thread = 1, .block = 64, .size = UINT64_C(1) << 60});
    write_event(twin, (trace_event){.op = TRACE_FREE, .thread = 1, .block = 64});
    write_event(
        twin, (trace_event){
                  .op = TRACE_MALLOC, .thread = 1, .block = 128, .size = (UINT64_C(1) << 47) - 1});
    read_back(twin, tape, false);
    assert_int_equal(tape->huge, 1);
    assert_int_equal(tape->unknown, 1);
    assert_int_equal(tape->count, 1);
    assert_int_equal(tape->peak_live, (UINT64_C(1) << 47) - 1);
    end(twin, tape);
}

static void pools_are_played_when_asked_for_with_their_resets(void **state)
{
    (void)state;
    tape_twin *twin = zeroed(sizeof *twin);
    replay_tape *tape = zeroed(sizeof *tape);
    begin(twin);
    write_event(twin, (trace_event){.op = TRACE_MALLOC, .thread = 1, .block = 64, .size = 5000});
    for (uint64_t i = 0; i < 10; i++) {
        write_event(twin, (trace_event){.op = TRACE_POOL_ALLOC,
                                        .thread = 1,
                                        .block = 64 + i * 64,
                                        .size = 64,
                                        .pool = POOL});
    }
    write_event(twin, (trace_event){.op = TRACE_POOL_RESET, .thread = 1, .pool = POOL});
    write_event(twin, (trace_event){.op = TRACE_POOL_RESET, .thread = 1, .pool = POOL + 1});
    read_back(twin, tape, true);
    assert_int_equal(tape->count, 20);
    assert_int_equal(tape->peak_live, 640);
    assert_int_equal(tape->live_end, 0);
    assert_int_equal(tape->class_peaks[replay_class_of(64)], 10);
    end(twin, tape);
}

static void classes_hold_what_is_in_them(void **state)
{
    (void)state;
    for (unsigned log2 = 0; log2 < 47; log2++) {
        for (uint64_t near = 0; near < 40; near++) {
            const uint64_t size = (UINT64_C(1) << log2) + near * ((UINT64_C(1) << log2) / 37 + 1);
            const unsigned class = replay_class_of(size);
            assert_true(class < REPLAY_CLASS_COUNT);
            assert_true(size <= replay_class_size(class));
            assert_true(class == 0 || size > replay_class_size(class - 1));
            assert_true(size < 128 || replay_class_size(class) <= size + size / 8 + 16);
        }
    }
    assert_int_equal(replay_class_of(0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tape_is_what_the_naive_twin_says),
        cmocka_unit_test(a_block_that_is_given_while_it_is_live_was_freed_before),
        cmocka_unit_test(two_threads_may_move_blocks_of_one_address),
        cmocka_unit_test(a_block_whose_realloc_failed_is_back),
        cmocka_unit_test(sizes_that_no_event_has_room_for_are_left_out),
        cmocka_unit_test(pools_are_played_when_asked_for_with_their_resets),
        cmocka_unit_test(classes_hold_what_is_in_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
