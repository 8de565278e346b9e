/* SPDX-License-Identifier: MIT */
#include "trace/format.h"
#include "trace/reader.h"
#include "trace/varint.h"
#include "trace/writer.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A file in memory. */
typedef struct disk {
    unsigned char *bytes;
    size_t size;
    size_t room; /* the most that may be written */
    bool is_read_faulty;
} disk;

static bool sink(void *context, const void *bytes, size_t size)
{
    disk *file = context;
    if (size > file->room - file->size) {
        return false;
    }
    memcpy(file->bytes + file->size, bytes, size);
    file->size += size;
    return true;
}

static bool read_file(void *context, uint64_t offset, void *bytes, size_t size)
{
    const disk *file = context;
    assert_true(offset <= file->size && size <= file->size - offset);
    memcpy(bytes, file->bytes + offset, size);
    return !file->is_read_faulty;
}

static disk make_file(void)
{
    const size_t room = 8 << 20;
    disk file = {.bytes = malloc(room), .room = room};
    assert_non_null(file.bytes);
    return file;
}

static trace_source source_of(disk *file)
{
    return (trace_source){.read = read_file, .context = file, .size = file->size};
}

static trace_reader *open_file(disk *file)
{
    trace_fault fault;
    const trace_source source = source_of(file);
    trace_reader *reader = trace_reader_open(&source, &fault);
    if (reader == NULL) {
        fail_msg("cannot open: %s at %" PRIu64, fault.text, fault.offset);
    }
    return reader;
}

static trace_writer *make_writer(disk *file, uint32_t events_max)
{
    trace_writer *writer = trace_writer_create(&(trace_writer_options){
        .sink = sink, .context = file, .unit_ns = 1, .events_max = events_max, .process = 77});
    assert_non_null(writer);
    return writer;
}

static uint64_t next_random(uint64_t *state)
{
    *state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t mixed = *state;
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94D049BB133111EB);
    return mixed ^ mixed >> 31;
}

/* A program that allocates and frees, of a few sizes, from a few stacks, on a bumping allocator that gives
 * the newest freed block again; now and then something that no model expects. */
enum { LIVE_MAX = 512, SIZES = 8, FREED_MAX = 256 };

typedef struct client {
    uint64_t random;
    uint64_t time;
    uint64_t bump;
    struct {
        uint64_t address;
        uint64_t size;
    } live[LIVE_MAX];
    size_t live_count;
    uint64_t freed[SIZES][FREED_MAX];
    size_t freed_count[SIZES];
} client;

static uint64_t take_address(client *program, unsigned class)
{
    if (program->freed_count[class] > 0 && next_random(&program->random) % 8 != 0) {
        return program->freed[class][--program->freed_count[class]];
    }
    const uint64_t address = program->bump;
    program->bump += 32 * (class + 1U);
    return address;
}

static void give_address(client *program, uint64_t address, uint64_t size)
{
    const unsigned class = (unsigned)((size - 1) / 32 % SIZES);
    if (program->freed_count[class] < FREED_MAX) {
        program->freed[class][program->freed_count[class]++] = address;
    }
}

static trace_event make_strange_event(client *program)
{
    trace_event event = {.time = program->time,
                         .thread = (uint32_t)next_random(&program->random),
                         .stack = (uint32_t)next_random(&program->random)};
    event.op = (uint8_t)(next_random(&program->random) % TRACE_OP_COUNT);
    event.block = next_random(&program->random) >> (3 + next_random(&program->random) % 61);
    if (event.op == TRACE_REALLOC) {
        event.old_block = next_random(&program->random) >> (3 + next_random(&program->random) % 61);
    }
    if (event.op == TRACE_REALLOC || trace_op_is_alloc(event.op)) {
        event.size = next_random(&program->random) >> next_random(&program->random) % 64;
    }
    if (event.op == TRACE_POOL_RESET || event.op == TRACE_POOL_CLOSE) {
        event.block = 0;
    }
    if (trace_op_has_pool(event.op)) {
        event.pool = (uint32_t)next_random(&program->random);
    }
    event.alignment_log2 =
        next_random(&program->random) % 2 == 0 ? 0 : (uint8_t)(next_random(&program->random) % 64);
    return event;
}

