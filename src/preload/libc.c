/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "malloc/fast.h"

#include "base/bits.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

/*
 * libc's names, over src/malloc. Each behaves as glibc's does where POSIX and C leave room.
 *
 * All of this is built twice: see again.h.
 */

TARN_API void *malloc(size_t size)
{
    return malloc_fast(size);
}

TARN_API void free(void *block)
{
    free_fast(block);
}

TARN_API void *calloc(size_t count, size_t size)
{
    return tarn_calloc(count, size);
}

TARN_API void *realloc(void *block, size_t size)
{
    return tarn_realloc(block, size);
}

TARN_API void *reallocarray(void *block, size_t count, size_t size)
{
    return tarn_reallocarray(block, count, size);
}

TARN_API void cfree(void *block);
void cfree(void *block)
{
    free_fast(block);
}

/* C23. */
TARN_API void free_sized(void *block, size_t size);
void free_sized(void *block, size_t size)
{
    malloc_free_sized(block, 1, size);
}

TARN_API void free_aligned_sized(void *block, size_t alignment, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size)
{
    malloc_free_sized(block, alignment, size);
}

TARN_API void *aligned_alloc(size_t alignment, size_t size)
{
    return tarn_aligned_alloc(alignment, size);
}

TARN_API void *memalign(size_t alignment, size_t size)
{
    return tarn_aligned_alloc(alignment, size);
}

TARN_API int posix_memalign(void **result, size_t alignment, size_t size)
{
    if (!base_is_power_of_two(alignment) || alignment % sizeof(void *) != 0) {
        return EINVAL;
    }
    /* POSIX: the error is returned, errno and *result are left alone. */
    const int saved = errno;
    void *block = malloc_aligned(alignment, size);
    errno = saved;
    if (block == NULL) {
        return ENOMEM;
    }
    *result = block;
    return 0;
}

TARN_API void *valloc(size_t size)
{
    return malloc_aligned(os_page_size(), size);
}

TARN_API void *pvalloc(size_t size)
{
    size_t whole = 0;
    if (!base_checked_align_up(size == 0 ? 1 : size, os_page_size(), &whole)) {
        errno = ENOMEM;
        return NULL;
    }
    return malloc_aligned(os_page_size(), whole);
}
