/* SPDX-License-Identifier: MIT */
/*
 * Reading traces. The input's first byte says how: as a file; or as a program whose events are written, read and
 * compared; or as such a file that was altered, with its checks made good again, so that what they cannot find has to be
 * found by the reader itself.
 */
#include "trace/format.h"
#include "trace/reader.h"
#include "trace/varint.h"
#include "trace/writer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum { FILE_MAX = 1 << 20, EVENTS_MAX = 4096 };

typedef struct fuzz_file {
    unsigned char bytes[FILE_MAX];
    size_t size;
} fuzz_file;

static void require(bool condition)
{
    if (!condition) {
        __builtin_trap();
    }
}

static bool put(void *context, const void *bytes, size_t size)
{
    fuzz_file *file = context;
    require(size <= FILE_MAX - file->size);
    memcpy(file->bytes + file->size, bytes, size);
    file->size += size;
    return true;
}

static bool get(void *context, uint64_t offset, void *bytes, size_t size)
{
    const fuzz_file *file = context;
    require(offset <= file->size && size <= file->size - offset);
    memcpy(bytes, file->bytes + offset, size);
    return true;
}

static bool is_same(const trace_event *a, const trace_event *b)
{
    return a->time == b->time && a->block == b->block && a->old_block == b->old_block &&
           a->size == b->size && a->thread == b->thread && a->stack == b->stack &&
           a->pool == b->pool && a->op == b->op && a->alignment_log2 == b->alignment_log2;
}

/* Reads to the end or the first fault; what comes has to be sound. Returns how many events there were. */
static uint64_t read_all(fuzz_file *file, const trace_event *should, size_t count, bool *is_faulty)
{
    trace_fault fault = {0};
    const trace_source source = {.read = get, .context = file, .size = file->size};
    trace_reader *reader = trace_reader_open(&source, &fault);
    *is_faulty = reader == NULL;
    if (reader == NULL) {
        require(fault.text[0] != '\0' && fault.offset <= file->size);
        return 0;
    }
    uint64_t events = 0;
    uint64_t time = 0;
    trace_item item;
    trace_result result;
    while ((result = trace_reader_next(reader, &item)) == TRACE_ITEM) {
        if (item.kind == TRACE_STACK) {
            require(item.stack.count <= TRACE_FRAMES_MAX);
        }
        if (item.kind != TRACE_EVENT) {
            continue;
        }
        require(item.event.op < TRACE_OP_COUNT && item.event.time >= time);
        require(item.event.block < TRACE_ADDRESS_END && item.event.old_block < TRACE_ADDRESS_END);
        time = item.event.time;
        if (should != NULL) {
            require(events < count && is_same(&item.event, &should[events]));
        }
        events++;
    }
    *is_faulty = result == TRACE_FAULTY;
    if (result == TRACE_FAULTY) {
        require(trace_reader_fault(reader)->text[0] != '\0');
        require(trace_reader_fault(reader)->offset <= file->size);
    }
    if (!*is_faulty && events > 0) {
        require(trace_reader_seek(reader, events / 2));
        require(trace_reader_next(reader, &item) == TRACE_ITEM);
    }
    trace_summary summary;
    trace_reader_summary(reader, &summary);
    trace_reader_close(reader);
    return events;
}

/* Events from bytes: 4 each. */
static size_t make_events(const uint8_t *data, size_t size, trace_event *events)
{
    uint64_t time = 0;
    size_t count = 0;
    for (; size >= 4 && count < EVENTS_MAX; data += 4, size -= 4) {
        trace_event event;
        memset(&event, 0, sizeof event);
        event.op = data[0] % TRACE_OP_COUNT;
        event.thread = 1 + (data[0] >> 6);
        event.block = (uint64_t)data[1] * 16 + (data[3] % 8 == 0 ? 8 : 0);
        if (event.op == TRACE_REALLOC) {
            event.old_block = (uint64_t)data[2] * 16;
        }
        if (event.op == TRACE_REALLOC || trace_op_is_alloc(event.op)) {
            event.size = data[2] < 240 ? data[2] : UINT64_C(1) << data[3] % 64;
        }
        if (event.op == TRACE_POOL_RESET || event.op == TRACE_POOL_CLOSE) {
            event.block = 0;
        }
        event.pool = trace_op_has_pool(event.op) ? data[3] : 0;
        event.stack = data[3] >> 4;
        event.alignment_log2 = data[3] % 16 == 15 ? data[2] % 64 : 0;
        time += data[3] % 4;
        event.time = time;
        events[count++] = event;
    }
    return count;
}