static trace_event make_event(client *program)
{
    const uint64_t dice = next_random(&program->random) % 100;
    program->time +=
        next_random(&program->random) % 4 == 0 ? next_random(&program->random) % 5000 : 0;
    if (dice == 0) {
        return make_strange_event(program);
    }
    trace_event event = {.time = program->time,
                         .thread = dice < 10 ? 2 : 1,
                         .stack = (uint32_t)(next_random(&program->random) % 20)};
    if (program->live_count > 0 && (dice < 45 || program->live_count == LIVE_MAX)) {
        const size_t which = next_random(&program->random) % 3 == 0
                                 ? next_random(&program->random) % program->live_count
                                 : program->live_count - 1;
        event.block = program->live[which].address;
        const uint64_t size = program->live[which].size;
        if (dice > 40) {
            event.op = TRACE_REALLOC;
            event.old_block = event.block;
            event.size = 1 + next_random(&program->random) % (32 * SIZES);
            if (next_random(&program->random) % 2 == 0) {
                give_address(program, event.block, size);
                event.block = take_address(program, (unsigned)((event.size - 1) / 32));
            }
            program->live[which].address = event.block;
            program->live[which].size = event.size;
            return event;
        }
        event.op = (uint8_t)(TRACE_FREE + next_random(&program->random) % 4);
        give_address(program, event.block, size);
        program->live[which] = program->live[--program->live_count];
        return event;
    }
    event.op = (uint8_t)(dice % 6 == TRACE_REALLOC ? TRACE_MALLOC : dice % 6);
    event.size = 1 + next_random(&program->random) % (32 * SIZES);
    event.alignment_log2 = event.op == TRACE_ALIGNED ? 6 : 0;
    event.block = take_address(program, (unsigned)((event.size - 1) / 32));
    program->live[program->live_count].address = event.block;
    program->live[program->live_count++].size = event.size;
    return event;
}

static void assert_event(const trace_event *is, const trace_event *should, size_t at)
{
    if (is->time != should->time || is->block != should->block ||
        is->old_block != should->old_block || is->size != should->size ||
        is->thread != should->thread || is->stack != should->stack || is->pool != should->pool ||
        is->op != should->op || is->alignment_log2 != should->alignment_log2) {
        fail_msg("event %zu: %s of %" PRIx64 " (%" PRIx64 "), %" PRIu64 " bytes at %" PRIu64
                 " should be %s of %" PRIx64 " (%" PRIx64 "), %" PRIu64 " bytes at %" PRIu64,
                 at, trace_op_name(is->op), is->block, is->old_block, is->size, is->time,
                 trace_op_name(should->op), should->block, should->old_block, should->size,
                 should->time);
    }
}

static void write_program(disk *file, uint64_t seed, size_t count, uint32_t events_max)
{
    client program = {.random = seed, .bump = UINT64_C(0x5581f0000010)};
    trace_writer *writer = make_writer(file, events_max);
    for (size_t i = 0; i < count; i++) {
        const trace_event event = make_event(&program);
        assert_true(trace_writer_event(writer, &event));
    }
    assert_int_equal(trace_writer_events(writer), count);
    assert_true(trace_writer_close(writer, 3));
}

