/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "fragmented.h"

/*
 * RLIMIT_FSIZE holds for files of memory, too: making one larger than that fails, and kills by SIGXFSZ. A program that
 * may not write files at all, or whose user has said `ulimit -f 0`, has a heap all the same.
 */

#define FRAGMENTS 200000
#define IDLE_MS 800

static void use_heap(const char *when)
{
    uint64_t random = random_seed();
    fragment *fragments = fragmented_make(FRAGMENTS, &random);
    void *large = malloc(100 * MIB);
    CHECK(large != NULL, "malloc of 100 MiB");
    memset(large, 1, 100 * MIB);
    sleep_ms(IDLE_MS);
    fragmented_check(fragments, FRAGMENTS, when);
    free(large);
    const pid_t child = fork();
    if (child == 0) {
        alarm(30);
        fragmented_drop(fragments, FRAGMENTS);
        _exit(0);
    }
    expect_child_passes(child, "a child");
    fragmented_drop(fragments, FRAGMENTS);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        use_heap("from the start");
        return 0;
    }
    const struct rlimit none = {0, 0};
    CHECK(setrlimit(RLIMIT_FSIZE, &none) == 0, "setrlimit");
    use_heap("from now on");
    execl("/proc/self/exe", argv[0], "again", (char *)NULL);
    CHECK(false, "exec");
    return 1;
}
