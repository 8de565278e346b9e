/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

/* The kernel allows some 65,530 mappings. Blocks with holes between them, each a mapping of its own, pass that:
 * a call may fail with ENOMEM, but nothing is lost and the program goes on. */

#define COUNT 70000

static unsigned char *blocks[COUNT];

int main(void)
{
    const size_t sizes[] = {80 * KIB, 4 * MIB + 1};
    for (size_t round = 0; round < sizeof sizes / sizeof sizes[0]; round++) {
        size_t count = 0;
        for (size_t i = 0; i < COUNT; i++) {
            errno = 0;
            blocks[i] = malloc(sizes[round]);
            CHECK(blocks[i] != NULL || errno == ENOMEM, "malloc");
            if (blocks[i] != NULL) {
                count++;
            }
            if (blocks[i] != NULL && i % 16 == 0) {
                memcpy(blocks[i], &i, sizeof i);
            }
        }
        CHECK(count > 10000, "only %zu blocks of %zu", count, sizes[round]);
        for (size_t i = 1; i < COUNT; i += 2) {
            free(blocks[i]);
            blocks[i] = NULL;
        }
        void *small = malloc(100);
        CHECK(small != NULL, "no 100 bytes with %zu mappings", count);
        free(small);
        for (size_t i = 1; i < COUNT; i += 6) {
            errno = 0;
            blocks[i] = calloc(1, sizes[round] / 2);
            CHECK(blocks[i] != NULL || errno == ENOMEM, "calloc");
            CHECK(blocks[i] == NULL || (blocks[i][0] == 0 && blocks[i][sizes[round] / 2 - 1] == 0),
                  "calloc is not zero");
        }
        for (size_t i = 0; i < COUNT; i++) {
            CHECK(blocks[i] == NULL || i % 16 != 0 || memcmp(blocks[i], &i, sizeof i) == 0,
                  "block %zu changed", i);
            free(blocks[i]);
        }
        CHECK(resident() < GIB, "%zu bytes resident", resident());
        dprintf(STDOUT_FILENO, "%zu blocks of %zu bytes\n", count, sizes[round]);
    }
    return 0;
}
