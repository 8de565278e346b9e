/* SPDX-License-Identifier: MIT */
#include "plan.h"
#include "units.h"
#include "utf8.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/*
 *     address
 *       ^  +------------------------------+
 *       |  |  time across, address up;    |  one group for each buffer: a title to hover over, and
 *       |  |  MARGIN around it for ticks  |  a rectangle for each stretch of its lifetime
 *       |  +------------------------------+
 *       +--------------------------------------> time
 */
enum { WIDTH = 1200, HEIGHT = 720, LEFT = 80, RIGHT = 20, TOP = 40, BOTTOM = 48 };

/* The height of a label's letters: below the least nobody could read it, so there is none. */
static const double label_least = 6;
static const double label_most = 13;
static const double letter_width = 0.62; /* of a sans-serif letter, in its height */

typedef struct canvas {
    FILE *file;
    double first_time;
    double last_time;
    double height; /* of the plan, or the capacity if that is more */
} canvas;

static double x_of(const canvas *drawing, int64_t time)
{
    return LEFT + ((double)time - drawing->first_time) /
                      (drawing->last_time - drawing->first_time) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const canvas *drawing, int64_t address)
{
    return TOP + (1 - (double)address / drawing->height) * (HEIGHT - TOP - BOTTOM);
}

/* Text in XML: what cannot be in it, control characters and bytes that are no UTF-8, is U+FFFD. */
static void write_text(const char *text, FILE *file)
{
    while (*text != '\0') {
        const size_t size = cli_utf8_size(text);
        const unsigned char byte = (unsigned char)*text;
        if (size == 0 || byte < 0x20 || byte == 0x7f ||
            (size == 3 &&
             (memcmp(text, "\xef\xbf\xbe", 3) == 0 || memcmp(text, "\xef\xbf\xbf", 3) == 0))) {
            fputs("\xef\xbf\xbd", file);
            text += size > 0 ? size : 1;
            continue;
        }
        switch (byte) {
        case '<':
            fputs("&lt;", file);
            break;
        case '>':
            fputs("&gt;", file);
            break;
        case '&':
            fputs("&amp;", file);
            break;
        default:
            fwrite(text, 1, size, file);
            break;
        }
        text += size;
    }
}

static size_t count_characters(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text += cli_utf8_size(text) > 0 ? cli_utf8_size(text) : 1) {
        count++;
    }
    return count;
}

/* Neighbours in the file get colours far apart: steps of the golden angle around the circle. */
static void write_colour(size_t index, FILE *file)
{
    fprintf(file, "hsl(%.0f,%d%%,%d%%)", fmod((double)index * 137.508, 360),
            55 + (int)(index % 3) * 10, 68 + (int)(index % 2) * 8);
}

static void set_range(canvas *drawing, const cli_buffers *buffers, const cli_plan_figures *figures)
{
    const int64_t height =
        figures->height > figures->capacity ? figures->height : figures->capacity;
    drawing->height = height > 0 ? (double)height : 1;
    drawing->first_time = buffers->count > 0 ? (double)INT64_MAX : 0;
    drawing->last_time = buffers->count > 0 ? (double)INT64_MIN : 0;
    for (size_t i = 0; i < buffers->count; i++) {
        drawing->first_time = fmin(drawing->first_time, (double)buffers->items[i].lower);
        drawing->last_time = fmax(drawing->last_time, (double)buffers->items[i].upper);
    }
    if (drawing->last_time <= drawing->first_time) {
        drawing->last_time = drawing->first_time + 1;
    }
}

/* -------------------------------------------------------------------------------------------------
 * Buffers.
 */
typedef struct frame {
    double x;
    double y;
    double width;
    double height;
} frame;

static void write_box(const canvas *drawing, const frame *box)
{
    fprintf(drawing->file, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>", box->x,
            box->y, box->width, box->height);
}

/* Where the label has most room, if it fits at all. */
static void write_label(const canvas *drawing, const char *id, const frame *box)
{
    const double letters = (double)count_characters(id);
    const double size =
        fmin(label_most, fmin(box->height * 0.8, (box->width - 4) / (letters * letter_width)));
    if (size < label_least) {
        return;
    }
    fprintf(drawing->file,
            "<text stroke=\"none\" fill=\"#111\" x=\"%.2f\" y=\"%.2f\" font-size=\"%.1f\">",
            box->x + box->width / 2, box->y + box->height / 2 + size * 0.35, size);
    write_text(id, drawing->file);
    fputs("</text>", drawing->file);
}

static void write_title(const canvas *drawing, const cli_buffer *buffer,
                        const tarn_overlay_buffer *item, int64_t offset)
{
    fputs("<title>", drawing->file);
    write_text(buffer->id, drawing->file);
    fprintf(drawing->file,
            "\ntime %" PRId64 " to %" PRId64 "\nbytes %" PRId64 " to %" PRId64 " (%" PRId64 ")",
            item->lower, item->upper, offset, offset + item->size, item->size);
    if (item->alignment > 1) {
        fprintf(drawing->file, "\naligned to %" PRId64, item->alignment);
    }
    if (item->gap_count > 0) {
        fprintf(drawing->file, "\n%zu gap%s", item->gap_count, item->gap_count > 1 ? "s" : "");
    }
    fputs("</title>", drawing->file);
}

