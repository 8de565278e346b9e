/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "os/os.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Files of memory: memfd_create, Linux 3.17. The calls here keep errno as it was and hand its number back.
 */

#define FIRST_HIGH_DESCRIPTOR 900
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1u << 1)
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

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
    struct rlimit limit;
    /* Past the limit of files' sizes there is a signal that ends the process. */
    if (size > INT64_MAX || (getrlimit(RLIMIT_FSIZE, &limit) == 0 && size > limit.rlim_cur)) {
        errno = saved;
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
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    if (page_size != os_page_size()) {
        flags |= MFD_HUGETLB | (unsigned)__builtin_ctzll(page_size) << MFD_HUGE_SHIFT;
    }
    /* The kernel has room for so much of a name. */
    char short_name[200];
    const size_t length = strlen(name) < sizeof short_name ? strlen(name) : sizeof short_name - 1;
    memcpy(short_name, name, length);
    short_name[length] = '\0';
    *descriptor = memfd_create(short_name, flags);
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

int os_memory_file_seal(int descriptor)
{
    const int saved = errno;
    return outcome(fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
                   saved);
}

bool os_memory_file_is_sealed(int descriptor)
{
    const int saved = errno;
    const int seals = fcntl(descriptor, F_GET_SEALS);
    errno = saved;
    return seals >= 0 && (seals & F_SEAL_SHRINK) != 0 && (seals & F_SEAL_WRITE) == 0;
}

int os_memory_file_back(int descriptor, uint64_t offset, uint64_t size)
{
    const int saved = errno;
    int result = 0;
    do {
        result = fallocate(descriptor, 0, (off_t)offset, (off_t)size);
    } while (result != 0 && errno == EINTR);
    return outcome(result, saved);
}

bool os_error_is_shortage(int error)
{
    return error == ENOMEM || error == EMFILE || error == ENFILE || error == ENOSPC ||
           error == EAGAIN;
}

int os_shortage_error(void)
{
    return ENOMEM;
}

bool os_error_is_refusal(int error)
{
    return error == ENOSYS || error == EPERM || error == EACCES || error == EINVAL ||
           error == ENODEV || error == ENOENT || error == EOPNOTSUPP;
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

/* Maps in the place of what is there. ThreadSanitizer takes a call of mmap for a write by the thread that calls; but these
 * pages are others' to use at the same time, before and after, so it must not see one. */
static void *map_over(void *at, size_t size, int protection, int flags, int descriptor,
                      uint64_t offset)
{
#if defined(__LP64__)
    return (void *)syscall(SYS_mmap, at, size, protection, flags | MAP_FIXED, descriptor,
                           (off_t)offset);
#else
    return mmap(at, size, protection, flags | MAP_FIXED, descriptor, (off_t)offset);
#endif
}

int os_file_map(int descriptor, uint64_t offset, size_t size, unsigned access, bool is_private,
                void *at, void **start)
{
    const int saved = errno;
    const int flags = is_private ? MAP_PRIVATE : MAP_SHARED;
    void *mapped = at != NULL
                       ? map_over(at, size, protection_of(access), flags, descriptor, offset)
                       : mmap(NULL, size, protection_of(access), flags, descriptor, (off_t)offset);
    *start = mapped == MAP_FAILED ? NULL : mapped;
    return outcome(mapped == MAP_FAILED ? -1 : 0, saved);
}

/* Address space that nobody pays for. */
#define UNBACKED (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

void *os_pages_reserve(size_t size, size_t alignment)
{
    const int saved = errno;
    const size_t extra = alignment - os_page_size();
    unsigned char *start = NULL;
    if (size <= SIZE_MAX - extra) {
        void *mapped = mmap(NULL, size + extra, PROT_NONE, UNBACKED, -1, 0);
        start = mapped == MAP_FAILED ? NULL : mapped;
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
    const bool is_done = map_over(start, size, PROT_NONE, UNBACKED, -1, 0) != MAP_FAILED;
    return outcome(is_done ? 0 : -1, saved);
}

int os_pages_set_access(void *start, size_t size, unsigned access)
{
    const int saved = errno;
    return outcome(mprotect(start, size, protection_of(access)), saved);
}

uint64_t os_file_identity(int descriptor)
{
    const int saved = errno;
    struct stat about;
    const bool is_open = fstat(descriptor, &about) == 0;
    errno = saved;
    return is_open ? ((uint64_t)about.st_dev << 40) + (uint64_t)about.st_ino : 0;
}

bool os_descriptors_part(void)
{
    const int saved = errno;
    /* Linux 5.9. Nothing of the table is copied, so nothing that the program closes stays open here. */
    bool done = syscall(SYS_close_range, 0u, ~0u, CLOSE_RANGE_UNSHARE) == 0;
    errno = saved;
    return done;
}

uint32_t os_thread_number(void)
{
    return (uint32_t)syscall(SYS_gettid);
}

int os_descriptor_from(uint32_t thread, int descriptor, int *own)
{
    char path[64];
    const int saved = errno;
    base_text text = base_text_in(path, sizeof path);
    base_text_add(&text, "/proc/self/task/");
    base_text_add_number(&text, thread, 10);
    base_text_add(&text, "/fd/");
    base_text_add_number(&text, (uint32_t)descriptor, 10);
    *own = open(path, O_RDWR | O_CLOEXEC);
    return outcome(*own, saved);
}

int os_descriptor_raise(int descriptor)
{
    const int saved = errno;
    const int raised = fcntl(descriptor, F_DUPFD_CLOEXEC, FIRST_HIGH_DESCRIPTOR);
    if (raised >= 0) {
        (void)close(descriptor);
    }
    errno = saved;
    return raised >= 0 ? raised : descriptor;
}

int os_pages_alias(void *from, size_t size, void *to)
{
    const int saved = errno;
    /* An old size of 0 leaves the old mapping where it is. */
    void *mapped = mremap(from, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
    return outcome(mapped == MAP_FAILED ? -1 : 0, saved);
}

int os_pages_renew(void *start, size_t size)
{
    const int saved = errno;
    void *mapped = map_over(start, size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    return outcome(mapped == MAP_FAILED ? -1 : 0, saved);
}

int os_pages_remove(void *start, size_t size)
{
    const int saved = errno;
    return outcome(madvise(start, size, MADV_REMOVE), saved);
}

void os_pages_keep_from_children(void *start, size_t size)
{
    const int saved = errno;
    (void)madvise(start, size, MADV_DONTFORK);
    errno = saved;
}

/* Reads the file in pieces: `each` sees them in order. */
static bool read_through(const char *path, void (*each)(void *context, const char *, size_t),
                         void *context)
{
    char piece[4096];
    int descriptor = -1;
    if (os_file_open(path, &descriptor) != 0) {
        return false;
    }
    size_t got = 0;
    bool is_read = true;
    do {
        is_read = os_file_read(descriptor, piece, sizeof piece, &got) == 0;
        each(context, piece, got);
    } while (is_read && got == sizeof piece);
    (void)os_file_close(descriptor);
    return is_read;
}

static void count_lines(void *context, const char *piece, size_t size)
{
    size_t *count = context;
    for (size_t index = 0; index < size; index++) {
        *count += piece[index] == '\n';
    }
}

size_t os_mapping_count(void)
{
    size_t count = 0;
    return read_through("/proc/self/maps", count_lines, &count) ? count : 0;
}

static void add_digits(void *context, const char *piece, size_t size)
{
    size_t *number = context;
    for (size_t index = 0; index < size && piece[index] >= '0' && piece[index] <= '9'; index++) {
        *number = *number * 10 + (size_t)(piece[index] - '0');
    }
}

size_t os_mapping_limit(void)
{
    size_t limit = 0;
    return read_through("/proc/sys/vm/max_map_count", add_digits, &limit) ? limit : 0;
}

int os_pagemap_open(void)
{
    int descriptor = -1;
    return os_file_open("/proc/self/pagemap", &descriptor) == 0 ? descriptor : -1;
}

size_t os_pages_owned(int pagemap, const void *start, size_t size)
{
    const uint64_t is_present = (uint64_t)1 << 63;
    const uint64_t is_swapped = (uint64_t)1 << 62;
    const uint64_t is_shared = (uint64_t)1 << 61;
    uint64_t entries[64];
    size_t owned = 0;
    uint64_t page = (uintptr_t)start / os_page_size();
    const uint64_t end = page + size / os_page_size();
    while (pagemap >= 0 && page < end) {
        const size_t most = sizeof entries / sizeof entries[0];
        const size_t count = end - page < most ? (size_t)(end - page) : most;
        size_t got = 0;
        if (os_file_read_at(pagemap, entries, count * sizeof entries[0], page * sizeof entries[0],
                            &got) != 0 ||
            got != count * sizeof entries[0]) {
            break;
        }
        for (size_t index = 0; index < count; index++) {
            owned += (entries[index] & (is_present | is_swapped)) != 0 &&
                     (entries[index] & is_shared) == 0;
        }
        page += count;
    }
    return owned;
}

bool os_pages_are_mapped(void *start, size_t size)
{
    unsigned char resident[64];
    const int saved = errno;
    const size_t piece = sizeof resident * os_page_size();
    bool mapped = true;
    for (size_t done = 0; done < size && mapped; done += piece) {
        const size_t here = size - done < piece ? size - done : piece;
        mapped = mincore((unsigned char *)start + done, here, resident) == 0;
    }
    errno = saved;
    return mapped;
}

/* The text of a small file of /proc, "" when there is none. */
static void read_small(const char *path, char *text, size_t size)
{
    int descriptor = -1;
    size_t got = 0;
    if (os_file_open(path, &descriptor) == 0) {
        (void)os_file_read(descriptor, text, size - 1, &got);
        (void)os_file_close(descriptor);
    }
    text[got] = '\0';
}

bool os_memory_is_locked(void)
{
    char text[4096];
    read_small("/proc/self/status", text, sizeof text);
    const char *line = strstr(text, "VmLck:");
    if (line == NULL) {
        return false;
    }
    line += strlen("VmLck:");
    line += strspn(line, " \t");
    return *line != '0';
}

bool os_memory_is_promised(void)
{
    char text[16];
    read_small("/proc/sys/vm/overcommit_memory", text, sizeof text);
    return text[0] == '2';
}
