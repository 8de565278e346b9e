/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "document.h"
#include "exports.h"
#include "files.h"
#include "head.h"
#include "options.h"
#include "page.h"
#include "replay_file.h"
#include "sections.h"
#include "units.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* tarn report: where a program's memory went, as a page, as text, or for other tools. */

enum {
    BINS = 512,
    BINS_LEAST = 16,
    NODES_MAX = 20000,
    CELLS_MAX = 1000000,
    RECTS_MAX = 100000,
    /* What is made for other tools is not looked at as a whole. */
    EXPORT_NODES_MAX = 1000000
};

/* Peaks of one trace differ by no larger part. */
#define SAME_PART 0.01

typedef enum report_form {
    FORM_PAGE,
    FORM_TEXT,
    FORM_PPROF,
    FORM_FOLDED,
    FORM_SPEEDSCOPE,
    FORM_HEAPTRACK,
    FORM_CSV
} report_form;

/* The words of --export, in the order of the forms from FORM_PPROF on. */
static const char *const export_names[] = {"pprof",     "folded", "speedscope",
                                           "heaptrack", "csv",    NULL};
/* What stands behind the file's name when it is not said. */
static const char *const endings[] = {
    ".html", "", ".pb.gz", ".folded", ".speedscope.json", ".heaptrack.gz", ".csv"};

typedef struct report_options {
    report_form form;
    report_cost cost;
    const char *output; /* NULL: beside where one works */
    const char *replay;
    const char *path;
    const char **debug; /* folders */
    const char **allocators;
    report_model_options model;
} report_options;

enum {
    OPTION_REPLAY = CLI_OPTION_LONG,
    OPTION_EXPORT,
    OPTION_COST,
    OPTION_SYSROOT,
    OPTION_DEBUG_DIR,
    OPTION_NO_SYMBOLS,
    OPTION_ALLOCATOR,
    OPTION_MAP,
    OPTION_BINS
};

