/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include "cli.h"
#include "files.h"
#include "options.h"
#include "units.h"
#include "utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* tarn plan: packs lifetimes into the least memory, and checks such plans. */

enum { THREADS_MAX = 64 };

/* Exit statuses beside those of every subcommand. */
enum {
    EXIT_NO_PLAN = 1, /* there is none, proven; or the one that was to be checked is wrong */
    EXIT_UNDECIDED = 3
};

static const uint64_t usual_deadline_ms = 10000;

typedef struct plan_options {
    bool is_check;
    bool is_minimizing;
    bool is_quiet;
    bool has_format;
    cli_plan_format format;
    int64_t capacity;     /* 0: none */
    uint64_t deadline_ms; /* 0: none */
    uint64_t threads;
    uint64_t seed;
    uint64_t steps; /* 0: no limit */
    const char *input;
    const char *output; /* NULL: standard output, or nothing with is_check */
    const char *svg;    /* NULL: no drawing */
    const char *name;   /* of what --emit=c makes; NULL: by the output */
} plan_options;

enum {
    CAPACITY = CLI_OPTION_LONG,
    MINIMIZE,
    DEADLINE,
    THREADS,
    SEED,
    STEPS,
    CHECK,
    SVG,
    EMIT,
    NAME
};

static const struct option long_options[] = {
    {"capacity", required_argument, NULL, CAPACITY},
    {"minimize", no_argument, NULL, MINIMIZE},
    {"deadline", required_argument, NULL, DEADLINE},
    {"threads", required_argument, NULL, THREADS},
    {"seed", required_argument, NULL, SEED},
    {"steps", required_argument, NULL, STEPS},
    {"check", no_argument, NULL, CHECK},
    {"svg", required_argument, NULL, SVG},
    {"emit", required_argument, NULL, EMIT},
    {"name", required_argument, NULL, NAME},
    {"output", required_argument, NULL, 'o'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void print_help(void)
{
    puts("tarn plan - pack buffers that live for some time into the least memory\n"
         "\n"
         "Usage: tarn plan [OPTION]... FILE\n"
         "       tarn plan --check [OPTION]... FILE\n"
         "\n"
         "FILE is CSV with the columns id, lower, upper (or an inclusive end) and size, in\n"
         "any order, and perhaps alignment, hint, gaps and offset (a place that is fixed);\n"
         "or JSON with the same names. The plan is FILE with all offsets. - is standard\n"
         "input or output.\n"
         "\n"
         "Options:\n"
         "  --minimize        find the least height; so it is without --capacity, too\n"
         "  --capacity N      find any plan in N bytes (also 512KiB, 4MiB), or prove that\n"
         "                    there is none; with --minimize, the least one within N\n"
         "  --deadline TIME   stop after TIME (500ms, 10s, 5min; 10s if it is not given;\n"
         "                    none: never) with the best plan so far\n"
         "  --steps N         stop after N steps, at the same plan on every machine\n"
         "  --threads N       search on N threads, 1 to 64 (1)\n"
         "  --seed N          of what is decided at random (0)\n"
         "  --check           verify the plan in FILE and make none\n"
         "  -o, --output FILE write the plan to FILE and not to standard output\n"
         "  --emit=FORMAT     of the output: csv, json or c, a header with the offsets as\n"
         "                    constants and the memory; by default what -o ends in, or that\n"
         "                    of the input\n"
         "  --name NAME       what the names in that header begin with\n"
         "  --svg FILE        draw the plan: time across, address up\n"
         "  -q, --quiet       no progress and no summary; errors only\n"
         "  -h, --help        this text\n"
         "\n"
         "The exit status is 0 when there is a plan (or the checked one holds), 1 when it is\n"
         "proven that there is none (or it does not hold), 2 when the command line or FILE\n"
         "is wrong, 3 when time was up before there was a plan, 125 when tarn itself failed.");
}

/* -------------------------------------------------------------------------------------------------
 * The command line.
 */
static bool take_format(plan_options *options, const char *text)
{
    static const char *const names[] = {[CLI_CSV] = "csv", [CLI_JSON] = "json", [CLI_C] = "c"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            options->has_format = true;
            options->format = (cli_plan_format)i;
            return true;
        }
    }
    cli_usage_error("--emit takes csv, json or c, not '%s'", text);
    return false;
}

static bool take_name(plan_options *options, const char *text)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    static const char digits[] = "0123456789";
    const size_t first = strspn(text, letters);
    size_t size = first;
    while (first > 0 && text[size] != '\0' &&
           (strchr(letters, text[size]) != NULL || strchr(digits, text[size]) != NULL)) {
        size++;
    }
    if (first == 0 || text[size] != '\0') {
        cli_usage_error("--name takes a name in C, not '%s'", text);
        return false;
    }
    options->name = text;
    return true;
}