/* Reads what is left; returns how many events there were, or -1 at a fault. */
static int64_t read_and_hash(trace_reader *reader, uint64_t *hash)
{
    trace_item item;
    int64_t events = 0;
    for (;;) {
        switch (trace_reader_next(reader, &item)) {
        case TRACE_ITEM:
            if (item.kind == TRACE_EVENT) {
                const trace_event *event = &item.event;
                *hash += event->time + event->block + event->old_block + event->size +
                         event->thread + event->stack + event->op;
                next_random(hash);
                events++;
            }
            break;
        case TRACE_END:
            return events;
        case TRACE_FAULTY:
            assert_true(strlen(trace_reader_fault(reader)->text) > 0);
            return -1;
        }
    }
}

static int64_t read_all(trace_reader *reader)
{
    uint64_t hash = 0;
    return read_and_hash(reader, &hash);
}

static void events_come_back_as_they_were_written(void **state)
{
    (void)state;
    const char *given = getenv("TRACE_SEED");
    for (unsigned round = 0; round < 12; round++) {
        const uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : round + 1;
        print_message("seed %" PRIu64 "\n", seed);
        disk file = make_file();
        const size_t count = 20000;
        write_program(&file, seed, count, round % 3 == 0 ? 0 : 1 + 777 * round);
        trace_reader *reader = open_file(&file);
        assert_int_equal(trace_reader_header(reader)->process, 77);
        client program = {.random = seed, .bump = UINT64_C(0x5581f0000010)};
        for (size_t i = 0; i < count; i++) {
            const trace_event should = make_event(&program);
            trace_item item;
            if (trace_reader_next(reader, &item) != TRACE_ITEM) {
                fail_msg("event %zu: %s", i, trace_reader_fault(reader)->text);
            }
            assert_int_equal(item.kind, TRACE_EVENT);
            assert_event(&item.event, &should, i);
        }
        assert_int_equal(read_all(reader), 0);
        uint64_t offset;
        assert_false(trace_reader_is_cut(reader, &offset));
        trace_summary summary;
        assert_true(trace_reader_summary(reader, &summary));
        assert_int_equal(summary.events, count);
        assert_int_equal(summary.lost, 3);
        assert_int_equal(summary.last_time, program.time);
        trace_reader_close(reader);
        free(file.bytes);
    }
}

static void times_are_rounded_down_and_never_decrease(void **state)
{
    (void)state;
    disk file = make_file();
    trace_writer *writer = trace_writer_create(
        &(trace_writer_options){.sink = sink, .context = &file, .unit_ns = 1000});
    const uint64_t times[] = {1999, 2000, 500, 70000};
    const uint64_t read[] = {1000, 2000, 2000, 70000};
    for (size_t i = 0; i < 4; i++) {
        assert_true(trace_writer_event(writer, &(trace_event){.time = times[i], .block = 16}));
    }
    assert_true(trace_writer_close(writer, 0));
    trace_reader *reader = open_file(&file);
    for (size_t i = 0; i < 4; i++) {
        trace_item item;
        assert_int_equal(trace_reader_next(reader, &item), TRACE_ITEM);
        assert_int_equal(item.event.time, read[i]);
    }
    trace_reader_close(reader);
    free(file.bytes);
}

static bool is_text(trace_text text, const char *should)
{
    return text.size == strlen(should) && memcmp(text.start, should, text.size) == 0;
}

