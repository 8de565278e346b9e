/* SPDX-License-Identifier: MIT */

/*
 * Large blocks, 32 KiB to 8 MiB, replaced at random: buffers of images, files and networks. Each
 * is written at its start and once in every page, then read.
 */

#include "work.h"

enum { SLOTS = 24, OPS = 5000, LOW = 32 << 10, HIGH = 8 << 20, STRIDE = 4096, HEAD = 16 << 10 };

static void fill(unsigned char *block, size_t size, uint64_t stamp)
{
    work_write(block, HEAD, stamp);
    for (size_t i = HEAD; i < size; i += STRIDE) {
        block[i] = (unsigned char)(stamp >> (i / STRIDE % 8 * 8));
    }
    block[size - 1] = (unsigned char)stamp;
}

static uint64_t sum(const unsigned char *block, size_t size)
{
    uint64_t total = work_read(block, HEAD);
    for (size_t i = HEAD; i < size; i += STRIDE) {
        total = total * 31 + block[i];
    }
    return total * 31 + block[size - 1];
}

int main(int argc, char **argv)
{
    static unsigned char *blocks[SLOTS];
    static uint32_t sizes[SLOTS];
    work_random random = {work_mix(work_seed(argc, argv, 1))};
    uint64_t checksum = 0;
    for (size_t i = 0; i < OPS + SLOTS; i++) {
        const size_t slot = i < OPS ? work_below(&random, SLOTS) : i - OPS;
        if (blocks[slot] != NULL) {
            checksum = work_mix(checksum + sum(blocks[slot], sizes[slot]));
            free(blocks[slot]);
            blocks[slot] = NULL;
        }
        if (i < OPS) {
            sizes[slot] = work_size(&random, LOW, HIGH);
            blocks[slot] = work_got(malloc(sizes[slot]));
            fill(blocks[slot], sizes[slot], work_next(&random));
        }
    }
    work_report((uint64_t)OPS * 2, checksum);
    return 0;
}
