/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Files of memory: memfd_create, Linux 3.17. The calls here keep errno as it was and hand its number back.
 */

static int protection_of(unsigned access)
{
    return ((access & OS_READ) != 0 ? PROT_READ : 0) | ((access & OS_WRITE) != 0 ? PROT_WRITE : 0);
}

/* The error number of a call that returned `result`, with errno put back. */
static int outcome(int result, int saved)
{
    const int error = result < 0 ? errno : 0;
    errno = saved;
    return error;
}

int os_memory_file_resize(int descriptor, uint64_t size)
{
    const int saved = errno;
    int result = 0;
    if (size > INT64_MAX) {
        return EFBIG;
    }
    do {
        result = ftruncate(descriptor, (off_t)size);
    } while (result != 0 && errno == EINTR);
    return outcome(result, saved);
}

int os_memory_file_create(const char *name, uint64_t size, size_t page_size, int *descriptor)
{
    const int saved = errno;
    unsigned flags = MFD_CLOEXEC;
    if (page_size != os_page_size()) {
        flags |= MFD_HUGETLB | (unsigned)__builtin_ctzll(page_size) << MFD_HUGE_SHIFT;
    }
    *descriptor = memfd_create(name, flags);
    if (*descriptor < 0) {
        return outcome(-1, saved);
    }
    const int error = os_memory_file_resize(*descriptor, size);
    if (error != 0) {
        (void)close(*descriptor);
        *descriptor = -1;
    }
    errno = saved;
    return error;
}

int os_memory_file_size(int descriptor, uint64_t *size)
{
    const int saved = errno;
    struct stat about;
    const int result = fstat(descriptor, &about);
    *size = result == 0 ? (uint64_t)about.st_size : 0;
    return outcome(result, saved);
}

int os_memory_file_purge(int descriptor, uint64_t offset, uint64_t size)
{
    const int saved = errno;
    int result = 0;
    do {
        result = fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                           (off_t)size);
    } while (result != 0 && errno == EINTR);
    return outcome(result, saved);
}

int os_file_map(int descriptor, uint64_t offset, size_t size, unsigned access, bool is_private,
                void *at, void **start)
{
    const int saved = errno;
    const int flags = (is_private ? MAP_PRIVATE : MAP_SHARED) | (at != NULL ? MAP_FIXED : 0);
    void *mapped = mmap(at, size, protection_of(access), flags, descriptor, (off_t)offset);
    *start = mapped == MAP_FAILED ? NULL : mapped;
    return outcome(mapped == MAP_FAILED ? -1 : 0, saved);
}

static void *reserve_at(void *at, size_t size, int flags)
{
    void *mapped =
        mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
    return mapped == MAP_FAILED ? NULL : mapped;
}

void *os_pages_reserve(size_t size, size_t alignment)
{
    const int saved = errno;
    const size_t extra = alignment - os_page_size();
    unsigned char *start = NULL;
    if (size <= SIZE_MAX - extra) {
        start = reserve_at(NULL, size + extra, 0);
    }
    if (start != NULL && extra > 0) {
        const size_t before = (size_t)(-(uintptr_t)start & (alignment - 1));
        if (before > 0) {
            os_pages_unmap(start, before);
        }
        if (before < extra) {
            os_pages_unmap(start + before + size, extra - before);
        }
        start += before;
    }
    errno = saved;
    return start;
}

int os_pages_unback(void *start, size_t size)
{
    const int saved = errno;
    return outcome(reserve_at(start, size, MAP_FIXED) == NULL ? -1 : 0, saved);
}

int os_pages_set_access(void *start, size_t size, unsigned access)
{
    const int saved = errno;
    return outcome(mprotect(start, size, protection_of(access)), saved);
}
