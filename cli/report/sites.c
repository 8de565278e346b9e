/* SPDX-License-Identifier: MIT */
#include "sites.h"

#include "memory.h"

#include <stdlib.h>
#include <string.h>

static void add(report_node_sum *to, const report_node_sum *sum)
{
    to->allocations += sum->allocations;
    to->bytes += sum->bytes;
    to->frees += sum->frees;
    to->freed += sum->freed;
    to->temporary += sum->temporary;
    to->temporary_bytes += sum->temporary_bytes;
    to->peak_bytes += sum->peak_bytes;
    to->peak_blocks += sum->peak_blocks;
}

static void add_pins(report_site *by_frame, const report_model *model)
{
    const report_snapshots *snapshots = &model->snapshots;
    for (size_t i = 0; i < snapshots->count; i++) {
        if (strcmp(snapshots->all[i].label, "peak") == 0) {
            for (size_t at = i == 0 ? 0 : snapshots->ends[i - 1]; at < snapshots->ends[i]; at++) {
                const report_pin *pin = &snapshots->pins[at];
                by_frame[model->tree.nodes[pin->node].frame].pinned += pin->bytes;
            }
        }
    }
}

report_sites report_sites_make(const report_model *model)
{
    report_sites sites = {.all = report_zeroed(model->frames.count, sizeof *sites.all)};
    for (size_t node = 0; node < model->tree.count; node++) {
        add(&sites.all[model->tree.nodes[node].frame].sum, &model->sums[node]);
    }
    add_pins(sites.all, model);
    for (uint32_t frame = 0; frame < model->frames.count; frame++) {
        if (sites.all[frame].sum.allocations != 0) {
            const report_site site = sites.all[frame];
            sites.all[sites.count] = site;
            sites.all[sites.count++].frame = frame;
        }
    }
    return sites;
}

void report_sites_free(report_sites *sites)
{
    free(sites->all);
    *sites = (report_sites){0};
}

typedef struct sites_order {
    const report_model *model;
    report_cost cost;
} sites_order;

static int compare_names(const report_model *model, uint32_t left, uint32_t right)
{
    const report_frame *a = &model->frames.all[left];
    const report_frame *b = &model->frames.all[right];
    int order = strcmp(report_texts_get(&model->texts, a->function),
                       report_texts_get(&model->texts, b->function));
    if (order == 0) {
        order = strcmp(report_texts_get(&model->texts, a->file),
                       report_texts_get(&model->texts, b->file));
    }
    return order != 0 ? order : (a->line > b->line) - (a->line < b->line);
}

static int compare_costs(const void *left, const void *right, void *context)
{
    const sites_order *order = context;
    const report_site *a = left;
    const report_site *b = right;
    const uint64_t cost_a = report_cost_of(&a->sum, order->cost);
    const uint64_t cost_b = report_cost_of(&b->sum, order->cost);
    if (cost_a != cost_b) {
        return cost_a < cost_b ? 1 : -1;
    }
    return compare_names(order->model, a->frame, b->frame);
}

static int compare_pinned(const void *left, const void *right)
{
    const report_site *a = left;
    const report_site *b = right;
    return (a->pinned < b->pinned) - (a->pinned > b->pinned);
}

void report_sites_sort(report_sites *sites, const report_model *model, report_cost cost)
{
    qsort_r(sites->all, sites->count, sizeof *sites->all, compare_costs,
            &(sites_order){.model = model, .cost = cost});
}

void report_sites_sort_by_pinned(report_sites *sites)
{
    qsort(sites->all, sites->count, sizeof *sites->all, compare_pinned);
}
