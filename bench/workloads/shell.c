/* SPDX-License-Identifier: MIT */

/*
 * Many short processes, as of a shell script: this program starts itself again and again; each
 * child reads its environment into a table, makes a few hundred small blocks, and ends without
 * freeing them, as such programs do.
 */

#define _GNU_SOURCE
#include "work.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILDREN = 700, WORDS = 300 };

static char *copy(const char *text)
{
    const size_t size = strlen(text) + 1;
    return memcpy(work_got(malloc(size)), text, size);
}

/* The exit status carries the child's checksum home. */
static int be_a_child(uint64_t seed)
{
    work_random random = {work_mix(seed)};
    size_t count = 0;
    for (char **variable = environ; *variable != NULL; variable++, count++) {
        if (copy(*variable)[0] == '\0') {
            work_fail("an empty variable");
        }
    }
    uint64_t checksum = count > 0;
    char **words = work_got(calloc(WORDS, sizeof *words));
    for (size_t i = 0; i < WORDS; i++) {
        const uint32_t size = work_size(&random, 8, 512);
        words[i] = work_got(malloc(size));
        work_write(words[i], size, work_next(&random));
        checksum += work_read(words[i], size) & 0xff;
        if (i % 3 == 0) {
            free(words[i]);
        }
    }
    char *buffer = work_got(malloc(64 << 10));
    work_write(buffer, 4096, checksum);
    return (int)(work_read(buffer, 4096) & 0x3f);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "child") == 0) {
        return be_a_child(work_seed(argc, argv, 2));
    }
    const uint64_t seed = work_seed(argc, argv, 1);
    uint64_t checksum = 0;
    for (uint64_t i = 0; i < CHILDREN; i++) {
        char text[32];
        const unsigned long long number = seed * CHILDREN + i;
        snprintf(text, sizeof text, "%llu", number);
        char child[] = "child";
        char *arguments[] = {argv[0], child, text, NULL};
        pid_t pid;
        int status = 0;
        if (posix_spawn(&pid, argv[0], NULL, NULL, arguments, environ) != 0 ||
            waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
            work_fail("a child could not be started or died");
        }
        checksum = work_mix(checksum + (uint64_t)WEXITSTATUS(status));
    }
    work_report((uint64_t)CHILDREN * WORDS, checksum);
    return 0;
}
