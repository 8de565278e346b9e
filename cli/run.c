/* SPDX-License-Identifier: MIT */
#include "allocator.h"
#include "cli.h"
#include "options.h"
#include "program.h"
#include "rounds.h"
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* tarn run: a program on Tarn's malloc, and beside other allocators. */

enum { RUNS_MAX = 1000 };

typedef struct run_options {
    bool with_stats;
    bool is_comparing;
    const char *listed; /* the allocators to compare with; NULL: those that are installed */
    uint64_t runs;
    uint64_t warmup;
    bool with_json;
    const char *json_path; /* NULL: standard output */
    bool is_quiet;
    char **program;
} run_options;

enum { STATS = CLI_OPTION_LONG, COMPARE, RUNS, WARMUP, JSON };

static const struct option long_options[] = {
    {"stats", no_argument, NULL, STATS},     {"compare", optional_argument, NULL, COMPARE},
    {"runs", required_argument, NULL, RUNS}, {"warmup", required_argument, NULL, WARMUP},
    {"json", optional_argument, NULL, JSON}, {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0},
};

static void print_help(void)
{
    puts("tarn run - run a program on Tarn's malloc, and beside other allocators\n"
         "\n"
         "Usage: tarn run [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
         "\n"
         "Options:\n"
         "  --compare[=LIST]  run it on the system's malloc too, and on LIST: jemalloc,\n"
         "                    mimalloc, tcmalloc, all (those installed; also without\n"
         "                    LIST), LIBRARY.so or NAME=LIBRARY.so, with commas between\n"
         "  --runs N          run it N times on each allocator; medians and ranges\n"
         "  --warmup N        run it N times on each before anything is measured\n"
         "  --stats           have Tarn print its statistics when the program ends\n"
         "  --json[=FILE]     write the figures as JSON to FILE, or to standard output;\n"
         "                    the program's own then goes to standard error\n"
         "  -q, --quiet       no table and no progress; errors and warnings only\n"
         "  -h, --help        this text\n"
         "\n"
         "The exit status is the program's, on Tarn's malloc: 128 + N when signal N ended\n"
         "it, 127 when there is no such program, 126 when it cannot be run, and 125 when\n"
         "tarn itself failed.");
}

/* -------------------------------------------------------------------------------------------------
 * The command line.
 */
/* `--compare LIB.so -- PROGRAM`: the value of an option that may go without one has to be joined to
 * it, and so the library would be taken for the program. */
static bool has_loose_value(int argc, char **argv, int first)
{
    const char *before = argv[first - 1];
    if (strcmp(before, "--compare") != 0 && strcmp(before, "--json") != 0) {
        return false;
    }
    for (int i = first + 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            cli_usage_error("the value of %s is joined to it: %s=%s", before, before, argv[first]);
            return true;
        }
    }
    return false;
}

static bool take_option(run_options *options, int option, const char *word)
{
    switch (option) {
    case STATS:
        options->with_stats = true;
        return true;
    case COMPARE:
        options->is_comparing = true;
        options->listed = optarg;
        return true;
    case RUNS:
        return cli_option_count("runs", optarg, 1, RUNS_MAX, &options->runs);
    case WARMUP:
        return cli_option_count("warmup", optarg, 0, RUNS_MAX, &options->warmup);
    case JSON:
        options->with_json = true;
        options->json_path = optarg != NULL && strcmp(optarg, "-") != 0 ? optarg : NULL;
        return true;
    case 'q':
        options->is_quiet = true;
        return true;
    default:
        cli_option_report(long_options, option, word);
        return false;
    }
}

/* -1 when the program is to be run, else the exit status of the end. */
static int parse(run_options *options, int argc, char **argv)
{
    opterr = 0;
    for (;;) {
        const int at = optind;
        const int option = getopt_long(argc, argv, "+:hq", long_options, NULL);
        if (option == -1) {
            break;
        }
        if (option == 'h') {
            print_help();
            return 0;
        }
        if (!take_option(options, option, argv[at])) {
            return CLI_EXIT_TARN;
        }
    }
    if (optind >= argc) {
        cli_usage_error("no program given");
        return CLI_EXIT_TARN;
    }
    if (has_loose_value(argc, argv, optind)) {
        return CLI_EXIT_TARN;
    }
    options->program = argv + optind;
    return -1;
}

/* -------------------------------------------------------------------------------------------------
 * Before the run.
 */

/* Descriptors 0 to 2 that the caller closed would be given to our pipes. These placeholders close
 * on execve, so the program finds them closed as they were. */
