/* SPDX-License-Identifier: MIT */
#include "child.h"

#include "cli.h"
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 *   tarn ---fork---> child ---execve---> program
 *     ^                |
 *     '--report pipe---'   closed by execve, or carries the errno of its failure
 *
 * The child is forked, not vforked: on execve the kernel counts the old address space into the peak
 * of the new one, and a fork of this small process has few pages where a vfork would have all of
 * ours. For the same reason no handler of pthread_atfork(3) runs: those of Tarn's own malloc, which
 * is in this program for `tarn replay`, would bring its pages in. So the child, which may have been
 * forked beside a thread that was inside malloc, must not allocate.
 *
 * The program stays in our process group, so a terminal treats both as one.
 */

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void make_pipe(int ends[2], bool is_wanted)
{
    ends[0] = -1;
    ends[1] = -1;
    if (is_wanted && pipe2(ends, O_CLOEXEC) != 0) {
        cli_fail_errno("cannot make a pipe");
    }
}

static void close_end(int *descriptor)
{
    if (*descriptor >= 0) {
        close(*descriptor);
        *descriptor = -1;
    }
}

/* dup2 leaves close-on-exec set when both are the same descriptor, so that case is not for it. */
static void put_in_place(int descriptor, int place)
{
    if (descriptor >= 0 && descriptor != place) {
        dup2(descriptor, place);
    }
}

static _Noreturn void become(const cli_launch *launch, int output, int errors, int report,
                             pid_t parent)
{
    /* The program cannot outlive a tarn that is killed, as it would not outlive its own kill. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(CLI_EXIT_TARN);
    }
    put_in_place(launch->input, STDIN_FILENO);
    put_in_place(output >= 0 ? output : launch->output_to, STDOUT_FILENO);
    put_in_place(errors, STDERR_FILENO);
    cli_signals_restore();
    cli_program_exec(launch->program, launch->environment);
    const int error = errno;
    while (write(report, &error, sizeof error) < 0 && errno == EINTR) {
    }
    _exit(CLI_EXIT_TARN);
}

/* 0 once the program has started, else the errno of why not. */
static int read_report(int descriptor)
{
    int error = 0;
    ssize_t got;
    do {
        got = read(descriptor, &error, sizeof error);
    } while (got < 0 && errno == EINTR);
    return got == sizeof error ? error : 0;
}

/* A shell sees only us stop. When the program stops on its own account we stop with it, and when we
 * go on, so does the program. After Ctrl-Z and `fg` the program may be seen stopped although
 * SIGCONT is on its way to it, hence the second look. */
static void stop_with(pid_t child)
{
    siginfo_t info = {.si_pid = 0};
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    if (waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOHANG) == 0 && info.si_pid == child) {
        raise(SIGSTOP);
        kill(child, SIGCONT);
    }
}

/* True when the child has ended; then `status` and `usage` are set. */
static bool has_ended(pid_t child, int *status, struct rusage *usage)
{
    siginfo_t info = {.si_pid = 0};
    if (wait4(child, status, WNOHANG, usage) == child) {
        return true;
    }
    if (waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == child) {
        stop_with(child);
    }
    return false;
}

static void take(cli_output *output, int *descriptor)
{
    bool is_end;
    cli_output_take(output, *descriptor, &is_end);
    if (is_end) {
        close_end(descriptor);
    }
}

/* What the program itself wrote is in the pipe when it ends; what its children may still write is
 * not waited for. */
static void take_rest(cli_output *output, int *descriptor)
{
    bool is_end = *descriptor < 0;
    while (!is_end && cli_output_take(output, *descriptor, &is_end)) {
    }
    close_end(descriptor);
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec * 1e-6;
}

static void fill_outcome(cli_outcome *outcome, int status, const struct rusage *usage)
{
    outcome->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    outcome->status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    outcome->dumped = WIFSIGNALED(status) && WCOREDUMP(status);
    outcome->user = seconds(usage->ru_utime);
    outcome->system = seconds(usage->ru_stime);
    outcome->peak = (uint64_t)usage->ru_maxrss * 1024;
    outcome->minor_faults = (uint64_t)usage->ru_minflt;
    outcome->major_faults = (uint64_t)usage->ru_majflt;
}

/* Serves the pipes and the signals until the child has ended. */
static void attend(const cli_launch *launch, pid_t child, int signals, int *output, int *errors,
                   double start, cli_outcome *outcome)
{
    for (;;) {
        struct pollfd waits[] = {
            {.fd = signals, .events = POLLIN},
            {.fd = *output, .events = POLLIN},
            {.fd = *errors, .events = POLLIN},
        };
        if (poll(waits, sizeof waits / sizeof waits[0], -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            cli_fail_errno("cannot wait for the program");
        }
        if (waits[0].revents != 0) {
            int status;
            struct rusage usage;
            const int asked = cli_signals_pass(signals, child);
            outcome->asked = asked != 0 ? asked : outcome->asked;
            if (has_ended(child, &status, &usage)) {
                outcome->wall = now() - start;
                fill_outcome(outcome, status, &usage);
                return;
            }
        }
        if (waits[1].revents != 0) {
            take(launch->output, output);
        }
        if (waits[2].revents != 0) {
            take(launch->errors, errors);
        }
    }
}

cli_outcome cli_child_run(const cli_launch *launch, int signals)
{
    cli_outcome outcome = {0};
    int report[2];
    int output[2];
    int errors[2];
    make_pipe(report, true);
    make_pipe(output, launch->output != NULL);
    make_pipe(errors, launch->errors != NULL);
    const pid_t parent = getpid();
    const double start = now();
    const pid_t child = _Fork();
    if (child < 0) {
        cli_fail_errno("cannot start a process");
    }
    if (child == 0) {
        become(launch, output[1], errors[1], report[1], parent);
    }
    close_end(&report[1]);
    close_end(&output[1]);
    close_end(&errors[1]);
    outcome.exec_error = read_report(report[0]);
    close_end(&report[0]);
    if (outcome.exec_error != 0) {
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
        }
        close_end(&output[0]);
        close_end(&errors[0]);
        return outcome;
    }
    if (output[0] >= 0) {
        fcntl(output[0], F_SETFL, O_NONBLOCK);
    }
    if (errors[0] >= 0) {
        fcntl(errors[0], F_SETFL, O_NONBLOCK);
    }
    attend(launch, child, signals, &output[0], &errors[0], start, &outcome);
    take_rest(launch->output, &output[0]);
    take_rest(launch->errors, &errors[0]);
    return outcome;
}

int cli_outcome_exit(const cli_outcome *outcome)
{
    return outcome->signal != 0 ? CLI_EXIT_SIGNAL + outcome->signal : outcome->status;
}
