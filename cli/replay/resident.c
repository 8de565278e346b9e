/* SPDX-License-Identifier: MIT */
#include "resident.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STATUS_SIZE = 4096, MAPS_SIZE = 1 << 16, LINE_SIZE = 4096 };

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

static uint64_t base;
static int status_file = -1;

/* The figure in KiB that follows `name` at the start of a line, as bytes. */
static uint64_t figure(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at != NULL ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

static uint64_t read_figure(const char *name)
{
    char text[STATUS_SIZE];
    const ssize_t size = pread(status_file, text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    return figure(text, name);
}

/* A line of /proc/self/maps: "start-end rwxp offset device inode path". */
static void populate_line(const char *line)
{
    char *end;
    const uintptr_t from = (uintptr_t)strtoull(line, &end, 16);
    const uintptr_t to = *end == '-' ? (uintptr_t)strtoull(end + 1, &end, 16) : 0;
    const bool is_private_file =
        end[0] == ' ' && end[1] == 'r' && end[4] == 'p' && strchr(end, '/') != NULL;
    if (to > from && is_private_file) {
        madvise((void *)from, to - from, MADV_POPULATE_READ);
    }
}

static void populate_files(void)
{
    static char text[MAPS_SIZE];
    const int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t got = 0;
    while (maps >= 0 && used < sizeof text - 1 &&
           (got = read(maps, text + used, sizeof text - 1 - used)) > 0) {
        used += (size_t)got;
    }
    text[used] = '\0';
    for (char *line = text; *line != '\0';) {
        char *end = line + strcspn(line, "\n");
        const bool is_last = *end == '\0';
        *end = '\0';
        populate_line(line);
        line = is_last ? end : end + 1;
    }
    if (maps >= 0) {
        close(maps);
    }
}

void replay_resident_begin(void)
{
    populate_files();
    status_file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    read_figure("VmRSS:"); /* for the pages that reading takes */
    const int reset = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (reset >= 0) {
        /* Where the kernel refuses, the most since the process began has to do. */
        const ssize_t done = write(reset, "5", 1);
        (void)done;
        close(reset);
    }
    base = read_figure("VmRSS:");
}

static uint64_t beyond_base(const char *name)
{
    const uint64_t now = read_figure(name);
    return now > base ? now - base : 0;
}

uint64_t replay_resident_now(void)
{
    return beyond_base("VmRSS:");
}

uint64_t replay_resident_peak(void)
{
    return beyond_base("VmHWM:");
}

uint64_t replay_resident_bound(void)
{
    char text[STATUS_SIZE];
    const int file = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    const ssize_t size = file >= 0 ? read(file, text, sizeof text - 1) : 0;
    text[size > 0 ? size : 0] = '\0';
    if (file >= 0) {
        close(file);
    }
    const uint64_t available = figure(text, "MemAvailable:");
    return available != 0 ? available / 2 : UINT64_MAX;
}