static void definitions_come_before_the_events_that_name_them(void **state)
{
    (void)state;
    disk file = make_file();
    trace_writer *writer = make_writer(&file, 0);
    const uint64_t first[] = {0x401000, 0x402000, 0x7f0000001000};
    const uint64_t second[] = {0x401010, 0x400fff, 0x402000, 0x7f0000001000};
    assert_true(trace_writer_info(writer, "command", "prog -x"));
    assert_true(trace_writer_thread(writer, &(trace_thread){1, 4711, {"main", 4}}));
    assert_true(trace_writer_event(writer, &(trace_event){.block = 16, .stack = 9, .thread = 1}));
    assert_true(trace_writer_stack(writer, &(trace_stack){9, 3, first}));
    assert_true(trace_writer_stack(writer, &(trace_stack){8, 4, second}));
    assert_true(trace_writer_stack(writer, &(trace_stack){7, 0, NULL}));
    assert_true(trace_writer_module(
        writer, &(trace_module){0x400000, 0x5000, 0x1000, {"\1\0\2", 3}, {"/bin/prog", 9}}));
    assert_true(trace_writer_pool(writer, &(trace_pool){5, 4, {"arena", 5}, {"", 0}}));
    assert_true(trace_writer_close(writer, 0));

    trace_reader *reader = open_file(&file);
    trace_item item;
    assert_int_equal(trace_reader_next(reader, &item), TRACE_ITEM);
    assert_true(item.kind == TRACE_INFO && is_text(item.info.name, "command") &&
                is_text(item.info.value, "prog -x"));
    assert_int_equal(trace_reader_next(reader, &item), TRACE_ITEM);
    assert_true(item.kind == TRACE_THREAD && item.thread.thread == 1 &&
                item.thread.system_id == 4711 && is_text(item.thread.name, "main"));
    assert_int_equal(trace_reader_next(reader, &item), TRACE_ITEM);
    assert_true(item.kind == TRACE_STACK && item.stack.stack == 9 && item.stack.count == 3);
    assert_memory_equal(item.stack.frames, first, sizeof first);
    assert_int_equal(trace_reader_next(reader, &item), TRACE_ITEM);
    assert_true(item.kind == TRACE_STACK && item.stack.stack == 8 && item.stack.count == 4);
    assert_memory_equal(item.stack.frames, second, sizeof second);
    assert_int_equal(trace_reader_next(reader, &item), TRACE_ITEM);
    assert_true(item.kind == TRACE_STACK && item.stack.stack == 7 && item.stack.count == 0);
    assert_int_equal(trace_reader_next(reader, &item), TRACE_ITEM);
    assert_true(item.kind == TRACE_MODULE && item.module.start == 0x400000 &&
                item.module.size == 0x5000 && item.module.bias == 0x1000 &&
                item.module.build_id.size == 3 && is_text(item.module.path, "/bin/prog"));
    assert_int_equal(trace_reader_next(reader, &item), TRACE_ITEM);
    assert_true(item.kind == TRACE_POOL && item.pool.pool == 5 && item.pool.parent == 4 &&
                is_text(item.pool.kind, "arena") && item.pool.name.size == 0);
    assert_int_equal(trace_reader_next(reader, &item), TRACE_ITEM);
    assert_true(item.kind == TRACE_EVENT && item.event.stack == 9);
    assert_int_equal(trace_reader_next(reader, &item), TRACE_END);
    trace_reader_close(reader);
    free(file.bytes);
}

static void long_texts_and_deep_stacks_are_cut(void **state)
{
    (void)state;
    disk file = make_file();
    trace_writer *writer = make_writer(&file, 0);
    char *text = malloc(TRACE_TEXT_MAX + 10);
    memset(text, 'x', TRACE_TEXT_MAX + 10);
    static uint64_t frames[TRACE_FRAMES_MAX + 5];
    for (size_t i = 0; i < TRACE_FRAMES_MAX + 5; i++) {
        frames[i] = UINT64_MAX / (i + 1);
    }
    assert_true(trace_writer_thread(
        writer, &(trace_thread){.name = {text, TRACE_TEXT_MAX + 10}, .thread = 3}));
    assert_true(trace_writer_stack(writer, &(trace_stack){1, TRACE_FRAMES_MAX + 5, frames}));
    assert_true(trace_writer_close(writer, 0));
    trace_reader *reader = open_file(&file);
    trace_item item;
    assert_int_equal(trace_reader_next(reader, &item), TRACE_ITEM);
    assert_int_equal(item.thread.name.size, TRACE_TEXT_MAX);
    assert_int_equal(trace_reader_next(reader, &item), TRACE_ITEM);
    assert_int_equal(item.stack.count, TRACE_FRAMES_MAX);
    assert_memory_equal(item.stack.frames, frames, TRACE_FRAMES_MAX * sizeof *frames);
    trace_reader_close(reader);
    free(text);
    free(file.bytes);
}