static bool take_option(plan_options *options, int option, const char *word)
{
    switch (option) {
    case CAPACITY:
        return cli_option_bytes("capacity", optarg, &options->capacity);
    case MINIMIZE:
        options->is_minimizing = true;
        return true;
    case DEADLINE:
        options->deadline_ms = 0;
        return strcmp(optarg, "none") == 0 ||
               cli_option_time("deadline", optarg, &options->deadline_ms);
    case THREADS:
        return cli_option_count("threads", optarg, 1, THREADS_MAX, &options->threads);
    case SEED:
        return cli_option_count("seed", optarg, 0, UINT64_MAX, &options->seed);
    case STEPS:
        return cli_option_count("steps", optarg, 1, UINT64_MAX, &options->steps);
    case CHECK:
        options->is_check = true;
        return true;
    case SVG:
        options->svg = optarg;
        return true;
    case EMIT:
        return take_format(options, optarg);
    case NAME:
        return take_name(options, optarg);
    case 'o':
        options->output = optarg;
        return true;
    case 'q':
        options->is_quiet = true;
        return true;
    default:
        cli_option_report(long_options, option, word);
        return false;
    }
}

static bool has_ending(const char *path, const char *ending)
{
    const size_t size = strlen(path);
    return size > strlen(ending) && strcmp(path + size - strlen(ending), ending) == 0;
}

static bool check_files(plan_options *options)
{
    const char *output = options->output != NULL || options->is_check ? options->output : "-";
    if (output != NULL && options->svg != NULL && strcmp(output, options->svg) == 0) {
        cli_usage_error("the plan and the drawing cannot both go to %s; give one of them a file",
                        strcmp(output, "-") == 0 ? "standard output" : output);
        return false;
    }
    if (!options->has_format && output != NULL) {
        options->has_format = true;
        if (has_ending(output, ".json")) {
            options->format = CLI_JSON;
        } else if (has_ending(output, ".csv")) {
            options->format = CLI_CSV;
        } else if (has_ending(output, ".h")) {
            options->format = CLI_C;
        } else {
            options->has_format = false;
        }
    }
    options->output = output;
    return true;
}

/* -1 when there is something to do, else the exit status of the end. */
static int parse(plan_options *options, int argc, char **argv)
{
    opterr = 0;
    for (;;) {
        const int option = getopt_long(argc, argv, ":ho:q", long_options, NULL);
        if (option == -1) {
            break;
        }
        if (option == 'h') {
            print_help();
            return 0;
        }
        if (!take_option(options, option, argv[optind - 1])) {
            return CLI_EXIT_USAGE;
        }
    }
    if (optind >= argc) {
        cli_usage_error("no file given; - is standard input");
        return CLI_EXIT_USAGE;
    }
    if (optind + 1 < argc) {
        cli_usage_error("one file at a time; the second is '%s'", argv[optind + 1]);
        return CLI_EXIT_USAGE;
    }
    options->input = argv[optind];
    return check_files(options) ? -1 : CLI_EXIT_USAGE;
}

/* -------------------------------------------------------------------------------------------------
 * What is being worked on.
 */
typedef struct plan_work {
    const plan_options *options;
    const char *source; /* the input, for messages */
    char *text;
    cli_buffers buffers;
    int64_t *offsets;
    bool *has_offset;
    cli_plan_figures figures;
    cli_new_file output;
    cli_new_file svg;
} plan_work;

