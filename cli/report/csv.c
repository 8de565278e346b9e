/* SPDX-License-Identifier: MIT */
#include "exports.h"
#include "sites.h"

#include <inttypes.h>

static void print_field(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"') {
            fputc('"', file);
        }
        fputc(*text, file);
    }
    fputs("\",", file);
}

static void print_site(FILE *file, const report_model *model, const report_site *site)
{
    const report_frame *frame = &model->frames.all[site->frame];
    const report_node_sum *sum = &site->sum;
    print_field(file, report_texts_get(&model->texts, frame->function));
    print_field(file, report_texts_get(&model->texts, frame->file));
    fprintf(file, "%" PRIu32 ",", frame->line);
    print_field(file, report_texts_get(&model->texts, frame->module));
    fprintf(file, "%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",", sum->allocations,
            sum->bytes, sum->frees, sum->freed, sum->peak_blocks);
    fprintf(file, "%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%.0f\r\n",
            sum->peak_bytes, sum->allocations - sum->frees, sum->bytes - sum->freed, sum->temporary,
            sum->temporary_bytes, site->pinned);
}

void report_export_csv(FILE *file, const report_model *model)
{
    report_sites sites = report_sites_make(model);
    report_sites_sort(&sites, model, REPORT_COST_BYTES);
    fputs("function,file,line,module,allocations,bytes,frees,freed_bytes,peak_blocks,peak_bytes,"
          "leaked_blocks,leaked_bytes,temporary,temporary_bytes,pinned_bytes\r\n",
          file);
    for (size_t i = 0; i < sites.count; i++) {
        print_site(file, model, &sites.all[i]);
    }
    report_sites_free(&sites);
}
