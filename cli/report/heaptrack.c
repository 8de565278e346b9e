/* SPDX-License-Identifier: MIT */
#include "exports.h"
#include "memory.h"
#include "packer.h"
#include "pass.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * What heaptrack_print(1) reads, as of file version 3: lines of a letter and hexadecimal numbers.
 *
 *     v, X, I   versions; command; size of pages
 *     s         a text: its size, and itself; numbered from 1
 *     i         an address: itself, module, and where it is known function, file and line, of what
 *               was put into others first the innermost; numbered from 1
 *     t         a stack: its innermost address, the stack around it (0: none); numbered from 1
 *     a         a kind of block: size, stack; numbered from 0
 *     c         the time, in milliseconds
 *     + -       a block of a kind was given; was taken back
 */

enum { HEAPTRACK_VERSION = 0x010400, FILE_VERSION = 3, NS_IN_MS = 1000000 };

/* Blocks of one size and stack. */
typedef struct heaptrack_kind {
    uint64_t size;
    uint32_t stack;
    uint32_t next; /* kind of the same hash */
} heaptrack_kind;

typedef struct heaptrack_writer {
    report_model *model;
    report_packer *packer;
    uint32_t *texts;     /* by text, its number here; 0: not written yet */
    size_t text_room;    /* of `texts` */
    uint32_t text_count; /* that have been written */
    uint32_t *addresses; /* by address of the stacks, its number here; 0: not written yet */
    uint32_t address_count;
    uint32_t *stacks; /* by node of the stacks, likewise */
    uint32_t stack_count;
    heaptrack_kind *kinds;
    size_t kind_count;
    size_t kind_room;
    report_numbers by_hash;
    uint64_t time; /* milliseconds */
} heaptrack_writer;

/* Lines end where they end. */
static const char *in_one_line(const char *text, char *copy, size_t room)
{
    size_t size = 0;
    for (; text[size] != '\0' && size + 1 < room; size++) {
        copy[size] = text[size];
        if (text[size] == '\n' || text[size] == '\r') {
            copy[size] = ' ';
        }
    }
    copy[size] = '\0';
    return copy;
}

static uint32_t text_of(heaptrack_writer *writer, uint32_t text)
{
    if (text == 0) {
        return 0;
    }
    /* Looking up symbols brings new texts. */
    if (text >= writer->text_room) {
        const size_t room = writer->model->texts.count + 1024;
        writer->texts = report_resized(writer->texts, room, sizeof *writer->texts);
        memset(writer->texts + writer->text_room, 0,
               (room - writer->text_room) * sizeof *writer->texts);
        writer->text_room = room;
    }
    if (writer->texts[text] == 0) {
        const char *string = report_texts_get(&writer->model->texts, text);
        const size_t room = strlen(string) + 1;
        char *copy = report_resized(NULL, room, 1);
        in_one_line(string, copy, room);
        report_packer_print(writer->packer, "s %zx ", room - 1);
        report_packer_put(writer->packer, copy, room - 1);
        report_packer_put(writer->packer, "\n", 1);
        free(copy);
        writer->texts[text] = ++writer->text_count;
    }
    return writer->texts[text];
}

static uint32_t address_of(heaptrack_writer *writer, uint32_t address)
{
    report_model *model = writer->model;
    if (writer->addresses[address] != 0) {
        return writer->addresses[address];
    }
    size_t count;
    const uint32_t *found = report_symbols_find(model->symbols, address, &count);
    /* Texts come before who names them. */
    for (size_t i = 0; i < count; i++) {
        text_of(writer, model->frames.all[found[i]].function);
        text_of(writer, model->frames.all[found[i]].file);
    }
    const uint32_t module = text_of(writer, model->frames.all[found[0]].module);
    report_packer_print(writer->packer, "i %" PRIx64 " %" PRIx32,
                        model->survey.stacks.frames[address].address, module);
    for (size_t i = 0; i < count; i++) {
        const report_frame *frame = &model->frames.all[found[i]];
        report_packer_print(writer->packer, " %" PRIx32 " %" PRIx32 " %" PRIx32,
                            text_of(writer, frame->function), text_of(writer, frame->file),
                            frame->line);
    }
    report_packer_put(writer->packer, "\n", 1);
    writer->addresses[address] = ++writer->address_count;
    return writer->addresses[address];
}