static void hold_standard_descriptors(void)
{
    int descriptor;
    do {
        descriptor = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (descriptor >= 0 && descriptor <= STDERR_FILENO);
    if (descriptor >= 0) {
        close(descriptor);
    }
}

static bool collect_allocators(const run_options *options, cli_allocators *list)
{
    if (!cli_allocators_add_tarn(list)) {
        return false;
    }
    if (options->is_comparing) {
        cli_allocators_add_system(list);
        if (options->listed == NULL) {
            cli_allocators_add_installed(list);
        } else if (!cli_allocators_add_listed(list, options->listed)) {
            return false;
        }
    }
    return cli_allocators_try(list);
}

static void warn_of_program(const cli_program *program, const run_options *options)
{
    if (program->unreached != NULL) {
        cli_warning("Tarn is not in use, because %s", program->unreached);
    } else if (program->allocator != NULL && options->is_comparing && !options->is_quiet) {
        cli_note("'%s' is linked with %s: that is what 'system' stands for in the table",
                 program->argv[0], program->allocator);
    }
}

/* Opened before the run, so that a long one does not end in a file that cannot be written. NULL,
 * said. */
static FILE *open_json(const char *path)
{
    FILE *file = path != NULL ? fopen(path, "we") : stdout;
    if (file == NULL) {
        cli_error("--json: cannot write '%s': %s", path, strerror(errno));
    }
    return file;
}

/* -------------------------------------------------------------------------------------------------
 * The run.
 */

/* Nothing to measure and nothing to say afterwards: then nothing need stand between the program and
 * its caller. */
static int become_program(const cli_rounds_plan *plan)
{
    cli_program_exec(plan->program, cli_rounds_environment(plan, &plan->allocators->items[0]));
    return cli_program_exec_failed(plan->program, errno);
}

/* Ends by SIGINT, as the program did: a shell goes on with its script after an exit status, even
 * 130. */
static void end_by_interrupt(void)
{
    const struct sigaction normal = {.sa_handler = SIG_DFL};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaction(SIGINT, &normal, NULL);
    fflush(NULL);
    raise(SIGINT);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static bool write_json(const cli_rounds *rounds, FILE *file)
{
    cli_rounds_write_json(rounds, file);
    if (ferror(file) || fflush(file) != 0) {
        cli_error("--json: cannot write the figures: %s", strerror(errno));
        return false;
    }
    return true;
}

static int report(const run_options *options, const cli_rounds *rounds, FILE *json)
{
    const cli_lane *tarn = &rounds->lanes[0];
    if (rounds->exec_error != 0) {
        return cli_program_exec_failed(rounds->plan->program, rounds->exec_error);
    }
    if (!options->is_quiet) {
        cli_rounds_print_table(rounds);
    }
    cli_rounds_print_faults(rounds);
    bool is_written = json == NULL || write_json(rounds, json);
    if (rounds->asked != 0 && rounds->is_compared) {
        cli_note("ended early by %s", cli_signal_text(rounds->asked));
    }
    const cli_outcome *last = NULL;
    for (size_t i = 0; i < rounds->lane_count; i++) {
        const cli_lane *lane = &rounds->lanes[i];
        if (lane->count > 0 && lane->outcomes[lane->count - 1].signal == SIGINT) {
            last = &lane->outcomes[lane->count - 1];
        }
    }
    if (rounds->asked == SIGINT && (last != NULL || tarn->count == 0)) {
        end_by_interrupt();
    }
    if (tarn->count == 0) {
        return CLI_EXIT_SIGNAL + rounds->asked;
    }
    const int status = cli_outcome_exit(cli_lane_outcome(tarn));
    return status == 0 && !is_written ? CLI_EXIT_TARN : status;
}

int cli_run(int argc, char **argv)
{
    run_options options = {.runs = 1};
    cli_allocators allocators = {0};
    cli_program program;
    int status = parse(&options, argc, argv);
    if (status >= 0) {
        return status;
    }
    hold_standard_descriptors();
    status = cli_program_find(&program, options.program);
    if (status != 0) {
        return status;
    }
    if (!collect_allocators(&options, &allocators)) {
        return CLI_EXIT_TARN;
    }
    warn_of_program(&program, &options);
    FILE *json = options.with_json ? open_json(options.json_path) : NULL;
    if (options.with_json && json == NULL) {
        return CLI_EXIT_TARN;
    }
    const cli_rounds_plan plan = {
        .program = &program,
        .allocators = &allocators,
        .runs = options.runs,
        .warmup = options.warmup,
        .with_stats = options.with_stats,
        .shown_output = json == stdout ? STDERR_FILENO : STDOUT_FILENO,
    };
    if (options.is_quiet && json == NULL && allocators.count == 1 && options.runs == 1 &&
        options.warmup == 0) {
        return become_program(&plan);
    }
    cli_rounds rounds;
    cli_rounds_run(&rounds, &plan, cli_signals_catch());
    return report(&options, &rounds, json);
}
