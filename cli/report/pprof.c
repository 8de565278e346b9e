/* SPDX-License-Identifier: MIT */
#include "exports.h"
#include "memory.h"
#include "packer.h"

#include <stdlib.h>
#include <string.h>

/*
 * The protocol buffer `Profile` of pprof's profile.proto, packed by gzip. The numbers of fields are
 * those of that file. A message within another is a field of its size and bytes.
 */

enum { MESSAGE_ROOM = 4096 };

/* Fields, one after the other. */
typedef struct pprof_message {
    unsigned char *bytes;
    size_t size;
    size_t room;
} pprof_message;

typedef struct pprof_writer {
    report_model *model;
    report_packer *packer;
    pprof_message message;    /* of the profile, that is being made */
    pprof_message inner;      /* within it */
    bool *has_address;        /* by address of the stacks: some sample names it */
    report_numbers functions; /* by function and file: the number of a function, less 1 */
    uint32_t function_count;
    uint32_t text_count; /* those of the model; more come behind */
} pprof_writer;

/* What stands in the table of texts behind those of the model. */
static const char *const more_texts[] = {"alloc_objects", "count",         "alloc_space",
                                         "bytes",         "inuse_objects", "inuse_space"};
enum { ALLOC_OBJECTS, COUNT, ALLOC_SPACE, BYTES, INUSE_OBJECTS, INUSE_SPACE, MORE_TEXTS };

/* -------------------------------------------------------------------------------------------------
 * The wire format.
 */
static void put_varint(pprof_message *message, uint64_t value)
{
    do {
        message->bytes = report_grown(message->bytes, message->size, &message->room, 1);
        message->bytes[message->size++] = (unsigned char)((value & 127) | (value > 127 ? 128 : 0));
        value >>= 7;
    } while (value != 0);
}

/* A field of 0 is not written: that is what it has without. */
static void put_number(pprof_message *message, unsigned field, uint64_t value)
{
    if (value != 0) {
        put_varint(message, (uint64_t)field << 3);
        put_varint(message, value);
    }
}

static void put_bytes(pprof_message *message, unsigned field, const void *bytes, size_t size)
{
    put_varint(message, (uint64_t)field << 3 | 2);
    put_varint(message, size);
    for (size_t i = 0; i < size; i++) {
        message->bytes = report_grown(message->bytes, message->size, &message->room, 1);
        message->bytes[message->size++] = ((const unsigned char *)bytes)[i];
    }
}

static void flush(pprof_writer *writer)
{
    report_packer_put(writer->packer, writer->message.bytes, writer->message.size);
    writer->message.size = 0;
}

static void put_inner(pprof_writer *writer, unsigned field)
{
    put_bytes(&writer->message, field, writer->inner.bytes, writer->inner.size);
    writer->inner.size = 0;
    if (writer->message.size > MESSAGE_ROOM) {
        flush(writer);
    }
}

/* -------------------------------------------------------------------------------------------------
 * The profile.
 */
static void put_types(pprof_writer *writer)
{
    static const unsigned types[][2] = {
        {ALLOC_OBJECTS, COUNT}, {ALLOC_SPACE, BYTES}, {INUSE_OBJECTS, COUNT}, {INUSE_SPACE, BYTES}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        put_number(&writer->inner, 1, writer->text_count + types[i][0]);
        put_number(&writer->inner, 2, writer->text_count + types[i][1]);
        put_inner(writer, 1);
    }
}

static void put_sample(pprof_writer *writer, uint32_t stack)
{
    const report_survey *survey = &writer->model->survey;
    const report_stack_sum *sum = &survey->sums[stack];
    pprof_message list = {0};
    uint32_t at = report_tree_trim(survey, writer->model->symbols, &writer->model->frames, stack);
    for (; at != 0; at = survey->stacks.nodes[at].parent) {
        put_varint(&list, (uint64_t)survey->stacks.nodes[at].frame + 1);
    }
    put_bytes(&writer->inner, 1, list.bytes, list.size);
    list.size = 0;
    put_varint(&list, sum->allocations);
    put_varint(&list, sum->bytes);
    put_varint(&list, sum->live_blocks);
    put_varint(&list, sum->live);
    put_bytes(&writer->inner, 2, list.bytes, list.size);
    put_inner(writer, 2);
    free(list.bytes);
}

/* Looks up all addresses that samples name, so that no text is new after that. */
static void find_addresses(pprof_writer *writer)
{
    const report_survey *survey = &writer->model->survey;
    bool *is_seen = report_zeroed(survey->stacks.count, sizeof *is_seen);
    for (uint32_t stack = 1; stack < survey->stacks.stack_count; stack++) {
        uint32_t at = survey->sums[stack].allocations != 0 ? survey->stacks.ends[stack] : 0;
        for (; at != 0 && !is_seen[at]; at = survey->stacks.nodes[at].parent) {
            is_seen[at] = true;
            writer->has_address[survey->stacks.nodes[at].frame] = true;
        }
    }
    for (uint32_t address = 0; address < survey->stacks.frame_count; address++) {
        if (writer->has_address[address]) {
            size_t count;
            report_symbols_find(writer->model->symbols, address, &count);
        }
    }
    writer->text_count = (uint32_t)writer->model->texts.count;
    free(is_seen);
}