/* Nodes around it are written before it. */
static uint32_t stack_of(heaptrack_writer *writer, uint32_t node)
{
    const report_stack_node *nodes = writer->model->survey.stacks.nodes;
    uint32_t way[TRACE_FRAMES_MAX];
    size_t depth = 0;
    for (; node != 0 && writer->stacks[node] == 0; node = nodes[node].parent) {
        way[depth++] = node;
    }
    uint32_t number = node != 0 ? writer->stacks[node] : 0;
    while (depth-- > 0) {
        const uint32_t address = address_of(writer, nodes[way[depth]].frame);
        report_packer_print(writer->packer, "t %" PRIx32 " %" PRIx32 "\n", address, number);
        number = ++writer->stack_count;
        writer->stacks[way[depth]] = number;
    }
    return number;
}

static uint32_t kind_of(heaptrack_writer *writer, const report_block *block)
{
    const uint64_t hash = block->size * UINT64_C(0x9E3779B97F4A7C15) ^ block->stack;
    uint32_t *head = report_numbers_at(&writer->by_hash, hash);
    for (uint32_t i = *head; i != REPORT_NONE; i = writer->kinds[i].next) {
        if (writer->kinds[i].size == block->size && writer->kinds[i].stack == block->stack) {
            return i;
        }
    }
    writer->kinds =
        report_grown(writer->kinds, writer->kind_count, &writer->kind_room, sizeof *writer->kinds);
    writer->kinds[writer->kind_count] =
        (heaptrack_kind){.size = block->size, .stack = block->stack, .next = *head};
    *head = (uint32_t)writer->kind_count;
    const report_model *model = writer->model;
    const uint32_t node =
        report_tree_trim(&model->survey, model->symbols, &model->frames, block->stack);
    const uint32_t number = stack_of(writer, node);
    report_packer_print(writer->packer, "a %" PRIx64 " %" PRIx32 "\n", block->size, number);
    return (uint32_t)writer->kind_count++;
}

/* The kind of a block stands where its place would. */
static bool write_event(heaptrack_writer *writer, uint64_t time, report_step *step)
{
    if (time / NS_IN_MS != writer->time) {
        writer->time = time / NS_IN_MS;
        report_packer_print(writer->packer, "c %" PRIx64 "\n", writer->time);
    }
    bool is_written = true;
    for (unsigned i = 0; i < step->taken_count; i++) {
        is_written = report_packer_print(writer->packer, "- %" PRIx64 "\n", step->taken[i].place);
    }
    if (step->given != NULL) {
        step->given->place = kind_of(writer, step->given);
        is_written = report_packer_print(writer->packer, "+ %" PRIx64 "\n", step->given->place);
    }
    return is_written;
}

static void write_head(heaptrack_writer *writer)
{
    const report_model *model = writer->model;
    const char *command = report_texts_get(&model->texts, model->survey.command);
    const size_t room = strlen(command) + 1;
    char *copy = report_resized(NULL, room, 1);
    in_one_line(command, copy, room);
    report_packer_print(writer->packer, "v %x %x\nX ", HEAPTRACK_VERSION, FILE_VERSION);
    report_packer_put(writer->packer, copy, room - 1);
    /* Of how much memory the machine had nothing is known. */
    report_packer_print(writer->packer, "\nI %" PRIx64 " 0\n", model->options.page);
    free(copy);
}

static bool write_events(heaptrack_writer *writer, cli_trace_file *trace)
{
    report_pass pass;
    trace_event event;
    bool is_sound = report_pass_begin(&pass, &writer->model->survey, trace);
    bool is_written = true;
    while (is_sound && is_written && report_pass_read(&pass, &event, &is_sound)) {
        report_step step;
        report_pass_step(&pass, &event, &step);
        is_written = write_event(writer, event.time, &step);
    }
    report_pass_end(&pass);
    return is_sound && is_written;
}

bool report_export_heaptrack(FILE *file, report_model *model, cli_trace_file *trace)
{
    heaptrack_writer writer = {.model = model,
                               .packer = report_packer_create(true, report_file_put, file)};
    const report_stacks *stacks = &model->survey.stacks;
    writer.addresses = report_zeroed(stacks->frame_count, sizeof *writer.addresses);
    writer.stacks = report_zeroed(stacks->count, sizeof *writer.stacks);
    write_head(&writer);
    bool is_written = write_events(&writer, trace);
    report_packer_print(writer.packer, "c %" PRIx64 "\n", model->survey.duration / NS_IN_MS);
    is_written = report_packer_end(writer.packer) && is_written;
    free(writer.texts);
    free(writer.addresses);
    free(writer.stacks);
    free(writer.kinds);
    report_numbers_free(&writer.by_hash);
    return is_written;
}
