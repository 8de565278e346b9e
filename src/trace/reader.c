/* SPDX-License-Identifier: MIT */
#include "trace/reader.h"

#include "trace/format.h"
#include "trace/model.h"
#include "trace/varint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

/*
 *     part header -> stored bytes -> payload -> columns, each with a cursor
 *
 * Invariant: a cursor is never behind the end of its column, and at the end of a part each is at its end.
 */

typedef struct reader_cursor {
    const unsigned char *at;
    const unsigned char *end;
} reader_cursor;

typedef struct reader_part {
    uint64_t offset;
    uint32_t kind;
    uint32_t stored;
    uint32_t raw;
    uint32_t count;
    uint64_t first_time; /* in units, as the next */
    uint64_t last_time;
    uint64_t events_before;
} reader_part;

struct trace_reader {
    trace_source source;
    trace_header header;
    trace_fault fault;
    bool is_faulty;
    bool is_ended;
    bool is_cut;
    uint64_t offset; /* of the next part */
    uint64_t events; /* in the parts before it */
    ZSTD_DCtx *zstd;
    unsigned char *stored;
    size_t stored_room;
    unsigned char *payload;
    size_t payload_room;

    reader_part part;
    uint32_t left;                         /* items of the part that are to come */
    reader_cursor columns[FORMAT_COLUMNS]; /* of definitions: the first alone */
    uint64_t time;                         /* of the last item, in units */
    uint64_t time_run;                     /* events until the time changes */
    uint32_t thread;
    uint64_t thread_run;
    trace_model *model;

    uint64_t frames_outwards[TRACE_FRAMES_MAX]; /* the last stack, outermost first */
    uint64_t frames[TRACE_FRAMES_MAX];
    uint32_t frame_count;
};

/* -------------------------------------------------------------------------------------------------
 * Faults.
 */
static void set_fault(trace_fault *fault, uint64_t offset, const char *format, va_list arguments)
{
    fault->offset = offset;
    vsnprintf(fault->text, sizeof fault->text, format, arguments);
}

__attribute__((format(printf, 3, 4))) static bool refuse(trace_reader *reader, uint64_t offset,
                                                         const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!reader->is_faulty) {
        set_fault(&reader->fault, offset, format, arguments);
    }
    va_end(arguments);
    reader->is_faulty = true;
    return false;
}

/* A fault inside of the part's payload. */
static bool refuse_part(trace_reader *reader, const char *what)
{
    return refuse(reader, reader->part.offset, "%s", what);
}

static bool read_at(trace_reader *reader, uint64_t offset, void *bytes, size_t size)
{
    return reader->source.read(reader->source.context, offset, bytes, size) ||
           refuse(reader, offset, "cannot read the file");
}

