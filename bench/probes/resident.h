/* SPDX-License-Identifier: MIT */
#ifndef BENCH_RESIDENT_H
#define BENCH_RESIDENT_H

/*
 * What the kernel counts against this process, read from inside without a single allocation: a
 * probe that allocated to look would wake the allocator that it looks at.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* KiB; counted from the page tables, because the cheap counter of /proc/self/statm lags by
 * hundreds of KiB. */
static inline long resident_kib(void)
{
    char text[2048];
    const int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    const ssize_t size = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (size <= 0) {
        fprintf(stderr, "probe: cannot read /proc/self/smaps_rollup\n");
        exit(EXIT_FAILURE);
    }
    close(file);
    text[size] = '\0';
    for (const char *line = text; *line != '\0'; line++) {
        long kib;
        if ((line == text || line[-1] == '\n') && sscanf(line, "Rss: %ld kB", &kib) == 1) {
            return kib;
        }
    }
    fprintf(stderr, "probe: no Rss in /proc/self/smaps_rollup\n");
    exit(EXIT_FAILURE);
}

/* KiB, cheap and a little behind: for a look in the midst of work. */
static inline long resident_kib_soon(void)
{
    static int file = -1;
    if (file < 0) {
        file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    }
    char text[128];
    const ssize_t size = pread(file, text, sizeof text - 1, 0);
    long total;
    long pages;
    if (size <= 0) {
        fprintf(stderr, "probe: cannot read /proc/self/statm\n");
        exit(EXIT_FAILURE);
    }
    text[size] = '\0';
    if (sscanf(text, "%ld %ld", &total, &pages) != 2) {
        fprintf(stderr, "probe: cannot understand /proc/self/statm\n");
        exit(EXIT_FAILURE);
    }
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

#endif
