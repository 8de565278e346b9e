/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "malloc/fast.h"

#include "base/bits.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * libc's names, over src/malloc. Each behaves as glibc's does where POSIX and C leave room.
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

TARN_API size_t malloc_usable_size(void *block)
{
    return tarn_malloc_usable_size(block);
}

TARN_API int malloc_trim(size_t pad)
{
    (void)pad;
    return tarn_malloc_trim() != 0;
}

TARN_API int mallopt(int parameter, int value)
{
    /* glibc's parameters tune what Tarn does otherwise: known ones are taken and change nothing. */
    (void)value;
    switch (parameter) {
    case M_MXFAST:
    case M_TRIM_THRESHOLD:
    case M_TOP_PAD:
    case M_MMAP_THRESHOLD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_PERTURB:
    case M_ARENA_TEST:
    case M_ARENA_MAX:
        return 1;
    default:
        return 0;
    }
}

static struct mallinfo2 info(void)
{
    tarn_malloc_stats stats;
    tarn_malloc_stats_get(&stats, sizeof stats);
    const size_t live = stats.small_live + stats.large_live;
    struct mallinfo2 result = {0};
    result.arena = stats.mapped - stats.huge_live;
    result.hblks = stats.huge_blocks;
    result.hblkhd = stats.huge_live;
    result.uordblks = live;
    result.fordblks = result.arena > live ? result.arena - live : 0;
    result.keepcost = stats.dirty;
    return result;
}

TARN_API struct mallinfo2 mallinfo2(void)
{
    return info();
}

TARN_API struct mallinfo mallinfo(void)
{
    /* The old struct has ints; values wrap as glibc's do. */
    const struct mallinfo2 wide = info();
    return (struct mallinfo){
        .arena = (int)wide.arena,
        .hblks = (int)wide.hblks,
        .hblkhd = (int)wide.hblkhd,
        .uordblks = (int)wide.uordblks,
        .fordblks = (int)wide.fordblks,
        .keepcost = (int)wide.keepcost,
    };
}

static void write_stream(void *context, const char *text, size_t size)
{
    (void)fwrite(text, 1, size, context);
}

static void write_error(void *context, const char *text, size_t size)
{
    (void)context;
    os_write(STDERR_FILENO, text, size);
}

TARN_API int malloc_info(int options, FILE *stream)
{
    if (options != 0) {
        errno = EINVAL;
        return -1;
    }
    tarn_malloc_report(TARN_MALLOC_XML, write_stream, stream);
    return 0;
}

TARN_API void malloc_stats(void)
{
    tarn_malloc_report(TARN_MALLOC_TABLE, write_error, NULL);
}
