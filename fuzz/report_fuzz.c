/* SPDX-License-Identifier: MIT */
/*
 * Reports on traces. The input's first byte says how: as a file; or as a program whose events and definitions are written
 * and reported; its second byte, with which options. What comes is written to a container, whose sums have to be the
 * whole. No symbols are looked for.
 */
#include "cli/report/head.h"
#include "cli/report/model.h"
#include "cli/report/sections.h"
#include "trace/writer.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { EVENTS_MAX = 4096 };

static void require(bool condition)
{
    if (!condition) {
        __builtin_trap();
    }
}

static bool put(void *context, const void *bytes, size_t size)
{
    return write(*(int *)context, bytes, size) == (ssize_t)size;
}

static bool swallow(void *context, const void *bytes, size_t size)
{
    (void)bytes;
    *(uint64_t *)context += size;
    return true;
}

/* A definition from 4 bytes. */
static void define(trace_writer *writer, const uint8_t *data)
{
    const char *text = (const char *)data;
    const trace_text whole = {.start = text, .size = 4};
    const uint64_t frames[] = {data[1] * 16U, data[2] * 4096U, data[3]};
    switch (data[0] % 5) {
    case 0:
        trace_writer_stack(writer, &(trace_stack){1 + data[3] % 16, data[1] % 4, frames});
        break;
    case 1:
        trace_writer_module(writer, &(trace_module){.start = data[1] * 256U,
                                                    .size = data[2] * 64U,
                                                    .bias = data[3],
                                                    .build_id = whole,
                                                    .path = whole});
        break;
    case 2:
        trace_writer_thread(writer, &(trace_thread){1 + data[1] % 5, data[2], whole});
        break;
    case 3:
        trace_writer_pool(writer, &(trace_pool){1 + data[1] % 8, data[2] % 9, whole, whole});
        break;
    default:
        trace_writer_info(writer, data[1] % 2 == 0 ? "sample_bytes" : "stacks",
                          data[1] % 2 == 0 ? "64" : "sampled");
        break;
    }
}

static trace_event event_of(const uint8_t *data, uint64_t time)
{
    trace_event event;
    memset(&event, 0, sizeof event);
    event.op = (data[0] & 15) % TRACE_OP_COUNT;
    event.thread = 1 + (data[0] >> 6);
    event.block = (uint64_t)data[1] << (data[3] % 16 == 0 ? 40 : 4);
    event.old_block = event.op == TRACE_REALLOC ? (uint64_t)data[2] * 16 : 0;
    if (event.op == TRACE_REALLOC || trace_op_is_alloc(event.op)) {
        event.size = data[2] < 240 ? data[2] * (1U + data[3]) : UINT64_C(1) << data[3] % 64;
    }
    if (event.op == TRACE_POOL_RESET || event.op == TRACE_POOL_CLOSE) {
        event.block = 0;
    }
    event.pool = trace_op_has_pool(event.op) ? data[3] : 0;
    event.stack = data[3] >> 4;
    event.alignment_log2 = data[3] % 16 == 15 ? data[2] % 64 : 0;
    event.time = time;
    return event;
}

static void write_program(int file, const uint8_t *data, size_t size, bool has_addresses)
{
    trace_writer *writer = trace_writer_create(&(trace_writer_options){
        .sink = put, .context = &file, .unit_ns = 1, .events_max = 100, .level = 1});
    require(writer != NULL);
    trace_writer_info(writer, "blocks", has_addresses ? "addresses" : "names");
    uint64_t time = 0;
    size_t events = 0;
    for (; size >= 4 && events < EVENTS_MAX; data += 4, size -= 4) {
        if ((data[0] & 48) == 48) {
            define(writer, data);
        } else {
            time += data[3] % 8 == 7 ? (uint64_t)data[2] << data[1] % 48 : data[3] % 4;
            const trace_event event = event_of(data, time);
            require(trace_writer_event(writer, &event));
            events++;
        }
    }
    require(trace_writer_close(writer, 0));
}

static void check_sums(const report_model *model)
{
    uint64_t allocs = 0;
    uint64_t bytes = 0;
    uint64_t frees = 0;
    uint64_t peak = 0;
    for (size_t i = 0; i < model->cells.count; i++) {
        require(model->cells.all[i].node < model->tree.count);
        allocs += model->cells.all[i].allocs;
        bytes += model->cells.all[i].bytes;
        frees += model->cells.all[i].frees;
    }
    for (size_t i = 0; i < model->tree.count; i++) {
        peak += model->sums[i].peak_bytes;
    }
    const report_survey *survey = &model->survey;
    if (survey->weights.sample_bytes == 0) {
        require(allocs == survey->allocations && bytes == survey->bytes);
        require(frees == survey->frees && peak == survey->peak_live);
    }
}

static void report(const char *path, report_model_options options)
{
    cli_trace_file file;
    if (!cli_trace_file_open(&file, path)) {
        return;
    }
    report_model model;
    if (report_model_make(&model, &file, &options)) {
        check_sums(&model);
        report_container container = {0};
        report_sections_add(&container, &model);
        report_head_set(&container, &model, NULL);
        uint64_t size = 0;
        require(report_container_write(&container, swallow, &size) && size % 8 == 0);
        report_container_free(&container);
        report_model_free(&model);
    }
    cli_trace_file_close(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    const int file = memfd_create("trace", MFD_CLOEXEC);
    require(file >= 0);
    if (data[0] % 4 == 0) {
        require(put((void *)&file, data + 2, size - 2));
    } else {
        write_program(file, data + 2, size - 2, data[0] % 2 == 0);
    }
    tarn_region_policy policy = TARN_BEST_FIT;
    require(report_policy_find(report_policy_names[data[1] / 16 % 6], &policy));
    const report_model_options options = {.symbols = {.is_off = true},
                                          .bins = (size_t)16 << data[1] % 6,
                                          .nodes_max = 16 + data[1],
                                          .cells_max = 100,
                                          .rects_max = data[1] % 8,
                                          .has_policy = data[1] % 3 == 0,
                                          .policy = policy,
                                          .page = 4096};
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    report(path, options);
    close(file);
    return 0;
}
