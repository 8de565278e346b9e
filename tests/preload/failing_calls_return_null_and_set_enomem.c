/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <malloc.h>

#define EXPECT_ENOMEM(call)                                                                        \
    do {                                                                                           \
        errno = 0;                                                                                 \
        void *block_ = opaque(call);                                                               \
        CHECK(block_ == NULL, "%s gave %p", #call, block_);                                        \
        CHECK(errno == ENOMEM, "%s", #call);                                                       \
    } while (0)

int main(void)
{
    /* Just past what an object can be, the most, and sizes whose rounding up wraps around. */
    const size_t sizes[] = {(size_t)PTRDIFF_MAX + 1,
                            (size_t)PTRDIFF_MAX + 4096,
                            SIZE_MAX - 65536,
                            SIZE_MAX - 4096,
                            SIZE_MAX - 4095,
                            SIZE_MAX - 4094,
                            SIZE_MAX - 64,
                            SIZE_MAX - 16,
                            SIZE_MAX - 15,
                            SIZE_MAX - 1,
                            SIZE_MAX,
                            (size_t)PTRDIFF_MAX,
                            (size_t)PTRDIFF_MAX - 15,
                            (size_t)PTRDIFF_MAX - 4095,
                            (size_t)PTRDIFF_MAX - 65536,
                            (size_t)1 << 48};
    const size_t alignments[] = {1, 2, 8, 16, 32, 64, 4096, 8192, 65536, MIB, GIB};
    char *old = malloc(1000);
    CHECK(old != NULL, "malloc");
    fill(old, 1000, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const size_t size = opaque_size(sizes[i]);
        EXPECT_ENOMEM(malloc(size));
        EXPECT_ENOMEM(calloc(1, size));
        EXPECT_ENOMEM(calloc(size, 1));
        EXPECT_ENOMEM(realloc(NULL, size));
        EXPECT_ENOMEM(realloc(opaque(old), size));
        EXPECT_ENOMEM(reallocarray(NULL, 1, size));
        EXPECT_ENOMEM(reallocarray(opaque(old), size, 1));
        EXPECT_ENOMEM(valloc(size));
        EXPECT_ENOMEM(pvalloc(size));
        for (size_t j = 0; j < sizeof alignments / sizeof alignments[0]; j++) {
            EXPECT_ENOMEM(aligned_alloc(alignments[j], size));
            EXPECT_ENOMEM(memalign(alignments[j], size));
            if (alignments[j] >= sizeof(void *)) {
                void *pointer = old;
                errno = 1234;
                const int error = posix_memalign(&pointer, alignments[j], size);
                CHECK(error == ENOMEM, "posix_memalign(%zu, %zu) is %d", alignments[j], size,
                      error);
                CHECK(pointer == old, "posix_memalign wrote through its pointer though it failed");
                CHECK(errno == 1234, "posix_memalign tells by its result, not by errno");
            }
        }
        CHECK(is_filled(old, 1000, 1), "a failing realloc to %zu touched the block", size);
    }

    /* Products that wrap, also those that wrap to something small. */
    const size_t counts[][2] = {{SIZE_MAX, 2},
                                {2, SIZE_MAX},
                                {SIZE_MAX, SIZE_MAX},
                                {SIZE_MAX / 16 + 1, 16},
                                {(size_t)1 << 32, (size_t)1 << 32},
                                {((size_t)1 << 32) + 1, (size_t)1 << 32},
                                {(size_t)1 << 63, 2},
                                {(size_t)PTRDIFF_MAX / 2 + 1, 2},
                                {3, SIZE_MAX / 3 + 1}};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        const size_t count = opaque_size(counts[i][0]);
        const size_t size = opaque_size(counts[i][1]);
        EXPECT_ENOMEM(calloc(count, size));
        EXPECT_ENOMEM(reallocarray(NULL, count, size));
        EXPECT_ENOMEM(reallocarray(opaque(old), count, size));
        CHECK(is_filled(old, 1000, 1), "a failing reallocarray touched the block");
    }

    /* Alignments so large that size plus alignment wraps, or that no address can serve. */
    for (unsigned shift = 48; shift < 64; shift++) {
        EXPECT_ENOMEM(memalign((size_t)1 << shift, 4096));
        EXPECT_ENOMEM(aligned_alloc((size_t)1 << shift, (size_t)1 << shift));
        void *pointer = old;
        const int error = posix_memalign(&pointer, (size_t)1 << shift, 100);
        CHECK(error == ENOMEM && pointer == old, "posix_memalign(2^%u, 100) is %d", shift, error);
    }

    /* Large and huge blocks keep their contents as well. */
    const size_t olds[] = {40000, 300000, 3 * MIB, 40 * MIB};
    for (size_t i = 0; i < sizeof olds / sizeof olds[0]; i++) {
        char *block = malloc(olds[i]);
        CHECK(block != NULL, "malloc(%zu)", olds[i]);
        fill(block, olds[i], i);
        EXPECT_ENOMEM(realloc(opaque(block), opaque_size((size_t)PTRDIFF_MAX + 1)));
        EXPECT_ENOMEM(realloc(opaque(block), opaque_size((size_t)1 << 47)));
        EXPECT_ENOMEM(realloc(opaque(block), opaque_size(SIZE_MAX - 4095)));
        CHECK(is_filled(block, olds[i], i), "a failing realloc touched the block of %zu", olds[i]);
        free(block);
    }
    free(old);
    return 0;
}