static bool make_room(trace_reader *reader, unsigned char **bytes, size_t *room, size_t size)
{
    if (size <= *room) {
        return true;
    }
    unsigned char *larger = realloc(*bytes, size);
    if (larger == NULL) {
        return refuse(reader, reader->part.offset, "no memory for a part of %zu bytes", size);
    }
    *bytes = larger;
    *room = size;
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * Opening.
 */
static bool read_header(trace_reader *reader)
{
    unsigned char frame[FORMAT_FRAME_SIZE + FORMAT_HEADER_SIZE];
    const unsigned char *header = frame + FORMAT_FRAME_SIZE;
    const uint64_t size = reader->source.size;
    if (size == 0) {
        return refuse(reader, 0, "the file is empty");
    }
    const size_t there = size < sizeof frame ? (size_t)size : sizeof frame;
    if (!read_at(reader, 0, frame, there)) {
        return false;
    }
    const size_t name_end = FORMAT_FRAME_SIZE + FORMAT_NAME_SIZE;
    if (there < name_end || trace_get_fixed(frame, 4) != FORMAT_SKIPPABLE ||
        memcmp(header, FORMAT_NAME, FORMAT_NAME_SIZE) != 0) {
        return refuse(reader, 0, "this is no trace of Tarn");
    }
    if (there < sizeof frame) {
        return refuse(reader, size, "the file is cut off within its header");
    }
    reader->header = (trace_header){
        .major = (unsigned)trace_get_fixed(header + 8, 2),
        .minor = (unsigned)trace_get_fixed(header + 10, 2),
        .unit_ns = (uint32_t)trace_get_fixed(header + 16, 4),
        .started_ns = trace_get_fixed(header + 24, 8),
        .process = trace_get_fixed(header + 32, 8),
    };
    if (reader->header.major > FORMAT_MAJOR) {
        return refuse(reader, 16, "the trace has format %u.%u; this reads up to %d.x",
                      reader->header.major, reader->header.minor, FORMAT_MAJOR);
    }
    if (trace_get_fixed(frame + 4, 4) != FORMAT_HEADER_SIZE ||
        trace_get_fixed(header + 44, 4) != format_check(header, 44)) {
        return refuse(reader, 0, "the header is damaged");
    }
    if (reader->header.major == 0 || reader->header.unit_ns == 0 ||
        trace_get_fixed(header + 12, 4) != 0 || trace_get_fixed(header + 20, 4) != 0 ||
        trace_get_fixed(header + 40, 4) != 0) {
        return refuse(reader, 0, "the header has a value that means nothing");
    }
    reader->offset = sizeof frame;
    return true;
}

trace_reader *trace_reader_open(const trace_source *source, trace_fault *fault)
{
    trace_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        *fault = (trace_fault){.text = "no memory for a reader"};
        return NULL;
    }
    reader->source = *source;
    reader->model = malloc(sizeof *reader->model);
    reader->zstd = ZSTD_createDCtx();
    if (reader->model == NULL || reader->zstd == NULL) {
        refuse(reader, 0, "no memory for a reader");
    } else {
        read_header(reader);
    }
    if (reader->is_faulty) {
        *fault = reader->fault;
        trace_reader_close(reader);
        return NULL;
    }
    return reader;
}

void trace_reader_close(trace_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    ZSTD_freeDCtx(reader->zstd);
    free(reader->model);
    free(reader->stored);
    free(reader->payload);
    free(reader);
}

const trace_header *trace_reader_header(const trace_reader *reader)
{
    return &reader->header;
}

const trace_fault *trace_reader_fault(const trace_reader *reader)
{
    return &reader->fault;
}

bool trace_reader_is_cut(const trace_reader *reader, uint64_t *offset)
{
    *offset = reader->offset;
    return reader->is_cut;
}

/* -------------------------------------------------------------------------------------------------
 * Parts.
 */
typedef enum find_result { FOUND_PART, FOUND_INDEX, FOUND_END, FOUND_FAULT } find_result;

static find_result end_cut(trace_reader *reader)
{
    reader->is_cut = true;
    return FOUND_END;
}

static find_result check_index(trace_reader *reader, uint64_t size)
{
    if (reader->source.size - reader->offset < FORMAT_FRAME_SIZE + size) {
        return end_cut(reader);
    }
    if (reader->source.size - reader->offset > FORMAT_FRAME_SIZE + size) {
        refuse(reader, reader->offset + FORMAT_FRAME_SIZE + size, "something follows the index");
        return FOUND_FAULT;
    }
    trace_summary summary;
    if (!trace_reader_summary(reader, &summary)) {
        refuse(reader, reader->offset, "the index is damaged");
        return FOUND_FAULT;
    }
    if (summary.events != reader->events) {
        refuse(reader, reader->offset, "the index counts %llu events, and there are %llu",
               (unsigned long long)summary.events, (unsigned long long)reader->events);
        return FOUND_FAULT;
    }
    return FOUND_INDEX;
}

static bool parse_part(trace_reader *reader, const unsigned char *header)
{
    reader_part *part = &reader->part;
    part->kind = (uint32_t)trace_get_fixed(header, 4);
    part->stored = (uint32_t)trace_get_fixed(header + 4, 4);
    part->raw = (uint32_t)trace_get_fixed(header + 8, 4);
    part->count = (uint32_t)trace_get_fixed(header + 12, 4);
    part->first_time = trace_get_fixed(header + 16, 8);
    part->last_time = trace_get_fixed(header + 24, 8);
    part->events_before = trace_get_fixed(header + 32, 8);
    if (trace_get_fixed(header + 44, 4) != format_check(header, 44)) {
        return refuse_part(reader, "the head of this part is damaged");
    }
    const bool is_events = part->kind == FORMAT_PART_EVENTS;
    if (trace_get_fixed(header + 40, 4) != 0 || part->raw > FORMAT_PAYLOAD_MAX ||
        part->stored > ZSTD_COMPRESSBOUND(FORMAT_PAYLOAD_MAX) || part->stored == 0 ||
        part->last_time < part->first_time ||
        part->last_time > UINT64_MAX / reader->header.unit_ns ||
        part->events_before != reader->events ||
        (is_events && (part->count == 0 || part->count > MODEL_EVENTS_MAX)) ||
        part->first_time < reader->time) {
        return refuse_part(reader, "the head of this part has a value that cannot be");
    }
    return true;
}