static bool read_input(plan_work *work)
{
    cli_fault fault;
    size_t size;
    work->text = cli_file_read(work->options->input, &size);
    if (work->text == NULL) {
        return false;
    }
    if (!cli_buffers_read(&work->buffers, work->text, size, &fault) ||
        (!work->options->is_check && !cli_buffers_has_sound_offsets(&work->buffers, &fault))) {
        cli_error("%s:%zu: %s", work->source, fault.line, fault.text);
        return false;
    }
    const size_t count = work->buffers.count;
    work->offsets = cli_alloc((count + 1) * sizeof *work->offsets);
    work->has_offset = cli_alloc((count + 1) * sizeof *work->has_offset);
    for (size_t i = 0; i < count; i++) {
        work->offsets[i] = work->buffers.items[i].offset;
        work->has_offset[i] = work->buffers.items[i].is_fixed;
    }
    return true;
}

/* Before the work, so that a long one does not end in a file that cannot be written. */
static bool open_outputs(plan_work *work)
{
    const plan_options *options = work->options;
    return (options->output == NULL || cli_new_file_open(&work->output, options->output)) &&
           (options->svg == NULL || cli_new_file_open(&work->svg, options->svg));
}

static void write_plan(plan_work *work, FILE *file)
{
    const plan_options *options = work->options;
    const cli_plan_format format = options->has_format ? options->format : work->buffers.format;
    switch (format) {
    case CLI_CSV:
        cli_buffers_write_csv(&work->buffers, work->offsets, file);
        break;
    case CLI_JSON:
        cli_buffers_write_json(&work->buffers, work->offsets, &work->figures, file);
        break;
    case CLI_C:
        cli_plan_write_code(&work->buffers, work->offsets, &work->figures,
                            options->name != NULL ? options->name
                                                  : cli_plan_code_name(options->output),
                            work->source, file);
        break;
    }
}

static bool write_outputs(plan_work *work)
{
    if (work->output.file != NULL) {
        write_plan(work, work->output.file);
    }
    if (work->svg.file != NULL) {
        cli_plan_write_svg(&work->buffers, work->offsets, &work->figures, work->source,
                           work->svg.file);
    }
    return (work->output.file == NULL || cli_new_file_commit(&work->output)) &&
           (work->svg.file == NULL || cli_new_file_commit(&work->svg));
}

/* -------------------------------------------------------------------------------------------------
 * Checking.
 */
static void report_fault(const plan_work *work, const cli_plan_fault *fault)
{
    const cli_buffer *buffer = &work->buffers.buffers[fault->buffer];
    const tarn_overlay_buffer *item = &work->buffers.items[fault->buffer];
    const int64_t offset = work->offsets[fault->buffer];
    char id[CLI_PRINTABLE_SIZE];
    cli_printable(buffer->id, id);
    switch (fault->kind) {
    case CLI_PLAN_MISSING:
        cli_error("%s:%zu: '%s' has no offset", work->source, buffer->line, id);
        break;
    case CLI_PLAN_NEGATIVE:
        cli_error("%s:%zu: '%s' has the negative offset %" PRId64, work->source, buffer->line, id,
                  offset);
        break;
    case CLI_PLAN_MISALIGNED:
        cli_error("%s:%zu: '%s' has the offset %" PRId64
                  ", which is no multiple of its alignment %" PRId64,
                  work->source, buffer->line, id, offset, item->alignment);
        break;
    case CLI_PLAN_EXCEEDS:
        if (offset > INT64_MAX - item->size) {
            cli_error("%s:%zu: '%s' ends past the largest number of 64 bits", work->source,
                      buffer->line, id);
        } else {
            cli_error("%s:%zu: '%s' ends at %" PRId64 ", past the capacity of %" PRId64,
                      work->source, buffer->line, id, offset + item->size, work->options->capacity);
        }
        break;
    case CLI_PLAN_OVERLAPS: {
        const cli_buffer *other = &work->buffers.buffers[fault->other];
        char other_id[CLI_PRINTABLE_SIZE];
        cli_error("%s:%zu: '%s' overlaps '%s' of line %zu, in the bytes from %" PRId64
                  " to %" PRId64 " at time %" PRId64,
                  work->source, buffer->line, id, cli_printable(other->id, other_id), other->line,
                  fault->low, fault->high, fault->time);
        break;
    }
    }
}

