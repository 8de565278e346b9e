/* SPDX-License-Identifier: MIT */
#include "exports.h"
#include "json.h"
#include "memory.h"

#include <stdlib.h>

static const char *const titles[REPORT_COST_KINDS] = {"bytes allocated", "allocations",
                                                      "live bytes at the peak", "bytes never freed",
                                                      "temporary allocations"};

static void write_frames(cli_json *json, const report_model *model)
{
    cli_json_open(json, "shared", '{');
    cli_json_open(json, "frames", '[');
    for (size_t i = 0; i < model->frames.count; i++) {
        const report_frame *frame = &model->frames.all[i];
        cli_json_open(json, NULL, '{');
        cli_json_text(json, "name", report_texts_get(&model->texts, frame->function));
        if (frame->file != 0) {
            cli_json_text(json, "file", report_texts_get(&model->texts, frame->file));
            cli_json_count(json, "line", frame->line);
        }
        cli_json_close(json, '}');
    }
    cli_json_close(json, ']');
    cli_json_close(json, '}');
}

static void write_stack(cli_json *json, const report_model *model, uint32_t node, uint32_t *way)
{
    size_t depth = 0;
    for (; node != 0; node = model->tree.nodes[node].parent) {
        way[depth++] = model->tree.nodes[node].frame;
    }
    cli_json_open(json, NULL, '[');
    while (depth-- > 0) {
        cli_json_count(json, NULL, way[depth]);
    }
    cli_json_close(json, ']');
}

static void write_profile(cli_json *json, const report_model *model, report_cost cost,
                          uint32_t *way)
{
    uint64_t whole = 0;
    cli_json_open(json, NULL, '{');
    cli_json_text(json, "type", "sampled");
    cli_json_text(json, "name", titles[cost]);
    cli_json_text(json, "unit", report_cost_is_bytes(cost) ? "bytes" : "none");
    cli_json_open(json, "samples", '[');
    for (uint32_t node = 1; node < model->tree.count; node++) {
        if (report_cost_of(&model->sums[node], cost) != 0) {
            write_stack(json, model, node, way);
        }
    }
    cli_json_close(json, ']');
    cli_json_open(json, "weights", '[');
    for (uint32_t node = 1; node < model->tree.count; node++) {
        const uint64_t value = report_cost_of(&model->sums[node], cost);
        if (value != 0) {
            cli_json_count(json, NULL, value);
            whole += value;
        }
    }
    cli_json_close(json, ']');
    cli_json_count(json, "startValue", 0);
    cli_json_count(json, "endValue", whole);
    cli_json_close(json, '}');
}

void report_export_speedscope(FILE *file, const report_model *model, report_cost cost)
{
    uint32_t *way = report_resized(NULL, model->tree.count, sizeof *way);
    cli_json json = {.file = file};
    cli_json_open(&json, NULL, '{');
    cli_json_text(&json, "$schema", "https://www.speedscope.app/file-format-schema.json");
    cli_json_text(&json, "exporter", "tarn report");
    cli_json_text(&json, "name", report_texts_get(&model->texts, model->survey.command));
    cli_json_count(&json, "activeProfileIndex", cost);
    write_frames(&json, model);
    cli_json_open(&json, "profiles", '[');
    for (unsigned i = 0; i < REPORT_COST_KINDS; i++) {
        write_profile(&json, model, i, way);
    }
    cli_json_close(&json, ']');
    cli_json_close(&json, '}');
    free(way);
}
