/* SPDX-License-Identifier: MIT */
#include "exports.h"

#include "memory.h"

#include <inttypes.h>
#include <stdlib.h>

/* A semicolon parts frames, and a line is a stack. */
static void print_name(FILE *file, const char *name)
{
    for (; *name != '\0'; name++) {
        const unsigned char letter = (unsigned char)*name;
        fputc(letter == ';' ? ':' : letter < ' ' ? ' ' : letter, file);
    }
}

static void print_stack(FILE *file, const report_model *model, uint32_t node, uint32_t *way)
{
    size_t depth = 0;
    for (; node != 0; node = model->tree.nodes[node].parent) {
        way[depth++] = model->tree.nodes[node].frame;
    }
    while (depth-- > 0) {
        print_name(file, report_texts_get(&model->texts, model->frames.all[way[depth]].function));
        if (depth != 0) {
            fputc(';', file);
        }
    }
}

void report_export_folded(FILE *file, const report_model *model, report_cost cost)
{
    uint32_t *way = report_resized(NULL, model->tree.count, sizeof *way);
    for (uint32_t node = 1; node < model->tree.count; node++) {
        const uint64_t value = report_cost_of(&model->sums[node], cost);
        if (value != 0) {
            print_stack(file, model, node, way);
            fprintf(file, " %" PRIu64 "\n", value);
        }
    }
    free(way);
}
