/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "live.h"
#include "options.h"
#include "trace_file.h"
#include "units.h"
#include "utf8.h"

#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* tarn trace: what is in a recorded file, as a summary or line by line. */

typedef struct trace_options {
    bool is_print;
    const char *path;
} trace_options;

static const struct option long_options[] = {
    {"print", no_argument, NULL, 'p'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void print_help(void)
{
    puts("tarn trace - show what was recorded\n"
         "\n"
         "Usage: tarn trace [OPTION]... FILE\n"
         "\n"
         "Options:\n"
         "  -p, --print  every event and definition, one a line; without it a summary\n"
         "  -h, --help   this text\n"
         "\n"
         "A file that was cut short is read to its last whole part, and said so. The exit\n"
         "status is 1 for a file that is damaged, or is no trace.");
}

/* -1 when there is a file to be read, else the exit status of the end. */
static int parse(trace_options *options, int argc, char **argv)
{
    opterr = 0;
    for (;;) {
        const int at = optind;
        const int option = getopt_long(argc, argv, ":hp", long_options, NULL);
        if (option == -1) {
            break;
        }
        if (option == 'h') {
            print_help();
            return 0;
        }
        if (option != 'p') {
            cli_option_report(long_options, option, argv[at]);
            return CLI_EXIT_USAGE;
        }
        options->is_print = true;
    }
    if (argc - optind != 1) {
        cli_usage_error(argc == optind ? "no file given" : "one file at a time");
        return CLI_EXIT_USAGE;
    }
    options->path = argv[optind];
    return -1;
}

/* -------------------------------------------------------------------------------------------------
 * Lines.
 */

/* Texts come from programs: what is no character, or is one that terminals obey, is shown in hexadecimal, and
 * before the letters of `marked` comes a backslash. */
static void print_letters(trace_text text, const char *marked)
{
    for (size_t i = 0; i < text.size;) {
        char letter[5] = "";
        memcpy(letter, text.start + i, text.size - i < 4 ? text.size - i : 4);
        size_t size = letter[0] != '\0' ? cli_utf8_size(letter) : 0;
        const bool is_shown = size > 0 && !cli_utf8_is_control(letter);
        size = size > 0 ? size : 1;
        if (is_shown && strchr(marked, letter[0]) != NULL) {
            putchar('\\');
        }
        for (size_t at = 0; at < size; at++) {
            if (is_shown) {
                putchar(letter[at]);
            } else {
                printf("\\x%02x", (unsigned char)letter[at]);
            }
        }
        i += size;
    }
}

static void print_text(trace_text text)
{
    putchar('"');
    print_letters(text, "\"\\");
    putchar('"');
}

static void print_event(const trace_event *event)
{
    printf("%" PRIu64 " %" PRIu32 " %s", event->time, event->thread, trace_op_name(event->op));
    if (event->op == TRACE_REALLOC) {
        printf(" %#" PRIx64, event->old_block);
    }
    if (event->op != TRACE_POOL_RESET && event->op != TRACE_POOL_CLOSE) {
        printf(" %#" PRIx64, event->block);
    }
    if (event->op == TRACE_REALLOC || trace_op_is_alloc(event->op)) {
        printf(" size %" PRIu64, event->size);
    }
    if (event->alignment_log2 != 0) {
        printf(" alignment %" PRIu64, UINT64_C(1) << event->alignment_log2);
    }
    if (event->pool != 0) {
        printf(" pool %" PRIu32, event->pool);
    }
    if (event->stack != 0) {
        printf(" stack %" PRIu32, event->stack);
    }
    putchar('\n');
}

static void print_module(const trace_module *module)
{
    printf("module %#" PRIx64 " size %#" PRIx64 " bias %#" PRIx64 " build-id ", module->start,
           module->size, module->bias);
    for (size_t i = 0; i < module->build_id.size; i++) {
        printf("%02x", (unsigned char)module->build_id.start[i]);
    }
    if (module->build_id.size == 0) {
        putchar('-');
    }
    putchar(' ');
    print_text(module->path);
    putchar('\n');
}

static void print_item(const trace_item *item)
{
    switch (item->kind) {
    case TRACE_EVENT:
        print_event(&item->event);
        break;
    case TRACE_THREAD:
        printf("thread %" PRIu32 " %" PRIu64 " ", item->thread.thread, item->thread.system_id);
        print_text(item->thread.name);
        putchar('\n');
        break;
    case TRACE_MODULE:
        print_module(&item->module);
        break;
    case TRACE_STACK:
        printf("stack %" PRIu32, item->stack.stack);
        for (uint32_t i = 0; i < item->stack.count; i++) {
            printf(" %#" PRIx64, item->stack.frames[i]);
        }
        putchar('\n');
        break;
    case TRACE_POOL:
        printf("pool %" PRIu32 " parent %" PRIu32 " ", item->pool.pool, item->pool.parent);
        print_text(item->pool.kind);
        putchar(' ');
        print_text(item->pool.name);
        putchar('\n');
        break;
    case TRACE_INFO:
        printf("info ");
        print_text(item->info.name);
        putchar(' ');
        print_text(item->info.value);
        putchar('\n');
        break;
    }
}

/* -------------------------------------------------------------------------------------------------
 * Figures.
 */
typedef struct trace_figures {
    uint64_t operations[TRACE_OP_COUNT];
    uint64_t events;
    uint64_t failed;
    uint64_t bytes; /* asked for */
    uint64_t last_time;
    uint64_t threads;
    uint64_t stacks;
    uint64_t modules;
    uint64_t pools;
    cli_live *live;
} trace_figures;

static void count_event(trace_figures *figures, const trace_event *event)
{
    figures->events++;
    figures->operations[event->op]++;
    figures->last_time = event->time;
    const bool is_request = event->op == TRACE_REALLOC || trace_op_is_alloc(event->op);
    if (is_request && event->block == 0) {
        figures->failed++;
        return;
    }
    if (is_request) {
        figures->bytes += event->size;
    }
    cli_live_event(figures->live, event);
}

static void count_item(trace_figures *figures, const trace_item *item)
{
    switch (item->kind) {
    case TRACE_EVENT:
        count_event(figures, &item->event);
        break;
    case TRACE_THREAD:
        figures->threads =
            item->thread.thread > figures->threads ? item->thread.thread : figures->threads;
        break;
    case TRACE_MODULE:
        figures->modules++;
        break;
    case TRACE_STACK:
        figures->stacks++;
        break;
    case TRACE_POOL:
        figures->pools++;
        break;
    case TRACE_INFO:
        print_letters(item->info.name, "");
        printf(": ");
        print_letters(item->info.value, "");
        putchar('\n');
        break;
    }
}

static void print_figures(const trace_figures *figures, uint64_t file_size)
{
    printf("events: %" PRIu64 "\n", figures->events);
    for (unsigned i = 0; i < TRACE_OP_COUNT; i++) {
        if (figures->operations[i] != 0) {
            printf("  %s: %" PRIu64 "\n", trace_op_name(i), figures->operations[i]);
        }
    }
    const char *about = cli_live_is_estimate(figures->live) ? "about " : "";
    printf("failed requests: %" PRIu64 "\n", figures->failed);
    printf("bytes asked for: %" PRIu64 "\n", figures->bytes);
    printf("live at most: %s%" PRIu64 "\n", about, cli_live_peak(figures->live));
    printf("live at the end: %s%" PRIu64 "\n", about, cli_live_now(figures->live));
    printf("seconds: %.3f\n", (double)figures->last_time / 1e9);
    printf("threads: %" PRIu64 "\n", figures->threads);
    printf("stacks: %" PRIu64 "\n", figures->stacks);
    printf("modules: %" PRIu64 "\n", figures->modules);
    if (figures->pools != 0) {
        printf("pools: %" PRIu64 "\n", figures->pools);
    }
    printf("file: %" PRIu64 " bytes\n", file_size);
}

static int show(const trace_options *options, cli_trace_file *file)
{
    trace_figures figures = {.live = cli_live_create()};
    if (figures.live == NULL) {
        cli_fail_errno("no memory");
    }
    const trace_header *header = trace_reader_header(file->reader);
    printf(options->is_print ? "trace %u.%u process %" PRIu64 "\n"
                             : "format: %u.%u\nprocess: %" PRIu64 "\n",
           header->major, header->minor, header->process);
    trace_item item;
    bool is_sound;
    while (cli_trace_file_next(file, &item, &is_sound)) {
        if (options->is_print) {
            print_item(&item);
        } else {
            count_item(&figures, &item);
        }
    }
    if (is_sound && !options->is_print) {
        trace_summary summary;
        print_figures(&figures, file->size);
        if (trace_reader_summary(file->reader, &summary)) {
            printf("lost: %" PRIu64 "\n", summary.lost);
        }
    }
    cli_live_free(figures.live);
    return is_sound ? 0 : CLI_EXIT_FAILURE;
}

int cli_trace(int argc, char **argv)
{
    trace_options options = {0};
    int status = parse(&options, argc, argv);
    if (status >= 0) {
        return status;
    }
    cli_trace_file file;
    if (!cli_trace_file_open(&file, options.path)) {
        return CLI_EXIT_FAILURE;
    }
    status = show(&options, &file);
    cli_trace_file_close(&file);
    return status;
}
