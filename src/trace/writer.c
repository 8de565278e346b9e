/* SPDX-License-Identifier: MIT */
#include "trace/writer.h"

#include "trace/format.h"
#include "trace/model.h"
#include "trace/varint.h"

#include <stdlib.h>
#include <zstd.h>

/*
 *     events -> [threads][times][ops][depths] ... [sizes][stacks][extras] -> one payload -> zstd
 *                 runs     runs   1 byte   only where the model did not expect them
 *
 * Invariant: the model is what a reader has after the same events of the part.
 */

enum {
    PLACES_LOG2 = 19,
    PLACES_LINE = 4,           /* of the processor's cache */
    PLACES = 1 << PLACES_LOG2, /* of the table from addresses to allocations; a power of two */
    EVENT_BYTES_MAX = 3 * TRACE_VARINT_MAX,
    COLUMN_FIRST_SIZE = 4096,
    DEFINITIONS_MAX = 1 << 20, /* bytes that end a part */
    LEVEL_OF_TREES = 13,       /* of zstd; from here on: */
    HASH_LOG = 18,
    CHAIN_LOG = 19
};

typedef struct writer_column {
    unsigned char *bytes;
    size_t size;
    size_t room;
} writer_column;

/* A place of the table is empty where its part is not the writer's. */
typedef struct writer_place {
    uint64_t address;
    uint32_t serial;
    uint32_t part;
} writer_place;

typedef struct index_entry {
    uint64_t offset;
    uint64_t first_time;
    uint64_t last_time;
    uint32_t kind;
    uint32_t count;
} index_entry;

struct trace_writer {
    trace_sink *sink;
    void *context;
    uint32_t unit_ns;
    uint32_t events_max;
    bool is_failed;
    uint64_t bytes;
    uint64_t whole;  /* bytes up to the end of the last part */
    unsigned ratio;  /* of the last part of events: payload to what is stored */
    uint64_t events; /* in all parts that were written */
    ZSTD_CCtx *zstd;

    /* The part. Times are in units. */
    uint32_t part; /* its number, from 1 */
    uint32_t count;
    uint64_t first_time;
    uint64_t last_time;
    uint64_t time_run; /* events since the time changed */
    uint64_t thread_run;
    uint32_t thread;
    writer_column columns[FORMAT_COLUMNS];
    trace_model *model;
    writer_place *places; /* NULL until events come without keys */
    uint64_t *key;        /* of the event, NULL: none */

    writer_column definitions;
    uint32_t definition_count;
    uint64_t stack_before[TRACE_FRAMES_MAX]; /* the last stack of the part, outermost first */
    uint32_t stack_before_count;

    writer_column payload;
    writer_column stored;
    index_entry *entries;
    size_t entry_count;
    size_t entry_room;
};

static bool fail(trace_writer *writer)
{
    writer->is_failed = true;
    return false;
}

/* gcc's analyzer loses sight of a column's bytes when it has followed one of several columns. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

static bool make_room(writer_column *column, size_t more)
{
    if (more <= column->room - column->size) {
        return true;
    }
    size_t room = column->room != 0 ? column->room : COLUMN_FIRST_SIZE;
    while (room - column->size < more) {
        room *= 2;
    }
    unsigned char *bytes = realloc(column->bytes, room);
    if (bytes == NULL) {
        return false;
    }
    column->bytes = bytes;
    column->room = room;
    return true;
}

/* There is room. */
static void put(writer_column *column, uint64_t number)
{
    column->size = (size_t)(trace_put_varint(column->bytes + column->size, number) - column->bytes);
}

static void put_byte(writer_column *column, unsigned byte)
{
    column->bytes[column->size++] = (unsigned char)byte;
}

static void put_text(writer_column *column, trace_text text)
{
    const size_t size = text.size < TRACE_TEXT_MAX ? text.size : TRACE_TEXT_MAX;
    put(column, size);
    if (size > 0) {
        memcpy(column->bytes + column->size, text.start, size);
        column->size += size;
    }
}

