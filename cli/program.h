/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_PROGRAM_H
#define TARN_CLI_PROGRAM_H

/*
 * The program that the user names: where it is, whether it can be run, and whether a preloaded
 * allocator reaches it.
 */

typedef struct cli_program {
    const char *path;      /* what execve takes */
    char **argv;           /* as the user gave it; ends in NULL */
    char **shell_argv;     /* the same for /bin/sh, where it may be a text; NULL: it is none */
    const char *unreached; /* why preloading has no effect, to follow "because"; NULL: it has */
    const char
        *allocator; /* the allocator library that the program itself is linked with; NULL: none */
} cli_program;

/* Finds argv[0] as the shell would. Returns 0, or says what is wrong and returns CLI_EXIT_NOT_FOUND
 * or CLI_EXIT_NOT_EXECUTABLE. */
int cli_program_find(cli_program *program, char **argv);

/* Becomes the program; a text without `#!` is given to /bin/sh, as shells do. Returns only on
 * failure, with errno. Allocates nothing. */
void cli_program_exec(const cli_program *program, char *const *environment);

/* Says why cli_program_exec failed with `error` and returns the exit status for it. */
int cli_program_exec_failed(const cli_program *program, int error);

#endif
