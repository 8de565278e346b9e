/* SPDX-License-Identifier: MIT */
#include "allocator.h"
#include "attach.h"
#include "child.h"
#include "cli.h"
#include "environment.h"
#include "options.h"
#include "program.h"
#include "recorder.h"
#include "signals.h"
#include "trace/ring.h"
#include "units.h"
#include "utf8.h"

#include <dlfcn.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* tarn record: a program, and what it asks of memory. */

enum { SAMPLE_BYTES = 64 * 1024 };

typedef struct record_options {
    const char *output;
    uint32_t stacks;
    uint64_t sample_bytes;
    bool with_addresses;
    bool is_quiet;
    pid_t process;        /* that runs already; 0: none */
    uint64_t duration_ms; /* of its recording; 0: until it ends, or we do */
    char **program;
} record_options;

enum { STACKS = CLI_OPTION_LONG, ADDRESSES, DURATION };

static const struct option long_options[] = {
    {"output", required_argument, NULL, 'o'},
    {"stacks", required_argument, NULL, STACKS},
    {"addresses", no_argument, NULL, ADDRESSES},
    {"pid", required_argument, NULL, 'p'},
    {"duration", required_argument, NULL, DURATION},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void print_help(void)
{
    puts("tarn record - record what a program asks of memory\n"
         "\n"
         "Usage: tarn record [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
         "       tarn record [OPTION]... --pid PROCESS\n"
         "\n"
         "Options:\n"
         "  -o, --output FILE  where to write; %p is the number of the process. Without\n"
         "                     it tarn.%p.trace; with a FILE that has no %p, the first\n"
         "                     process writes FILE, others FILE with their numbers\n"
         "  --stacks WHICH     full: a call stack with every allocation; all: with every\n"
         "                     event; sampled[:BYTES]: with an allocation for every\n"
         "                     64 KiB, or BYTES, on average; none. Without it full\n"
         "  --addresses        tell blocks by their addresses, to see where the allocator\n"
         "                     puts them; without it by numbers, which take less room\n"
         "  -p, --pid PROCESS  record a process that runs already, if it runs on\n"
         "                     libtarn-malloc, until it ends or Ctrl-C; then it goes on\n"
         "  --duration TIME    with --pid: so long at most, such as 30s or 5min\n"
         "  -q, --quiet        no summary; errors and warnings only\n"
         "  -h, --help         this text\n"
         "\n"
         "Works with any allocator, follows fork and exec, and loses nothing when the\n"
         "program crashes. 'tarn trace FILE' shows what was recorded.\n"
         "\n"
         "The exit status is the program's: 128 + N when signal N ended it, 127 when there\n"
         "is no such program, 126 when it cannot be run, and 125 when tarn itself failed.");
}

/* -------------------------------------------------------------------------------------------------
 * The command line.
 */
static bool take_stacks(record_options *options, const char *text)
{
    static const char *const words[] = {"none", "sampled", "full", "all", NULL};
    const char *colon = strchr(text, ':');
    const size_t size = colon != NULL ? (size_t)(colon - text) : strlen(text);
    for (uint32_t i = 0; words[i] != NULL; i++) {
        if (strlen(words[i]) == size && memcmp(words[i], text, size) == 0 &&
            (colon == NULL || i == RING_STACKS_SAMPLED)) {
            options->stacks = i;
            int64_t bytes = SAMPLE_BYTES;
            if (colon != NULL && !cli_option_bytes("stacks", colon + 1, &bytes)) {
                return false;
            }
            options->sample_bytes = (uint64_t)bytes;
            return true;
        }
    }
    cli_unknown("value of --stacks", text, words);
    return false;
}

static bool take_option(record_options *options, int option, const char *word)
{
    switch (option) {
    case 'o':
        options->output = optarg;
        if (optarg[0] == '\0') {
            cli_usage_error("--output takes the name of a file");
            return false;
        }
        return true;
    case STACKS:
        return take_stacks(options, optarg);
    case ADDRESSES:
        options->with_addresses = true;
        return true;
    case 'p': {
        uint64_t process = 0;
        const bool is_number = cli_option_count("pid", optarg, 1, INT32_MAX, &process);
        options->process = (pid_t)process;
        return is_number;
    }
    case DURATION:
        return cli_option_time("duration", optarg, &options->duration_ms);
    case 'q':
        options->is_quiet = true;
        return true;
    default:
        cli_option_report(long_options, option, word);
        return false;
    }
}

/* -1 when the program is to be run, else the exit status of the end. */
static int parse(record_options *options, int argc, char **argv)
{
    opterr = 0;
    for (;;) {
        const int at = optind;
        const int option = getopt_long(argc, argv, "+:ho:p:q", long_options, NULL);
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
    if (options->process != 0 && optind < argc) {
        cli_usage_error("--pid takes no program");
        return CLI_EXIT_TARN;
    }
    if (options->process == 0 && options->duration_ms != 0) {
        cli_usage_error("--duration is for --pid");
        return CLI_EXIT_TARN;
    }
    if (options->process == 0 && optind >= argc) {
        cli_usage_error("no program given");
        return CLI_EXIT_TARN;
    }
    options->program = argv + optind;
    return -1;
}

/* -------------------------------------------------------------------------------------------------
 * The run.
 */

/* The recorder finds it in the program in the same way. */
static bool has_unwinder(void)
{
#if defined(__x86_64__)
    void *library = dlopen("libunwind-x86_64.so.8", RTLD_LAZY | RTLD_LOCAL);
    if (library == NULL) {
        return false;
    }
    dlclose(library);
#endif
    return true;
}

static char **make_environment(const cli_recorder *recorder, const char *library)
{
    const char *preload = getenv("LD_PRELOAD");
    /* First of all, so that an allocator that is preloaded too is the next. */
    char **environment = cli_environment_with(
        NULL, "LD_PRELOAD",
        preload != NULL && preload[0] != '\0' ? cli_format("%s:%s", library, preload) : library);
    return cli_environment_with(environment, RING_SOCKET, cli_recorder_socket(recorder));
}

/* Until nobody is recorded any more, or the user has enough of waiting. */
static void wait_for_others(cli_recorder *recorder, int signals, bool is_quiet)
{
    cli_recorder_expect_end(recorder);
    bool has_said = false;
    bool is_stopped = false;
    for (;;) {
        struct pollfd waits[] = {
            {.fd = signals, .events = POLLIN},
            {.fd = cli_recorder_descriptor(recorder), .events = POLLIN},
        };
        const int ready = poll(waits, 2, has_said ? -1 : 2000);
        if (waits[1].revents != 0 && ready > 0) {
            return;
        }
        if (ready > 0 && waits[0].revents != 0 && cli_signals_pass(signals, 0) != 0) {
            /* Whoever reads the other end of a pipe may keep the recorder waiting for ever. */
            if (is_stopped) {
                cli_error("ended before all was written");
                _exit(CLI_EXIT_TARN);
            }
            is_stopped = true;
            cli_recorder_stop(recorder);
        }
        if (ready == 0 && !has_said) {
            has_said = true;
            if (!is_quiet) {
                const size_t active = cli_recorder_active(recorder);
                cli_note("%zu process%s still recorded; Ctrl-C ends the recording", active,
                         active == 1 ? " is" : "es are");
            }
        }
    }
}

static void summarize(const cli_recording *recording)
{
    enum { COMMAND_WIDTH = 48 };
    char shown[CLI_PRINTABLE_SIZE];
    const char *command = cli_printable(recording->command, shown);
    const bool is_long = strlen(command) > COMMAND_WIDTH;
    cli_note("%s: %llu events, %s%s live at most, %s, %s%s of '%.*s%s' (%llu)", recording->path,
             (unsigned long long)recording->events, recording->is_peak_estimate ? "about " : "",
             cli_bytes_text(recording->peak_live), cli_bytes_text(recording->written),
             recording->lost == 0 ? "none lost"
                                  : cli_format("%llu lost", (unsigned long long)recording->lost),
             recording->is_whole ? "," : ", incomplete,", COMMAND_WIDTH, command,
             is_long ? "..." : "", (unsigned long long)recording->process);
}

static bool report(const record_options *options, const cli_recording *recordings, size_t count)
{
    bool is_whole = true;
    for (size_t i = 0; i < count; i++) {
        is_whole = is_whole && recordings[i].is_whole;
        if (!options->is_quiet) {
            summarize(&recordings[i]);
        }
    }
    return is_whole;
}

static cli_recorder *start_recorder(const record_options *options)
{
    if (options->stacks != RING_STACKS_NONE && !has_unwinder()) {
        cli_error("stacks need libunwind (libunwind-x86_64.so.8, Debian's package libunwind8); "
                  "--stacks=none goes without");
        return NULL;
    }
    return cli_recorder_start(&(cli_recorder_options){
        .pattern = options->output,
        .stacks = options->stacks,
        .sample_bytes = options->sample_bytes,
        .with_addresses = options->with_addresses,
    });
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

typedef enum process_end { PROCESS_ENDED, PROCESS_EXECUTED, PROCESS_GOES_ON } process_end;

/* Until the process ends or executes another program, the time is over, or the user has had enough. */
static process_end wait_for_process(const cli_process *process, int signals, uint64_t milliseconds)
{
    enum { LOOK_MS = 500 };
    const int64_t end = now_ms() + (int64_t)milliseconds;
    for (;;) {
        const int64_t left = milliseconds != 0 ? end - now_ms() : LOOK_MS;
        struct pollfd waits[] = {{.fd = signals, .events = POLLIN},
                                 {.fd = process->handle, .events = POLLIN}};
        if (left <= 0) {
            return PROCESS_GOES_ON;
        }
        poll(waits, 2, left < LOOK_MS ? (int)left : LOOK_MS);
        if (waits[1].revents != 0) {
            return PROCESS_ENDED;
        }
        if (waits[0].revents != 0 && cli_signals_pass(signals, 0) != 0) {
            return PROCESS_GOES_ON;
        }
        if (cli_process_has_executed(process)) {
            return PROCESS_EXECUTED;
        }
    }
}

/* Records the process, to which recording is switched on, until its end or ours. False, said, if recording could not
 * be switched off. */
static bool follow(const record_options *options, cli_attachment *attachment,
                   cli_recorder *recorder, int signals)
{
    const long process = (long)options->process;
    if (!options->is_quiet) {
        cli_note("recording process %ld; Ctrl-C ends the recording", process);
    }
    const process_end end = wait_for_process(&attachment->process, signals, options->duration_ms);
    if (end == PROCESS_ENDED) {
        wait_for_others(recorder, signals, options->is_quiet);
    } else if (end == PROCESS_EXECUTED && !options->is_quiet) {
        cli_note("process %ld has executed another program, which is not recorded", process);
    }
    const bool is_off = cli_attach_end(attachment);
    if (end != PROCESS_ENDED) {
        cli_recorder_stop(recorder);
    }
    return is_off;
}

static int record_process(const record_options *options, const char *library)
{
    const int signals = cli_signals_catch();
    cli_recorder *recorder = start_recorder(options);
    if (recorder == NULL) {
        return CLI_EXIT_TARN;
    }
    cli_attachment attachment;
    const bool is_on =
        cli_attach(&attachment, options->process, library, cli_recorder_socket(recorder));
    const bool is_off = is_on && follow(options, &attachment, recorder, signals);
    if (!is_on) {
        cli_recorder_stop(recorder);
    }
    size_t count;
    const cli_recording *recordings = cli_recorder_finish(recorder, &count);
    if (!is_on) {
        return CLI_EXIT_TARN;
    }
    return report(options, recordings, count) && cli_recorder_failures(recorder) == 0 && is_off
               ? 0
               : CLI_EXIT_TARN;
}

int cli_record(int argc, char **argv)
{
    record_options options = {
        .output = "tarn.%p.trace", .stacks = RING_STACKS_FULL, .sample_bytes = SAMPLE_BYTES};
    cli_program program;
    int status = parse(&options, argc, argv);
    if (status >= 0) {
        return status;
    }
    status = options.process == 0 ? cli_program_find(&program, options.program) : 0;
    if (status != 0) {
        return status;
    }
    const char *library = cli_own_library("libtarn-record.so", "TARN_RECORD_SO");
    if (library == NULL) {
        return CLI_EXIT_TARN;
    }
    if (options.process != 0) {
        return record_process(&options, library);
    }
    if (program.unreached != NULL) {
        cli_warning("nothing will be recorded, because %s", program.unreached);
    }
    const int signals = cli_signals_catch();
    cli_recorder *recorder = start_recorder(&options);
    if (recorder == NULL) {
        return CLI_EXIT_TARN;
    }
    const cli_launch launch = {
        .program = &program,
        .environment = make_environment(recorder, library),
        .input = -1,
        .output_to = -1,
    };
    const cli_outcome outcome = cli_child_run(&launch, signals);
    wait_for_others(recorder, signals, options.is_quiet);
    size_t count;
    const cli_recording *recordings = cli_recorder_finish(recorder, &count);
    if (outcome.exec_error != 0) {
        return cli_program_exec_failed(&program, outcome.exec_error);
    }
    const size_t failures = cli_recorder_failures(recorder);
    if (count == 0 && failures == 0 && program.unreached == NULL) {
        cli_warning("the program asked nothing of memory that could be recorded");
    }
    const bool is_whole = report(&options, recordings, count) && failures == 0;
    status = cli_outcome_exit(&outcome);
    return status == 0 && !is_whole ? CLI_EXIT_TARN : status;
}
