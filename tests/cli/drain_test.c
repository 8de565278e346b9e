/* SPDX-License-Identifier: MIT */
#include "cli/drain.h"
#include "cli/live.h"
#include "trace/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A program that is recorded, played by hand: its side of the ring. */

enum { FILE_ROOM = 16 << 20 };

typedef struct play {
    ring_header *ring;
    trace_writer *writer;
    cli_drain *drain;
    unsigned char *bytes;
    size_t size;
} play;

static bool put_bytes(void *context, const void *bytes, size_t size)
{
    play *stage = context;
    assert_true(size <= FILE_ROOM - stage->size);
    memcpy(stage->bytes + stage->size, bytes, size);
    stage->size += size;
    return true;
}

static bool get_bytes(void *context, uint64_t offset, void *bytes, size_t size)
{
    const play *stage = context;
    memcpy(bytes, stage->bytes + offset, size);
    return true;
}

static void set_up(play *stage, bool with_addresses)
{
    *stage = (play){.ring = aligned_alloc(4096, RING_SIZE), .bytes = malloc(FILE_ROOM)};
    assert_true(stage->ring != NULL && stage->bytes != NULL);
    memset(stage->ring, 0, RING_SIZE);
    stage->writer = trace_writer_create(
        &(trace_writer_options){.sink = put_bytes, .context = stage, .unit_ns = 1, .level = 1});
    const cli_clock clock = {.factor = UINT64_C(1) << 32};
    stage->drain = cli_drain_create(stage->ring, stage->writer, &clock, with_addresses);
    assert_true(stage->writer != NULL && stage->drain != NULL);
}

static void tear_down(play *stage)
{
    cli_drain_free(stage->drain);
    free(stage->ring);
    free(stage->bytes);
}

static ring_chunk *take_chunk(play *stage, uint32_t number, uint32_t thread)
{
    ring_chunk *chunk = ring_chunk_at(stage->ring, number);
    atomic_fetch_and(&stage->ring->free_chunks[number / 64], ~(UINT64_C(1) << number % 64));
    chunk->stream = thread;
    chunk->ticks = 0;
    atomic_store(&chunk->used, (uint32_t)sizeof *chunk);
    atomic_store(&chunk->thread, thread);
    return chunk;
}

static void put_event(ring_chunk *chunk, unsigned op, uint64_t block, uint64_t size, uint32_t ticks)
{
    const uint64_t words[] = {op | size << RING_SIZE_SHIFT | (uint64_t)ticks << 32, block};
    const uint32_t used = atomic_load(&chunk->used);
    memcpy((unsigned char *)chunk + used, words, sizeof words);
    atomic_store(&chunk->used, used + (uint32_t)sizeof words);
}

static void queue_chunk(play *stage, uint32_t number)
{
    const uint64_t place = atomic_fetch_add(&stage->ring->tail, 1);
    atomic_store(&stage->ring->queue[place % RING_CHUNKS], number + 1);
}

/* Ends the trace and reads it; the events are in `events`, at most `most`. */
static size_t read_events(play *stage, trace_event *events, size_t most)
{
    assert_true(trace_writer_close(stage->writer, 0));
    trace_fault fault;
    trace_reader *reader = trace_reader_open(
        &(trace_source){.read = get_bytes, .context = stage, .size = stage->size}, &fault);
    assert_non_null(reader);
    size_t count = 0;
    trace_item item;
    trace_result result;
    while ((result = trace_reader_next(reader, &item)) == TRACE_ITEM) {
        if (item.kind == TRACE_EVENT) {
            if (count < most) {
                events[count] = item.event;
            }
            count++;
        }
    }
    assert_int_equal(result, TRACE_END);
    trace_reader_close(reader);
    return count;
}

