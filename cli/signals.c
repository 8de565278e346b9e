/* SPDX-License-Identifier: MIT */
#include "signals.h"

#include "cli.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* What is passed on. SIGTSTP is among them so that a program that handles Ctrl-Z decides whether
 * both stop; SIGCHLD says that the child ended or stopped. */
static const int caught[] = {SIGCHLD, SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
                             SIGUSR1, SIGUSR2, SIGALRM, SIGTSTP};

static sigset_t found_mask;
static struct sigaction found_child_action;

const char *cli_signal_name(int number)
{
    const char *name = sigabbrev_np(number);
    return name != NULL ? name : cli_format("%d", number);
}

const char *cli_signal_text(int number)
{
    const char *name = sigabbrev_np(number);
    return name != NULL ? cli_format("SIG%s (%s)", name, sigdescr_np(number))
                        : cli_format("signal %d", number);
}

int cli_signals_catch(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof caught / sizeof caught[0]; i++) {
        sigaddset(&set, caught[i]);
    }
    const int descriptor = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (descriptor < 0) {
        cli_fail_errno("cannot wait for signals");
    }
    /* Standard output may be a pipe whose reader has left: a write then fails instead of killing
     * us. */
    sigaddset(&set, SIGPIPE);
    /* A file may be as large as it is allowed to be: the same. */
    sigaddset(&set, SIGXFSZ);
    sigprocmask(SIG_BLOCK, &set, &found_mask);
    /* Who ignores SIGCHLD cannot wait for children. */
    const struct sigaction normal = {.sa_handler = SIG_DFL};
    sigaction(SIGCHLD, &normal, &found_child_action);
    return descriptor;
}

void cli_signals_restore(void)
{
    sigaction(SIGCHLD, &found_child_action, NULL);
    sigprocmask(SIG_SETMASK, &found_mask, NULL);
}

static bool asks_to_end(int number)
{
    return number == SIGINT || number == SIGTERM || number == SIGHUP || number == SIGQUIT;
}

int cli_signals_pass(int descriptor, pid_t child)
{
    struct signalfd_siginfo info;
    int ending = 0;
    while (read(descriptor, &info, sizeof info) == sizeof info) {
        const int number = (int)info.ssi_signo;
        if (number == SIGCHLD) {
            continue;
        }
        if (asks_to_end(number)) {
            ending = number;
        }
        /* The terminal's go to the whole foreground group, the child included: once is enough. A
         * second SIGINT means "at once" to many servers. */
        if (child > 0 && info.ssi_code <= 0) {
            kill(child, number);
        }
    }
    return ending;
}
