/* SPDX-License-Identifier: MIT */
#include "head.h"

#include "cli.h"
#include "json.h"

#include <stdio.h>
#include <string.h>

enum { VERSION = 1, NS_IN_MS = 1000000 };

static const char *text(const report_model *model, uint32_t number)
{
    return report_texts_get(&model->texts, number);
}

static void write_sections(cli_json *json, const report_container *container)
{
    cli_json_open(json, "sections", '{');
    for (size_t i = 0; i < container->count; i++) {
        const report_section *section = &container->sections[i];
        cli_json_open(json, section->name, '{');
        cli_json_text(json, "type", report_type_name(section->type));
        cli_json_count(json, "offset", report_container_offset(container, i));
        cli_json_count(json, "count", section->count);
        cli_json_close(json, '}');
    }
    cli_json_close(json, '}');
}

static void write_program(cli_json *json, const report_model *model)
{
    const report_survey *survey = &model->survey;
    const char *stacks = text(model, survey->stacks_kind);
    const char *slash = strrchr(model->path, '/');
    cli_json_open(json, "program", '{');
    cli_json_text(json, "command", text(model, survey->command));
    cli_json_count(json, "process", survey->header.process);
    cli_json_count(json, "started_ms", survey->header.started_ns / NS_IN_MS);
    cli_json_text(json, "tarn", text(model, survey->tarn));
    cli_json_text(json, "stacks", *stacks != '\0' ? stacks : "none");
    cli_json_count(json, "sample_bytes", survey->weights.sample_bytes);
    cli_json_text(json, "blocks", survey->has_addresses ? "addresses" : "names");
    cli_json_text(json, "file", slash != NULL ? slash + 1 : model->path);
    cli_json_bool(json, "is_cut", survey->is_cut);
    cli_json_count(json, "lost", survey->lost);
    cli_json_close(json, '}');
}

static void write_summary(cli_json *json, const report_model *model)
{
    const report_survey *survey = &model->survey;
    cli_json_open(json, "summary", '{');
    cli_json_count(json, "events", survey->events);
    cli_json_count(json, "allocations", survey->allocations);
    cli_json_count(json, "frees", survey->frees);
    cli_json_count(json, "reallocs", survey->reallocs);
    cli_json_count(json, "failed", survey->failed);
    cli_json_count(json, "unknown_frees", survey->unknown);
    cli_json_count(json, "bytes_allocated", survey->bytes);
    cli_json_count(json, "peak_live", survey->peak_live);
    cli_json_count(json, "peak_time_ns", survey->peak_time);
    cli_json_count(json, "peak_blocks", survey->peak_blocks);
    cli_json_count(json, "live_end", survey->live);
    cli_json_count(json, "blocks_end", survey->live_blocks);
    cli_json_count(json, "duration_ns", survey->duration);
    cli_json_count(json, "threads", survey->threads.count);
    cli_json_count(json, "temporary", survey->temporary);
    cli_json_count(json, "temporary_bytes", survey->temporary_bytes);
    cli_json_count(json, "stacks", survey->stack_definitions);
    cli_json_count(json, "modules", survey->modules.count);
    cli_json_count(json, "page_size", model->options.page);
    cli_json_close(json, '}');
}

static void write_threads(cli_json *json, const report_model *model)
{
    cli_json_open(json, "threads", '[');
    for (size_t i = 0; i < model->survey.threads.count; i++) {
        const report_thread *thread = &model->survey.threads.all[i];
        cli_json_open(json, NULL, '{');
        cli_json_count(json, "id", thread->id);
        cli_json_text(json, "name", text(model, thread->name));
        cli_json_count(json, "allocations", thread->allocations);
        cli_json_count(json, "bytes", thread->bytes);
        cli_json_close(json, '}');
    }
    cli_json_close(json, ']');
}

static void write_pools(cli_json *json, const report_model *model)
{
    cli_json_open(json, "pools", '[');
    for (size_t i = 0; i < model->survey.pools.count; i++) {
        const report_pool *pool = &model->survey.pools.all[i];
        cli_json_open(json, NULL, '{');
        cli_json_text(json, "name", text(model, pool->name));
        cli_json_text(json, "kind", text(model, pool->kind));
        cli_json_int(json, "parent", pool->parent != REPORT_NONE ? (int64_t)pool->parent : -1);
        cli_json_count(json, "allocations", pool->allocations);
        cli_json_count(json, "frees", pool->frees);
        cli_json_count(json, "peak_live", pool->peak_live);
        cli_json_count(json, "live_end", pool->live);
        cli_json_count(json, "resets", pool->resets);
        cli_json_bool(json, "closed", pool->is_closed);
        cli_json_close(json, '}');
    }
    cli_json_close(json, ']');
}

