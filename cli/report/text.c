/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "exports.h"
#include "sites.h"
#include "table.h"
#include "units.h"
#include "utf8.h"

#include <stdio.h>
#include <string.h>

enum { SITES_SHOWN = 10, ROWS_SHOWN = 20, BAR_COLUMNS = 40 };

/* What an unbounded table cuts names to, so that it can be read. */
enum { COLUMNS_AT_MOST = 200 };

typedef struct text_page {
    FILE *file;
    const report_model *model;
    size_t columns;
} text_page;

/* Texts come from programs: what terminals obey is not shown. */
static const char *shown(const char *text)
{
    char *copy = cli_copy(text);
    for (char *at = copy; *at != '\0';) {
        const size_t size = cli_utf8_size(at);
        if (size == 0 || cli_utf8_is_control(at)) {
            memset(at, '?', size != 0 ? size : 1);
        }
        at += size != 0 ? size : 1;
    }
    return copy;
}

static const char *text_of(const text_page *page, uint32_t number)
{
    return shown(report_texts_get(&page->model->texts, number));
}

static const char *share_of(uint64_t part, uint64_t whole)
{
    return whole != 0 ? cli_format("%.1f %%", 100.0 * (double)part / (double)whole) : "-";
}

static void print_title(const text_page *page, const char *title)
{
    fprintf(page->file, "\n%s\n\n", title);
}

static void print_table(const text_page *page, cli_table *table)
{
    table->is_left[0] = true;
    cli_table_print(table, page->file, page->columns != 0 ? page->columns : COLUMNS_AT_MOST);
}

/* -------------------------------------------------------------------------------------------------
 * The program.
 */
static const char *first_line(const char *text)
{
    const size_t size = strcspn(text, "\r\n");
    return text[size] != '\0' ? cli_format("%.*s ...", (int)size, text) : text;
}

static void print_program(const text_page *page)
{
    const report_survey *survey = &page->model->survey;
    fprintf(page->file, "command      %s\n",
            shown(first_line(report_texts_get(&page->model->texts, survey->command))));
    fprintf(page->file, "process      %llu%s\n", (unsigned long long)survey->header.process,
            survey->is_cut ? ", the recording was cut short" : "");
    fprintf(page->file, "time         %s\n", cli_seconds_text((double)survey->duration / 1e9));
    fprintf(page->file, "events       %s\n", cli_count_text(survey->events));
    if (survey->lost != 0) {
        fprintf(page->file, "lost         %s\n", cli_count_text(survey->lost));
    }
    fprintf(page->file, "allocations  %s, of which %s by realloc; %s asked for\n",
            cli_count_text(survey->allocations), cli_count_text(survey->reallocs),
            cli_bytes_text(survey->bytes));
    fprintf(page->file, "frees        %s\n", cli_count_text(survey->frees));
    fprintf(page->file, "failed       %s\n", cli_count_text(survey->failed));
    fprintf(page->file, "temporary    %s (%s), freed at once by their thread\n",
            cli_things_text(survey->temporary, "allocation"),
            share_of(survey->temporary, survey->allocations));
    fprintf(page->file, "peak         %s live in %s, after %s\n", cli_bytes_text(survey->peak_live),
            cli_things_text(survey->peak_blocks, "block"),
            cli_seconds_text((double)survey->peak_time / 1e9));
    fprintf(page->file, "never freed  %s in %s\n", cli_bytes_text(survey->live),
            cli_things_text(survey->live_blocks, "block"));
    if (survey->weights.sample_bytes != 0) {
        fprintf(page->file,
                "stacks       one in %s asked for; figures by call site are estimates\n",
                cli_bytes_text(survey->weights.sample_bytes));
    }
}

/* -------------------------------------------------------------------------------------------------
 * Call sites.
 */
static const char *site_name(const text_page *page, uint32_t number)
{
    const report_frame *frame = &page->model->frames.all[number];
    const char *function = text_of(page, frame->function);
    if (frame->file == 0) {
        return function;
    }
    const char *path = text_of(page, frame->file);
    const char *slash = strrchr(path, '/');
    return cli_format("%s  %s:%u", function, slash != NULL ? slash + 1 : path, frame->line);
}

static const char *cost_text(uint64_t value, report_cost cost)
{
    return report_cost_is_bytes(cost) ? cli_bytes_text(value) : cli_count_text(value);
}

