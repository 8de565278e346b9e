/* SPDX-License-Identifier: MIT */

/*
 * Runs one program on one allocator and measures it: `launch RESULT LIBRARY PROGRAM [ARGUMENT...]`.
 *
 * LIBRARY is the shared object to preload, or "-" for none. What was measured is written to the
 * file RESULT, a name and a number per line. The program keeps this one's standard streams. The
 * exit status is 0 when the program could be run, however it ended.
 *
 * Linux counts the pages of the process that calls exec into the peak of the program it becomes.
 * This one is small and statically linked so that the peak is the program's; bench/run itself
 * would add its own ten megabytes.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what, const char *name)
{
    fprintf(stderr, "launch: %s %s: %s\n", what, name, strerror(errno));
    exit(EXIT_FAILURE);
}

static long long nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static long long microseconds(struct timeval time)
{
    return time.tv_sec * 1000000LL + time.tv_usec;
}

static void become(const char *library, char **arguments)
{
    /* A runner that gives up kills this process; the program must not outlive it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (strcmp(library, "-") != 0) {
        setenv("LD_PRELOAD", library, 1);
    }
    execvp(arguments[0], arguments);
    fprintf(stderr, "launch: cannot run %s: %s\n", arguments[0], strerror(errno));
    _exit(127);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: launch RESULT LIBRARY|- PROGRAM [ARGUMENT...]\n");
        return EXIT_FAILURE;
    }
    FILE *result = fopen(argv[1], "we");
    if (result == NULL) {
        fail("cannot write", argv[1]);
    }
    const long long start = nanoseconds();
    const pid_t child = fork();
    if (child < 0) {
        fail("cannot start", argv[3]);
    }
    if (child == 0) {
        become(argv[2], argv + 3);
    }
    int status = 0;
    struct rusage usage;
    while (wait4(child, &status, 0, &usage) < 0) {
        if (errno != EINTR) {
            fail("cannot wait for", argv[3]);
        }
    }
    const long long wall = nanoseconds() - start;
    fprintf(result, "wall_ns %lld\nuser_us %lld\nsystem_us %lld\npeak_kib %ld\n", wall,
            microseconds(usage.ru_utime), microseconds(usage.ru_stime), usage.ru_maxrss);
    fprintf(result, "minor_faults %ld\nmajor_faults %ld\n", usage.ru_minflt, usage.ru_majflt);
    fprintf(result, "signal %d\nexit %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0,
            WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    if (fclose(result) != 0) {
        fail("cannot write", argv[1]);
    }
    return EXIT_SUCCESS;
}
