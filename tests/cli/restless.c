/* SPDX-License-Identifier: MIT */
/*
 * Programs that are hard to stop in the middle of nothing, one for each word. Each prints "ready" when it is at it,
 * goes on until SIGTERM or its standard input ends, and then prints "whole" if nothing went wrong.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static atomic_bool is_over;
static atomic_bool is_damaged;

static void damage(const char *what)
{
    is_damaged = true;
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
}

static void say(const char *text)
{
    if (write(STDOUT_FILENO, text, strlen(text)) < 0) {
        is_damaged = true;
    }
}

static void *wait_for_end(void *unused)
{
    (void)unused;
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    is_over = true;
    return NULL;
}

static void use_memory(void)
{
    enum { SIZE = 100 };
    unsigned char *volatile block = malloc(SIZE);
    memset(block, 1, SIZE);
    free(block);
}

/* The allocator's locks are held for most of the time, by the one who forks. */
static void fork_all_along(void)
{
    while (!is_over) {
        const pid_t child = fork();
        if (child == 0) {
            use_memory();
            _exit(7);
        }
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
            WEXITSTATUS(status) != 7) {
            damage("a child");
            return;
        }
    }
}

static void *begin_and_end(void *argument)
{
    use_memory();
    return argument;
}

static void start_threads_all_along(void)
{
    enum { THREADS = 8 };
    while (!is_over) {
        pthread_t threads[THREADS];
        for (unsigned i = 0; i < THREADS; i++) {
            if (pthread_create(&threads[i], NULL, begin_and_end, NULL) != 0) {
                damage("a thread");
                return;
            }
        }
        for (unsigned i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
        }
    }
}

/* A coroutine sleeps on a stack that is much too small for the loader; below it is memory that must stay. */
static ucontext_t outside;
static ucontext_t inside;

static void sleep_inside(void)
{
    const struct timespec moment = {.tv_nsec = 10 * 1000000};
    say("ready\n");
    while (!is_over) {
        nanosleep(&moment, NULL);
    }
    swapcontext(&inside, &outside);
}

static void run_coroutine(void)
{
    enum { STACK = 6144, BELOW = 1 << 20 };
    unsigned char *memory =
        mmap(NULL, BELOW + STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        damage("memory");
        return;
    }
    memset(memory, 0xa5, BELOW);
    getcontext(&inside);
    inside.uc_stack.ss_sp = memory + BELOW;
    inside.uc_stack.ss_size = STACK;
    makecontext(&inside, sleep_inside, 0);
    swapcontext(&outside, &inside);
    for (size_t i = 0; i < BELOW; i++) {
        if (memory[i] != 0xa5) {
            damage("below the stack");
            return;
        }
    }
}

/* A handler of a signal that came in the first bytes of free returns there later. */
static const unsigned char *entry;
static atomic_bool is_held;

static void hold(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    const ucontext_t *interrupted = context;
    const uintptr_t at = (uintptr_t)interrupted->uc_mcontext.gregs[REG_RIP];
    if (at - (uintptr_t)entry - 1 < 4 && !atomic_exchange(&is_held, true)) {
        say("ready\n");
        struct timespec left = {.tv_sec = 1};
        while (nanosleep(&left, &left) != 0) {
        }
    }
}

static void hold_in_free(void)
{
    void (*function)(void *) = free;
    memcpy(&entry, &function, sizeof entry);
    const struct sigaction action = {.sa_sigaction = hold, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    const struct itimerval often = {.it_interval = {.tv_usec = 100}, .it_value = {.tv_usec = 100}};
    setitimer(ITIMER_REAL, &often, NULL);
    while (!is_over) {
        /* The shortest way there is, so that the handler is not waited for long. */
        free(NULL);
        if (is_held) {
            use_memory();
        }
    }
}

static void *execute_soon(void *unused)
{
    (void)unused;
    char byte;
    if (read(STDIN_FILENO, &byte, 1) >= 0) {
        execl("/bin/sh", "sh", "-c", "sleep 1; echo whole", (char *)NULL);
    }
    return NULL;
}

static void execute(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, execute_soon, NULL);
    say("ready\n");
    for (;;) {
        pause();
    }
}

static void *go_on_alone(void *unused)
{
    (void)unused;
    say("ready\n");
    while (!is_over) {
        use_memory();
        usleep(1000);
    }
    say(is_damaged ? "damaged\n" : "whole\n");
    exit(is_damaged ? 1 : 0);
}

/* The first thread ends, and others go on. */
static void leave(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, go_on_alone, NULL);
    pthread_exit(NULL);
}

/* No sockets: who asks for one is ended. */
static void forbid_sockets(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        damage("seccomp");
    }
}

static void rest(void)
{
    while (!is_over) {
        usleep(10000);
    }
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "rest";
    pthread_t ending;
    if (strcmp(word, "execute") == 0) {
        execute();
    }
    pthread_create(&ending, NULL, wait_for_end, NULL);
    if (strcmp(word, "coroutine") == 0) {
        run_coroutine();
    } else if (strcmp(word, "hold") == 0) {
        hold_in_free();
    } else if (strcmp(word, "leave") == 0) {
        leave();
    } else {
        if (strcmp(word, "filter") == 0) {
            forbid_sockets();
        }
        say("ready\n");
        if (strcmp(word, "fork") == 0) {
            fork_all_along();
        } else if (strcmp(word, "threads") == 0) {
            start_threads_all_along();
        } else {
            rest();
        }
    }
    pthread_join(ending, NULL);
    say(is_damaged ? "damaged\n" : "whole\n");
    return is_damaged ? 1 : 0;
}