/* What else is told of the blocks that have a cost. */
static const char *beside_cost(const report_node_sum *sum, report_cost cost)
{
    switch (cost) {
    case REPORT_COST_BYTES:
        return cli_count_text(sum->allocations);
    case REPORT_COST_PEAK:
        return cli_count_text(sum->peak_blocks);
    case REPORT_COST_LEAKED:
        return cli_count_text(sum->allocations - sum->frees);
    case REPORT_COST_TEMPORARY:
        return cli_bytes_text(sum->temporary_bytes);
    default:
        return cli_bytes_text(sum->bytes);
    }
}

static const char *beside_name(report_cost cost)
{
    const bool is_of_live = cost == REPORT_COST_PEAK || cost == REPORT_COST_LEAKED;
    return is_of_live ? "blocks" : cost == REPORT_COST_BYTES ? "allocations" : "bytes";
}

static void print_sites(const text_page *page, report_sites *sites, report_cost cost,
                        const char *title, const char *column)
{
    report_sites_sort(sites, page->model, cost);
    uint64_t whole = 0;
    for (size_t i = 0; i < sites->count; i++) {
        whole += report_cost_of(&sites->all[i].sum, cost);
    }
    if (whole == 0) {
        return;
    }
    cli_table table = {.column_count = 4};
    cli_cell *row = cli_table_add(&table);
    row[0].text = "call site";
    row[1].text = column;
    row[2].text = "share";
    row[3].text = beside_name(cost);
    for (size_t i = 0; i < sites->count && i < SITES_SHOWN; i++) {
        const report_site *site = &sites->all[i];
        const uint64_t value = report_cost_of(&site->sum, cost);
        if (value == 0) {
            break;
        }
        row = cli_table_add(&table);
        row[0].text = site_name(page, site->frame);
        row[1].text = cost_text(value, cost);
        row[2].text = share_of(value, whole);
        row[3].text = beside_cost(&site->sum, cost);
    }
    print_title(page, title);
    print_table(page, &table);
}

static void print_all_sites(const text_page *page)
{
    report_sites sites = report_sites_make(page->model);
    print_sites(page, &sites, REPORT_COST_BYTES, "Call sites by bytes asked for", "bytes");
    print_sites(page, &sites, REPORT_COST_PEAK, "Call sites by live bytes at the peak", "live");
    print_sites(page, &sites, REPORT_COST_LEAKED, "Call sites by bytes never freed", "never freed");
    print_sites(page, &sites, REPORT_COST_TEMPORARY, "Call sites by temporary allocations",
                "temporary");
    print_sites(page, &sites, REPORT_COST_COUNT, "Call sites by allocations", "count");
    report_sites_free(&sites);
}

/* -------------------------------------------------------------------------------------------------
 * Sizes, pages, threads, pools.
 */
static const char *bar_of(double part, double most)
{
    char bar[BAR_COLUMNS + 1];
    const size_t size = most > 0 ? (size_t)(part / most * BAR_COLUMNS + 0.5) : 0;
    memset(bar, '#', size);
    bar[size] = '\0';
    return cli_copy(bar);
}

static const char *class_name(const report_histogram *sizes, size_t class)
{
    if (class + 1 == sizes->classes) {
        return cli_format("%s and more", cli_bytes_text(sizes->bounds[class - 1]));
    }
    return cli_format("below %s", cli_bytes_text(sizes->bounds[class]));
}

static void print_sizes(const text_page *page)
{
    const report_histogram *sizes = &page->model->sizes;
    double counts[REPORT_CLASSES_MAX] = {0};
    double bytes[REPORT_CLASSES_MAX] = {0};
    double most = 0;
    for (size_t i = 0; i < sizes->bins * sizes->classes; i++) {
        const size_t class = i % sizes->classes;
        counts[class] += sizes->counts[i];
        bytes[class] += sizes->bytes[i];
        most = counts[class] > most ? counts[class] : most;
    }
    if (most == 0) {
        return;
    }
    cli_table table = {.column_count = 4};
    table.is_left[3] = true;
    cli_cell *row = cli_table_add(&table);
    row[0].text = "size";
    row[1].text = "allocations";
    row[2].text = "bytes";
    for (size_t class = 0; class < sizes->classes; class ++) {
        if (counts[class] > 0) {
            row = cli_table_add(&table);
            row[0].text = class_name(sizes, class);
            row[1].text = cli_count_text((uint64_t)counts[class]);
            row[2].text = cli_bytes_text((uint64_t)bytes[class]);
            row[3].text = bar_of(counts[class], most);
        }
    }
    print_title(page, "Sizes");
    print_table(page, &table);
}

