/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include "tarn/base.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef struct command {
    const char *name;
    const char *full_name; /* for messages */
    const char *summary;   /* one line of the help; NULL hides the command */
    cli_main *main;
} command;

static const command commands[] = {
    {"run", "tarn run", "run a program on Tarn's malloc, and beside other allocators", cli_run},
    {"record", "tarn record", "record what a program asks of memory", cli_record},
    {"trace", "tarn trace", "show what was recorded", cli_trace},
    {"replay", "tarn replay", "replay what was recorded on every allocator", cli_replay},
    {"report", "tarn report", "show where a recorded program's memory went", cli_report},
    {"plan", "tarn plan", "pack buffers that live for some time into the least memory", cli_plan},
    {"__probe", "tarn __probe", NULL, cli_probe},
    {"__replay", "tarn __replay", NULL, cli_replay_worker},
};

enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static const command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static int print_help(void)
{
    puts("tarn - see how a program uses memory, run it on a better malloc, and plan memory\n"
         "\n"
         "Usage: tarn COMMAND [OPTION]...\n"
         "\n"
         "Commands:");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (commands[i].summary != NULL) {
            printf("  %-10s %s\n", commands[i].name, commands[i].summary);
        }
    }
    puts("\n"
         "Options:\n"
         "  -h, --help      this text; after a command, that command's\n"
         "  -V, --version   the version\n"
         "\n"
         "For example:\n"
         "  tarn run --compare -- sqlite3 :memory: < script.sql\n"
         "  tarn record -o app.trace -- ./app\n"
         "  tarn replay app.trace\n"
         "  tarn report app.trace -o app.html\n"
         "  tarn plan --minimize --svg plan.svg buffers.csv -o plan.csv\n"
         "\n"
         "The manual page tarn(1) has the rest.");
    return 0;
}

static int print_version(void)
{
    printf("tarn %d.%d.%d\n", TARN_VERSION_MAJOR, TARN_VERSION_MINOR, TARN_VERSION_PATCH);
    return 0;
}

static int report_unknown(const char *word)
{
    static const char *const options[] = {"--help", "--version", NULL};
    const char *names[COMMAND_COUNT + 1];
    size_t count = 0;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (commands[i].summary != NULL) {
            names[count++] = commands[i].name;
        }
    }
    names[count] = NULL;
    if (word[0] == '-') {
        cli_unknown("option", word, options);
    } else {
        cli_unknown("command", word, names);
    }
    return CLI_EXIT_USAGE;
}

static int run_command(const command *found, int argc, char **argv)
{
    cli_set_name(found->full_name);
    return found->main(argc, argv);
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        cli_usage_error("no command given");
        return CLI_EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        return print_version();
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        return print_help();
    }
    if (strcmp(word, "help") == 0) {
        if (argc < 3) {
            return print_help();
        }
        const command *found = find_command(argv[2]);
        char *help_argv[] = {argv[2], (char[]){"--help"}, NULL};
        return found != NULL ? run_command(found, 2, help_argv) : report_unknown(argv[2]);
    }
    const command *found = find_command(word);
    return found != NULL ? run_command(found, argc - 1, argv + 1) : report_unknown(word);
}

int main(int argc, char **argv)
{
    int status = dispatch(argc, argv);
    /* Help that went to a full disk is a failure; EBADF is a standard output that the caller
     * closed. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && errno != EBADF && status == 0) {
        cli_error("cannot write to standard output: %s", strerror(errno));
        status = CLI_EXIT_FAILURE;
    }
    return status;
}