static void events_that_cannot_be_are_refused(void **state)
{
    (void)state;
    disk file = make_file();
    trace_writer *writer = make_writer(&file, 0);
    assert_false(trace_writer_event(writer, &(trace_event){.op = TRACE_OP_COUNT}));
    assert_false(trace_writer_event(writer, &(trace_event){.block = TRACE_ADDRESS_END}));
    assert_false(trace_writer_event(
        writer, &(trace_event){.op = TRACE_REALLOC, .old_block = UINT64_MAX, .block = 16}));
    assert_false(trace_writer_event(writer, &(trace_event){.alignment_log2 = 64}));
    assert_false(trace_writer_stack(writer, &(trace_stack){0, 0, NULL}));
    assert_true(trace_writer_close(writer, 0));
    trace_reader *reader = open_file(&file);
    assert_int_equal(read_all(reader), 0);
    trace_reader_close(reader);
    free(file.bytes);
}

static void a_file_that_was_cut_anywhere_is_read_to_its_last_whole_part(void **state)
{
    (void)state;
    disk file = make_file();
    write_program(&file, 5, 400, 40);
    const size_t whole = file.size;
    int64_t before = 0;
    for (size_t size = 0; size < whole; size++) {
        file.size = size;
        trace_fault fault = {0};
        const trace_source source = source_of(&file);
        trace_reader *reader = trace_reader_open(&source, &fault);
        if (size < FORMAT_FRAME_SIZE + FORMAT_HEADER_SIZE) {
            assert_null(reader);
            assert_string_equal(fault.text, size == 0   ? "the file is empty"
                                            : size < 16 ? "this is no trace of Tarn"
                                                        : "the file is cut off within its header");
            continue;
        }
        assert_non_null(reader);
        const int64_t events = read_all(reader);
        uint64_t offset;
        assert_true(trace_reader_is_cut(reader, &offset));
        assert_true(offset <= size);
        assert_int_equal(events % 40, 0);
        assert_true(events >= before && events <= 400);
        before = events;
        trace_summary summary;
        assert_false(trace_reader_summary(reader, &summary));
        trace_reader_close(reader);
    }
    assert_int_equal(before, 400);
    free(file.bytes);
}

static void no_flip_of_a_bit_changes_what_is_read_without_a_fault(void **state)
{
    (void)state;
    disk file = make_file();
    write_program(&file, 6, 100, 40);
    trace_reader *good = open_file(&file);
    uint64_t good_hash = 0;
    assert_int_equal(read_and_hash(good, &good_hash), 100);
    trace_reader_close(good);
    for (size_t i = 0; i < 8 * file.size; i++) {
        file.bytes[i / 8] ^= (unsigned char)(1U << i % 8);
        trace_fault fault = {0};
        const trace_source source = source_of(&file);
        trace_reader *reader = trace_reader_open(&source, &fault);
        if (reader != NULL) {
            uint64_t offset;
            uint64_t hash = 0;
            const int64_t events = read_and_hash(reader, &hash);
            const bool is_cut = trace_reader_is_cut(reader, &offset);
            /* A few bits of a zstd frame mean nothing. */
            if (events >= 0 && !is_cut && (events != 100 || hash != good_hash)) {
                fail_msg("bit %zu of byte %zu goes unnoticed", i % 8, i / 8);
            }
            if (events < 0) {
                assert_true(trace_reader_fault(reader)->offset <= i / 8);
            }
            trace_reader_close(reader);
        }
        file.bytes[i / 8] ^= (unsigned char)(1U << i % 8);
    }
    free(file.bytes);
}