static const struct option long_options[] = {
    {"output", required_argument, NULL, 'o'},
    {"replay", required_argument, NULL, OPTION_REPLAY},
    {"text", no_argument, NULL, 't'},
    {"export", required_argument, NULL, OPTION_EXPORT},
    {"cost", required_argument, NULL, OPTION_COST},
    {"sysroot", required_argument, NULL, OPTION_SYSROOT},
    {"debug-dir", required_argument, NULL, OPTION_DEBUG_DIR},
    {"no-symbols", no_argument, NULL, OPTION_NO_SYMBOLS},
    {"allocator", required_argument, NULL, OPTION_ALLOCATOR},
    {"map", required_argument, NULL, OPTION_MAP},
    {"bins", required_argument, NULL, OPTION_BINS},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void print_help(void)
{
    puts("tarn report - show where a recorded program's memory went\n"
         "\n"
         "Usage: tarn report [OPTION]... FILE\n"
         "\n"
         "Options:\n"
         "  -o, --output FILE      the page, one HTML file; without it FILE's name, here\n"
         "      --replay FILE      what tarn replay --json wrote of the trace, for the page\n"
         "  -t, --text             on standard output, instead of a page\n"
         "      --export FORMAT    for other tools instead: pprof, folded, speedscope,\n"
         "                         heaptrack or csv\n"
         "      --cost COST        what folded and speedscope weigh stacks by: bytes, count,\n"
         "                         peak, leaked or temporary; bytes without it\n"
         "      --map POLICY       lay blocks out as a region would: best-fit, first-fit,\n"
         "                         next-fit, worst-fit, segregated-fit or buddy\n"
         "      --bins N           grain of time on the page, 16 to 512; 512 without it\n"
         "  -h, --help             this text\n"
         "\n"
         "Where functions get their names from:\n"
         "      --sysroot DIR      the root of the files of the machine that was recorded\n"
         "      --debug-dir DIR    files for debuggers, beside /usr/lib/debug; repeatable\n"
         "      --no-symbols       from nowhere: addresses\n"
         "      --allocator NAME   a function that hands memory out, and is no call site;\n"
         "                         with * and ?; repeatable\n"
         "\n"
         "The exit status is 1 for a file that is damaged, or is no trace.");
}

/* -------------------------------------------------------------------------------------------------
 * The command line.
 */
static bool parse_export(report_options *options, const char *word)
{
    for (unsigned i = 0; export_names[i] != NULL; i++) {
        if (strcmp(export_names[i], word) == 0) {
            options->form = FORM_PPROF + i;
            return true;
        }
    }
    cli_unknown("value of --export", word, export_names);
    return false;
}

static bool parse_bins(report_options *options, const char *word)
{
    uint64_t bins;
    if (!cli_option_count("--bins", word, BINS_LEAST, BINS, &bins)) {
        return false;
    }
    /* Bins can be joined in pairs. */
    options->model.bins = BINS_LEAST;
    while (options->model.bins * 2 <= bins) {
        options->model.bins *= 2;
    }
    return true;
}

static bool parse_allocator(report_options *options, const char *word)
{
    if (*word == '\0') {
        cli_usage_error("--allocator takes the name of a function");
        return false;
    }
    options->allocators[options->model.allocators.count++] = word;
    return true;
}

static bool parse_file(const char *name, const char *word, const char **file)
{
    *file = word;
    if (*word == '\0') {
        cli_usage_error("%s takes the name of a file", name);
    }
    return *word != '\0';
}

/* False, said, for a value that does not fit. */
static bool take_option(report_options *options, int option, const char *word)
{
    switch (option) {
    case 'o':
        return parse_file("--output", word, &options->output);
    case OPTION_REPLAY:
        return parse_file("--replay", word, &options->replay);
    case 't':
        options->form = FORM_TEXT;
        return true;
    case OPTION_EXPORT:
        return parse_export(options, word);
    case OPTION_COST:
        if (!report_cost_find(word, &options->cost)) {
            cli_unknown("value of --cost", word, report_cost_names);
            return false;
        }
        return true;
    case OPTION_SYSROOT:
        return parse_file("--sysroot", word, &options->model.symbols.sysroot);
    case OPTION_DEBUG_DIR:
        return parse_file("--debug-dir", word,
                          &options->debug[options->model.symbols.debug_count++]);
    case OPTION_ALLOCATOR:
        return parse_allocator(options, word);
    case OPTION_NO_SYMBOLS:
        options->model.symbols.is_off = true;
        return true;
    case OPTION_MAP:
        options->model.has_policy = report_policy_find(word, &options->model.policy);
        if (!options->model.has_policy) {
            cli_unknown("value of --map", word, report_policy_names);
        }
        return options->model.has_policy;
    default:
        return parse_bins(options, word);
    }
}

/* -1 when there is a file to be read, else the exit status of the end. */
static int parse(report_options *options, int argc, char **argv)
{
    opterr = 0;
    options->debug = cli_alloc((size_t)argc * sizeof *options->debug);
    options->model.symbols.debug = options->debug;
    options->allocators = cli_alloc((size_t)argc * sizeof *options->allocators);
    options->model.allocators.names = options->allocators;
    for (;;) {
        const int at = optind;
        const int option = getopt_long(argc, argv, ":ho:t", long_options, NULL);
        if (option == -1) {
            break;
        }
        if (option == 'h') {
            print_help();
            return 0;
        }
        if (option == ':' || option == '?') {
            cli_option_report(long_options, option, argv[at]);
            return CLI_EXIT_USAGE;
        }
        if (!take_option(options, option, optarg)) {
            return CLI_EXIT_USAGE;
        }
    }
    if (argc - optind != 1) {
        cli_usage_error(argc == optind ? "no file given" : "one file at a time");
        return CLI_EXIT_USAGE;
    }
    options->path = argv[optind];
    if (options->replay != NULL && options->form != FORM_PAGE) {
        cli_usage_error("--replay is for the page alone");
        return CLI_EXIT_USAGE;
    }
    return -1;
}

/* FILE's name without its folders and its ".trace", and what the form is known by. */
static const char *default_output(const report_options *options)
{
    static const char ending[] = ".trace";
    const char *slash = strrchr(options->path, '/');
    const char *name = slash != NULL ? slash + 1 : options->path;
    size_t size = strlen(name);
    if (size > sizeof ending - 1 && strcmp(name + size - (sizeof ending - 1), ending) == 0) {
        size -= sizeof ending - 1;
    }
    return cli_format("%.*s%s", (int)size, name, endings[options->form]);
}

/* -------------------------------------------------------------------------------------------------
 * What is written.
 */
static bool write_page(FILE *file, const report_model *model, const char *replay)
{
    report_container container = {0};
    report_sections_add(&container, model);
    report_head_set(&container, model, replay);
    const bool is_written = report_document_write(file, (const char *)cli_report_page,
                                                  cli_report_page_size, &container);
    report_container_free(&container);
    return is_written;
}

static bool write_form(const report_options *options, FILE *file, report_model *model,
                       cli_trace_file *trace, const char *replay)
{
    switch (options->form) {
    case FORM_PAGE:
        return write_page(file, model, replay);
    case FORM_TEXT:
        report_text_print(file, model, file == stdout ? cli_columns() : 0);
        return true;
    case FORM_PPROF:
        return report_export_pprof(file, model);
    case FORM_FOLDED:
        report_export_folded(file, model, options->cost);
        return true;
    case FORM_SPEEDSCOPE:
        report_export_speedscope(file, model, options->cost);
        return true;
    case FORM_HEAPTRACK:
        return report_export_heaptrack(file, model, trace);
    case FORM_CSV:
        report_export_csv(file, model);
        return true;
    }
    return false;
}

static bool write_output(const report_options *options, report_model *model, cli_trace_file *trace,
                         const char *replay)
{
    const char *path = options->output;
    if (path == NULL) {
        path = options->form == FORM_TEXT ? "-" : default_output(options);
    }
    cli_new_file file;
    if (!cli_new_file_open(&file, path)) {
        return false;
    }
    /* A stream that failed says so when it is put in place. */
    if (!write_form(options, file.file, model, trace, replay) && !ferror(file.file)) {
        cli_new_file_drop(&file);
        return false;
    }
    if (!cli_new_file_commit(&file)) {
        return false;
    }
    if (options->output == NULL && options->form != FORM_TEXT) {
        cli_note("wrote %s", path);
    }
    return true;
}

/* The most that was live is what both know. Where blocks move while others are given, the two
 * count a little differently. */
static void compare_replay(const report_options *options, const report_model *model,
                           const report_replay *replay)
{
    const double peak = (double)model->survey.peak_live;
    if (replay->has_peak && fabs(replay->peak_live - peak) > SAME_PART * peak) {
        cli_warning("'%s' seems to be of another trace than '%s': %s were live at most there, and "
                    "%s here",
                    options->replay, options->path, cli_bytes_text((uint64_t)replay->peak_live),
                    cli_bytes_text(model->survey.peak_live));
    }
}

static bool report(const report_options *options, const report_replay *replay)
{
    cli_trace_file trace;
    if (!cli_trace_file_open(&trace, options->path)) {
        return false;
    }
    report_model model;
    bool is_done = report_model_make(&model, &trace, &options->model);
    if (is_done) {
        compare_replay(options, &model, replay);
        is_done = write_output(options, &model, &trace, replay->text);
        report_model_free(&model);
    }
    cli_trace_file_close(&trace);
    return is_done;
}

int cli_report(int argc, char **argv)
{
    report_options options = {
        .model = {.bins = BINS,
                  .nodes_max = NODES_MAX,
                  .cells_max = CELLS_MAX,
                  .rects_max = RECTS_MAX,
                  .page = (uint64_t)sysconf(_SC_PAGESIZE)},
    };
    const int status = parse(&options, argc, argv);
    if (status >= 0) {
        return status;
    }
    if (options.form >= FORM_PPROF) {
        options.model.nodes_max = EXPORT_NODES_MAX;
    }
    /* Only the page can select a range of time, and zoom. */
    if (options.form != FORM_PAGE) {
        options.model.bins = BINS_LEAST;
        options.model.rects_max = 0;
    }
    if (options.form == FORM_PAGE &&
        !report_document_check((const char *)cli_report_page, cli_report_page_size)) {
        return CLI_EXIT_FAILURE;
    }
    report_replay replay = {0};
    if (options.replay != NULL && !report_replay_file_read(&replay, options.replay)) {
        return CLI_EXIT_FAILURE;
    }
    const bool is_done = report(&options, &replay);
    free(replay.text);
    return is_done ? 0 : CLI_EXIT_FAILURE;
}