static void write_grain(cli_json *json, const char *name, size_t count, uint64_t width)
{
    cli_json_open(json, name, '{');
    cli_json_count(json, "count", count);
    cli_json_count(json, "width_ns", width);
    cli_json_close(json, '}');
}

static void write_bounds(cli_json *json, const char *name, const char *bounds,
                         const report_histogram *histogram)
{
    cli_json_open(json, name, '{');
    cli_json_open(json, bounds, '[');
    for (size_t i = 0; i + 1 < histogram->classes; i++) {
        cli_json_count(json, NULL, histogram->bounds[i]);
    }
    cli_json_null(json, NULL);
    cli_json_close(json, ']');
    cli_json_close(json, '}');
}

/* Where the rows of recorded addresses are: from which distance on, which address. */
static void write_extents(cli_json *json, const report_extents *extents)
{
    cli_json_open(json, "extents", '[');
    for (size_t i = 0; i < extents->count; i++) {
        cli_json_open(json, NULL, '[');
        cli_json_count(json, NULL, extents->all[i].place);
        cli_json_count(json, NULL, extents->all[i].start);
        cli_json_close(json, ']');
    }
    cli_json_close(json, ']');
}

static void write_map(cli_json *json, const report_model *model)
{
    const report_raster *raster = &model->raster;
    if (raster->rows == 0) {
        cli_json_null(json, "map");
        return;
    }
    const bool is_recorded = model->survey.has_addresses && !model->options.has_policy;
    cli_json_open(json, "map", '{');
    cli_json_count(json, "columns", raster->columns);
    cli_json_count(json, "rows", raster->rows);
    cli_json_count(json, "ns_per_column", raster->column_ns);
    cli_json_count(json, "bytes_per_row", raster->row_bytes);
    cli_json_count(json, "bottom", is_recorded ? model->survey.extents.all[0].start : 0);
    if (is_recorded) {
        write_extents(json, &model->survey.extents);
    }
    cli_json_text(json, "layout", report_layout_name(model->layout));
    cli_json_count(json, "peak_footprint", report_layout_peak_footprint(model->layout));
    cli_json_count(json, "unplaced", report_layout_failures(model->layout));
    cli_json_close(json, '}');
}

static void write_snapshots(cli_json *json, const report_snapshots *snapshots)
{
    cli_json_open(json, "snapshots", '[');
    for (size_t i = 0; i < snapshots->count; i++) {
        const report_snapshot *snapshot = &snapshots->all[i];
        cli_json_open(json, NULL, '{');
        cli_json_count(json, "time_ns", snapshot->time);
        cli_json_text(json, "label", snapshot->label);
        cli_json_count(json, "footprint", snapshot->footprint);
        cli_json_count(json, "live", snapshot->live);
        cli_json_count(json, "pages", snapshot->pages);
        cli_json_count(json, "full_pages", snapshot->full_pages);
        cli_json_count(json, "partial_pages", snapshot->partial_pages);
        cli_json_count(json, "free_bytes", snapshot->free_bytes);
        cli_json_close(json, '}');
    }
    cli_json_close(json, ']');
}

void report_head_set(report_container *container, const report_model *model, const char *replay)
{
    FILE *file = open_memstream(&container->head, &container->head_size);
    if (file == NULL) {
        cli_fail_errno("no memory for the report");
    }
    cli_json json = {.file = file};
    cli_json_open(&json, NULL, '{');
    cli_json_text(&json, "format", "tarn-report");
    cli_json_count(&json, "version", VERSION);
    write_sections(&json, container);
    write_program(&json, model);
    write_summary(&json, model);
    write_threads(&json, model);
    write_pools(&json, model);
    write_grain(&json, "bins", model->bins, model->bin_width);
    write_grain(&json, "curve", model->curve.steps, model->curve.width);
    write_bounds(&json, "sizes", "bounds", &model->sizes);
    write_bounds(&json, "lifetimes", "bounds_ns", &model->lifetimes);
    write_map(&json, model);
    write_snapshots(&json, &model->snapshots);
    cli_json_raw(&json, "replay", replay != NULL ? replay : "null");
    cli_json_close(&json, '}');
    if (fclose(file) != 0) {
        cli_fail_errno("no memory for the report");
    }
}