/* Reads the head of the part at `offset`, which stays there. */
static find_result find_part(trace_reader *reader)
{
    unsigned char frame[FORMAT_FRAME_SIZE + FORMAT_PART_SIZE];
    const uint64_t left = reader->source.size - reader->offset;
    reader->part.offset = reader->offset;
    if (left < FORMAT_FRAME_SIZE) {
        return end_cut(reader);
    }
    const size_t there = left < sizeof frame ? (size_t)left : sizeof frame;
    if (!read_at(reader, reader->offset, frame, there)) {
        return FOUND_FAULT;
    }
    if (trace_get_fixed(frame, 4) != FORMAT_SKIPPABLE) {
        refuse_part(reader, "a part should begin here");
        return FOUND_FAULT;
    }
    const uint64_t size = trace_get_fixed(frame + 4, 4);
    if (size != FORMAT_PART_SIZE) {
        if (size < FORMAT_INDEX_FIXED_SIZE + FORMAT_END_SIZE ||
            (size - FORMAT_INDEX_FIXED_SIZE - FORMAT_END_SIZE) % FORMAT_INDEX_ENTRY_SIZE != 0) {
            refuse_part(reader, "the head of this part is damaged");
            return FOUND_FAULT;
        }
        return check_index(reader, size);
    }
    if (there < sizeof frame) {
        return end_cut(reader);
    }
    if (!parse_part(reader, frame + FORMAT_FRAME_SIZE)) {
        return FOUND_FAULT;
    }
    return left - sizeof frame < reader->part.stored ? end_cut(reader) : FOUND_PART;
}

static void pass_part(trace_reader *reader)
{
    const reader_part *part = &reader->part;
    reader->offset = part->offset + FORMAT_FRAME_SIZE + FORMAT_PART_SIZE + part->stored;
    if (part->kind == FORMAT_PART_EVENTS) {
        reader->events += part->count;
    }
}

static bool unpack(trace_reader *reader)
{
    const reader_part *part = &reader->part;
    if (!make_room(reader, &reader->stored, &reader->stored_room, part->stored) ||
        !make_room(reader, &reader->payload, &reader->payload_room, part->raw + 1U) ||
        !read_at(reader, part->offset + FORMAT_FRAME_SIZE + FORMAT_PART_SIZE, reader->stored,
                 part->stored)) {
        return false;
    }
    const size_t raw =
        ZSTD_decompressDCtx(reader->zstd, reader->payload, part->raw, reader->stored, part->stored);
    if (ZSTD_isError(raw)) {
        return refuse(reader, part->offset, "this part cannot be unpacked: %s",
                      ZSTD_getErrorName(raw));
    }
    return raw == part->raw || refuse_part(reader, "this part is shorter than its head says");
}

static bool get(trace_reader *reader, unsigned column, uint64_t *number)
{
    reader_cursor *cursor = &reader->columns[column];
    const unsigned char *at = trace_get_varint(cursor->at, cursor->end, number);
    if (at == NULL) {
        return refuse_part(reader, "a number is damaged");
    }
    cursor->at = at;
    return true;
}

static bool get_byte(trace_reader *reader, unsigned column, unsigned *byte)
{
    reader_cursor *cursor = &reader->columns[column];
    if (cursor->at == cursor->end) {
        return refuse_part(reader, "a column is too short");
    }
    *byte = *cursor->at++;
    return true;
}

