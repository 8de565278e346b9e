/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "malloc/core.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

/*
 * What glibc's allocator can be asked and told besides memory.
 */

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