static void a_newer_version_is_refused_by_its_number(void **state)
{
    (void)state;
    disk file = make_file();
    write_program(&file, 7, 10, 0);
    unsigned char *header = file.bytes + FORMAT_FRAME_SIZE;
    trace_put_fixed(header + 8, FORMAT_MAJOR + 1, 2);
    trace_put_fixed(header + 44, format_check(header, 44), 4);
    trace_fault fault;
    const trace_source source = source_of(&file);
    assert_null(trace_reader_open(&source, &fault));
    assert_string_equal(fault.text, "the trace has format 2.0; this reads up to 1.x");
    assert_int_equal(fault.offset, 16);
    free(file.bytes);
}

static void parts_of_a_later_minor_version_are_passed_over(void **state)
{
    (void)state;
    disk file = make_file();
    trace_writer *writer = make_writer(&file, 10);
    for (uint64_t i = 0; i < 15; i++) {
        assert_true(trace_writer_event(writer, &(trace_event){.block = 16 + 16 * i, .size = 1}));
    }
    assert_true(trace_writer_close(writer, 0));
    /* The first part becomes one of an unknown kind; what follows counts from there. */
    unsigned char *part = file.bytes + 2 * FORMAT_FRAME_SIZE + FORMAT_HEADER_SIZE;
    trace_put_fixed(part, 9, 4);
    trace_put_fixed(part + 44, format_check(part, 44), 4);
    unsigned char *next =
        part + FORMAT_PART_SIZE + trace_get_fixed(part + 4, 4) + FORMAT_FRAME_SIZE;
    trace_put_fixed(next + 32, 0, 8);
    trace_put_fixed(next + 44, format_check(next, 44), 4);
    file.size = (size_t)(next - file.bytes) + FORMAT_PART_SIZE + trace_get_fixed(next + 4, 4);
    trace_reader *reader = open_file(&file);
    assert_int_equal(read_all(reader), 5);
    trace_reader_close(reader);
    free(file.bytes);
}

static void a_foreign_file_is_no_trace(void **state)
{
    (void)state;
    disk file = make_file();
    file.size = (size_t)snprintf((char *)file.bytes, file.room, "%s",
                                 "time,size\n1,2\n3,4\nand so on, a text that is long enough\n");
    trace_fault fault;
    const trace_source source = source_of(&file);
    assert_null(trace_reader_open(&source, &fault));
    assert_string_equal(fault.text, "this is no trace of Tarn");
    assert_int_equal(fault.offset, 0);
    free(file.bytes);
}

static void a_file_that_cannot_be_read_is_a_fault(void **state)
{
    (void)state;
    disk file = make_file();
    write_program(&file, 8, 10, 0);
    trace_reader *reader = open_file(&file);
    file.is_read_faulty = true;
    assert_int_equal(read_all(reader), -1);
    assert_string_equal(trace_reader_fault(reader)->text, "cannot read the file");
    trace_reader_close(reader);
    free(file.bytes);
}

/* Events of the parts that are whole. */
static uint64_t count_events(disk *file)
{
    trace_fault fault;
    const trace_source source = source_of(file);
    trace_reader *reader = trace_reader_open(&source, &fault);
    uint64_t count = 0;
    trace_item item;
    while (reader != NULL && trace_reader_next(reader, &item) == TRACE_ITEM) {
        count += item.kind == TRACE_EVENT;
    }
    trace_reader_close(reader);
    return count;
}

static void a_full_disk_fails_once_and_for_all(void **state)
{
    (void)state;
    for (size_t room = 0; room < 1200; room += 7) {
        disk file = make_file();
        file.room = room;
        trace_writer *writer = trace_writer_create(&(trace_writer_options){
            .sink = sink, .context = &file, .unit_ns = 1, .events_max = 20});
        bool is_written = writer != NULL;
        for (size_t i = 0; is_written && i < 200; i++) {
            is_written = trace_writer_event(writer, &(trace_event){.block = 16 + i * i * 48});
        }
        if (writer != NULL) {
            const bool before = is_written;
            assert_true(before || !trace_writer_event(writer, &(trace_event){.block = 16}));
            const uint64_t counted = trace_writer_events(writer);
            is_written = trace_writer_close(writer, 0);
            assert_true(before || !is_written);
            if (!before) {
                assert_int_equal(count_events(&file), counted);
            }
        }
        assert_false(is_written);
        assert_true(file.size <= room);
        free(file.bytes);
    }
}

