/* SPDX-License-Identifier: MIT */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* The program that the tests run: its first argument says what it does. */

static const char *malloc_home(void)
{
    Dl_info info;
    void *address = dlsym(RTLD_DEFAULT, "malloc");
    return address != NULL && dladdr(address, &info) != 0 ? info.dli_fname : "nowhere";
}

static int number(const char *text)
{
    return text != NULL ? (int)strtol(text, NULL, 10) : 0;
}

/* Bytes live until the end and are touched, in blocks of the size that a program has. */
static int touch(int mebibytes)
{
    for (int i = 0; i < mebibytes * 16; i++) {
        char *volatile block = malloc(65536);
        if (block == NULL) {
            return 1;
        }
        memset(block, i, 65536);
    }
    return 0;
}

static int spin(int milliseconds)
{
    const clock_t end = clock() + (clock_t)milliseconds * (CLOCKS_PER_SEC / 1000);
    while (clock() < end) {
    }
    return 0;
}

static int copy_input(void)
{
    char bytes[4096];
    for (size_t got = fread(bytes, 1, sizeof bytes, stdin); got > 0;
         got = fread(bytes, 1, sizeof bytes, stdin)) {
        fwrite(bytes, 1, got, stdout);
    }
    return 0;
}

static volatile sig_atomic_t last_signal;
static volatile sig_atomic_t signal_count;

static void on_signal(int number_of_signal)
{
    last_signal = number_of_signal;
    signal_count++;
}

/* Says "ready", waits for the first signal, then a little longer for others that should not come. */
static int trap(int status)
{
    const struct sigaction action = {.sa_handler = on_signal};
    const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGTSTP};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        sigaction(signals[i], &action, NULL);
    }
    puts("ready");
    fflush(stdout);
    for (int i = 0; i < 1000 && signal_count == 0; i++) {
        usleep(20000);
    }
    for (int i = 0; i < 15; i++) {
        usleep(20000);
    }
    printf("signal %d, %d in all\n", (int)last_signal, (int)signal_count);
    return status;
}

static int die(int number_of_signal)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    fprintf(stderr, "victim: last words\n");
    signal(number_of_signal, SIG_DFL);
    raise(number_of_signal);
    return 99;
}

/* Which of the first 31 signals are blocked and which are ignored. */
static int print_signals(void)
{
    sigset_t blocked;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    for (int i = 1; i < 32; i++) {
        struct sigaction action;
        sigaction(i, NULL, &action);
        if (sigismember(&blocked, i) == 1) {
            printf("blocked %d\n", i);
        }
        if (action.sa_handler == SIG_IGN) {
            printf("ignored %d\n", i);
        }
    }
    return 0;
}

/* Says "ready", and "done" after two seconds in which it is not stopped. */
static int idle(void)
{
    puts("ready");
    fflush(stdout);
    for (int i = 0; i < 100; i++) {
        usleep(20000);
    }
    return puts("done") < 0;
}

/* Leaves a child behind that holds standard output. */
static int linger(void)
{
    if (fork() == 0) {
        sleep(20);
        _exit(0);
    }
    puts("gone");
    return 0;
}

/* Which of the descriptors below 64 are open. */
static int print_descriptors(void)
{
    for (int i = 0; i < 64; i++) {
        if (lseek(i, 0, SEEK_CUR) >= 0 || ttyname(i) != NULL || dup2(i, i) == i) {
            printf("%d\n", i);
        }
    }
    return 0;
}

static int print_arguments(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        printf("[%s]\n", argv[i]);
    }
    return 0;
}

static int run_plugin(const char *path)
{
#if defined(VICTIM_STATIC)
    void *plugin = NULL;
    (void)path;
#else
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
#endif
    int (*function)(void);
    void *symbol = plugin != NULL ? dlsym(plugin, "plugin_run") : NULL;
    memcpy(&function, &symbol, sizeof function);
    return function != NULL ? function() : 9;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    const char *word = argc > 2 ? argv[2] : NULL;
    if (strcmp(what, "plugin") == 0) {
        return run_plugin(word);
    }
    if (strcmp(what, "arguments") == 0) {
        return print_arguments(argc, argv);
    }
    if (strcmp(what, "identity") == 0) {
        return puts(malloc_home()) < 0;
    }
    if (strcmp(what, "identity-in-line-3") == 0) {
        return printf("one\ntwo\n%s\nfour\n", malloc_home()) < 0;
    }
    if (strcmp(what, "environment") == 0) {
        const char *value = getenv(word);
        return puts(value != NULL ? value : "(unset)") < 0;
    }
    if (strcmp(what, "exit") == 0) {
        return number(word);
    }
    if (strcmp(what, "die") == 0) {
        return die(number(word));
    }
    if (strcmp(what, "die-on") == 0) {
        return strstr(malloc_home(), word) != NULL ? die(SIGSEGV) : 0;
    }
    if (strcmp(what, "touch") == 0) {
        return touch(number(word));
    }
    if (strcmp(what, "spin") == 0) {
        return spin(number(word));
    }
    if (strcmp(what, "cat") == 0) {
        return copy_input();
    }
    if (strcmp(what, "trap") == 0) {
        return trap(number(word));
    }
    if (strcmp(what, "signals") == 0) {
        return print_signals();
    }
    if (strcmp(what, "descriptors") == 0) {
        return print_descriptors();
    }
    if (strcmp(what, "linger") == 0) {
        return linger();
    }
    if (strcmp(what, "idle") == 0) {
        return idle();
    }
    if (strcmp(what, "noise") == 0) {
        return printf("%d\n", (int)getpid()) < 0;
    }
    if (strcmp(what, "stop") == 0) {
        raise(SIGSTOP);
        return puts("went on") < 0;
    }
    if (strcmp(what, "terminals") == 0) {
        return printf("%d%d%d\n", isatty(0), isatty(1), isatty(2)) < 0;
    }
    fprintf(stderr, "victim: cannot '%s'\n", what);
    return 64;
}
