/* SPDX-License-Identifier: MIT */
#include "launch.h"

#include "cli.h"
#include "environment.h"
#include "resident.h"
#include "signals.h"
#include "ticks.h"
#include "utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 *   tarn replay ---fork, execve---> tarn __replay      with the allocator preloaded
 *        |                                |
 *        '------- job, tape, said --------'            files without names, by their descriptors
 */

/* What is shown of what a process says, and what is kept: the kernel refuses as a whole what does
 * not fit within. */
enum { SAID_SIZE = 2048, KEPT_SIZE = 1 << 16 };

/* A file of KEPT_SIZE bytes that nobody can make larger, as one who writes without end would do
 * with the memory of the machine. */
static int create_said(void)
{
    const int said = memfd_create("tarn-said", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (said >= 0 && (ftruncate(said, KEPT_SIZE) != 0 ||
                      fcntl(said, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)) {
        close(said);
        return -1;
    }
    return said;
}

void replay_launch_create(replay_launch *launch, const replay_tape *tape)
{
    *launch =
        (replay_launch){.descriptor = memfd_create("tarn-job", MFD_CLOEXEC), .said = create_said()};
    if (launch->descriptor < 0 || launch->said < 0 ||
        ftruncate(launch->descriptor, sizeof *launch->job) != 0) {
        cli_fail_errno("cannot share memory with another process");
    }
    launch->job =
        mmap(NULL, sizeof *launch->job, PROT_READ | PROT_WRITE, MAP_SHARED, launch->descriptor, 0);
    if (launch->job == MAP_FAILED) {
        cli_fail_errno("cannot share memory with another process");
    }
    launch->job->tape = *tape;
}

void replay_launch_free(replay_launch *launch)
{
    munmap(launch->job, sizeof *launch->job);
    close(launch->descriptor);
    close(launch->said);
}

static void keep_open(int descriptor)
{
    fcntl(descriptor, F_SETFD, 0);
}

/* Should memory be short all the same, no other process of the machine is to be ended for it. */
static void be_ended_first(void)
{
    const int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (file >= 0) {
        const ssize_t done = write(file, "1000", 4);
        (void)done;
        close(file);
    }
}

static _Noreturn void become_worker(const replay_launch *launch, const char *preload, pid_t parent)
{
    char **environment = cli_environment_with(NULL, "LD_PRELOAD", preload);
    environment = cli_environment_with(environment, "TARN_RECORD", NULL);
    environment = cli_environment_with(environment, "TARN_POOLING", NULL);
    char *arguments[] = {(char[]){"tarn"}, (char[]){"__replay"},
                         cli_format("%d", launch->descriptor),
                         cli_format("%d", launch->job->tape.descriptor), NULL};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(CLI_EXIT_TARN);
    }
    be_ended_first();
    const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(nothing, STDIN_FILENO);
    dup2(launch->said, STDOUT_FILENO);
    dup2(launch->said, STDERR_FILENO);
    keep_open(launch->descriptor);
    keep_open(launch->job->tape.descriptor);
    cli_signals_restore();
    execve("/proc/self/exe", arguments, environment);
    _exit(CLI_EXIT_TARN);
}

void replay_launch_start(replay_launch *launch, const char *preload, uint64_t timeout_ms)
{
    const pid_t parent = getpid();
    launch->deadline_ns = replay_now_ns() + timeout_ms * 1000000;
    launch->job->memory = replay_resident_bound();
    launch->process = fork();
    if (launch->process < 0) {
        cli_fail_errno("cannot start a process");
    }
    if (launch->process == 0) {
        become_worker(launch, preload, parent);
    }
}

/* -------------------------------------------------------------------------------------------------
 * The end of it.
 */

/* The first line that the process wrote, fit to be shown; "" if there is none. */
static const char *first_line(const replay_launch *launch, char shown[CLI_PRINTABLE_SIZE])
{
    static char text[SAID_SIZE];
    const ssize_t size = pread(launch->said, text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return cli_printable(text, shown);
}

static replay_end judge(replay_launch *launch, int status)
{
    replay_job *job = launch->job;
    char shown[CLI_PRINTABLE_SIZE];
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && job->status != REPLAY_UNFINISHED) {
        return REPLAY_ENDED;
    }
    const char *line = first_line(launch, shown);
    const char *how = WIFSIGNALED(status)
                          ? cli_format("ended by %s", cli_signal_text(WTERMSIG(status)))
                          : cli_format("ended with status %d", WEXITSTATUS(status));
    if (job->error[0] != '\0') {
        how = cli_format("%s: %s", how, job->error);
    } else if (line[0] != '\0') {
        how = cli_format("%s: %s", how, line);
    }
    snprintf(job->error, sizeof job->error, "%s, after %llu operations", how,
             (unsigned long long)job->done);
    return REPLAY_CRASHED;
}

/* Reaps the process if it has ended. */
static bool reap(replay_launch *launch, int *status)
{
    if (launch->process == 0 || waitpid(launch->process, status, WNOHANG) != launch->process) {
        return false;
    }
    launch->process = 0;
    return true;
}

static void end(replay_launch *launch)
{
    if (launch->process != 0) {
        kill(launch->process, SIGKILL);
        while (waitpid(launch->process, NULL, 0) < 0 && errno == EINTR) {
        }
        launch->process = 0;
    }
}

/* The first whose time is over; `count` if there is none. */
static size_t find_late(replay_launch *const *launches, size_t count)
{
    const uint64_t now = replay_now_ns();
    size_t i = 0;
    while (i < count && (launches[i]->process == 0 || now < launches[i]->deadline_ns)) {
        i++;
    }
    return i;
}

static int milliseconds_left(replay_launch *const *launches, size_t count)
{
    const uint64_t now = replay_now_ns();
    uint64_t least = INT_MAX;
    for (size_t i = 0; i < count; i++) {
        const uint64_t until = launches[i]->deadline_ns;
        const uint64_t left = until > now ? (until - now) / 1000000 + 1 : 0;
        least = launches[i]->process != 0 && left < least ? left : least;
    }
    return (int)least;
}

replay_end replay_launch_wait(replay_launch *const *launches, size_t count, int signals,
                              size_t *ended)
{
    for (;;) {
        int status;
        for (*ended = 0; *ended < count; ++*ended) {
            if (reap(launches[*ended], &status)) {
                return judge(launches[*ended], status);
            }
        }
        *ended = find_late(launches, count);
        if (*ended < count) {
            replay_job *job = launches[*ended]->job;
            end(launches[*ended]);
            snprintf(job->error, sizeof job->error, "did not end in time, after %llu operations",
                     (unsigned long long)job->done);
            return REPLAY_CRASHED;
        }
        struct pollfd wait = {.fd = signals, .events = POLLIN};
        if (poll(&wait, 1, milliseconds_left(launches, count)) > 0 &&
            cli_signals_pass(signals, 0) != 0) {
            for (size_t i = 0; i < count; i++) {
                end(launches[i]);
            }
            return REPLAY_INTERRUPTED;
        }
    }
}
