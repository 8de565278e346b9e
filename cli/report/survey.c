/* SPDX-License-Identifier: MIT */
#include "survey.h"

#include "blocks.h"
#include "layout.h"
#include "memory.h"

#include <stdlib.h>
#include <string.h>

void report_survey_free(report_survey *survey)
{
    report_threads_free(&survey->threads);
    report_pools_free(&survey->pools);
    report_modules_free(&survey->modules);
    report_stacks_free(&survey->stacks);
    report_extents_free(&survey->extents);
    free(survey->sums);
    free(survey->defined);
    *survey = (report_survey){0};
}

/* -------------------------------------------------------------------------------------------------
 * Definitions.
 */
static bool is_text(trace_text text, const char *word)
{
    return text.size == strlen(word) && memcmp(text.start, word, text.size) == 0;
}

static uint64_t number_of(trace_text text)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.size && text.start[i] >= '0' && text.start[i] <= '9'; i++) {
        number =
            number < UINT64_C(1) << 40 ? number * 10 + (uint64_t)(text.start[i] - '0') : number;
    }
    return number;
}

static void take_info(report_survey *survey, const trace_info *info)
{
    const uint32_t value = report_texts_add(survey->texts, info->value.start, info->value.size);
    if (is_text(info->name, "command")) {
        survey->command = value;
    } else if (is_text(info->name, "tarn")) {
        survey->tarn = value;
    } else if (is_text(info->name, "stacks")) {
        survey->stacks_kind = value;
        survey->has_stacks = !is_text(info->value, "none");
        survey->is_sampled = is_text(info->value, "sampled");
    } else if (is_text(info->name, "sample_bytes")) {
        survey->distance = number_of(info->value);
    } else if (is_text(info->name, "blocks")) {
        survey->has_addresses = is_text(info->value, "addresses");
    }
    survey->weights.sample_bytes = survey->is_sampled ? survey->distance : 0;
}

static void take_stack(report_survey *survey, const trace_stack *stack)
{
    report_stacks_define(&survey->stacks, &survey->modules, stack);
    while (survey->sum_count < survey->stacks.stack_count) {
        survey->sums =
            report_grown(survey->sums, survey->sum_count, &survey->sum_room, sizeof *survey->sums);
        survey->sums[survey->sum_count++] = (report_stack_sum){0};
    }
    survey->defined = report_grown(survey->defined, (size_t)survey->stack_definitions,
                                   &survey->defined_room, sizeof *survey->defined);
    survey->defined[survey->stack_definitions++] =
        report_stacks_find(&survey->stacks, stack->stack);
}

static void take_definition(report_survey *survey, const trace_item *item)
{
    switch (item->kind) {
    case TRACE_THREAD:
        report_threads_define(&survey->threads, survey->texts, &item->thread);
        break;
    case TRACE_MODULE:
        report_modules_define(&survey->modules, survey->texts, &item->module);
        break;
    case TRACE_STACK:
        take_stack(survey, &item->stack);
        break;
    case TRACE_POOL:
        report_pools_define(&survey->pools, survey->texts, &item->pool);
        break;
    case TRACE_INFO:
        take_info(survey, &item->info);
        break;
    case TRACE_EVENT:
        break;
    }
}

/* -------------------------------------------------------------------------------------------------
 * Events.
 */

/* What a block counts for at its stack. One without stands for itself: where stacks are sampled,
 * others stand for it too, and nobody adds the two up. */
static report_weight weight_of(const report_survey *survey, const report_block *block)
{
    return block->stack != 0 ? report_weight_guess(&survey->weights, block->size)
                             : (report_weight){.count = 1, .bytes = block->size};
}

static void take_back(report_survey *survey, const report_block *block)
{
    const report_weight weight = weight_of(survey, block);
    report_stack_sum *sum = &survey->sums[block->stack];
    sum->live -= weight.bytes;
    sum->live_blocks -= weight.count;
    survey->frees++;
    survey->live -= block->size;
    survey->live_blocks--;
    survey->taken -= report_policy_rounded(block->size);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void give(report_survey *survey, const report_block *block)
{
    const report_weight weight = weight_of(survey, block);
    report_stack_sum *sum = &survey->sums[block->stack];
    sum->allocations += weight.count;
    sum->bytes += weight.bytes;
    sum->live += weight.bytes;
    sum->live_blocks += weight.count;
    sum->most_live = sum->live > sum->most_live ? sum->live : sum->most_live;
    report_weights_count(&survey->weights, block->size, block->stack != 0);
    survey->allocations++;
    survey->bytes += block->size;
    survey->live += block->size;
    survey->live_blocks++;
    survey->taken += report_policy_rounded(block->size);
    survey->most_taken = larger(survey->taken, survey->most_taken);
    survey->threads.all[block->thread].allocations++;
    survey->threads.all[block->thread].bytes += block->size;
    if (survey->has_addresses) {
        report_extents_add(&survey->extents, block->name, block->size);
    }
}

static void count_step(report_survey *survey, const trace_event *event, const report_step *step)
{
    for (unsigned i = 0; i < step->taken_count; i++) {
        take_back(survey, &step->taken[i]);
    }
    if (step->given != NULL) {
        step->given->stack = report_stacks_find(&survey->stacks, event->stack);
        survey->has_alignment |= report_policy_aligns(event->alignment_log2);
        give(survey, step->given);
    }
    survey->failed += step->is_failed;
    survey->unknown += step->is_unknown;
    survey->reallocs += step->given != NULL && event->op == TRACE_REALLOC;
    if (step->is_temporary) {
        survey->temporary++;
        survey->temporary_bytes += step->taken[0].size;
    }
    if (survey->live > survey->peak_live) {
        survey->peak_live = survey->live;
        survey->peak_blocks = survey->live_blocks;
        survey->peak_time = event->time;
        survey->peak_event = survey->events;
    }
}

static void take_event(report_survey *survey, report_blocks *blocks, const trace_event *event)
{
    survey->events++;
    survey->duration = event->time;
    const uint32_t thread = report_threads_index(&survey->threads, event->thread);
    if (trace_op_has_pool(event->op)) {
        report_pools_event(&survey->pools, event);
        return;
    }
    report_step step;
    report_blocks_step(blocks, event, thread, &step);
    count_step(survey, event, &step);
}

bool report_survey_take(report_survey *survey, report_texts *texts, cli_trace_file *file)
{
    *survey = (report_survey){.texts = texts, .header = *trace_reader_header(file->reader)};
    report_stacks_init(&survey->stacks);
    report_pools_init(&survey->pools);
    survey->sums = report_grown(NULL, 0, &survey->sum_room, sizeof *survey->sums);
    survey->sums[0] = (report_stack_sum){0};
    survey->sum_count = 1;
    report_blocks *blocks = report_blocks_create();
    trace_item item;
    bool is_sound;
    while (cli_trace_file_next(file, &item, &is_sound)) {
        if (item.kind == TRACE_EVENT) {
            take_event(survey, blocks, &item.event);
        } else {
            take_definition(survey, &item);
        }
    }
    report_blocks_free(blocks);
    report_stacks_close(&survey->stacks);
    uint64_t offset;
    trace_summary summary;
    survey->is_cut = trace_reader_is_cut(file->reader, &offset);
    survey->lost = trace_reader_summary(file->reader, &summary) ? summary.lost : 0;
    return is_sound;
}