static void put_samples(pprof_writer *writer)
{
    const report_survey *survey = &writer->model->survey;
    /* Where stacks were sampled, those that have one stand for all. */
    for (uint32_t stack = survey->weights.sample_bytes != 0; stack < survey->stacks.stack_count;
         stack++) {
        if (survey->sums[stack].allocations != 0) {
            put_sample(writer, stack);
        }
    }
}

static void put_mappings(pprof_writer *writer)
{
    const report_modules *modules = &writer->model->survey.modules;
    for (size_t i = 0; i < modules->count; i++) {
        const report_module *module = &modules->all[i];
        put_number(&writer->inner, 1, i + 1);
        put_number(&writer->inner, 2, module->start);
        put_number(&writer->inner, 3, module->start + module->size);
        put_number(&writer->inner, 5, module->path);
        put_number(&writer->inner, 6, module->build_id);
        /* Functions, files, lines and inlined frames are told: nobody needs to look for them. */
        for (unsigned field = 7; field <= 10; field++) {
            put_number(&writer->inner, field, !writer->model->options.symbols.is_off);
        }
        put_inner(writer, 3);
    }
}

static uint32_t function_of(pprof_writer *writer, uint32_t frame)
{
    const report_frame *about = &writer->model->frames.all[frame];
    uint32_t *number =
        report_numbers_at(&writer->functions, (uint64_t)about->function << 32 | about->file);
    if (*number == REPORT_NONE) {
        *number = writer->function_count++;
        pprof_message function = {0};
        put_number(&function, 1, (uint64_t)*number + 1);
        put_number(&function, 2, about->function);
        put_number(&function, 3, about->function);
        put_number(&function, 4, about->file);
        put_bytes(&writer->message, 5, function.bytes, function.size);
        free(function.bytes);
    }
    return *number + 1;
}

static void put_location(pprof_writer *writer, uint32_t address)
{
    report_model *model = writer->model;
    const report_address *about = &model->survey.stacks.frames[address];
    size_t count;
    const uint32_t *found = report_symbols_find(model->symbols, address, &count);
    put_number(&writer->inner, 1, (uint64_t)address + 1);
    put_number(&writer->inner, 2, about->module != REPORT_NONE ? (uint64_t)about->module + 1 : 0);
    /* Addresses in profiles are of the call, which is before what it returns to. */
    put_number(&writer->inner, 3, about->address - (about->address != 0));
    for (size_t i = 0; i < count; i++) {
        pprof_message line = {0};
        put_number(&line, 1, function_of(writer, found[i]));
        put_number(&line, 2, model->frames.all[found[i]].line);
        put_bytes(&writer->inner, 4, line.bytes, line.size);
        free(line.bytes);
    }
    put_inner(writer, 4);
}

static void put_texts(pprof_writer *writer)
{
    for (uint32_t i = 0; i < writer->text_count + MORE_TEXTS; i++) {
        const char *text = i < writer->text_count ? report_texts_get(&writer->model->texts, i)
                                                  : more_texts[i - writer->text_count];
        put_bytes(&writer->message, 6, text, strlen(text));
        flush(writer);
    }
}

static void put_rest(pprof_writer *writer)
{
    const report_survey *survey = &writer->model->survey;
    put_number(&writer->message, 9, survey->header.started_ns);
    put_number(&writer->message, 10, survey->duration);
    put_number(&writer->inner, 1, writer->text_count + ALLOC_SPACE);
    put_number(&writer->inner, 2, writer->text_count + BYTES);
    put_inner(writer, 11);
    put_number(&writer->message, 12,
               survey->weights.sample_bytes != 0 ? survey->weights.sample_bytes : 1);
    put_number(&writer->message, 13, survey->command);
    put_number(&writer->message, 14, writer->text_count + ALLOC_SPACE);
    flush(writer);
}

bool report_export_pprof(FILE *file, report_model *model)
{
    const report_survey *survey = &model->survey;
    pprof_writer writer = {.model = model,
                           .packer = report_packer_create(true, report_file_put, file)};
    writer.has_address = report_zeroed(survey->stacks.frame_count, sizeof *writer.has_address);
    find_addresses(&writer);
    put_types(&writer);
    put_samples(&writer);
    put_mappings(&writer);
    for (uint32_t address = 0; address < survey->stacks.frame_count; address++) {
        if (writer.has_address[address]) {
            put_location(&writer, address);
        }
    }
    put_texts(&writer);
    put_rest(&writer);
    report_numbers_free(&writer.functions);
    free(writer.message.bytes);
    free(writer.inner.bytes);
    free(writer.has_address);
    return report_packer_end(writer.packer);
}
