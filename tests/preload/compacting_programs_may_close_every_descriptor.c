/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "fragmented.h"

/*
 * A daemon closes every descriptor that it does not know, and the next files that it opens get their numbers. A malloc
 * whose memory is a file must not take one of those for its own: it would cut it, or punch holes into it.
 */

#define FRAGMENTS 200000
#define FILES 64
#define FILE_SIZE ((size_t)1 << 16)
#define IDLE_MS 800

static int files[FILES];

static void make_files(void)
{
    static unsigned char text[FILE_SIZE];
    for (int i = 0; i < FILES; i++) {
        char name[] = "/tmp/tarn-descriptors-XXXXXX";
        files[i] = mkostemp(name, O_CLOEXEC);
        CHECK(files[i] >= 0, "mkostemp");
        unlink(name);
        fill(text, FILE_SIZE, (uint64_t)i);
        CHECK(write(files[i], text, FILE_SIZE) == (ssize_t)FILE_SIZE, "write");
    }
}

static void check_files(void)
{
    static unsigned char text[FILE_SIZE + 1];
    for (int i = 0; i < FILES; i++) {
        CHECK(pread(files[i], text, sizeof text, 0) == (ssize_t)FILE_SIZE,
              "file %d, of descriptor %d, has another size", i, files[i]);
        CHECK(is_filled(text, FILE_SIZE, (uint64_t)i), "file %d, of descriptor %d, changed", i,
              files[i]);
    }
}

int main(void)
{
    uint64_t random = random_seed();
    fragment *first = fragmented_make(FRAGMENTS, &random);
    for (int descriptor = STDERR_FILENO + 1; descriptor < 4096; descriptor++) {
        close(descriptor);
    }
    make_files();
    sleep_ms(IDLE_MS);
    fragmented_check(first, FRAGMENTS, "after its descriptors were closed");
    fragment *second = fragmented_make(FRAGMENTS, &random);
    void *large = malloc(64 * MIB);
    CHECK(large != NULL, "malloc of 64 MiB");
    memset(large, 1, 64 * MIB);
    sleep_ms(IDLE_MS);
    free(large);

    const pid_t child = fork();
    if (child == 0) {
        alarm(30);
        fragmented_check(first, FRAGMENTS, "in a child");
        fragmented_drop(second, FRAGMENTS);
        check_files();
        _exit(0);
    }
    expect_child_passes(child, "a child without descriptors");
    fragmented_drop(second, FRAGMENTS);
    fragmented_drop(first, FRAGMENTS);
    check_files();
    return 0;
}
