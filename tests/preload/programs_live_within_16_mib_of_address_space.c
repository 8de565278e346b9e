/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

/*
 * As `ulimit -v 16384` has it: no huge reservation at the start. The program takes all there is, is told NULL with
 * ENOMEM, gives back, and can take the same again.
 */

#define LIMIT (16 * MIB)

static size_t take_all(void **list, size_t size)
{
    size_t taken = 0;
    for (;;) {
        errno = 0;
        void **block = malloc(size);
        if (block == NULL) {
            CHECK(errno == ENOMEM, "malloc(%zu) without memory", size);
            return taken;
        }
        memset(block, 0x55, size);
        *block = *list;
        *list = block;
        taken += size;
        CHECK(taken <= LIMIT, "%zu bytes under a limit of %zu", taken, LIMIT);
    }
}

static void give_back(void **list)
{
    while (*list != NULL) {
        void **block = *list;
        *list = *block;
        free(block);
    }
}

static int live_in_limit(void)
{
    const size_t sizes[] = {16, 64, 200, 1000, 5000, 30000, 40000, 100000, 300000};
    const size_t count = sizeof sizes / sizeof sizes[0];
    size_t first[sizeof sizes / sizeof sizes[0]] = {0};
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < count; i++) {
            void *list = NULL;
            const size_t taken = take_all(&list, sizes[i]);
            give_back(&list);
            if (round == 0) {
                first[i] = taken;
                dprintf(STDOUT_FILENO, "%zu KiB in blocks of %zu\n", taken / KIB, sizes[i]);
                CHECK(taken >= 4 * MIB, "only %zu KiB in blocks of %zu", taken / KIB, sizes[i]);
            } else {
                CHECK(taken >= first[i] / 10 * 9, "%zu KiB in blocks of %zu, at first %zu",
                      taken / KIB, sizes[i], first[i] / KIB);
            }
        }
    }
    /* Takes with one size what was given back in another, with some of it kept. */
    void *list = NULL;
    void *rest = NULL;
    take_all(&list, 3000);
    for (int i = 0; i < 500; i++) {
        void **block = list;
        CHECK(block != NULL, "500 blocks of 3,000 bytes");
        list = *block;
        free(block);
    }
    CHECK(take_all(&rest, 100) >= 500 * 3000 / 2, "freed blocks serve no other size");
    give_back(&rest);
    give_back(&list);
    FILE *stream = fopen("/proc/self/maps", "r");
    char line[512];
    CHECK(stream != NULL && fgets(line, sizeof line, stream) != NULL, "stdio after it all");
    fclose(stream);
    return 0;
}

static pid_t run_limited(char *const *arguments)
{
    const pid_t child = fork();
    if (child == 0) {
        limit_address_space(LIMIT);
        execv(arguments[0], arguments);
        CHECK(false, "cannot run %s in %zu KiB", arguments[0], LIMIT / KIB);
    }
    return child;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        return live_in_limit();
    }
    char *const self[] = {argv[0], (char *)"limited", NULL};
    char *const truth[] = {(char *)"/bin/true", NULL};
    char *const shell[] = {(char *)"/bin/sh", (char *)"-c",
                           (char *)"x=$(echo hello | cat); test $x = hello", NULL};
    expect_child_passes(run_limited(truth), "/bin/true");
    expect_child_passes(run_limited(shell), "/bin/sh");
    expect_child_passes(run_limited(self), "a program that takes all there is");
    return 0;
}
