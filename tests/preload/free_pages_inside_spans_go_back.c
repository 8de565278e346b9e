/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <malloc.h>

/*
 * Nine of ten blocks are freed at random. The pages that hold no byte of a living block are counted from the blocks'
 * addresses; they, and little less, have to leave resident memory: by themselves in a second or two, or by
 * malloc_trim at once. The blocks that stay keep their contents, and freed slots serve again.
 */

struct kept {
    unsigned char *block;
    size_t size;
};

static struct kept *blocks;
static size_t count;

static int by_address(const void *left, const void *right)
{
    const struct kept *a = left;
    const struct kept *b = right;
    return (a->block > b->block) - (a->block < b->block);
}

/* Bytes of the pages that living blocks stand on. */
static size_t pages_in_use(void)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    size_t living = 0;
    for (size_t i = 0; i < count; i++) {
        if (blocks[i].block != NULL) {
            blocks[living++] = blocks[i];
        }
    }
    count = living;
    qsort(blocks, count, sizeof *blocks, by_address);
    size_t bytes = 0;
    uintptr_t counted = 0;
    for (size_t i = 0; i < count; i++) {
        uintptr_t first = (uintptr_t)blocks[i].block / page * page;
        const uintptr_t last = ((uintptr_t)blocks[i].block + blocks[i].size - 1) / page * page;
        first = first < counted ? counted : first;
        for (; first <= last; first += page) {
            bytes += page;
        }
        counted = last + page;
    }
    return bytes;
}

static void run(size_t smallest, size_t largest, size_t total, bool trim)
{
    uint64_t state = 11;
    count = 0;
    blocks = outside_memory(total / smallest * 2 * sizeof *blocks);
    const size_t outside = resident();
    for (size_t sum = 0; sum < total; count++) {
        const size_t size = random_between(&state, smallest, largest);
        blocks[count].block = malloc(size);
        blocks[count].size = size;
        CHECK(blocks[count].block != NULL, "malloc");
        fill(blocks[count].block, size, size);
        sum += size;
    }
    const size_t before = resident() - count * sizeof *blocks - outside;
    for (size_t i = 0; i < count; i++) {
        if (random_between(&state, 0, 9) != 0) {
            free(blocks[i].block);
            blocks[i].block = NULL;
        }
    }
    const size_t touched = count * sizeof *blocks;
    size_t needed = 0;
    size_t now = 0;
    const double start = seconds_now();
    if (trim) {
        malloc_trim(0);
        now = resident() - touched - outside;
        needed = pages_in_use();
    } else {
        needed = pages_in_use();
        sleep_ms(1500);
        now = resident() - touched - outside;
    }
    /* A tenth of what could go may stay, and some for the books. */
    const size_t allowed = needed + (before - needed) / 10 + 6 * MIB;
    dprintf(STDOUT_FILENO,
            "%zu to %zu bytes, %s: %zu KiB, then %zu KiB after %.2f s; needed %zu KiB\n", smallest,
            largest, trim ? "malloc_trim" : "idle", before / KIB, now / KIB, seconds_now() - start,
            needed / KIB);
    CHECK(before > needed, "nothing could go");
    CHECK(now <= allowed, "%zu KiB stay resident, allowed are %zu KiB", now / KIB, allowed / KIB);
    for (size_t i = 0; i < count; i++) {
        CHECK(is_filled(blocks[i].block, blocks[i].size, blocks[i].size), "a living block changed");
    }
    /* What went back can be used again. */
    const size_t old_count = count;
    for (size_t sum = 0; sum < total / 2; count++) {
        const size_t size = random_between(&state, smallest, largest);
        blocks[count].block = malloc(size);
        blocks[count].size = size;
        CHECK(blocks[count].block != NULL, "malloc");
        fill(blocks[count].block, size, size);
        sum += size;
    }
    for (size_t i = 0; i < count; i++) {
        CHECK(is_filled(blocks[i].block, blocks[i].size, blocks[i].size),
              "block %zu (%zu old) changed", i, old_count);
        free(blocks[i].block);
    }
    _exit(0);
}

int main(void)
{
    static const size_t sizes[][2] = {
        {16, 512}, {256, 512}, {1000, 4000}, {4000, 30000}, {5000, 5000}};
    int failures = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] * 2; i++) {
        const pid_t child = fork();
        if (child == 0) {
            run(sizes[i / 2][0], sizes[i / 2][1], 200 * MIB, i % 2 == 1);
        }
        int status = 0;
        CHECK(child > 0 && waitpid(child, &status, 0) == child, "fork");
        failures += status != 0;
    }
    CHECK(failures == 0, "%d cases failed", failures);
    return 0;
}
