/* SPDX-License-Identifier: MIT */
#include "process.h"

#include "cli.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Files of a thread are read by way of one that is alive: the first thread's are empty once it has ended.
 *
 * A descriptor of /proc/PID/mem belongs to the memory, not to the process: once that has executed another program
 * nothing can be read from it, or written to it, any more.
 */

/* Reads a short file whole; false if that cannot be. */
static bool read_text(const char *path, char *text, size_t size)
{
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t got = file >= 0 ? read(file, text, size - 1) : -1;
    if (file >= 0) {
        close(file);
    }
    text[got > 0 ? got : 0] = '\0';
    return got > 0;
}

char cli_process_state(pid_t process, pid_t thread)
{
    char path[96];
    char text[512];
    snprintf(path, sizeof path, "/proc/%ld/task/%ld/stat", (long)process, (long)thread);
    if (!read_text(path, text, sizeof text)) {
        return 0;
    }
    const char *name_end = strrchr(text, ')');
    return (char)(name_end != NULL && name_end[1] == ' ' ? name_end[2] : 0);
}

bool cli_process_status(pid_t process, pid_t thread, const char *name, int base, uint64_t *value)
{
    char path[96];
    char text[8192];
    snprintf(path, sizeof path, "/proc/%ld/task/%ld/status", (long)process, (long)thread);
    if (!read_text(path, text, sizeof text)) {
        return false;
    }
    const size_t length = strlen(name);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && line[length] == ':') {
            *value = strtoull(line + length + 1, NULL, base);
            return true;
        }
    }
    return false;
}

const char *cli_process_place(pid_t process, pid_t thread)
{
    char path[96];
    char text[128];
    snprintf(path, sizeof path, "/proc/%ld/task/%ld/wchan", (long)process, (long)thread);
    if (read_text(path, text, sizeof text) && (isalpha((unsigned char)text[0]) || text[0] == '_')) {
        return cli_format("in the kernel's %s", text);
    }
    const char state = cli_process_state(process, thread);
    return state == 'D'   ? "in a call of the kernel that cannot be interrupted"
           : state == 'R' ? "running"
                          : "waiting";
}

static pid_t find_thread(pid_t process)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/task", (long)process);
    DIR *folder = opendir(path);
    pid_t found = 0;
    const struct dirent *entry;
    while (folder != NULL && found == 0 && (entry = readdir(folder)) != NULL) {
        const pid_t id = (pid_t)strtol(entry->d_name, NULL, 10);
        const char state = id > 0 ? cli_process_state(process, id) : 'X';
        found = state != 0 && state != 'Z' && state != 'X' ? id : 0;
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return found;
}

pid_t cli_process_thread(const cli_process *process)
{
    return find_thread(process->id);
}

bool cli_process_open(cli_process *process, pid_t id)
{
    *process = (cli_process){.id = id, .handle = -1, .memory = -1};
    process->handle = (int)syscall(SYS_pidfd_open, id, 0);
    if (process->handle < 0) {
        if (errno == ESRCH || errno == EINVAL || errno == ENOENT) {
            cli_error("there is no process %ld", (long)id);
        } else {
            cli_error("process %ld cannot be watched: %s", (long)id, strerror(errno));
        }
        return false;
    }
    const pid_t thread = find_thread(id);
    if (thread != 0) {
        char path[96];
        snprintf(path, sizeof path, "/proc/%ld/task/%ld/mem", (long)id, (long)thread);
        process->memory = open(path, O_RDWR | O_CLOEXEC);
    }
    const int error = errno;
    if (thread == 0 || cli_process_has_ended(process)) {
        cli_error("process %ld has ended", (long)id);
    } else if (process->memory < 0) {
        cli_error("process %ld may not be traced: %s; be its user or root, and see ptrace_scope in "
                  "ptrace(2)",
                  (long)id, strerror(error));
    } else {
        return true;
    }
    cli_process_close(process);
    return false;
}

void cli_process_close(cli_process *process)
{
    if (process->memory >= 0) {
        close(process->memory);
    }
    if (process->handle >= 0) {
        close(process->handle);
    }
    process->memory = -1;
    process->handle = -1;
}

bool cli_process_has_ended(const cli_process *process)
{
    struct pollfd wait = {.fd = process->handle, .events = POLLIN};
    return poll(&wait, 1, 0) > 0;
}

/* One that is about to end has none. */
static bool has_memory(pid_t process, pid_t thread)
{
    char path[96];
    char text[8];
    snprintf(path, sizeof path, "/proc/%ld/task/%ld/maps", (long)process, (long)thread);
    return thread != 0 && read_text(path, text, sizeof text);
}

bool cli_process_has_executed(const cli_process *process)
{
    /* Of memory that is there this is an error, as nothing is mapped at 0; of memory that is gone, its end. */
    unsigned char byte;
    return pread(process->memory, &byte, 1, 0) == 0 &&
           has_memory(process->id, find_thread(process->id)) && !cli_process_has_ended(process);
}

bool cli_process_read(const cli_process *process, uint64_t address, void *bytes, size_t size)
{
    return pread(process->memory, bytes, size, (off_t)address) == (ssize_t)size;
}

size_t cli_process_read_some(const cli_process *process, uint64_t address, void *bytes, size_t size)
{
    const ssize_t got = pread(process->memory, bytes, size, (off_t)address);
    return got > 0 ? (size_t)got : 0;
}

bool cli_process_write(const cli_process *process, uint64_t address, const void *bytes, size_t size)
{
    return pwrite(process->memory, bytes, size, (off_t)address) == (ssize_t)size;
}