static void seeking_finds_the_part_with_the_event(void **state)
{
    (void)state;
    for (unsigned with_index = 0; with_index < 2; with_index++) {
        disk file = make_file();
        write_program(&file, 9, 1000, 64);
        if (with_index == 0) {
            file.size--;
        }
        trace_reader *reader = open_file(&file);
        for (uint64_t event = 0; event < 1000; event += 13) {
            assert_true(trace_reader_seek(reader, event));
            assert_int_equal(read_all(reader), 1000 - event / 64 * 64);
        }
        assert_false(trace_reader_seek(reader, 1000));
        assert_string_equal(trace_reader_fault(reader)->text, "the trace has only 1000 events");
        trace_reader_close(reader);
        free(file.bytes);
    }
}

static void a_trace_without_events_is_whole(void **state)
{
    (void)state;
    disk file = make_file();
    trace_writer *writer = make_writer(&file, 0);
    assert_true(trace_writer_close(writer, 0));
    assert_true(trace_writer_close(NULL, 0));
    trace_reader *reader = open_file(&file);
    uint64_t offset;
    assert_int_equal(read_all(reader), 0);
    assert_false(trace_reader_is_cut(reader, &offset));
    trace_reader_close(reader);
    trace_reader_close(NULL);
    free(file.bytes);
}

static void numbers_of_seven_bits_a_byte_have_one_form(void **state)
{
    (void)state;
    unsigned char bytes[TRACE_VARINT_MAX];
    uint64_t number;
    for (unsigned i = 0; i < 64; i++) {
        for (int64_t d = -1; d <= 1; d++) {
            const uint64_t should = (UINT64_C(1) << i) + (uint64_t)d;
            const unsigned char *end = trace_put_varint(bytes, should);
            assert_ptr_equal(trace_get_varint(bytes, end, &number), end);
            assert_int_equal(number, should);
            assert_null(trace_get_varint(bytes, end - 1, &number));
            assert_int_equal(trace_unzigzag(trace_zigzag((int64_t)should)), (int64_t)should);
        }
    }
    const unsigned char padded[] = {0x81, 0x00};
    assert_null(trace_get_varint(padded, padded + 2, &number));
    const unsigned char large[] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02};
    assert_null(trace_get_varint(large, large + 10, &number));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_back_as_they_were_written),
        cmocka_unit_test(times_are_rounded_down_and_never_decrease),
        cmocka_unit_test(definitions_come_before_the_events_that_name_them),
        cmocka_unit_test(long_texts_and_deep_stacks_are_cut),
        cmocka_unit_test(events_that_cannot_be_are_refused),
        cmocka_unit_test(a_file_that_was_cut_anywhere_is_read_to_its_last_whole_part),
        cmocka_unit_test(no_flip_of_a_bit_changes_what_is_read_without_a_fault),
        cmocka_unit_test(a_newer_version_is_refused_by_its_number),
        cmocka_unit_test(parts_of_a_later_minor_version_are_passed_over),
        cmocka_unit_test(a_foreign_file_is_no_trace),
        cmocka_unit_test(a_file_that_cannot_be_read_is_a_fault),
        cmocka_unit_test(a_full_disk_fails_once_and_for_all),
        cmocka_unit_test(seeking_finds_the_part_with_the_event),
        cmocka_unit_test(a_trace_without_events_is_whole),
        cmocka_unit_test(numbers_of_seven_bits_a_byte_have_one_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