static void write_events(fuzz_file *file, const trace_event *events, size_t count,
                         uint32_t events_max)
{
    trace_writer *writer = trace_writer_create(&(trace_writer_options){
        .sink = put, .context = file, .unit_ns = 1, .events_max = events_max, .level = 1});
    require(writer != NULL);
    const uint64_t frames[] = {1, 2, 3};
    require(trace_writer_stack(writer, &(trace_stack){1, 3, frames}));
    for (size_t i = 0; i < count; i++) {
        require(trace_writer_event(writer, &events[i]));
    }
    require(trace_writer_close(writer, 0));
}

/* A file of one part whose payload is the input's. */
static void wrap_payload(fuzz_file *file, const uint8_t *data, size_t size)
{
    write_events(file, NULL, 0, 0);
    file->size = FORMAT_FRAME_SIZE + FORMAT_HEADER_SIZE;
    if (size < 6) {
        return;
    }
    unsigned char *frame = file->bytes + file->size;
    unsigned char *part = frame + FORMAT_FRAME_SIZE;
    unsigned char *payload = part + FORMAT_PART_SIZE;
    const uint32_t kind = 1 + data[0] % 2;
    const uint64_t last = data[1];
    const uint32_t count = data[2] + 256U * data[3];
    data += 4;
    size -= 4;
    const size_t stored = ZSTD_compress(payload, FILE_MAX - file->size - 128, data, size, 1);
    if (ZSTD_isError(stored)) {
        return;
    }
    memset(frame, 0, FORMAT_FRAME_SIZE + FORMAT_PART_SIZE);
    trace_put_fixed(frame, FORMAT_SKIPPABLE, 4);
    trace_put_fixed(frame + 4, FORMAT_PART_SIZE, 4);
    trace_put_fixed(part, kind, 4);
    trace_put_fixed(part + 4, stored, 4);
    trace_put_fixed(part + 8, size, 4);
    trace_put_fixed(part + 12, count, 4);
    trace_put_fixed(part + 24, last, 8);
    trace_put_fixed(part + 44, format_check(part, 44), 4);
    file->size += FORMAT_FRAME_SIZE + FORMAT_PART_SIZE + stored;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_file file;
    static trace_event events[EVENTS_MAX];
    if (size < 2 || size > FILE_MAX / 8) {
        return 0;
    }
    const unsigned way = data[0] % 4;
    bool is_faulty;
    file.size = 0;
    if (way == 0) {
        memcpy(file.bytes, data + 1, size - 1);
        file.size = size - 1;
        read_all(&file, NULL, 0, &is_faulty);
    } else if (way == 1) {
        const size_t count = make_events(data + 2, size - 2, events);
        write_events(&file, events, count, data[1]);
        require(read_all(&file, events, count, &is_faulty) == count && !is_faulty);
    } else if (way == 2) {
        wrap_payload(&file, data + 1, size - 1);
        read_all(&file, NULL, 0, &is_faulty);
    } else {
        /* One byte of a good file is another. */
        const size_t count = make_events(data + 5, size > 5 ? size - 5 : 0, events);
        write_events(&file, events, count, 1 + data[1]);
        const size_t at = (data[2 % size] + 256U * data[3 % size]) % file.size;
        file.bytes[at] ^= data[4 % size];
        read_all(&file, NULL, 0, &is_faulty);
    }
    return 0;
}
