/* SPDX-License-Identifier: MIT */
/*
 * Reading the files of `tarn plan`: the input is CSV or JSON. It is refused with a line and a reason, or read; then it
 * must be the same after it was written and read again, in both formats, and both checks of the plan in it, the
 * command's and the library's, must agree.
 */
#include "cli/buffers.h"
#include "cli/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void require(bool condition)
{
    if (!condition) {
        __builtin_trap();
    }
}

static void require_same(const cli_buffers *one, const cli_buffers *other, bool is_exact)
{
    require(one->count == other->count);
    for (size_t i = 0; i < one->count; i++) {
        const tarn_overlay_buffer *a = &one->items[i];
        const tarn_overlay_buffer *b = &other->items[i];
        const int64_t alignment = a->alignment > 0 ? a->alignment : 1;
        require(!is_exact || strcmp(one->buffers[i].id, other->buffers[i].id) == 0);
        require(a->lower == b->lower && a->upper == b->upper && a->size == b->size);
        require(alignment == (b->alignment > 0 ? b->alignment : 1));
        require(one->buffers[i].has_hint == other->buffers[i].has_hint);
        require(one->buffers[i].hint == other->buffers[i].hint);
        require(b->is_fixed && a->offset == b->offset && a->gap_count == b->gap_count);
        for (size_t g = 0; g < a->gap_count; g++) {
            require(a->gaps[g].lower == b->gaps[g].lower && a->gaps[g].upper == b->gaps[g].upper);
            require(a->gaps[g].has_window == b->gaps[g].has_window);
            require(a->gaps[g].window_lower == b->gaps[g].window_lower);
            require(a->gaps[g].window_upper == b->gaps[g].window_upper);
        }
    }
}

/* Bytes that are no UTF-8 become others in JSON, and two ids may then be the same. */
static void require_again(const cli_buffers *buffers, const int64_t *offsets, bool is_json)
{
    char *text = NULL;
    size_t size = 0;
    cli_buffers again;
    cli_fault fault;
    FILE *file = open_memstream(&text, &size);
    require(file != NULL);
    if (is_json) {
        cli_buffers_write_json(buffers, offsets, &(cli_plan_figures){.height = 1}, file);
    } else {
        cli_buffers_write_csv(buffers, offsets, file);
    }
    require(fclose(file) == 0);
    if (cli_buffers_read(&again, text, size, &fault)) {
        require_same(buffers, &again, !is_json);
    } else {
        require(is_json && strstr(fault.text, "already") != NULL);
    }
    cli_buffers_free(&again);
    free(text);
}

static void require_one_opinion(const cli_buffers *buffers, const int64_t *offsets)
{
    cli_plan_faults faults;
    int64_t height;
    cli_plan_check(buffers, offsets, NULL, false, 0, &faults);
    const tarn_status status =
        tarn_overlay_verify(buffers->items, buffers->count, offsets, 0, NULL, &height, NULL);
    if (status == TARN_OK) {
        require(faults.count == 0 && faults.height == height);
    } else if (status == TARN_BAD_DATA) {
        require(faults.count > 0);
    }
}

/* Drawing and making C keep some memory for each time, so only some inputs have that. */
static void draw(const cli_buffers *buffers, const int64_t *offsets)
{
    FILE *file = fopen("/dev/null", "we");
    cli_plan_faults faults;
    require(file != NULL);
    cli_plan_check(buffers, offsets, NULL, false, 0, &faults);
    if (faults.count == 0) {
        const cli_plan_figures figures = {.height = faults.height};
        cli_plan_write_svg(buffers, offsets, &figures, "fuzz", file);
        cli_plan_write_code(buffers, offsets, &figures, "plan", "fuzz", file);
    }
    fclose(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cli_buffers buffers;
    cli_fault fault = {0};
    char *text = malloc(size + 1);
    require(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    if (cli_buffers_read(&buffers, text, size, &fault)) {
        int64_t *offsets = calloc(buffers.count + 1, sizeof *offsets);
        require(offsets != NULL);
        for (size_t i = 0; i < buffers.count; i++) {
            offsets[i] = buffers.items[i].offset;
        }
        require(tarn_overlay_inspect(buffers.items, buffers.count, NULL) == TARN_OK ||
                !cli_buffers_has_sound_offsets(&buffers, &fault));
        require_again(&buffers, offsets, false);
        require_again(&buffers, offsets, true);
        require_one_opinion(&buffers, offsets);
        if (size % 16 == 0) {
            draw(&buffers, offsets);
        }
        free(offsets);
    } else {
        require(fault.line > 0 && fault.text[0] != '\0');
    }
    cli_buffers_free(&buffers);
    free(text);
    return 0;
}
