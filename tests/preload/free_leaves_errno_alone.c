/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

/* So POSIX says since 2024, and so the code around every `free(p); return -1;` believes. */

#define LOOPS 200

static void check_all(const char *when)
{
    free_sized_function *free_sized = find_free_sized();
    free_aligned_sized_function *free_aligned_sized = find_free_aligned_sized();
    static const size_t sizes[] = {0,       1,       8,        16,       100,      512,      1024,
                                   4096,    32768,   32769,    65536,    100000,   262144,   MIB,
                                   3 * MIB, 8 * MIB, MIB * 16, MIB * 33, MIB * 64, MIB * 200};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int loop = 0; loop < (sizes[i] < MIB ? LOOPS : 3); loop++) {
            void *plain = malloc(sizes[i]);
            void *sized = calloc(1, sizes[i]);
            void *aligned = aligned_alloc(256, sizes[i]);
            CHECK(plain != NULL && sized != NULL && aligned != NULL, "size %zu", sizes[i]);
            errno = 4321;
            free(plain);
            CHECK(errno == 4321, "free of %zu bytes, %s", sizes[i], when);
            free_sized(sized, sizes[i]);
            CHECK(errno == 4321, "free_sized of %zu bytes, %s", sizes[i], when);
            free_aligned_sized(aligned, 256, sizes[i]);
            CHECK(errno == 4321, "free_aligned_sized of %zu bytes, %s", sizes[i], when);
        }
    }
    errno = 4321;
    free(NULL);
    free_sized(NULL, 100);
    free_aligned_sized(NULL, 64, 128);
    CHECK(errno == 4321, "free of NULL");
}

int main(void)
{
    check_all("plain");

    /* What the kernel refuses inside free must not show either: locked pages cannot be given back. */
    if (mlockall(MCL_CURRENT | MCL_FUTURE) == 0) {
        void *many[64];
        for (int i = 0; i < 64; i++) {
            many[i] = malloc((size_t)i * 5000);
            CHECK(many[i] != NULL, "malloc");
        }
        errno = 4321;
        for (int i = 0; i < 64; i++) {
            free(many[i]);
            CHECK(errno == 4321, "free in locked memory");
        }
        munlockall();
    }

    /* Enough of it that pages go back to the kernel inside free. */
    static void *blocks[20000];
    for (size_t i = 0; i < 20000; i++) {
        blocks[i] = malloc(i % 3000);
        CHECK(blocks[i] != NULL, "malloc");
        memset(blocks[i], 1, i % 3000);
    }
    errno = 4321;
    for (size_t i = 0; i < 20000; i++) {
        free(blocks[i]);
        CHECK(errno == 4321, "free number %zu of many", i);
    }
    sleep_ms(300);
    check_all("after a rest");
    return 0;
}