static void events_of_threads_come_in_the_order_of_their_times(void **state)
{
    (void)state;
    play stage;
    set_up(&stage, true);
    ring_chunk *one = take_chunk(&stage, 0, 1);
    ring_chunk *two = take_chunk(&stage, 1, 2);
    put_event(one, TRACE_MALLOC, 0x1000, 24, 10);
    put_event(two, TRACE_FREE, 0x1000, 0, 20);
    put_event(one, TRACE_MALLOC, 0x1000, 24, 30);
    put_event(one, TRACE_FREE, 0x1000, 0, 40);
    put_event(two, TRACE_MALLOC, 0x1000, 24, 50);
    /* The first thread goes on in another chunk, which may be seen before the first one is queued. */
    ring_chunk *next = take_chunk(&stage, 2, 1);
    queue_chunk(&stage, 0);
    put_event(next, TRACE_FREE, 0x1000, 0, 60);
    cli_drain_take(stage.drain, true);
    trace_event events[8];
    assert_int_equal(read_events(&stage, events, 8), 6);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(events[i].time, 10 * (i + 1));
        assert_int_equal(events[i].op, i % 2 == 0 ? TRACE_MALLOC : TRACE_FREE);
        assert_int_equal(events[i].block, 0x1000);
        assert_int_equal(events[i].thread, i == 1 || i == 4 ? 2 : 1);
    }
    tear_down(&stage);
}

static void a_realloc_with_others_in_between_gives_up_its_block_first(void **state)
{
    (void)state;
    play stage;
    set_up(&stage, false);
    ring_chunk *one = take_chunk(&stage, 0, 1);
    ring_chunk *two = take_chunk(&stage, 1, 2);
    put_event(one, TRACE_MALLOC, 0x1000, 24, 10);
    put_event(one, TRACE_MOVE, 0x1000, 0, 20);
    put_event(two, TRACE_MALLOC, 0x1000, 24, 25); /* the address is another's now */
    const uint64_t end[] = {TRACE_REALLOC | UINT64_C(100) << RING_SIZE_SHIFT | UINT64_C(30) << 32,
                            0x2000, 0x1000};
    const uint32_t used = atomic_load(&one->used);
    memcpy((unsigned char *)one + used, end, sizeof end);
    atomic_store(&one->used, used + (uint32_t)sizeof end);
    cli_drain_take(stage.drain, true);
    trace_event events[8];
    assert_int_equal(read_events(&stage, events, 8), 4);
    assert_true(events[0].op == TRACE_MALLOC && events[1].op == TRACE_MOVE &&
                events[2].op == TRACE_MALLOC && events[3].op == TRACE_REALLOC);
    assert_int_equal(events[1].block, events[0].block);
    assert_int_not_equal(events[2].block, events[0].block);
    assert_int_equal(events[3].old_block, events[0].block);
    assert_int_not_equal(events[3].block, events[2].block);
    tear_down(&stage);
}

static void chunks_go_back_when_they_are_taken(void **state)
{
    (void)state;
    play stage;
    set_up(&stage, false);
    for (uint32_t i = 0; i < RING_CHUNKS; i++) {
        put_event(take_chunk(&stage, i, 1), TRACE_MALLOC, 0x1000 + 64 * i, 24, i + 1);
        queue_chunk(&stage, i);
    }
    assert_int_equal(cli_drain_backlog(stage.drain), RING_CHUNKS);
    cli_drain_take(stage.drain, false);
    assert_int_equal(cli_drain_backlog(stage.drain), 0);
    assert_int_equal(cli_drain_events(stage.drain), RING_CHUNKS);
    assert_int_not_equal(atomic_load(&stage.ring->given_back), 0);
    assert_int_equal(read_events(&stage, NULL, 0), RING_CHUNKS);
    tear_down(&stage);
}