static bool send(trace_writer *writer, const void *bytes, size_t size)
{
    if (writer->is_failed || !writer->sink(writer->context, bytes, size)) {
        return fail(writer);
    }
    writer->bytes += size;
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * Frames.
 */
static bool send_header(trace_writer *writer, const trace_writer_options *options)
{
    unsigned char frame[FORMAT_FRAME_SIZE + FORMAT_HEADER_SIZE] = {0};
    unsigned char *header = frame + FORMAT_FRAME_SIZE;
    trace_put_fixed(frame, FORMAT_SKIPPABLE, 4);
    trace_put_fixed(frame + 4, FORMAT_HEADER_SIZE, 4);
    memcpy(header, FORMAT_NAME, FORMAT_NAME_SIZE);
    trace_put_fixed(header + 8, FORMAT_MAJOR, 2);
    trace_put_fixed(header + 10, FORMAT_MINOR, 2);
    trace_put_fixed(header + 16, writer->unit_ns, 4);
    trace_put_fixed(header + 24, options->started_ns, 8);
    trace_put_fixed(header + 32, options->process, 8);
    trace_put_fixed(header + 44, format_check(header, 44), 4);
    writer->whole = sizeof frame;
    return send(writer, frame, sizeof frame);
}

static bool remember(trace_writer *writer, const index_entry *entry)
{
    if (writer->entry_count == writer->entry_room) {
        const size_t room = writer->entry_room != 0 ? 2 * writer->entry_room : 64;
        index_entry *entries = realloc(writer->entries, room * sizeof *entries);
        if (entries == NULL) {
            return fail(writer);
        }
        writer->entries = entries;
        writer->entry_room = room;
    }
    writer->entries[writer->entry_count++] = *entry;
    return true;
}

/* Compresses and writes the payload as one part. */
static bool send_part(trace_writer *writer, const writer_column *payload, index_entry entry)
{
    const size_t bound = ZSTD_compressBound(payload->size);
    writer->stored.size = 0;
    if (!make_room(&writer->stored, bound)) {
        return fail(writer);
    }
    const size_t stored =
        ZSTD_compress2(writer->zstd, writer->stored.bytes, bound, payload->bytes, payload->size);
    if (ZSTD_isError(stored)) {
        return fail(writer);
    }
    unsigned char frame[FORMAT_FRAME_SIZE + FORMAT_PART_SIZE] = {0};
    unsigned char *header = frame + FORMAT_FRAME_SIZE;
    trace_put_fixed(frame, FORMAT_SKIPPABLE, 4);
    trace_put_fixed(frame + 4, FORMAT_PART_SIZE, 4);
    trace_put_fixed(header, entry.kind, 4);
    trace_put_fixed(header + 4, stored, 4);
    trace_put_fixed(header + 8, payload->size, 4);
    trace_put_fixed(header + 12, entry.count, 4);
    trace_put_fixed(header + 16, entry.first_time, 8);
    trace_put_fixed(header + 24, entry.last_time, 8);
    trace_put_fixed(header + 32, writer->events, 8);
    trace_put_fixed(header + 44, format_check(header, 44), 4);
    entry.offset = writer->bytes;
    if (!remember(writer, &entry) || !send(writer, frame, sizeof frame) ||
        !send(writer, writer->stored.bytes, stored)) {
        return false;
    }
    writer->whole = writer->bytes;
    if (entry.kind == FORMAT_PART_EVENTS) {
        writer->ratio = (unsigned)(payload->size / stored);
    }
    return true;
}

static bool send_index(trace_writer *writer, uint64_t lost)
{
    const size_t size =
        FORMAT_INDEX_FIXED_SIZE + writer->entry_count * FORMAT_INDEX_ENTRY_SIZE + FORMAT_END_SIZE;
    writer->stored.size = 0;
    if (writer->entry_count > FORMAT_PARTS_MAX ||
        !make_room(&writer->stored, FORMAT_FRAME_SIZE + size)) {
        return fail(writer);
    }
    unsigned char *frame = writer->stored.bytes;
    unsigned char *index = frame + FORMAT_FRAME_SIZE;
    memset(frame, 0, FORMAT_FRAME_SIZE + FORMAT_INDEX_FIXED_SIZE);
    trace_put_fixed(frame, FORMAT_SKIPPABLE, 4);
    trace_put_fixed(frame + 4, size, 4);
    memcpy(index, "TARNIDX\n", FORMAT_NAME_SIZE);
    trace_put_fixed(index + 8, writer->entry_count, 4);
    trace_put_fixed(index + 16, writer->events, 8);
    trace_put_fixed(index + 24, writer->last_time, 8);
    trace_put_fixed(index + 32, lost, 8);
    unsigned char *at = index + FORMAT_INDEX_FIXED_SIZE;
    for (size_t i = 0; i < writer->entry_count; i++) {
        const index_entry *entry = &writer->entries[i];
        trace_put_fixed(at, entry->offset, 8);
        trace_put_fixed(at + 8, entry->kind, 4);
        trace_put_fixed(at + 12, entry->count, 4);
        trace_put_fixed(at + 16, entry->first_time, 8);
        trace_put_fixed(at + 24, entry->last_time, 8);
        at += FORMAT_INDEX_ENTRY_SIZE;
    }
    trace_put_fixed(at, writer->bytes, 8);
    trace_put_fixed(at + 8, format_check(index, (size_t)(at + 8 - index)), 4);
    memcpy(at + 12, FORMAT_END_NAME, FORMAT_NAME_SIZE);
    return send(writer, frame, FORMAT_FRAME_SIZE + size);
}

/* -------------------------------------------------------------------------------------------------
 * Definitions.
 */
static bool flush_definitions(trace_writer *writer)
{
    if (writer->definition_count == 0) {
        return true;
    }
    const index_entry entry = {
        .kind = FORMAT_PART_DEFINITIONS,
        .count = writer->definition_count,
        .first_time = writer->last_time,
        .last_time = writer->last_time,
    };
    const bool is_sent = send_part(writer, &writer->definitions, entry);
    writer->definitions.size = 0;
    writer->definition_count = 0;
    writer->stack_before_count = 0;
    return is_sent;
}

/* Makes room for a definition with texts and numbers; what there is of events stays before those that
 * come after it. */
static bool begin_definition(trace_writer *writer, unsigned kind)
{
    if (writer->is_failed ||
        (writer->definitions.size >= DEFINITIONS_MAX && !trace_writer_flush(writer))) {
        return false;
    }
    const size_t most =
        8 * TRACE_VARINT_MAX + 2 * TRACE_TEXT_MAX + 1 + (size_t)TRACE_FRAMES_MAX * TRACE_VARINT_MAX;
    if (!make_room(&writer->definitions, most)) {
        return fail(writer);
    }
    put_byte(&writer->definitions, kind);
    writer->definition_count++;
    return true;
}

bool trace_writer_thread(trace_writer *writer, const trace_thread *thread)
{
    if (!begin_definition(writer, TRACE_THREAD)) {
        return false;
    }
    put(&writer->definitions, thread->thread);
    put(&writer->definitions, thread->system_id);
    put_text(&writer->definitions, thread->name);
    return true;
}

bool trace_writer_module(trace_writer *writer, const trace_module *module)
{
    if (!begin_definition(writer, TRACE_MODULE)) {
        return false;
    }
    put(&writer->definitions, module->start);
    put(&writer->definitions, module->size);
    put(&writer->definitions, module->bias);
    put_text(&writer->definitions, module->build_id);
    put_text(&writer->definitions, module->path);
    return true;
}

/* Only the inner frames, in which the stack differs from the one before. */
bool trace_writer_stack(trace_writer *writer, const trace_stack *stack)
{
    const uint32_t count = stack->count < TRACE_FRAMES_MAX ? stack->count : TRACE_FRAMES_MAX;
    if (stack->stack == 0 || !begin_definition(writer, TRACE_STACK)) {
        return false;
    }
    uint64_t *before = writer->stack_before;
    uint32_t shared = 0;
    while (shared < count && shared < writer->stack_before_count &&
           before[shared] == stack->frames[count - 1 - shared]) {
        shared++;
    }
    put(&writer->definitions, stack->stack);
    put(&writer->definitions, shared);
    put(&writer->definitions, count - shared);
    for (uint32_t i = shared; i < count; i++) {
        before[i] = stack->frames[count - 1 - i];
        const uint64_t last = i > 0 ? before[i - 1] : 0;
        put(&writer->definitions, trace_zigzag((int64_t)(before[i] - last)));
    }
    writer->stack_before_count = count;
    return true;
}

bool trace_writer_pool(trace_writer *writer, const trace_pool *pool)
{
    if (pool->pool == 0 || !begin_definition(writer, TRACE_POOL)) {
        return false;
    }
    put(&writer->definitions, pool->pool);
    put(&writer->definitions, pool->parent);
    put_text(&writer->definitions, pool->kind);
    put_text(&writer->definitions, pool->name);
    return true;
}

bool trace_writer_info(trace_writer *writer, const char *name, const char *value)
{
    if (!begin_definition(writer, TRACE_INFO)) {
        return false;
    }
    put_text(&writer->definitions, (trace_text){name, strlen(name)});
    put_text(&writer->definitions, (trace_text){value, strlen(value)});
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * Events.
 */
static bool reserve(trace_writer *writer)
{
    for (unsigned i = 0; i < FORMAT_COLUMNS; i++) {
        if (!make_room(&writer->columns[i], EVENT_BYTES_MAX)) {
            return fail(writer);
        }
    }
    return true;
}

static void begin_part(trace_writer *writer, const trace_event *event, uint64_t time)
{
    model_reset(writer->model);
    writer->part++;
    writer->first_time = time;
    writer->last_time = time;
    writer->time_run = 0;
    writer->thread_run = 0;
    writer->thread = event->thread;
}

static void put_time(trace_writer *writer, uint64_t time)
{
    if (time > writer->last_time) {
        writer_column *times = &writer->columns[COLUMN_TIMES];
        put(times, writer->time_run);
        put(times, time - writer->last_time);
        writer->time_run = 0;
        writer->last_time = time;
    }
    writer->time_run++;
}

static void end_thread_run(trace_writer *writer)
{
    writer_column *threads = &writer->columns[COLUMN_THREADS];
    put(threads, writer->thread);
    put(threads, writer->thread_run);
    writer->thread_run = 0;
}

static void put_thread(trace_writer *writer, uint32_t thread)
{
    if (thread != writer->thread) {
        end_thread_run(writer);
        writer->thread = thread;
    }
    writer->thread_run++;
}

/* Where the table has the address, or would have it: an empty place, or else one of another that is
 * forgotten. */
static writer_place *place_of(trace_writer *writer, uint64_t address)
{
    const uint64_t hash = (address * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - PLACES_LOG2);
    writer_place *line = &writer->places[hash & ~(uint64_t)(PLACES_LINE - 1)];
    for (unsigned i = 0; i < PLACES_LINE; i++) {
        if (line[i].part != writer->part || line[i].address == address) {
            return &line[i];
        }
    }
    return &writer->places[hash];
}

static void add_block(trace_writer *writer, uint64_t address, uint64_t size)
{
    if (writer->key != NULL) {
        *writer->key = (uint64_t)writer->part << 32 | (model_add(writer->model, address, size) + 1);
        return;
    }
    *place_of(writer, address) = (writer_place){
        .address = address,
        .serial = model_add(writer->model, address, size),
        .part = writer->part,
    };
}

/* The depth at which the block is among the freed ones of the class; MODEL_DEPTH if it is not. */
static unsigned find_freed(trace_writer *writer, uint64_t address, uint32_t class)
{
    if (writer->key != NULL) {
        return MODEL_DEPTH;
    }
    const writer_place *place = place_of(writer, address);
    if (place->part != writer->part || place->address != address) {
        return MODEL_DEPTH;
    }
    const model_block *block = &writer->model->blocks[place->serial];
    return block->state == MODEL_FREED && block->class == class ? model_depth(writer->model,
                                                                              place->serial)
                                                                : MODEL_DEPTH;
}

static unsigned put_given(trace_writer *writer, uint64_t address, uint64_t size)
{
    trace_model *model = writer->model;
    if (address == 0) {
        put(&writer->columns[COLUMN_ADDRESSES], 0);
        return FORMAT_GIVES_ADDRESS;
    }
    /* First what costs no look into the table. */
    if (address == model->expected) {
        model_bump(model, address, size);
        add_block(writer, address, size);
        return FORMAT_GIVES_NEXT;
    }
    const uint32_t class = model_class(size);
    const unsigned depth = find_freed(writer, address, class);
    unsigned mode = FORMAT_GIVES_NEWEST;
    if (depth < MODEL_DEPTH) {
        if (depth > 0) {
            mode = FORMAT_GIVES_FREED;
            put_byte(&writer->columns[COLUMN_DEPTHS], depth);
        }
        model_take_freed(model, model_freed_link(model, class, depth));
    } else {
        mode = FORMAT_GIVES_ADDRESS;
        put(&writer->columns[COLUMN_ADDRESSES], 1 + model_pack(address, model->expected));
        model_bump(model, address, size);
    }
    add_block(writer, address, size);
    return mode;
}

/* A block that is taken back, or is none of this part; the model of blocks stays as it is. */
static unsigned put_address(trace_writer *writer, uint64_t address)
{
    trace_model *model = writer->model;
    if (address == 0) {
        put(&writer->columns[COLUMN_TAKEN], 0);
    } else {
        put(&writer->columns[COLUMN_TAKEN], 1 + model_pack(address, model->last_free));
        model->last_free = address;
    }
    return FORMAT_TAKES_ADDRESS;
}

/* Which allocation of the part the block is, or MODEL_NONE. */
static uint32_t find_live(trace_writer *writer, uint64_t address)
{
    const trace_model *model = writer->model;
    uint32_t serial;
    if (writer->key != NULL) {
        serial = (uint32_t)*writer->key - 1;
        if (*writer->key >> 32 != writer->part || serial >= model->allocs) {
            return MODEL_NONE;
        }
    } else {
        const writer_place *place = place_of(writer, address);
        if (place->part != writer->part) {
            return MODEL_NONE;
        }
        serial = place->serial;
    }
    const model_block *block = &model->blocks[serial];
    return block->state == MODEL_LIVE && block->address == address ? serial : MODEL_NONE;
}

/* `freed` is which allocation of the part it was, or MODEL_NONE. */
static unsigned put_taken(trace_writer *writer, uint64_t address, uint32_t *freed)
{
    *freed = MODEL_NONE;
    trace_model *model = writer->model;
    if (address == 0) {
        return put_address(writer, address);
    }
    const uint32_t serial = find_live(writer, address);
    if (serial == MODEL_NONE) {
        return put_address(writer, address);
    }
    const uint32_t age = model->allocs - 1 - serial;
    const uint64_t near = trace_zigzag((int64_t)serial - (int64_t)model->last_freed);
    model_remove(model, serial);
    *freed = serial;
    if (age == 0) {
        return FORMAT_TAKES_NEWEST;
    }
    if (near <= age) {
        put(&writer->columns[COLUMN_NEAR], near);
        return FORMAT_TAKES_NEAR;
    }
    put(&writer->columns[COLUMN_AGES], age);
    return FORMAT_TAKES_RECENT;
}

static void put_reallocated(trace_writer *writer, const trace_event *event, uint32_t freed)
{
    trace_model *model = writer->model;
    writer_column *blocks = &writer->columns[COLUMN_REALLOCS];
    if (event->block == 0) {
        put(blocks, FORMAT_REALLOC_NONE);
        return;
    }
    const uint32_t class = model_class(event->size);
    if (event->block == event->old_block) {
        put(blocks, FORMAT_REALLOC_SAME);
        if (freed != MODEL_NONE) {
            model_take_freed(model, &model->freed[model->blocks[freed].class]);
        }
    } else {
        const unsigned depth = find_freed(writer, event->block, class);
        if (depth < MODEL_DEPTH) {
            put(blocks, FORMAT_REALLOC_FREED + depth);
            model_take_freed(model, model_freed_link(model, class, depth));
        } else {
            put(blocks, FORMAT_REALLOC_OTHER);
            put(&writer->columns[COLUMN_ADDRESSES], 1 + model_pack(event->block, model->expected));
            model_bump(model, event->block, event->size);
        }
    }
    add_block(writer, event->block, event->size);
}

static unsigned put_blocks(trace_writer *writer, const trace_event *event)
{
    if (trace_op_is_alloc(event->op)) {
        return put_given(writer, event->block, event->size);
    }
    uint32_t freed = MODEL_NONE;
    if (trace_op_is_free(event->op)) {
        return put_taken(writer, event->block, &freed);
    }
    if (event->op != TRACE_REALLOC) {
        return 0;
    }
    /* A request that failed takes nothing back. */
    const unsigned mode = event->block != 0 ? put_taken(writer, event->old_block, &freed)
                                            : put_address(writer, event->old_block);
    put_reallocated(writer, event, freed);
    return mode;
}

static unsigned put_size(trace_writer *writer, const trace_event *event)
{
    if (!trace_op_is_alloc(event->op) && event->op != TRACE_REALLOC) {
        return 0;
    }
    uint64_t *expected = model_size(writer->model, event->stack);
    const bool is_expected = *expected == event->size;
    if (!is_expected) {
        put(&writer->columns[COLUMN_SIZES], event->size);
    }
    model_saw_size(writer->model, expected, event->size);
    return is_expected ? FORMAT_SIZE_EXPECTED : 0;
}

static unsigned put_stack(trace_writer *writer, uint32_t stack)
{
    const bool is_expected = *model_next_stack(writer->model) == stack;
    if (!is_expected) {
        put(&writer->columns[COLUMN_STACKS], stack);
    }
    model_saw_stack(writer->model, stack);
    return is_expected ? FORMAT_STACK_EXPECTED : 0;
}

static unsigned put_extras(trace_writer *writer, const trace_event *event)
{
    writer_column *extras = &writer->columns[COLUMN_EXTRAS];
    unsigned op = event->op;
    if (event->alignment_log2 != 0 && op != TRACE_ALIGNED) {
        op = FORMAT_OP_ESCAPE;
        put_byte(extras, event->op);
    }
    if (event->alignment_log2 != 0 || op == TRACE_ALIGNED) {
        put_byte(extras, event->alignment_log2);
    }
    if (trace_op_has_pool(event->op)) {
        put(extras, event->pool);
    }
    return op;
}

static bool is_sound(const trace_event *event)
{
    return event->op < TRACE_OP_COUNT && event->block < TRACE_ADDRESS_END &&
           event->old_block < TRACE_ADDRESS_END && event->alignment_log2 < 64;
}

static bool put_event(trace_writer *writer, const trace_event *event)
{
    if (writer->is_failed || !is_sound(event)) {
        return false;
    }
    if (writer->count == writer->events_max && !trace_writer_flush(writer)) {
        return false;
    }
    if (!reserve(writer)) {
        return false;
    }
    uint64_t time = event->time / writer->unit_ns;
    if (time < writer->last_time) {
        time = writer->last_time;
    }
    if (writer->count == 0) {
        begin_part(writer, event, time);
    }
    put_time(writer, time);
    put_thread(writer, event->thread);
    unsigned byte = put_extras(writer, event);
    byte |= put_blocks(writer, event) << FORMAT_MODE_SHIFT;
    byte |= put_size(writer, event);
    byte |= put_stack(writer, event->stack);
    put_byte(&writer->columns[COLUMN_OPS], byte);
    writer->count++;
    return true;
}

bool trace_writer_event(trace_writer *writer, const trace_event *event)
{
    if (writer->places == NULL) {
        writer->places = calloc(PLACES, sizeof *writer->places);
        if (writer->places == NULL) {
            return fail(writer);
        }
    }
    writer->key = NULL;
    return put_event(writer, event);
}

bool trace_writer_event_with_key(trace_writer *writer, const trace_event *event, uint64_t *key)
{
    writer->key = key;
    return put_event(writer, event);
}

static bool flush_events(trace_writer *writer)
{
    if (writer->count == 0) {
        return true;
    }
    end_thread_run(writer);
    size_t size = (size_t)FORMAT_COLUMNS * TRACE_VARINT_MAX;
    for (unsigned i = 0; i < FORMAT_COLUMNS; i++) {
        size += writer->columns[i].size;
    }
    writer_column *payload = &writer->payload;
    payload->size = 0;
    if (!make_room(payload, size)) {
        return fail(writer);
    }
    for (unsigned i = 0; i < FORMAT_COLUMNS; i++) {
        put(payload, writer->columns[i].size);
    }
    for (unsigned i = 0; i < FORMAT_COLUMNS; i++) {
        writer_column *column = &writer->columns[i];
        if (column->size > 0) {
            memcpy(payload->bytes + payload->size, column->bytes, column->size);
            payload->size += column->size;
            column->size = 0;
        }
    }
    const index_entry entry = {
        .kind = FORMAT_PART_EVENTS,
        .count = writer->count,
        .first_time = writer->first_time,
        .last_time = writer->last_time,
    };
    const bool is_sent = send_part(writer, payload, entry);
    if (is_sent) {
        writer->events += writer->count;
    }
    writer->count = 0;
    return is_sent;
}

bool trace_writer_flush(trace_writer *writer)
{
    return !writer->is_failed && flush_definitions(writer) && flush_events(writer);
}

/* -------------------------------------------------------------------------------------------------
 * Beginning and end.
 */
static void free_writer(trace_writer *writer)
{
    for (unsigned i = 0; i < FORMAT_COLUMNS; i++) {
        free(writer->columns[i].bytes);
    }
    free(writer->definitions.bytes);
    free(writer->payload.bytes);
    free(writer->stored.bytes);
    free(writer->entries);
    free(writer->places);
    free(writer->model);
    ZSTD_freeCCtx(writer->zstd);
    free(writer);
}

void trace_writer_set_level(trace_writer *writer, int level)
{
    /* A level that there is not becomes the nearest. */
    ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_compressionLevel, level);
    /* The tables of high levels are made for more than a part has, and would take 40 MiB. */
    ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_hashLog, level >= LEVEL_OF_TREES ? HASH_LOG : 0);
    ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_chainLog, level >= LEVEL_OF_TREES ? CHAIN_LOG : 0);
}

