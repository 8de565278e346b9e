/* SPDX-License-Identifier: MIT */
#include "allocator.h"
#include "cli.h"
#include "files.h"
#include "options.h"
#include "results.h"
#include "signals.h"
#include "strategy.h"
#include "trace_file.h"
#include "units.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* tarn replay: what a program asked of memory, asked again of every allocator. */

enum {
    RUNS_MAX = 64,
    TIMEOUT_MS = 600000,
    PLAN_MS = 2000,
    SEARCH_MS = 15000,
    REPEAT_MS = 10000,
    ON = CLI_OPTION_LONG,
    ORDER,
    RANK,
    JSON,
    POOLS,
    WHAT_IF,
    PLAN_DEADLINE,
    TIMEOUT
};

typedef struct replay_options {
    const char *path;
    const char *on; /* NULL: all */
    const char *json;
    replay_choice choice;
    replay_rank rank;
    uint64_t plan_ms; /* 0: no plan */
    bool pools;
    bool is_movable; /* --what-if movable */
    bool is_quiet;
} replay_options;

static const struct option long_options[] = {
    {"on", required_argument, NULL, ON},
    {"order", required_argument, NULL, ORDER},
    {"rank", required_argument, NULL, RANK},
    {"json", required_argument, NULL, JSON},
    {"pools", no_argument, NULL, POOLS},
    {"what-if", required_argument, NULL, WHAT_IF},
    {"plan-deadline", required_argument, NULL, PLAN_DEADLINE},
    {"timeout", required_argument, NULL, TIMEOUT},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void print_help(void)
{
    puts("tarn replay - replay what was recorded on every allocator\n"
         "\n"
         "Usage: tarn replay [OPTION]... FILE\n"
         "\n"
         "Options:\n"
         "  --on=LIST             on these, with commas: all (as without it), single,\n"
         "                        fixed-partitions, first-fit, next-fit, best-fit,\n"
         "                        worst-fit, segregated-fit, buddy, two-level, arena, pools,\n"
         "                        movable, tarn, tarn-malloc, system, jemalloc, mimalloc,\n"
         "                        tcmalloc, PATH.so or NAME=PATH.so\n"
         "  --order=ORDER         exact: the program's threads, in the order in which it\n"
         "                        all happened (as without it); parallel: all at a time;\n"
         "                        single: one thread\n"
         "  --rank=FIGURE         what comes first: the least footprint (as without it),\n"
         "                        resident, time or p99\n"
         "  --json=FILE           write the results as JSON; -: to standard output\n"
         "  --pools               replay the blocks of the program's own pools instead of\n"
         "                        those of its malloc\n"
         "  --what-if=movable     tell what compaction would save if blocks could move\n"
         "  --plan-deadline=TIME  look so long for the best static plan, 2s without it;\n"
         "                        none: not at all\n"
         "  --timeout=TIME        end a pass that takes longer, 10min without it\n"
         "  -q, --quiet           no table and no progress\n"
         "  -h, --help            this text\n"
         "\n"
         "Each allocator has a process of its own; one that crashes is said to. The exit\n"
         "status is 1 when no allocator came to the end, or the file cannot be replayed.");
}

/* -------------------------------------------------------------------------------------------------
 * Options.
 */

/* The place of `word` in `words`, which ends in NULL; its count, said, if it is none. */
static size_t word_of(const char *option, const char *word, const char *const *words)
{
    size_t i = 0;
    while (words[i] != NULL && strcmp(words[i], word) != 0) {
        i++;
    }
    if (words[i] == NULL) {
        cli_unknown(cli_format("value of --%s", option), word, words);
    }
    return i;
}

static bool take_order(replay_options *options, const char *word)
{
    static const char *const words[] = {"exact", "parallel", "single", NULL};
    const size_t place = word_of("order", word, words);
    options->choice.order = (replay_order)place;
    return words[place] != NULL;
}

static bool take_rank(replay_options *options, const char *word)
{
    static const char *const words[] = {"footprint", "resident", "time", "p99", NULL};
    const size_t place = word_of("rank", word, words);
    options->rank = (replay_rank)place;
    return words[place] != NULL;
}

static bool take_what_if(replay_options *options, const char *word)
{
    static const char *const words[] = {"movable", NULL};
    options->is_movable = words[word_of("what-if", word, words)] != NULL;
    return options->is_movable;
}

static bool take_deadline(replay_options *options, const char *word)
{
    if (strcmp(word, "none") == 0) {
        options->plan_ms = 0;
        return true;
    }
    return cli_option_time("plan-deadline", word, &options->plan_ms);
}

static bool take_option(replay_options *options, int option)
{
    switch (option) {
    case ON:
        options->on = optarg;
        return true;
    case ORDER:
        return take_order(options, optarg);
    case RANK:
        return take_rank(options, optarg);
    case JSON:
        options->json = optarg;
        if (optarg[0] == '\0') {
            cli_usage_error("--json takes the name of a file");
        }
        return optarg[0] != '\0';
    case POOLS:
        options->pools = true;
        return true;
    case WHAT_IF:
        return take_what_if(options, optarg);
    case PLAN_DEADLINE:
        return take_deadline(options, optarg);
    case TIMEOUT:
        return cli_option_time("timeout", optarg, &options->choice.timeout_ms);
    default:
        options->is_quiet = true;
        return true;
    }
}

/* -1 when there is a file to be replayed, else the exit status of the end. */
static int parse(replay_options *options, int argc, char **argv)
{
    opterr = 0;
    for (;;) {
        const int at = optind;
        const int option = getopt_long(argc, argv, ":hq", long_options, NULL);
        if (option == -1) {
            break;
        }
        if (option == 'h') {
            print_help();
            return 0;
        }
        if (option == '?' || option == ':') {
            cli_option_report(long_options, option, argv[at]);
            return CLI_EXIT_USAGE;
        }
        if (!take_option(options, option)) {
            return CLI_EXIT_USAGE;
        }
    }
    if (argc - optind != 1) {
        cli_usage_error(argc == optind ? "no file given" : "one file at a time");
        return CLI_EXIT_USAGE;
    }
    options->path = argv[optind];
    return -1;
}

/* -------------------------------------------------------------------------------------------------
 * What to replay on.
 */
typedef struct replay_list {
    replay_run runs[RUNS_MAX];
    size_t count;
    cli_allocators libraries;
} replay_list;

static bool has_run(const replay_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->runs[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void add_strategy(replay_list *list, const replay_strategy *strategy)
{
    if (!has_run(list, strategy->name)) {
        list->runs[list->count++] = (replay_run){.name = strategy->name,
                                                 .kind = strategy->kind,
                                                 .about = strategy->about,
                                                 .is_region = replay_strategy_is_region(strategy)};
    }
}

/* A single partition is left out where it cannot serve. */
static bool add_all(replay_list *list, const replay_tape *tape)
{
    for (size_t i = 0; i < replay_strategy_count(); i++) {
        const replay_strategy *strategy = replay_strategy_at(i);
        if (strcmp(strategy->name, "single") != 0 || tape->peak_blocks <= 1) {
            add_strategy(list, strategy);
        }
    }
    if (!cli_allocators_add_tarn_as(&list->libraries, "tarn-malloc")) {
        return false;
    }
    cli_allocators_add_installed(&list->libraries);
    return true;
}

static bool is_known_library(const char *word)
{
    for (size_t i = 0; cli_allocator_known(i) != NULL; i++) {
        if (strcmp(cli_allocator_known(i), word) == 0) {
            return true;
        }
    }
    return strpbrk(word, "/=") != NULL || strstr(word, ".so") != NULL;
}

static void report_unknown(const char *word)
{
    const char *names[RUNS_MAX] = {"all", "tarn-malloc"};
    size_t count = 2;
    for (size_t i = 0; i < replay_strategy_count(); i++) {
        names[count++] = replay_strategy_at(i)->name;
    }
    for (size_t i = 0; cli_allocator_known(i) != NULL; i++) {
        names[count++] = cli_allocator_known(i);
    }
    names[count] = NULL;
    cli_unknown("allocator", word, names);
}

static bool add_word(replay_list *list, const char *word, const replay_tape *tape)
{
    const replay_strategy *strategy = replay_strategy_find(word);
    if (strategy != NULL) {
        add_strategy(list, strategy);
        return true;
    }
    if (strcmp(word, "all") == 0) {
        return add_all(list, tape);
    }
    if (strcmp(word, "tarn-malloc") == 0) {
        return cli_allocators_add_tarn_as(&list->libraries, word);
    }
    if (word[0] == '\0' || is_known_library(word)) {
        return cli_allocators_add_listed(&list->libraries, word);
    }
    report_unknown(word);
    return false;
}

static bool add_libraries(replay_list *list)
{
    cli_allocators *libraries = &list->libraries;
    if (!cli_allocators_try(libraries)) {
        return false;
    }
    for (size_t i = 0; i < libraries->count; i++) {
        const cli_allocator *library = &libraries->items[i];
        if (strlen(library->name) >= REPLAY_NAME_SIZE || has_run(list, library->name)) {
            cli_error("--on: '%s' cannot be the name of a library here; give it another: "
                      "NAME=LIBRARY",
                      library->name);
            return false;
        }
        list->runs[list->count++] =
            (replay_run){.name = library->name,
                         .kind = "library",
                         .about = cli_format("%s, in the place of malloc", library->library),
                         .preload = cli_allocator_preload(libraries, library)};
    }
    return true;
}

static bool choose(replay_list *list, const char *words, const replay_tape *tape)
{
    list->libraries.option = "--on";
    for (;;) {
        const size_t size = strcspn(words, ",");
        if (!add_word(list, cli_copy_n(words, size), tape)) {
            return false;
        }
        if (words[size] == '\0') {
            break;
        }
        words += size + 1;
    }
    if (!add_libraries(list)) {
        return false;
    }
    if (list->count == 0) {
        cli_error("there is nothing to replay on");
    }
    return list->count > 0;
}

/* -------------------------------------------------------------------------------------------------
 * The trace.
 */
static const char *things_text(uint64_t count, const char *thing)
{
    return cli_format("%s %s%s", cli_count_text(count), thing, count == 1 ? "" : "s");
}

static void print_tape(const replay_options *options, const replay_tape *tape, FILE *file)
{
    fprintf(file, "%s: %s, %s, %s; live at most %s in %s\n", options->path,
            things_text(tape->count, "operation"), things_text(tape->allocations, "allocation"),
            things_text(tape->threads, "thread"), cli_bytes_text(tape->peak_live),
            things_text(tape->peak_blocks, "block"));
}

static void note_left_out(uint64_t count, const char *one, const char *many)
{
    if (count > 0) {
        cli_note("left out: %" PRIu64 " %s", count, count == 1 ? one : many);
    }
}

static void note_all_left_out(const replay_tape *tape)
{
    note_left_out(tape->failed, "request that failed in the program",
                  "requests that failed in the program");
    note_left_out(tape->huge, "request that is too large to be replayed",
                  "requests that are too large to be replayed");
    note_left_out(tape->unknown, "free of a block from before the recording",
                  "frees of blocks from before the recording");
    if (tape->twice > 0) {
        cli_note("%" PRIu64 " of the blocks that were given were live: those are taken as freed",
                 tape->twice);
    }
}

static bool read_tape(const replay_options *options, replay_tape *tape, const char **command)
{
    cli_trace_file file;
    if (!cli_trace_file_open(&file, options->path)) {
        return false;
    }
    const bool is_read = replay_tape_read(tape, &file, options->pools, command);
    cli_trace_file_close(&file);
    if (!is_read) {
        return false;
    }
    if (tape->allocations == 0) {
        cli_error(options->pools ? "'%s' has no block of a pool; without --pools the blocks of "
                                   "malloc are replayed"
                                 : "'%s' has no allocation that can be replayed",
                  options->path);
        replay_tape_close(tape);
        return false;
    }
    if (!options->is_quiet) {
        note_all_left_out(tape);
    }
    return true;
}

/* -------------------------------------------------------------------------------------------------
 * The whole.
 */

/* The movable heap, with and without compaction. */
typedef struct replay_what_if {
    replay_run still;
    replay_run compacted;
} replay_what_if;

/* False if a signal asked this command to end. */
static bool play_movable(replay_run *run, replay_pass pass, const replay_tape *tape,
                         const replay_options *options, int signals)
{
    replay_job *settings = cli_alloc(sizeof *settings);
    settings->pass = pass;
    settings->order = REPLAY_SINGLE;
    run->name = "movable";
    cli_progress("movable: %s", pass == REPLAY_COMPACT ? "compacting" : "not compacting");
    const replay_end end = replay_pass_do(&run->shape, run->name, NULL, tape, settings,
                                          options->choice.timeout_ms, signals);
    run->status = end == REPLAY_ENDED ? run->shape.job->status : REPLAY_UNFINISHED;
    run->error = end == REPLAY_INTERRUPTED ? "interrupted" : cli_copy(run->shape.job->error);
    cli_progress_wipe();
    return end != REPLAY_INTERRUPTED;
}

static bool write_json(const replay_results *results, const char *path)
{
    cli_new_file file;
    if (!cli_new_file_open(&file, path)) {
        return false;
    }
    replay_results_json(results, file.file);
    return cli_new_file_commit(&file);
}

static int show(const replay_options *options, replay_results *results, FILE *table)
{
    if (!options->is_quiet) {
        fputc('\n', table);
        replay_results_print(results, table);
    }
    if (options->json != NULL && !write_json(results, options->json)) {
        return CLI_EXIT_FAILURE;
    }
    return results->count > 0 && results->runs[0].status == REPLAY_OK ? 0 : CLI_EXIT_FAILURE;
}

static int replay(const replay_options *options, const replay_tape *tape, const char *command)
{
    replay_list *list = cli_alloc(sizeof *list);
    replay_what_if what_if = {0};
    if (!choose(list, options->on != NULL ? options->on : "all", tape)) {
        return CLI_EXIT_USAGE;
    }
    FILE *table = options->json != NULL && strcmp(options->json, "-") == 0 ? stderr : stdout;
    if (!options->is_quiet) {
        print_tape(options, tape, table);
        fflush(table);
    }
    const int signals = cli_signals_catch();
    bool is_whole = replay_runs_do(list->runs, list->count, tape, &options->choice, signals);
    replay_runs_rank(list->runs, list->count, options->rank);
    replay_results results = {.trace = options->path,
                              .command = command,
                              .tape = tape,
                              .runs = list->runs,
                              .count = list->count};
    if (is_whole && options->is_movable) {
        is_whole = play_movable(&what_if.still, REPLAY_SHAPE, tape, options, signals) &&
                   play_movable(&what_if.compacted, REPLAY_COMPACT, tape, options, signals);
        results.still = &what_if.still;
        results.compacted = &what_if.compacted;
    }
    bool is_interrupted = !is_whole;
    results.theory =
        replay_theory_of(tape, is_whole ? options->plan_ms : 0, signals, &is_interrupted);
    const int status = show(options, &results, table);
    return is_interrupted ? CLI_EXIT_SIGNAL + SIGINT : status;
}

int cli_replay(int argc, char **argv)
{
    replay_options options = {
        .choice = {.timeout_ms = TIMEOUT_MS, .search_ms = SEARCH_MS, .repeat_ms = REPEAT_MS},
        .plan_ms = PLAN_MS};
    replay_tape *tape = cli_alloc(sizeof *tape);
    const char *command = "";
    int status = parse(&options, argc, argv);
    if (status >= 0) {
        return status;
    }
    if (!read_tape(&options, tape, &command)) {
        return CLI_EXIT_FAILURE;
    }
    status = replay(&options, tape, command);
    replay_tape_close(tape);
    return status;
}
