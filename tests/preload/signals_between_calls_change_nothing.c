/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

/* A timer interrupts malloc everywhere, thousands of times; system calls inside it fail with EINTR. The handler
 * runs deep in any call, on its own stack. */

#define THREADS 3
#define SLOTS 300

static volatile sig_atomic_t caught;

static void handle(int signal)
{
    volatile char room[3000];
    room[0] = (char)signal;
    room[sizeof room - 1] = room[0];
    caught++;
    errno =
        999; /* a handler that forgets to restore errno is not the allocator's matter, but must do no harm */
}

static void *work(void *context)
{
    uint64_t state = (uint64_t)(uintptr_t)context;
    void *blocks[SLOTS] = {0};
    size_t sizes[SLOTS] = {0};
    const double end = seconds_now() + 2.0;
    while (seconds_now() < end) {
        const size_t i = random_between(&state, 0, SLOTS - 1);
        CHECK(is_filled(blocks[i], sizes[i], i), "a block changed");
        const size_t size = random_between(&state, 1, (size_t)1 << random_between(&state, 0, 19));
        if (random_between(&state, 0, 1) == 0) {
            free(blocks[i]);
            blocks[i] = malloc(size);
        } else {
            blocks[i] = realloc(blocks[i], size);
        }
        CHECK(blocks[i] != NULL, "%zu bytes", size);
        sizes[i] = size;
        fill(blocks[i], size, i);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        free(blocks[i]);
    }
    return NULL;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_ONSTACK};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0, "sigaction");
    const struct itimerval often = {{0, 200}, {0, 200}};
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0, "setitimer");
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, work, (void *)(i + 1)) == 0, "pthread_create");
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(caught > 1000, "only %d signals", (int)caught);
    return 0;
}