unsigned trace_writer_ratio(const trace_writer *writer)
{
    return writer->ratio;
}

static bool set_up(trace_writer *writer, const trace_writer_options *options)
{
    writer->sink = options->sink;
    writer->context = options->context;
    writer->unit_ns = options->unit_ns != 0 ? options->unit_ns : 65536;
    writer->events_max = options->events_max != 0 && options->events_max < MODEL_EVENTS_MAX
                             ? options->events_max
                             : MODEL_EVENTS_MAX;
    writer->model = malloc(sizeof *writer->model);
    writer->zstd = ZSTD_createCCtx();
    if (writer->model == NULL || writer->zstd == NULL) {
        return false;
    }
    trace_writer_set_level(writer, options->level != 0 ? options->level : 6);
    return !ZSTD_isError(ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_checksumFlag, 1)) &&
           send_header(writer, options);
}

trace_writer *trace_writer_create(const trace_writer_options *options)
{
    trace_writer *writer = calloc(1, sizeof *writer);
    if (writer != NULL && !set_up(writer, options)) {
        free_writer(writer);
        writer = NULL;
    }
    return writer;
}

bool trace_writer_close(trace_writer *writer, uint64_t lost)
{
    if (writer == NULL) {
        return true;
    }
    const bool is_written = trace_writer_flush(writer) && send_index(writer, lost);
    free_writer(writer);
    return is_written;
}

uint64_t trace_writer_whole(const trace_writer *writer)
{
    return writer->whole;
}

uint64_t trace_writer_bytes(const trace_writer *writer)
{
    return writer->bytes;
}

uint64_t trace_writer_events(const trace_writer *writer)
{
    return writer->events + (writer->is_failed ? 0 : writer->count);
}
