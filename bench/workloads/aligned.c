/* SPDX-License-Identifier: MIT */

/*
 * Aligned blocks: records on cache lines, vectors for SIMD, pages for direct input and output, and
 * now and then a table on the boundary of a huge page; replaced at random. The alignment is
 * checked each time.
 */

#include "work.h"

enum { SLOTS = 4000, OPS = 3000000 };

struct request {
    size_t alignment;
    uint32_t size;
};

static struct request draw(work_random *random)
{
    const uint32_t kind = work_below(random, 10000);
    if (kind < 5000) {
        return (struct request){64, work_size(random, 64, 1024)};
    }
    if (kind < 9000) {
        return (struct request){32, work_size(random, 32, 4096)};
    }
    if (kind < 9600) {
        /* Not 256: mimalloc 2.0.9, a peer, misaligns blocks of 256 bytes for 256. */
        return (struct request){128, work_size(random, 64, 2048)};
    }
    if (kind < 9999) {
        return (struct request){4096, 4096 * work_between(random, 1, 4)};
    }
    return (struct request){2 << 20, 64 << 10};
}

static void *take(struct request request, uint64_t draw)
{
    void *block;
    if ((draw & 1) != 0) {
        if (posix_memalign(&block, request.alignment, request.size) != 0) {
            block = NULL;
        }
    } else {
        /* The size has to be a multiple of the alignment by the letter of C11. */
        const size_t mask = request.alignment - 1;
        block = aligned_alloc(request.alignment, (request.size + mask) & ~mask);
    }
    if ((uintptr_t)work_got(block) % request.alignment != 0) {
        work_fail("a block is not aligned as asked for");
    }
    return block;
}

int main(int argc, char **argv)
{
    static void *blocks[SLOTS];
    static uint32_t sizes[SLOTS];
    work_random random = {work_mix(work_seed(argc, argv, 1))};
    uint64_t checksum = 0;
    for (size_t i = 0; i < OPS + SLOTS; i++) {
        const size_t slot = i < OPS ? work_below(&random, SLOTS) : i - OPS;
        if (blocks[slot] != NULL) {
            checksum += work_read(blocks[slot], sizes[slot]);
            free(blocks[slot]);
            blocks[slot] = NULL;
        }
        if (i < OPS) {
            const struct request request = draw(&random);
            blocks[slot] = take(request, work_next(&random));
            sizes[slot] = request.size;
            work_write(blocks[slot], request.size, work_next(&random));
        }
    }
    work_report((uint64_t)OPS * 2, checksum);
    return 0;
}
