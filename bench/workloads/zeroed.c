/* SPDX-License-Identifier: MIT */

/*
 * Zeroed memory: records, hash tables, matrices and sparse bitmaps from calloc, replaced at
 * random. That they come zeroed is checked where they are used.
 */

#include "work.h"

enum { SLOTS = 3000, OPS = 1800000, CHECKS = 16 };

struct piece {
    unsigned char *bytes;
    size_t size;
    size_t stride; /* between the bytes that are used */
};

/* Nine of ten are records; the rest are tables, matrices and, seldom, bitmaps that are used here
 * and there. */
static struct piece draw(work_random *random)
{
    const uint32_t kind = work_below(random, 1000);
    if (kind < 900) {
        return (struct piece){NULL, work_size(random, 16, 512), 8};
    }
    if (kind < 990) {
        return (struct piece){NULL, work_size(random, 512, 8192), 32};
    }
    if (kind < 999) {
        return (struct piece){NULL, work_size(random, 8192, 131072), 64};
    }
    return (struct piece){NULL, work_size(random, 262144, 2097152), 16384};
}

static void use(struct piece *piece, uint64_t stamp)
{
    for (size_t i = 0; i < piece->size; i += piece->stride) {
        if (piece->bytes[i] != 0) {
            work_fail("calloc gave a block that is not zeroed");
        }
        piece->bytes[i] = (unsigned char)(stamp + i);
    }
    const size_t last = piece->size - 1;
    if (last % piece->stride != 0 && piece->bytes[last] != 0) {
        work_fail("calloc gave a block that is not zeroed at its end");
    }
    piece->bytes[last] = (unsigned char)stamp;
}

static uint64_t finish(struct piece *piece)
{
    uint64_t sum = piece->size;
    for (size_t i = 0; i < piece->size; i += piece->size / CHECKS + 1) {
        sum = sum * 31 + piece->bytes[i / piece->stride * piece->stride];
    }
    sum = sum * 31 + piece->bytes[piece->size - 1];
    free(piece->bytes);
    return sum;
}

int main(int argc, char **argv)
{
    static struct piece pieces[SLOTS];
    work_random random = {work_mix(work_seed(argc, argv, 1))};
    uint64_t checksum = 0;
    for (size_t i = 0; i < OPS + SLOTS; i++) {
        struct piece *piece = &pieces[i < OPS ? work_below(&random, SLOTS) : i - OPS];
        if (piece->bytes != NULL) {
            checksum = work_mix(checksum + finish(piece));
        }
        if (i < OPS) {
            *piece = draw(&random);
            piece->bytes = work_got(calloc(1, piece->size));
            use(piece, work_next(&random));
        }
    }
    work_report((uint64_t)OPS * 2, checksum);
    return 0;
}