static bool get_number32(trace_reader *reader, unsigned column, uint32_t *number)
{
    uint64_t wide = 0;
    if (!get(reader, column, &wide)) {
        return false;
    }
    *number = (uint32_t)wide;
    return wide <= UINT32_MAX || refuse_part(reader, "a number is too large");
}

/* How many events have the time, or UINT64_MAX: all that are left. */
static bool get_time_run(trace_reader *reader)
{
    const reader_cursor *times = &reader->columns[COLUMN_TIMES];
    if (times->at == times->end) {
        reader->time_run = UINT64_MAX;
        return true;
    }
    return get(reader, COLUMN_TIMES, &reader->time_run) &&
           (reader->time_run != 0 || refuse_part(reader, "a time has no events"));
}

static bool begin_events(trace_reader *reader)
{
    const unsigned char *at = reader->payload;
    const unsigned char *end = at + reader->part.raw;
    uint64_t sizes[FORMAT_COLUMNS];
    for (unsigned i = 0; i < FORMAT_COLUMNS; i++) {
        at = trace_get_varint(at, end, &sizes[i]);
        if (at == NULL) {
            return refuse_part(reader, "the sizes of the columns are damaged");
        }
    }
    for (unsigned i = 0; i < FORMAT_COLUMNS; i++) {
        if (sizes[i] > (uint64_t)(end - at)) {
            return refuse_part(reader, "a column is longer than the part");
        }
        reader->columns[i] = (reader_cursor){.at = at, .end = at + sizes[i]};
        at += sizes[i];
    }
    const reader_cursor *ops = &reader->columns[COLUMN_OPS];
    if (at != end || ops->end - ops->at != (ptrdiff_t)reader->part.count) {
        return refuse_part(reader, "the columns do not fill the part");
    }
    model_reset(reader->model);
    reader->time = reader->part.first_time;
    reader->thread_run = 0;
    return get_time_run(reader);
}

static bool begin_definitions(trace_reader *reader)
{
    reader->columns[0] =
        (reader_cursor){.at = reader->payload, .end = reader->payload + reader->part.raw};
    reader->frame_count = 0;
    return true;
}

/* Goes on to the next part that has items; false at the end or at a fault. */
static bool next_part(trace_reader *reader)
{
    for (;;) {
        const find_result found = find_part(reader);
        if (found != FOUND_PART) {
            reader->is_ended = found != FOUND_FAULT;
            return false;
        }
        const uint32_t kind = reader->part.kind;
        if (kind == FORMAT_PART_EVENTS || kind == FORMAT_PART_DEFINITIONS) {
            if (!unpack(reader) ||
                !(kind == FORMAT_PART_EVENTS ? begin_events(reader) : begin_definitions(reader))) {
                return false;
            }
            pass_part(reader);
            reader->left = reader->part.count;
            if (reader->left > 0) {
                return true;
            }
            continue;
        }
        /* Of a later minor version. */
        pass_part(reader);
    }
}

