/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "os/os.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

/*
 * The action for SIGSEGV: ours, in front of the one that was there before.
 */

static struct sigaction before; /* written while ours is not there */
static bool is_installed; /* ours is the action, or was when somebody put another one in front */
static _Atomic(os_fault_handler *) wanted;

/* What the access was. */
static unsigned access_of(const void *context)
{
#if defined(__x86_64__) || defined(__i386__)
    /* The error code of a page fault: bit 1 is a write, bit 4 the fetch of an instruction. */
    const ucontext_t *thread = context;
    return (thread->uc_mcontext.gregs[REG_ERR] & 2) != 0 ? OS_WRITE : OS_READ;
#else
    (void)context;
    return OS_NONE;
#endif
}

/* As if ours were not there. */
static void pass_on(int number, siginfo_t *info, void *context)
{
    const struct sigaction action = before;
    if ((action.sa_flags & (int)SA_RESETHAND) != 0) {
        /* It wants one call. */
        before = (struct sigaction){.sa_handler = SIG_DFL};
    }
    if ((action.sa_flags & SA_SIGINFO) != 0) {
        action.sa_sigaction(number, info, context);
    } else if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN) {
        action.sa_handler(number);
    } else if (action.sa_handler == SIG_DFL || info->si_code > 0) {
        /* A fault happens again as soon as this returns; what somebody sent has to be sent again. No fault can be
         * ignored. */
        const struct sigaction end = {.sa_handler = SIG_DFL};
        sigaction(number, &end, NULL);
        if (info->si_code <= 0) {
            (void)raise(number);
        }
    }
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    const int saved = errno;
    os_fault_handler *handler = atomic_load_explicit(&wanted, memory_order_acquire);
    /* Only a page that is there and refuses can be of a window. */
    const bool is_done = handler != NULL && info->si_code == SEGV_ACCERR &&
                         handler(info->si_addr, access_of(context));
    errno = saved;
    if (!is_done) {
        pass_on(number, info, context);
    }
}

int os_faults_handle(os_fault_handler *handler)
{
    const int saved = errno;
    int error = 0;
    struct sigaction now = {0};
    error = sigaction(SIGSEGV, NULL, &now) == 0 ? 0 : errno;
    if (error == 0 && (now.sa_flags & SA_SIGINFO) == 0 &&
        (now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN)) {
        is_installed = false; /* nobody in front calls ours any more */
    }
    /* Who is in front calls ours: to get in front of him would make a ring of the two. */
    if (error == 0 && !is_installed) {
        struct sigaction ours;
        memset(&ours, 0, sizeof ours);
        ours.sa_sigaction = on_fault;
        ours.sa_flags = SA_SIGINFO | SA_ONSTACK | (now.sa_flags & SA_NODEFER);
        ours.sa_mask = now.sa_mask;
        before = now;
        if (error == 0) {
            error = sigaction(SIGSEGV, &ours, NULL) == 0 ? 0 : errno;
        }
    }
    if (error == 0) {
        is_installed = true;
        atomic_store_explicit(&wanted, handler, memory_order_release);
    }
    errno = saved;
    return error;
}

void os_faults_leave(void)
{
    const int saved = errno;
    struct sigaction now;
    if (sigaction(SIGSEGV, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0 &&
        now.sa_sigaction == on_fault && sigaction(SIGSEGV, &before, NULL) == 0) {
        is_installed = false;
    }
    atomic_store_explicit(&wanted, NULL, memory_order_release);
    errno = saved;
}
