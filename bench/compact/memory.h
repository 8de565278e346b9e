/* SPDX-License-Identifier: MIT */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

/*
 * What the kernel holds for this process, read from inside without a single allocation.
 *
 * An allocator that maps two virtual pages to one frame makes the usual figure useless: the frame is counted in Rss
 * once for each of its mappings. Pss counts it once. But neither counts what a file of memory holds and nobody has
 * mapped. So memory that comes from such files is counted as the larger of both: what is mapped, by Pss, and what the
 * files hold, by their blocks.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { MEMORY_FILES = 64, MEMORY_LINE = 1024, MEMORY_READ = 1 << 16 };

typedef struct memory_figures {
    long
        resident_kib; /* what counts: private and file pages by Pss, files of memory as said above */
    long pss_kib;
    long rss_kib;   /* counted from the page tables */
    long statm_kib; /* the cheap counter, a little behind */
    long shmem_kib; /* Pss of files of memory; includes shared anonymous memory */
    long
        held_kib; /* what the mapped files of memory hold; -1 when there is none, or none can be asked */
    long maps; /* mappings, a count; the kernel allows vm.max_map_count */
} memory_figures;

static inline void memory_fail(const char *what)
{
    fprintf(stderr, "compact: cannot read %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static inline long memory_field(const char *text, const char *key)
{
    const char *found = strstr(text, key);
    return found == NULL ? 0 : strtol(found + strlen(key), NULL, 10);
}

static inline void memory_read(const char *path, char *text, size_t size)
{
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t got = file < 0 ? -1 : read(file, text, size - 1);
    if (got <= 0) {
        memory_fail(path);
    }
    close(file);
    text[got] = '\0';
}

/* One mapped file of memory: its number, and a path of /proc by which it can be asked. */
typedef struct memory_file {
    unsigned device_major;
    unsigned device_minor;
    unsigned long inode;
    char range[48];
} memory_file;

typedef struct memory_files {
    memory_file files[MEMORY_FILES];
    size_t count;
    long maps;
} memory_files;

/* Notes the file of one line of /proc/self/maps if it is shared, has a name of its own and is new. */
static inline void memory_note(memory_files *found, const char *line)
{
    memory_file file;
    char mode[8];
    found->maps++;
    if (sscanf(line, "%47s %7s %*s %x:%x %lu", file.range, mode, &file.device_major,
               &file.device_minor, &file.inode) != 5 ||
        mode[3] != 's' || file.inode == 0 || found->count == MEMORY_FILES) {
        return;
    }
    for (size_t i = 0; i < found->count; i++) {
        const memory_file *known = &found->files[i];
        if (known->inode == file.inode && known->device_major == file.device_major &&
            known->device_minor == file.device_minor) {
            return;
        }
    }
    found->files[found->count++] = file;
}

static inline void memory_look(memory_files *found)
{
    static char text[MEMORY_READ];
    char line[MEMORY_LINE];
    size_t length = 0;
    const int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        memory_fail("/proc/self/maps");
    }
    for (;;) {
        const ssize_t got = read(file, text, sizeof text);
        if (got < 0) {
            memory_fail("/proc/self/maps");
        }
        if (got == 0) {
            break;
        }
        for (ssize_t i = 0; i < got; i++) {
            if (text[i] == '\n') {
                line[length] = '\0';
                memory_note(found, line);
                length = 0;
            } else if (length < sizeof line - 1) {
                line[length++] = text[i];
            }
        }
    }
    close(file);
}

/* Asks by a descriptor that is open on the file, else by the mapping, which root alone may. */
static inline bool memory_ask(const memory_file *wanted, struct stat *status)
{
    for (int descriptor = 0; descriptor < 1024; descriptor++) {
        if (fstat(descriptor, status) == 0 && status->st_ino == wanted->inode &&
            major(status->st_dev) == wanted->device_major &&
            minor(status->st_dev) == wanted->device_minor) {
            return true;
        }
    }
    char path[80];
    snprintf(path, sizeof path, "/proc/self/map_files/%s", wanted->range);
    return stat(path, status) == 0 && status->st_ino == wanted->inode;
}

static inline memory_figures memory_now(void)
{
    static memory_files found;
    char text[2048];
    memory_figures now;
    memory_read("/proc/self/smaps_rollup", text, sizeof text);
    now.rss_kib = memory_field(text, "\nRss:");
    now.pss_kib = memory_field(text, "\nPss:");
    now.shmem_kib = memory_field(text, "\nPss_Shmem:");
    const long others = memory_field(text, "\nPss_Anon:") + memory_field(text, "\nPss_File:");
    memory_read("/proc/self/statm", text, sizeof text);
    const char *second = strchr(text, ' ');
    now.statm_kib = second == NULL ? 0 : strtol(second, NULL, 10) * (sysconf(_SC_PAGESIZE) / 1024);

    memset(&found, 0, sizeof found);
    memory_look(&found);
    now.maps = found.maps;
    now.held_kib = -1;
    for (size_t i = 0; i < found.count; i++) {
        struct stat status;
        if (memory_ask(&found.files[i], &status)) {
            now.held_kib = (now.held_kib < 0 ? 0 : now.held_kib) + (long)status.st_blocks / 2;
        }
    }
    now.resident_kib = others + (now.held_kib > now.shmem_kib ? now.held_kib : now.shmem_kib);
    return now;
}

#endif