/* The program wrote where it should not have. Whatever is there, what is written is a sound trace. */
static void a_ring_that_was_overwritten_does_no_harm(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (unsigned round = 0; round < 60; round++) {
        play stage;
        set_up(&stage, round % 2 == 0);
        for (uint32_t i = 0; i < 24; i++) {
            ring_chunk *chunk = take_chunk(&stage, i, 1 + i % 3);
            for (uint32_t e = 0; e < 200; e++) {
                put_event(chunk, e % 12, 0x1000 + 16 * e, e, e);
            }
            if (i % 4 != 3) {
                queue_chunk(&stage, i);
            }
        }
        unsigned char *bytes = (unsigned char *)stage.ring;
        const size_t least = round % 3 == 0 ? 0 : RING_HEADER_SIZE;
        for (unsigned i = 0; i < 4000; i++) {
            random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            const size_t at =
                least + (random >> 20) % (RING_HEADER_SIZE - least + 24 * (size_t)RING_CHUNK_SIZE);
            bytes[at] = (unsigned char)(random >> 56);
        }
        cli_drain_take(stage.drain, false);
        cli_drain_take(stage.drain, true);
        (void)read_events(&stage, NULL, 0);
        tear_down(&stage);
    }
}

static void the_peak_of_few_blocks_is_exact(void **state)
{
    (void)state;
    cli_live *live = cli_live_create();
    for (uint64_t i = 1; i <= 60000; i++) {
        cli_live_add(live, 16 * i, 100);
    }
    for (uint64_t i = 1; i <= 60000; i += 2) {
        cli_live_remove(live, 16 * i);
    }
    assert_false(cli_live_is_estimate(live));
    assert_int_equal(cli_live_peak(live), 6000000);
    assert_int_equal(cli_live_now(live), 3000000);
    cli_live_remove(live, 16);
    cli_live_remove(live, 0);
    assert_int_equal(cli_live_now(live), 3000000);
    cli_live_free(live);
}

static void the_peak_of_many_blocks_is_near(void **state)
{
    (void)state;
    cli_live *live = cli_live_create();
    for (uint64_t i = 1; i <= 2000000; i++) {
        cli_live_add(live, 48 * i, 20 + i % 200);
    }
    cli_live_add(live, 16, UINT64_C(1) << 30);
    assert_true(cli_live_is_estimate(live));
    const double should = 2000000.0 * 119.5 + 1073741824.0;
    assert_true((double)cli_live_peak(live) > 0.98 * should);
    assert_true((double)cli_live_peak(live) < 1.02 * should);
    for (uint64_t i = 1; i <= 2000000; i++) {
        cli_live_remove(live, 48 * i);
    }
    assert_int_equal(cli_live_now(live), UINT64_C(1) << 30);
    cli_live_free(live);
}

static void the_peak_of_many_large_blocks_is_near(void **state)
{
    (void)state;
    cli_live *live = cli_live_create();
    for (uint64_t i = 1; i <= 400000; i++) {
        cli_live_add(live, 48 * i, 32768 + i % 200 * 512);
    }
    cli_live_add(live, 16, UINT64_C(1) << 40);
    assert_true(cli_live_is_estimate(live));
    const double should = 400000.0 * (32768.0 + 99.5 * 512.0) + 1099511627776.0;
    assert_true((double)cli_live_peak(live) - should > -0.02 * 400000.0 * 83712.0);
    assert_true((double)cli_live_peak(live) - should < 0.02 * 400000.0 * 83712.0);
    for (uint64_t i = 1; i <= 400000; i++) {
        cli_live_remove(live, 48 * i);
    }
    assert_int_equal(cli_live_now(live), UINT64_C(1) << 40);
    cli_live_free(live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_of_threads_come_in_the_order_of_their_times),
        cmocka_unit_test(a_realloc_with_others_in_between_gives_up_its_block_first),
        cmocka_unit_test(chunks_go_back_when_they_are_taken),
        cmocka_unit_test(a_ring_that_was_overwritten_does_no_harm),
        cmocka_unit_test(the_peak_of_few_blocks_is_exact),
        cmocka_unit_test(the_peak_of_many_blocks_is_near),
        cmocka_unit_test(the_peak_of_many_large_blocks_is_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
