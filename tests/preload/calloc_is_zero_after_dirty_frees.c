/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

/* A calloc that trusts pages to be fresh must know which ones really are: freed, merged, split, given back to
 * the kernel, or refused by it because they are locked. */

#define KEPT 64

static void dirty_and_check(size_t size)
{
    unsigned char *blocks[KEPT];
    const size_t count = size > MIB ? 3 : size > 64 * KIB ? 8 : KEPT;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < count; i++) {
            blocks[i] = calloc(1, size);
            CHECK(blocks[i] != NULL, "calloc(1, %zu)", size);
            CHECK(is_zero(blocks[i], size), "calloc(1, %zu) is not zero in round %d", size, round);
            memset(blocks[i], 0xa5, size);
        }
        for (size_t i = 0; i < count; i++) {
            free(blocks[i]);
        }
    }
}

static void check_sizes(const char *when)
{
    for (size_t size = 1; size <= 2048; size += 1 + size / 64) {
        dirty_and_check(size);
    }
    for (size_t size = 2048; size < 12 * MIB; size += size / 5) {
        dirty_and_check(size);
    }
    dprintf(STDOUT_FILENO, "%s: zero\n", when);
}

/* Random sizes share and divide each other's pages. */
static void check_mixture(uint64_t *state)
{
    enum { SLOTS = 512 };
    static unsigned char *blocks[SLOTS];
    static size_t sizes[SLOTS];
    for (int i = 0; i < 30000; i++) {
        const size_t slot = random_between(state, 0, SLOTS - 1);
        free(blocks[slot]);
        const size_t shift = random_between(state, 0, 20);
        sizes[slot] = random_between(state, 1, (size_t)1 << shift);
        blocks[slot] = calloc(sizes[slot], 1);
        CHECK(blocks[slot] != NULL, "calloc(%zu, 1)", sizes[slot]);
        CHECK(is_zero(blocks[slot], sizes[slot]), "calloc(%zu, 1) is not zero", sizes[slot]);
        memset(blocks[slot], 0xff, sizes[slot]);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
}

int main(void)
{
    uint64_t state = random_seed();
    check_sizes("at first");
    check_mixture(&state);
    sleep_ms(600); /* pages decay meanwhile */
    check_sizes("after a rest");
    check_mixture(&state);
    /* From here on the kernel refuses to take single pages back. */
    if (mlockall(MCL_CURRENT | MCL_FUTURE) == 0) {
        check_sizes("locked");
        check_mixture(&state);
        sleep_ms(600);
        check_sizes("locked, after a rest");
        check_mixture(&state);
    }
    return 0;
}
