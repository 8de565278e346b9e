/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "fragmented.h"

/*
 * Each page that shares a frame may be a mapping of its own, and the kernel allows so many to a process
 * (vm.max_map_count). A malloc that took most of them would make the program's own mmap fail, or the next thread.
 */

#define FRAGMENTS 300000
#define IDLE_MS 1500
#define SPARE 2000 /* mappings that neither side counts exactly */

static size_t most_mappings(void)
{
    char text[32] = "";
    const int file = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    CHECK(file >= 0, "vm.max_map_count");
    CHECK(read(file, text, sizeof text - 1) > 0, "vm.max_map_count");
    close(file);
    return strtoull(text, NULL, 10);
}

static size_t mappings_now(void)
{
    static char text[1 << 16];
    size_t lines = 0;
    const int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    CHECK(file >= 0, "/proc/self/maps");
    for (ssize_t got = read(file, text, sizeof text); got > 0;
         got = read(file, text, sizeof text)) {
        for (ssize_t i = 0; i < got; i++) {
            lines += text[i] == '\n';
        }
    }
    close(file);
    return lines;
}

/* `count` mappings that the kernel cannot merge: every other page of a range may be read. */
static char *own_mappings(size_t count)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *start =
        mmap(NULL, count * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(start != MAP_FAILED, "mmap");
    for (size_t i = 1; i < count; i += 2) {
        CHECK(mprotect(start + i * page, page, PROT_READ) == 0, "the program's mapping %zu of %zu",
              i, count);
    }
    return start;
}

static void drop_mappings(char *start, size_t count)
{
    munmap(start, count * (size_t)sysconf(_SC_PAGESIZE));
}

int main(void)
{
    const size_t most = most_mappings();
    if (most > 1 << 20) {
        return SKIPPED;
    }
    uint64_t random = random_seed();

    /* Half of them is the program's, whenever it asks for it. */
    fragment *first = fragmented_make(FRAGMENTS, &random);
    sleep_ms(IDLE_MS);
    CHECK(mappings_now() <= most / 2, "%zu mappings, of %zu that are allowed", mappings_now(),
          most);
    const size_t own = most / 2 - SPARE;
    char *mappings = own_mappings(own);
    fragmented_check(first, FRAGMENTS, "after the program mapped its half");

    /* When the program has taken nearly all, the malloc leaves it the rest. */
    const size_t more = most - mappings_now() - 2 * SPARE;
    char *rest = own_mappings(more);
    fragment *second = fragmented_make(FRAGMENTS, &random);
    sleep_ms(IDLE_MS);
    fragmented_check(second, FRAGMENTS, "with few mappings left");
    drop_mappings(own_mappings(SPARE / 2), SPARE / 2);

    drop_mappings(rest, more);
    drop_mappings(mappings, own);
    fragmented_drop(second, FRAGMENTS);
    fragmented_drop(first, FRAGMENTS);
    return 0;
}
