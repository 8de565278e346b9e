/* SPDX-License-Identifier: MIT */

/*
 * What a preloaded library costs a program that does nothing: `start PAIRS LIBRARY PROGRAM`.
 *
 * Runs PROGRAM without and with the library in turn, PAIRS times each, and prints the wall times'
 * medians and minima, and the resident memory of some of each when they ended (the median),
 * counted from the page tables: the peak that wait4 tells is off by more than what is to be
 * measured.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAIRS_MAX = 100000, LOOKS = 9 };

static void fail(const char *what)
{
    fprintf(stderr, "start: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static void preload(const char *library)
{
    if (library != NULL) {
        setenv("LD_PRELOAD", library, 1);
    } else {
        unsetenv("LD_PRELOAD");
    }
}

/* Nanoseconds from the start of the program to its end. */
static long long run(char *program, const char *library)
{
    char *arguments[] = {program, NULL};
    struct timespec start;
    struct timespec end;
    pid_t pid;
    int status = 0;
    preload(library);
    clock_gettime(CLOCK_MONOTONIC, &start);
    errno = posix_spawnp(&pid, program, NULL, NULL, arguments, environ);
    if (errno != 0 || waitpid(pid, &status, 0) != pid) {
        fail(program);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fail("the program died");
    }
    return (end.tv_sec - start.tv_sec) * 1000000000LL + (end.tv_nsec - start.tv_nsec);
}

static long read_resident(pid_t pid)
{
    char name[64];
    char line[256];
    long kib = -1;
    snprintf(name, sizeof name, "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(name, "re");
    while (file != NULL && kib < 0 && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "Rss: %ld kB", &kib) != 1) {
            kib = -1;
        }
    }
    if (kib < 0) {
        fail(name);
    }
    fclose(file);
    return kib;
}

/* KiB resident when the program ends: it is stopped there and looked at. */
static long resident_at_exit(char *program, const char *library)
{
    preload(library);
    const pid_t pid = fork();
    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        execlp(program, program, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    long kib = -1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
        ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL) != 0) {
        fail("cannot trace the program");
    }
    while (WIFSTOPPED(status)) {
        const int event = status >> 8;
        if (event == (SIGTRAP | PTRACE_EVENT_EXIT << 8)) {
            kib = read_resident(pid);
        }
        const int signal = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
        if (ptrace(PTRACE_CONT, pid, NULL, signal) != 0 || waitpid(pid, &status, 0) != pid) {
            fail("cannot trace the program");
        }
    }
    return kib;
}

static int compare(const void *left, const void *right)
{
    const long long a = *(const long long *)left;
    const long long b = *(const long long *)right;
    return (a > b) - (a < b);
}

static long long median_resident(char *program, const char *library)
{
    long long kib[LOOKS];
    for (size_t i = 0; i < LOOKS; i++) {
        kib[i] = resident_at_exit(program, library);
    }
    qsort(kib, LOOKS, sizeof kib[0], compare);
    return kib[LOOKS / 2];
}

int main(int argc, char **argv)
{
    static long long plain[PAIRS_MAX];
    static long long loaded[PAIRS_MAX];
    const int pairs = argc > 3 ? atoi(argv[1]) : 0;
    if (pairs < 1 || pairs > PAIRS_MAX) {
        fprintf(stderr, "usage: start PAIRS LIBRARY PROGRAM\n");
        return EXIT_FAILURE;
    }
    run(argv[3], NULL);
    run(argv[3], argv[2]);
    for (int i = 0; i < pairs; i++) {
        plain[i] = run(argv[3], NULL);
        loaded[i] = run(argv[3], argv[2]);
    }
    qsort(plain, (size_t)pairs, sizeof plain[0], compare);
    qsort(loaded, (size_t)pairs, sizeof loaded[0], compare);
    printf("plain_ns %lld\nloaded_ns %lld\n", plain[pairs / 2], loaded[pairs / 2]);
    printf("plain_least_ns %lld\nloaded_least_ns %lld\n", plain[0], loaded[0]);
    printf("plain_kib %lld\nloaded_kib %lld\n", median_resident(argv[3], NULL),
           median_resident(argv[3], argv[2]));
    return EXIT_SUCCESS;
}
