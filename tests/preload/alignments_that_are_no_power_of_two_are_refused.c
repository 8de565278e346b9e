/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <malloc.h>

int main(void)
{
    const size_t bad[] = {0,
                          3,
                          5,
                          6,
                          7,
                          9,
                          12,
                          24,
                          40,
                          48,
                          96,
                          100,
                          4095,
                          4097,
                          SIZE_MAX,
                          SIZE_MAX - 1,
                          ((size_t)1 << 63) + 8,
                          ((size_t)1 << 40) + 64};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int before = 0;
        void *pointer = &before;
        errno = 1234;
        const int error = posix_memalign(&pointer, opaque_size(bad[i]), 64);
        CHECK(error == EINVAL, "posix_memalign(%zu) is %d", bad[i], error);
        CHECK(pointer == &before, "posix_memalign(%zu) wrote through its pointer", bad[i]);
        CHECK(errno == 1234, "posix_memalign(%zu) changed errno", bad[i]);

        errno = 0;
        void *block = opaque(aligned_alloc(opaque_size(bad[i]), 64));
        CHECK(block == NULL && errno == EINVAL, "aligned_alloc(%zu) gave %p", bad[i], block);

        /* The manual has memalign refuse; glibc's code rounds up. A program can only live with either. */
        errno = 0;
        block = opaque(memalign(opaque_size(bad[i]), 64));
        if (block == NULL) {
            CHECK(errno == EINVAL || errno == ENOMEM, "memalign(%zu)", bad[i]);
        } else {
            CHECK(bad[i] <= (size_t)1 << 40, "memalign(%zu) gave %p", bad[i], block);
            size_t up = 1;
            while (up < bad[i]) {
                up *= 2;
            }
            CHECK((uintptr_t)block % up == 0, "memalign(%zu) gave %p", bad[i], block);
            free(block);
        }
    }

    /* A power of two, but smaller than a pointer: only posix_memalign minds. */
    for (size_t alignment = 1; alignment < sizeof(void *); alignment *= 2) {
        int before = 0;
        void *pointer = &before;
        errno = 1234;
        CHECK(posix_memalign(&pointer, alignment, 64) == EINVAL, "alignment %zu", alignment);
        CHECK(pointer == &before && errno == 1234, "alignment %zu", alignment);
        void *block = opaque(aligned_alloc(alignment, 64));
        CHECK(block != NULL, "aligned_alloc(%zu)", alignment);
        free(block);
        block = opaque(memalign(alignment, 64));
        CHECK(block != NULL, "memalign(%zu)", alignment);
        free(block);
    }

    /* The alignment is looked at first: it is what the caller got wrong. */
    void *pointer = NULL;
    CHECK(posix_memalign(&pointer, 24, opaque_size(SIZE_MAX)) == EINVAL, "bad alignment and size");
    return 0;
}
