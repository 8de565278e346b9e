/* SPDX-License-Identifier: MIT */
#ifndef TARN_TESTS_FATAL_H
#define TARN_TESTS_FATAL_H

/*
 * assert_fatal(statement, what, pool, block): the statement ends in the fatal handler with exactly
 * that line.
 *
 * The statement runs in a child, so whatever it ruins is gone with it. Include it after cmocka.h.
 */

#include "tarn/base.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int fatal_pipe;

static inline void fatal_tell_parent(const char *line)
{
    const ssize_t written = write(fatal_pipe, line, strlen(line));
    _exit(written < 0);
}

/* In the child: the statement is to be run. In the parent: `line` is what the child's handler
 * got. */
static inline bool fatal_is_child(char *line, size_t size)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        fatal_pipe = ends[1];
        tarn_set_fatal_handler(fatal_tell_parent);
        return true;
    }
    close(ends[1]);
    size_t length = 0;
    ssize_t got;
    while ((got = read(ends[0], line + length, size - 1 - length)) > 0) {
        length += (size_t)got;
    }
    line[length] = '\0';
    close(ends[0]);
    waitpid(child, NULL, 0);
    return false;
}

#define assert_fatal(statement, what, pool, block)                                                 \
    do {                                                                                           \
        char fatal_line[512];                                                                      \
        char fatal_wanted[512];                                                                    \
        if (fatal_is_child(fatal_line, sizeof fatal_line)) {                                       \
            statement;                                                                             \
            fatal_tell_parent("nothing fatal happened");                                           \
        }                                                                                          \
        snprintf(fatal_wanted, sizeof fatal_wanted, "tarn: %s (%s, block %p)", (what), (pool),     \
                 (void *)(block));                                                                 \
        assert_string_equal(fatal_line, fatal_wanted);                                             \
    } while (0)

#endif
