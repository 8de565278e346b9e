/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <malloc.h>

#define KEPT 4

static void check_block(unsigned char *block, size_t alignment, size_t size, const char *who)
{
    CHECK(block != NULL, "%s(%zu, %zu)", who, alignment, size);
    CHECK((uintptr_t)block % alignment == 0, "%s(%zu, %zu) is at %p", who, alignment, size,
          (void *)block);
    CHECK(malloc_usable_size(block) >= size, "%s(%zu, %zu) has room for %zu", who, alignment, size,
          malloc_usable_size(block));
}

static void check_pair(size_t alignment, size_t size)
{
    free_aligned_sized_function *free_aligned_sized = find_free_aligned_sized();
    unsigned char *blocks[KEPT * 3];
    for (size_t i = 0; i < KEPT * 3; i += 3) {
        blocks[i] = aligned_alloc(alignment, size);
        check_block(blocks[i], alignment, size, "aligned_alloc");
        blocks[i + 1] = memalign(alignment, size);
        check_block(blocks[i + 1], alignment, size, "memalign");
        void *pointer = NULL;
        const size_t least = alignment < sizeof(void *) ? sizeof(void *) : alignment;
        CHECK(posix_memalign(&pointer, least, size) == 0, "posix_memalign(%zu, %zu)", least, size);
        blocks[i + 2] = pointer;
        check_block(blocks[i + 2], least, size, "posix_memalign");
        for (size_t j = i; j < i + 3; j++) {
            fill(blocks[j], size, alignment + size + j);
        }
    }
    /* An aligned block may be resized as any other; only its contents are kept for sure. */
    blocks[0] = realloc(blocks[0], size + size / 2 + 1);
    CHECK(blocks[0] != NULL, "realloc of an aligned block");
    for (size_t i = 0; i < KEPT * 3; i++) {
        CHECK(is_filled(blocks[i], size, alignment + size + i), "aligned blocks of %zu overlap",
              size);
        if (i % 3 == 0 && i > 0) {
            free_aligned_sized(blocks[i], alignment, size);
        } else {
            free(blocks[i]);
        }
    }
}

int main(void)
{
    const size_t sizes[] = {0,     1,     7,     8,     16,    17,    48,    100,   128,
                            200,   500,   1000,  1024,  3000,  4095,  4096,  4097,  8192,
                            20000, 32768, 32769, 40000, 65535, 65536, 65537, 100000};
    for (size_t alignment = 1; alignment <= 4 * MIB; alignment *= 2) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            check_pair(alignment, sizes[i]);
        }
    }
    for (size_t alignment = 16; alignment <= 64 * MIB; alignment *= 4) {
        check_pair(alignment, 5 * MIB + 1);
    }

    /* A small block at a huge alignment costs address space for a moment, but not memory. */
    for (int i = 0; i < 100; i++) {
        void *block = aligned_alloc(GIB, 100);
        check_block(block, GIB, 100, "aligned_alloc");
        memset(block, 1, 100);
        free(block);
    }
    CHECK(resident() < 64 * MIB, "aligned blocks left %zu bytes resident", resident());

    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t size = 0; size < 3 * page; size += 511) {
        void *block = valloc(size);
        check_block(block, page, size, "valloc");
        free(block);
        block = pvalloc(size);
        check_block(block, page, (size + page - 1) / page * page, "pvalloc");
        free(block);
    }
    return 0;
}
