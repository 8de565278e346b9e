/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <pthread.h>
#include <signal.h>

/* A program that blocks a signal and waits for it would die, or run its handler on a thread that it does not know, if
 * a helper thread of the allocator left the signal unblocked. */

static pthread_t main_thread;
static volatile sig_atomic_t on_other_thread;
static volatile sig_atomic_t handled;

static void handle(int signal)
{
    (void)signal;
    handled++;
    if (!pthread_equal(pthread_self(), main_thread)) {
        on_other_thread = 1;
    }
}

/* Makes an allocator that has a helper start it. */
static void churn(void)
{
    static void *blocks[50000];
    for (size_t i = 0; i < 50000; i++) {
        blocks[i] = malloc(1000);
        CHECK(blocks[i] != NULL, "malloc");
        memset(blocks[i], 1, 1000);
    }
    for (size_t i = 0; i < 50000; i++) {
        free(blocks[i]);
    }
}

int main(void)
{
    main_thread = pthread_self();
    struct sigaction action = {.sa_handler = handle};
    CHECK(sigaction(SIGUSR2, &action, NULL) == 0, "sigaction");
    churn(); /* with every signal unblocked, as a helper would inherit it */
    sigset_t waited;
    sigemptyset(&waited);
    sigaddset(&waited, SIGUSR1);
    sigaddset(&waited, SIGTERM);
    CHECK(pthread_sigmask(SIG_BLOCK, &waited, NULL) == 0, "pthread_sigmask");
    for (int i = 0; i < 50; i++) {
        if (i % 10 == 0) {
            churn();
        }
        CHECK(kill(getpid(), i % 2 == 0 ? SIGUSR1 : SIGTERM) == 0, "kill");
        const struct timespec second = {1, 0};
        CHECK(sigtimedwait(&waited, NULL, &second) > 0, "the signal went elsewhere");
    }
    /* Blocked here means pending: no other thread may run the handler. */
    sigset_t other;
    sigemptyset(&other);
    sigaddset(&other, SIGUSR2);
    CHECK(pthread_sigmask(SIG_BLOCK, &other, NULL) == 0, "pthread_sigmask");
    CHECK(kill(getpid(), SIGUSR2) == 0, "kill");
    sleep_ms(100);
    CHECK(handled == 0, "the handler ran on a thread that the program does not know");
    CHECK(pthread_sigmask(SIG_UNBLOCK, &other, NULL) == 0, "pthread_sigmask");
    CHECK(handled == 1 && !on_other_thread, "the handler ran elsewhere");
    return 0;
}