static void write_buffer(const canvas *drawing, const cli_buffers *buffers, size_t index,
                         int64_t offset)
{
    const tarn_overlay_buffer *item = &buffers->items[index];
    cli_stretch stretch;
    frame widest = {.width = 0};
    size_t gap = 0;
    fputs("<g stroke=\"#333\" stroke-width=\".5\" fill=\"", drawing->file);
    write_colour(index, drawing->file);
    fputs("\">", drawing->file);
    write_title(drawing, &buffers->buffers[index], item, offset);
    while (cli_plan_stretch(item, &gap, &stretch)) {
        const double x = x_of(drawing, stretch.lower);
        const double y = y_of(drawing, offset + stretch.high);
        const frame drawn = {.x = x,
                             .y = y,
                             .width = x_of(drawing, stretch.upper) - x,
                             .height = y_of(drawing, offset + stretch.low) - y};
        write_box(drawing, &drawn);
        if (drawn.width * drawn.height > widest.width * widest.height) {
            widest = drawn;
        }
    }
    if (widest.width > 0) {
        write_label(drawing, buffers->buffers[index].id, &widest);
    }
    fputs("</g>\n", drawing->file);
}

/* -------------------------------------------------------------------------------------------------
 * Axes.
 */

/* 1, 2 or 5 times a power of ten, at most ten steps in all, and whole. */
static double time_step(double range)
{
    double step = 1;
    while (range / step > 10) {
        if (range / step <= 20) {
            return step * 2;
        }
        if (range / step <= 50) {
            return step * 5;
        }
        step *= 10;
    }
    return step;
}

static void write_times(const canvas *drawing)
{
    const double step = time_step(drawing->last_time - drawing->first_time);
    const double first = ceil(drawing->first_time / step);
    for (int i = 0; (first + i) * step <= drawing->last_time && i <= 10; i++) {
        const double time = (first + i) * step;
        const double x = LEFT + (time - drawing->first_time) /
                                    (drawing->last_time - drawing->first_time) *
                                    (WIDTH - LEFT - RIGHT);
        fprintf(drawing->file,
                "<path stroke=\"#ddd\" d=\"M%.2f %dV%d\"/><text x=\"%.2f\" y=\"%d\">%.0f</text>\n",
                x, TOP, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 16, time);
    }
    fprintf(drawing->file, "<text x=\"%d\" y=\"%d\">time</text>\n", (LEFT + WIDTH - RIGHT) / 2,
            HEIGHT - 12);
}

static void write_addresses(const canvas *drawing)
{
    double step = 1;
    while (drawing->height / step > 10) {
        step *= 2;
    }
    for (int i = 0; i * step <= drawing->height; i++) {
        const double y = TOP + (1 - i * step / drawing->height) * (HEIGHT - TOP - BOTTOM);
        fprintf(drawing->file,
                "<path stroke=\"#ddd\" d=\"M%d %.2fH%d\"/><text x=\"%d\" y=\"%.2f\" "
                "text-anchor=\"end\">%s</text>\n",
                LEFT, y, WIDTH - RIGHT, LEFT - 6, y + 4, cli_bytes_text((uint64_t)(i * step)));
    }
}

static void write_line(const canvas *drawing, int64_t address, const char *what)
{
    const double y = y_of(drawing, address);
    fprintf(drawing->file,
            "<path stroke=\"#c00\" stroke-dasharray=\"6 3\" d=\"M%d %.2fH%d\"/>"
            "<text x=\"%d\" y=\"%.2f\">%s %" PRId64 "</text>\n",
            LEFT, y, WIDTH - RIGHT, WIDTH - RIGHT, y - 4, what, address);
}

void cli_plan_write_svg(const cli_buffers *buffers, const int64_t *offsets,
                        const cli_plan_figures *figures, const char *title, FILE *file)
{
    canvas drawing = {.file = file};
    set_range(&drawing, buffers, figures);
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
            "height=\"%d\" font-family=\"sans-serif\">\n"
            "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n<text x=\"%d\" y=\"24\" "
            "font-size=\"15\">",
            WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT);
    write_text(title, file);
    fprintf(file, ": %zu buffers in %" PRId64 " bytes</text>\n", buffers->count, figures->height);
    fputs("<g fill=\"#444\" font-size=\"12\" text-anchor=\"middle\">\n", file);
    write_times(&drawing);
    write_addresses(&drawing);
    fputs("</g>\n<g text-anchor=\"middle\">\n", file);
    for (size_t i = 0; i < buffers->count; i++) {
        if (buffers->items[i].size > 0 && buffers->items[i].lower < buffers->items[i].upper) {
            write_buffer(&drawing, buffers, i, offsets[i]);
        }
    }
    fputs("</g>\n<g fill=\"#c00\" text-anchor=\"end\" font-size=\"12\">\n", file);
    write_line(&drawing, figures->height, "height");
    if (figures->capacity > figures->height) {
        write_line(&drawing, figures->capacity, "capacity");
    }
    fputs("</g>\n</svg>\n", file);
}