/* The last item of the part was given: nothing may be left of it. */
static bool end_part(trace_reader *reader)
{
    const unsigned columns = reader->part.kind == FORMAT_PART_EVENTS ? FORMAT_COLUMNS : 1;
    for (unsigned i = 0; i < columns; i++) {
        if (reader->columns[i].at != reader->columns[i].end) {
            return refuse_part(reader, "the part has more bytes than items");
        }
    }
    if (reader->part.kind == FORMAT_PART_EVENTS &&
        (reader->thread_run != 0 || reader->time != reader->part.last_time)) {
        return refuse_part(reader, "the part does not end as its head says");
    }
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * Definitions.
 */
static bool get_text(trace_reader *reader, trace_text *text)
{
    reader_cursor *cursor = &reader->columns[0];
    uint64_t size = 0;
    if (!get(reader, 0, &size)) {
        return false;
    }
    if (size > TRACE_TEXT_MAX || size > (uint64_t)(cursor->end - cursor->at)) {
        return refuse_part(reader, "a text is longer than the part");
    }
    *text = (trace_text){.start = (const char *)cursor->at, .size = (size_t)size};
    cursor->at += size;
    return true;
}

static bool get_stack(trace_reader *reader, trace_stack *stack)
{
    uint32_t shared;
    uint32_t more;
    if (!get_number32(reader, 0, &stack->stack) || !get_number32(reader, 0, &shared) ||
        !get_number32(reader, 0, &more)) {
        return false;
    }
    if (stack->stack == 0 || shared > reader->frame_count || more > TRACE_FRAMES_MAX - shared) {
        return refuse_part(reader, "a stack is damaged");
    }
    uint64_t *outwards = reader->frames_outwards;
    const uint32_t count = shared + more;
    for (uint32_t i = shared; i < count; i++) {
        uint64_t distance = 0;
        if (!get(reader, 0, &distance)) {
            return false;
        }
        outwards[i] = (i > 0 ? outwards[i - 1] : 0) + (uint64_t)trace_unzigzag(distance);
    }
    reader->frame_count = count;
    for (uint32_t i = 0; i < count; i++) {
        reader->frames[i] = outwards[count - 1 - i];
    }
    stack->count = count;
    stack->frames = reader->frames;
    return true;
}

static bool get_module(trace_reader *reader, trace_module *module)
{
    return get(reader, 0, &module->start) && get(reader, 0, &module->size) &&
           get(reader, 0, &module->bias) && get_text(reader, &module->build_id) &&
           get_text(reader, &module->path);
}

static bool get_pool(trace_reader *reader, trace_pool *pool)
{
    return get_number32(reader, 0, &pool->pool) && get_number32(reader, 0, &pool->parent) &&
           get_text(reader, &pool->kind) && get_text(reader, &pool->name) &&
           (pool->pool != 0 || refuse_part(reader, "a pool has no number"));
}

static bool get_definition(trace_reader *reader, trace_item *item)
{
    unsigned kind = 0;
    if (!get_byte(reader, 0, &kind)) {
        return false;
    }
    item->kind = (trace_kind)kind;
    switch (kind) {
    case TRACE_THREAD:
        return get_number32(reader, 0, &item->thread.thread) &&
               get(reader, 0, &item->thread.system_id) && get_text(reader, &item->thread.name);
    case TRACE_MODULE:
        return get_module(reader, &item->module);
    case TRACE_STACK:
        return get_stack(reader, &item->stack);
    case TRACE_POOL:
        return get_pool(reader, &item->pool);
    case TRACE_INFO:
        return get_text(reader, &item->info.name) && get_text(reader, &item->info.value);
    default:
        return refuse_part(reader, "a definition is of no kind that is known");
    }
}

/* -------------------------------------------------------------------------------------------------
 * Events.
 */
static bool get_time(trace_reader *reader)
{
    if (reader->time_run == 0) {
        uint64_t more = 0;
        if (!get(reader, COLUMN_TIMES, &more)) {
            return false;
        }
        if (more == 0 || more > reader->part.last_time - reader->time) {
            return refuse_part(reader, "a time is past the end of the part");
        }
        reader->time += more;
        if (!get_time_run(reader)) {
            return false;
        }
    }
    reader->time_run--;
    return true;
}

static bool get_thread(trace_reader *reader)
{
    if (reader->thread_run == 0) {
        if (!get_number32(reader, COLUMN_THREADS, &reader->thread) ||
            !get(reader, COLUMN_THREADS, &reader->thread_run)) {
            return false;
        }
        if (reader->thread_run == 0 || reader->thread_run > reader->left) {
            return refuse_part(reader, "a thread has more events than the part");
        }
    }
    reader->thread_run--;
    return true;
}

static bool get_extras(trace_reader *reader, unsigned byte, trace_event *event)
{
    unsigned op = byte & FORMAT_OP_MASK;
    unsigned alignment = 0;
    const bool is_escaped = op == FORMAT_OP_ESCAPE;
    if (is_escaped && !get_byte(reader, COLUMN_EXTRAS, &op)) {
        return false;
    }
    if ((is_escaped || op == TRACE_ALIGNED) && !get_byte(reader, COLUMN_EXTRAS, &alignment)) {
        return false;
    }
    if (op >= TRACE_OP_COUNT || alignment > 63) {
        return refuse_part(reader, "an operation is none that is known");
    }
    event->op = (uint8_t)op;
    event->alignment_log2 = (uint8_t)alignment;
    return !trace_op_has_pool(op) || get_number32(reader, COLUMN_EXTRAS, &event->pool);
}

static bool get_size(trace_reader *reader, unsigned byte, uint64_t **expected, trace_event *event)
{
    if (!trace_op_is_alloc(event->op) && event->op != TRACE_REALLOC) {
        return (byte & FORMAT_SIZE_EXPECTED) == 0 ||
               refuse_part(reader, "an event has a size that cannot have one");
    }
    *expected = model_size(reader->model, event->stack);
    if ((byte & FORMAT_SIZE_EXPECTED) != 0) {
        event->size = **expected;
        return true;
    }
    return get(reader, COLUMN_SIZES, &event->size);
}

static bool check_address(trace_reader *reader, uint64_t address)
{
    return (address != 0 && address < TRACE_ADDRESS_END) ||
           refuse_part(reader, "a block has an address that cannot be");
}

/* The freed block of the class at that depth is given again. */
static bool get_freed(trace_reader *reader, uint32_t class, uint64_t depth, uint64_t *address)
{
    uint32_t *link =
        depth < MODEL_DEPTH ? model_freed_link(reader->model, class, (unsigned)depth) : NULL;
    if (link == NULL) {
        return refuse_part(reader, "an event names a freed block that is not there");
    }
    *address = model_take_freed(reader->model, link);
    return true;
}

/* A block that is given and none of the freed ones; 0 if it may be none at all, and is. */
static bool get_address(trace_reader *reader, bool may_be_none, trace_event *event)
{
    uint64_t code = 0;
    if (!get(reader, COLUMN_ADDRESSES, &code)) {
        return false;
    }
    if (code == 0) {
        return may_be_none || refuse_part(reader, "a block has no address");
    }
    event->block = model_unpack(code - 1, reader->model->expected);
    return check_address(reader, event->block);
}

static bool get_given(trace_reader *reader, unsigned mode, trace_event *event)
{
    trace_model *model = reader->model;
    unsigned depth = 0;
    switch (mode) {
    case FORMAT_GIVES_NEXT:
        event->block = model->expected;
        if (!check_address(reader, event->block)) {
            return false;
        }
        break;
    case FORMAT_GIVES_ADDRESS:
        if (!get_address(reader, true, event)) {
            return false;
        }
        break;
    default:
        if (mode == FORMAT_GIVES_FREED && !get_byte(reader, COLUMN_DEPTHS, &depth)) {
            return false;
        }
        if (!get_freed(reader, model_class(event->size), depth, &event->block)) {
            return false;
        }
    }
    if (event->block == 0) {
        return true;
    }
    if (mode == FORMAT_GIVES_NEXT || mode == FORMAT_GIVES_ADDRESS) {
        model_bump(model, event->block, event->size);
    }
    model_add(model, event->block, event->size);
    return true;
}

/* `freed` is which allocation of the part it was, or MODEL_NONE. */
static bool get_taken(trace_reader *reader, unsigned mode, uint64_t *address, uint32_t *freed)
{
    trace_model *model = reader->model;
    static const unsigned columns[] = {[FORMAT_TAKES_NEAR] = COLUMN_NEAR,
                                       [FORMAT_TAKES_RECENT] = COLUMN_AGES,
                                       [FORMAT_TAKES_ADDRESS] = COLUMN_TAKEN};
    uint64_t code = 0;
    *freed = MODEL_NONE;
    if (mode != FORMAT_TAKES_NEWEST && !get(reader, columns[mode], &code)) {
        return false;
    }
    if (mode == FORMAT_TAKES_ADDRESS) {
        if (code == 0) {
            *address = 0;
            return true;
        }
        *address = model_unpack(code - 1, model->last_free);
        model->last_free = *address;
        return check_address(reader, *address);
    }
    const uint64_t serial = mode == FORMAT_TAKES_NEAR
                                ? model->last_freed + (uint64_t)trace_unzigzag(code)
                                : model->allocs - UINT64_C(1) - code;
    if (serial >= model->allocs || model->blocks[serial].state != MODEL_LIVE) {
        return refuse_part(reader, "an event frees a block that is not there");
    }
    *freed = (uint32_t)serial;
    *address = model->blocks[serial].address;
    model_remove(model, *freed);
    return true;
}

static bool get_reallocated(trace_reader *reader, trace_event *event, uint32_t freed)
{
    trace_model *model = reader->model;
    uint64_t code = 0;
    if (!get(reader, COLUMN_REALLOCS, &code)) {
        return false;
    }
    switch (code) {
    case FORMAT_REALLOC_NONE:
        return true;
    case FORMAT_REALLOC_SAME:
        event->block = event->old_block;
        if (!check_address(reader, event->block)) {
            return false;
        }
        if (freed != MODEL_NONE) {
            model_take_freed(model, &model->freed[model->blocks[freed].class]);
        }
        break;
    case FORMAT_REALLOC_OTHER:
        if (!get_address(reader, false, event)) {
            return false;
        }
        model_bump(model, event->block, event->size);
        break;
    default:
        if (!get_freed(reader, model_class(event->size), code - FORMAT_REALLOC_FREED,
                       &event->block)) {
            return false;
        }
    }
    model_add(model, event->block, event->size);
    return true;
}

static bool get_blocks(trace_reader *reader, unsigned byte, trace_event *event)
{
    const unsigned mode = byte >> FORMAT_MODE_SHIFT & FORMAT_MODE_MASK;
    if (trace_op_is_alloc(event->op)) {
        return get_given(reader, mode, event);
    }
    uint32_t freed;
    if (trace_op_is_free(event->op)) {
        return get_taken(reader, mode, &event->block, &freed);
    }
    if (event->op == TRACE_REALLOC) {
        return get_taken(reader, mode, &event->old_block, &freed) &&
               get_reallocated(reader, event, freed);
    }
    return mode == 0 || refuse_part(reader, "an event has a block that cannot have one");
}

static bool get_event(trace_reader *reader, trace_event *event)
{
    *event = (trace_event){0};
    const unsigned byte = *reader->columns[COLUMN_OPS].at++;
    if (!get_time(reader) || !get_thread(reader) || !get_extras(reader, byte, event)) {
        return false;
    }
    trace_model *model = reader->model;
    event->time = reader->time * reader->header.unit_ns;
    event->thread = reader->thread;
    if ((byte & FORMAT_STACK_EXPECTED) != 0) {
        event->stack = *model_next_stack(model);
    } else if (!get_number32(reader, COLUMN_STACKS, &event->stack)) {
        return false;
    }
    uint64_t *expected = NULL;
    if (!get_size(reader, byte, &expected, event) || !get_blocks(reader, byte, event)) {
        return false;
    }
    if (expected != NULL) {
        model_saw_size(model, expected, event->size);
    }
    model_saw_stack(model, event->stack);
    return true;
}

trace_result trace_reader_next(trace_reader *reader, trace_item *item)
{
    if (reader->is_faulty) {
        return TRACE_FAULTY;
    }
    if (reader->is_ended) {
        return TRACE_END;
    }
    if (reader->left == 0 && !next_part(reader)) {
        return reader->is_faulty ? TRACE_FAULTY : TRACE_END;
    }
    if (reader->part.kind == FORMAT_PART_EVENTS) {
        item->kind = TRACE_EVENT;
        if (!get_event(reader, &item->event)) {
            return TRACE_FAULTY;
        }
    } else if (!get_definition(reader, item)) {
        return TRACE_FAULTY;
    }
    if (--reader->left == 0 && !end_part(reader)) {
        return TRACE_FAULTY;
    }
    return TRACE_ITEM;
}

/* -------------------------------------------------------------------------------------------------
 * The index.
 */

/* Where the index begins, or 0. */
static uint64_t find_index(trace_reader *reader, uint64_t *size)
{
    unsigned char end[FORMAT_END_SIZE];
    const uint64_t file = reader->source.size;
    const uint64_t least = FORMAT_FRAME_SIZE + FORMAT_INDEX_FIXED_SIZE + FORMAT_END_SIZE;
    if (file < FORMAT_FRAME_SIZE + FORMAT_HEADER_SIZE + least ||
        !reader->source.read(reader->source.context, file - sizeof end, end, sizeof end) ||
        memcmp(end + 12, FORMAT_END_NAME, FORMAT_NAME_SIZE) != 0) {
        return 0;
    }
    const uint64_t offset = trace_get_fixed(end, 8);
    if (offset < FORMAT_FRAME_SIZE + FORMAT_HEADER_SIZE || offset > file - least) {
        return 0;
    }
    *size = file - offset - FORMAT_FRAME_SIZE;
    return *size <= FORMAT_INDEX_FIXED_SIZE + FORMAT_END_SIZE +
                        (uint64_t)FORMAT_PARTS_MAX * FORMAT_INDEX_ENTRY_SIZE
               ? offset
               : 0;
}

/* The bytes of the index, from its name on, which are whole; NULL if there is none. To be freed. */
static unsigned char *read_index(trace_reader *reader, uint64_t *entries)
{
    uint64_t size = 0;
    const uint64_t offset = find_index(reader, &size);
    if (offset == 0) {
        return NULL;
    }
    unsigned char *frame = malloc((size_t)size + FORMAT_FRAME_SIZE);
    if (frame == NULL || !reader->source.read(reader->source.context, offset, frame,
                                              (size_t)size + FORMAT_FRAME_SIZE)) {
        free(frame);
        return NULL;
    }
    unsigned char *index = frame + FORMAT_FRAME_SIZE;
    *entries = trace_get_fixed(index + 8, 4);
    const size_t checked = (size_t)size - 12;
    if (trace_get_fixed(frame, 4) != FORMAT_SKIPPABLE || trace_get_fixed(frame + 4, 4) != size ||
        memcmp(index, "TARNIDX\n", FORMAT_NAME_SIZE) != 0 ||
        *entries * FORMAT_INDEX_ENTRY_SIZE != size - FORMAT_INDEX_FIXED_SIZE - FORMAT_END_SIZE ||
        trace_get_fixed(index + checked, 4) != format_check(index, checked)) {
        free(frame);
        return NULL;
    }
    memmove(frame, index, (size_t)size);
    return frame;
}

bool trace_reader_summary(trace_reader *reader, trace_summary *summary)
{
    uint64_t entries = 0;
    unsigned char *index = read_index(reader, &entries);
    if (index == NULL) {
        return false;
    }
    const uint64_t units = trace_get_fixed(index + 24, 8);
    *summary = (trace_summary){
        .parts = entries,
        .events = trace_get_fixed(index + 16, 8),
        .last_time = units <= UINT64_MAX / reader->header.unit_ns ? units * reader->header.unit_ns
                                                                  : UINT64_MAX,
        .lost = trace_get_fixed(index + 32, 8),
    };
    free(index);
    return true;
}

/* Passes the heads of parts up to the one with the event. */
static bool seek_by_heads(trace_reader *reader, uint64_t event)
{
    for (;;) {
        const find_result found = find_part(reader);
        if (found != FOUND_PART) {
            return found != FOUND_FAULT &&
                   refuse(reader, reader->offset, "the trace has only %llu events",
                          (unsigned long long)reader->events);
        }
        if (reader->part.kind == FORMAT_PART_EVENTS &&
            event - reader->events < reader->part.count) {
            return true;
        }
        pass_part(reader);
    }
}

bool trace_reader_seek(trace_reader *reader, uint64_t event)
{
    if (reader->is_faulty) {
        return false;
    }
    reader->offset = FORMAT_FRAME_SIZE + FORMAT_HEADER_SIZE;
    reader->events = 0;
    reader->time = 0;
    reader->left = 0;
    reader->is_ended = false;
    reader->is_cut = false;
    uint64_t entries = 0;
    unsigned char *index = read_index(reader, &entries);
    if (index != NULL) {
        /* The last part that begins at or before the event; its head is checked when it is read. */
        uint64_t before = 0;
        for (uint64_t i = 0; i < entries; i++) {
            const unsigned char *entry =
                index + FORMAT_INDEX_FIXED_SIZE + i * FORMAT_INDEX_ENTRY_SIZE;
            const uint64_t offset = trace_get_fixed(entry, 8);
            if (trace_get_fixed(entry + 8, 4) != FORMAT_PART_EVENTS) {
                continue;
            }
            if (before > event || offset < reader->offset || offset >= reader->source.size) {
                break;
            }
            reader->offset = offset;
            reader->events = before;
            before += trace_get_fixed(entry + 12, 4);
        }
        free(index);
    }
    return seek_by_heads(reader, event);
}
