/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <pthread.h>
#include <spawn.h>

extern char **environ;

static _Atomic(bool) done;

static void *churn(void *context)
{
    uint64_t state = (uint64_t)(uintptr_t)context;
    while (!done) {
        void *block = malloc(random_between(&state, 1, 100000));
        CHECK(block != NULL, "malloc");
        free(block);
    }
    return NULL;
}

static pid_t spawn(void)
{
    char *arguments[] = {(char *)"sh", (char *)"-c", (char *)"x=$(echo 7); exit $x", NULL};
    pid_t child = 0;
    CHECK(posix_spawn(&child, "/bin/sh", NULL, NULL, arguments, environ) == 0, "posix_spawn");
    return child;
}

/* The child of vfork lives in its parent's memory, and goes on with the parent's allocator. */
static pid_t spawn_by_vfork(void)
{
    char *arguments[] = {(char *)"sh", (char *)"-c", (char *)"exit 7", NULL};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    const pid_t child = vfork();
#pragma GCC diagnostic pop
    if (child == 0) {
        execve("/bin/sh", arguments, environ);
        _exit(1);
    }
    return child;
}

int main(void)
{
    alarm(100);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)) == 0, "pthread_create");
    }
    for (int i = 0; i < 60; i++) {
        int status = 0;
        const pid_t child = i % 2 == 0 ? spawn() : spawn_by_vfork();
        CHECK(waitpid(child, &status, 0) == child, "waitpid");
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7, "a spawned shell ended with %#x",
              (unsigned)status);
        FILE *pipe = popen("echo hello; cat /dev/null", "r");
        char text[16] = {0};
        CHECK(pipe != NULL && fgets(text, sizeof text, pipe) != NULL, "popen");
        CHECK(strcmp(text, "hello\n") == 0, "popen read \"%s\"", text);
        CHECK(pclose(pipe) == 0, "pclose");
        CHECK(system("exit 3") >> 8 == 3, "system");
    }
    done = true;
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    return 0;
}