static const report_snapshot *peak_of(const report_snapshots *snapshots)
{
    for (size_t i = 0; i < snapshots->count; i++) {
        if (strcmp(snapshots->all[i].label, "peak") == 0) {
            return &snapshots->all[i];
        }
    }
    return NULL;
}

static void print_pins(const text_page *page, uint64_t free_bytes)
{
    report_sites sites = report_sites_make(page->model);
    report_sites_sort_by_pinned(&sites);
    cli_table table = {.column_count = 3};
    cli_cell *row = cli_table_add(&table);
    row[0].text = "call site";
    row[1].text = "holds free";
    row[2].text = "share";
    for (size_t i = 0; i < sites.count && i < SITES_SHOWN && sites.all[i].pinned >= 1; i++) {
        row = cli_table_add(&table);
        row[0].text = site_name(page, sites.all[i].frame);
        row[1].text = cli_bytes_text((uint64_t)sites.all[i].pinned);
        row[2].text = share_of((uint64_t)sites.all[i].pinned, free_bytes);
    }
    report_sites_free(&sites);
    fputc('\n', page->file);
    print_table(page, &table);
}

static void print_pages(const text_page *page)
{
    const report_snapshot *peak = peak_of(&page->model->snapshots);
    if (peak == NULL) {
        return;
    }
    print_title(page, "Pages at the peak");
    fprintf(page->file, "layout       %s\n", report_layout_name(page->model->layout));
    fprintf(page->file, "pages        %s with blocks: %s full, %s partly used\n",
            cli_count_text(peak->pages), cli_count_text(peak->full_pages),
            cli_count_text(peak->partial_pages));
    fprintf(page->file, "free there   %s on partly used pages\n", cli_bytes_text(peak->free_bytes));
    fprintf(page->file, "footprint    %s\n", cli_bytes_text(peak->footprint));
    const uint64_t unplaced = report_layout_failures(page->model->layout);
    if (unplaced != 0) {
        fprintf(page->file, "unplaced     %s, for which the layout has no place\n",
                cli_things_text(unplaced, "block"));
    }
    if (peak->free_bytes != 0) {
        print_pins(page, peak->free_bytes);
    }
}

static void print_threads(const text_page *page)
{
    const report_threads *threads = &page->model->survey.threads;
    if (threads->count == 0) {
        return;
    }
    cli_table table = {.column_count = 4};
    cli_cell *row = cli_table_add(&table);
    row[0].text = "thread";
    row[1].text = "id";
    row[2].text = "allocations";
    row[3].text = "bytes";
    for (size_t i = 0; i < threads->count && i < ROWS_SHOWN; i++) {
        row = cli_table_add(&table);
        row[0].text = text_of(page, threads->all[i].name);
        row[1].text = cli_format("%llu", (unsigned long long)threads->all[i].id);
        row[2].text = cli_count_text(threads->all[i].allocations);
        row[3].text = cli_bytes_text(threads->all[i].bytes);
    }
    print_title(page, "Threads");
    print_table(page, &table);
    if (threads->count > ROWS_SHOWN) {
        fprintf(page->file, "and %zu more\n", threads->count - ROWS_SHOWN);
    }
}

static void print_pools(const text_page *page)
{
    const report_pools *pools = &page->model->survey.pools;
    if (pools->count == 0) {
        return;
    }
    cli_table table = {.column_count = 6};
    static const char *const columns[] = {"pool", "kind", "allocations", "peak", "left", "resets"};
    table.is_left[1] = true;
    cli_cell *row = cli_table_add(&table);
    for (size_t i = 0; i < table.column_count; i++) {
        row[i].text = columns[i];
    }
    for (size_t i = 0; i < pools->count; i++) {
        const report_pool *pool = &pools->all[i];
        row = cli_table_add(&table);
        row[0].text = text_of(page, pool->name);
        row[1].text = text_of(page, pool->kind);
        row[2].text = cli_count_text(pool->allocations);
        row[3].text = cli_bytes_text(pool->peak_live);
        row[4].text = cli_bytes_text(pool->live);
        row[5].text = cli_count_text(pool->resets);
    }
    print_title(page, "Pools");
    print_table(page, &table);
}

void report_text_print(FILE *file, const report_model *model, size_t columns)
{
    const text_page page = {.file = file, .model = model, .columns = columns};
    print_program(&page);
    print_all_sites(&page);
    print_sizes(&page);
    print_pages(&page);
    print_threads(&page);
    print_pools(&page);
}