static void report_faults(const plan_work *work, const cli_plan_faults *faults)
{
    for (size_t i = 0; i < faults->count; i++) {
        report_fault(work, &faults->faults[i]);
    }
    if (faults->has_more) {
        cli_error("%s: and more of that", work->source);
    }
}

static int check(plan_work *work)
{
    cli_plan_faults faults;
    cli_plan_check(&work->buffers, work->offsets, work->has_offset, false, work->options->capacity,
                   &faults);
    if (faults.count > 0) {
        report_faults(work, &faults);
        return EXIT_NO_PLAN;
    }
    work->figures =
        (cli_plan_figures){.height = faults.height, .capacity = work->options->capacity};
    if (!open_outputs(work) || !write_outputs(work)) {
        return CLI_EXIT_TARN;
    }
    if (!work->options->is_quiet) {
        cli_note("%s: the plan holds: %zu buffers in %" PRId64 " bytes", work->source,
                 work->buffers.count, faults.height);
    }
    return 0;
}

/* -------------------------------------------------------------------------------------------------
 * Planning.
 */

/* Set by a signal that asks for the end: the best plan so far is written then. */
static volatile sig_atomic_t asked;

static void ask(int number)
{
    asked = number;
}

static void catch_signals(void)
{
    /* A second one ends the command at once. */
    const struct sigaction action = {.sa_handler = ask, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

/* Per cent that the height may be above the least. */
static double gap_of(int64_t height, int64_t lower_bound)
{
    return height > 0 ? 100.0 * ((double)height - (double)lower_bound) / (double)height : 0;
}

static bool show_progress(void *context, const tarn_overlay_progress *progress)
{
    const plan_work *work = context;
    const double seconds = (double)progress->elapsed_ms / 1e3;
    if (work->options->is_quiet) {
        return asked == 0;
    }
    if (progress->has_plan) {
        cli_progress("best %" PRId64 ", bound %" PRId64 ", gap %.2f %%, %.1f s", progress->height,
                     progress->lower_bound, gap_of(progress->height, progress->lower_bound),
                     seconds);
    } else {
        cli_progress("no plan yet, bound %" PRId64 ", %.1f s", progress->lower_bound, seconds);
    }
    return asked == 0;
}

static const char *why_stopped(const tarn_overlay_result *result)
{
    switch (result->stop) {
    case TARN_OVERLAY_STEP_LIMIT:
        return "the steps were used up";
    case TARN_OVERLAY_CANCELLED:
        return "it was interrupted";
    default:
        return "time was up";
    }
}

/* Fixed offsets are the file's fault, and can be named. */
static void report_no_plan(const plan_work *work, const tarn_overlay_result *result)
{
    cli_plan_faults faults;
    cli_plan_check(&work->buffers, work->offsets, work->has_offset, true, work->options->capacity,
                   &faults);
    report_faults(work, &faults);
    if (work->options->capacity > 0) {
        cli_error("%s: no plan fits %" PRId64 " bytes: this is proven; every plan needs at least "
                  "%" PRId64,
                  work->source, work->options->capacity,
                  result->lower_bound > work->options->capacity ? result->lower_bound
                                                                : work->options->capacity + 1);
    } else {
        cli_error("%s: there is no plan with these fixed offsets: this is proven", work->source);
    }
}

static void print_summary(const plan_work *work, const tarn_overlay_result *result)
{
    const cli_plan_figures *figures = &work->figures;
    cli_note("%s: height %" PRId64 ", lower bound %" PRId64 ", gap %.2f %%, %s, %.2f s",
             work->source, figures->height, figures->lower_bound,
             gap_of(figures->height, figures->lower_bound),
             figures->is_proven ? "proven to be the least" : "not proven to be the least",
             (double)result->elapsed_ms / 1e3);
    if (result->stop == TARN_OVERLAY_CANCELLED) {
        cli_note("interrupted: this is the best plan so far");
    }
}

/* What came out, as an exit status; the plan is written where there is one. */
static int conclude(plan_work *work, const tarn_overlay_result *result)
{
    cli_plan_faults faults;
    switch (result->outcome) {
    case TARN_OVERLAY_INFEASIBLE:
        report_no_plan(work, result);
        return EXIT_NO_PLAN;
    case TARN_OVERLAY_UNKNOWN:
        cli_error("%s: %s before there was a plan, or a proof that there is none; give it more "
                  "(--deadline, --threads) or a larger --capacity",
                  work->source, why_stopped(result));
        return EXIT_UNDECIDED;
    default:
        break;
    }
    /* Nobody should have to trust the planner. */
    cli_plan_check(&work->buffers, work->offsets, NULL, false, work->options->capacity, &faults);
    if (faults.count > 0) {
        report_faults(work, &faults);
        cli_error("the planner made a wrong plan, which was not written; please report this");
        return CLI_EXIT_TARN;
    }
    work->figures = (cli_plan_figures){
        .height = faults.height,
        .lower_bound = result->lower_bound,
        .is_proven =
            result->outcome == TARN_OVERLAY_OPTIMAL || result->lower_bound >= faults.height,
        .capacity = work->options->capacity,
    };
    if (!write_outputs(work)) {
        return CLI_EXIT_TARN;
    }
    if (!work->options->is_quiet) {
        print_summary(work, result);
    }
    return 0;
}

static int plan(plan_work *work)
{
    const plan_options *options = work->options;
    const cli_buffers *buffers = &work->buffers;
    const tarn_overlay_options planner = {
        .goal = options->is_minimizing || options->capacity == 0 ? TARN_OVERLAY_LEAST
                                                                 : TARN_OVERLAY_FITS,
        .capacity = options->capacity,
        .deadline_ms = options->deadline_ms,
        .step_limit = options->steps,
        .seed = options->seed,
        .threads = (unsigned)options->threads,
        .progress = show_progress,
        .context = work,
    };
    tarn_overlay_result result;
    tarn_overlay_fault fault;
    if (!open_outputs(work)) {
        return CLI_EXIT_TARN;
    }
    catch_signals();
    const tarn_status status =
        tarn_overlay_plan(buffers->items, buffers->count, &planner, work->offsets, &result);
    cli_progress_wipe();
    switch (status) {
    case TARN_OK:
        return conclude(work, &result);
    case TARN_TOO_LARGE:
        cli_error("%s: all sizes together do not fit 64 bits; take a larger unit for all",
                  work->source);
        return CLI_EXIT_USAGE;
    case TARN_BAD_ARGUMENT:
        if (tarn_overlay_inspect(buffers->items, buffers->count, &fault) != TARN_OK) {
            cli_error("%s:%zu: %s", work->source, buffers->buffers[fault.buffer].line,
                      tarn_overlay_fault_text(fault.kind));
            return CLI_EXIT_USAGE;
        }
        break;
    default:
        break;
    }
    cli_error("%s: no plan was made: %s", work->source, tarn_status_text(status));
    return CLI_EXIT_TARN;
}

int cli_plan(int argc, char **argv)
{
    plan_options options = {.threads = 1, .deadline_ms = usual_deadline_ms};
    plan_work work = {.options = &options};
    int status = parse(&options, argc, argv);
    if (status >= 0) {
        return status;
    }
    work.source = strcmp(options.input, "-") == 0 ? "standard input" : options.input;
    if (!read_input(&work)) {
        status = CLI_EXIT_USAGE;
    } else {
        status = options.is_check ? check(&work) : plan(&work);
    }
    cli_new_file_drop(&work.output);
    cli_new_file_drop(&work.svg);
    cli_buffers_free(&work.buffers);
    free(work.text);
    return status;
}
