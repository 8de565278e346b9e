/* SPDX-License-Identifier: MIT */

/*
 * Two GiB from calloc, of which some pages are used here and there, then doubled by realloc: pages
 * should move, not bytes. Prints what was touched, resident memory before and after, and how long
 * realloc took.
 */

#include "../workloads/work.h"
#include "resident.h"

#include <stdint.h>
#include <time.h>

#if SIZE_MAX <= 0xffffffff
#error "this probe needs a 64-bit machine"
#endif

#define SIZE ((size_t)2 << 30)
#define STRIDE ((size_t)128 << 10)

static long long nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int main(void)
{
    const long base = resident_kib();
    unsigned char *bytes = calloc(2, SIZE / 2);
    if (bytes == NULL) {
        work_fail("this machine does not give 2 GiB");
    }
    work_escape(bytes);
    for (size_t i = 0; i < SIZE; i += STRIDE) {
        if (bytes[i] != 0) {
            work_fail("calloc gave a block that is not zeroed");
        }
        bytes[i] = (unsigned char)(i / STRIDE + 1);
    }
    const long before = resident_kib();
    const long long start = nanoseconds();
    bytes = realloc(bytes, SIZE * 2);
    const long long elapsed = nanoseconds() - start;
    if (bytes == NULL) {
        work_fail("this machine does not give 4 GiB");
    }
    work_escape(bytes);
    const long after = resident_kib();
    for (size_t i = 0; i < SIZE; i += STRIDE) {
        if (bytes[i] != (unsigned char)(i / STRIDE + 1)) {
            work_fail("realloc lost what was written");
        }
    }
    free(bytes);
    printf("touched_kib %ld\nbase_kib %ld\nbefore_kib %ld\nafter_kib %ld\nrealloc_us %lld\n",
           (long)(SIZE / STRIDE) * (sysconf(_SC_PAGESIZE) / 1024), base, before, after,
           elapsed / 1000);
    return EXIT_SUCCESS;
}
