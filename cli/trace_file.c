/* SPDX-License-Identifier: MIT */
#include "trace_file.h"

#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool read_file(void *context, uint64_t offset, void *bytes, size_t size)
{
    const int *descriptor = context;
    unsigned char *at = bytes;
    while (size > 0) {
        const ssize_t got = pread(*descriptor, at, size, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        at += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return true;
}

static void report_fault(const cli_trace_file *file, const trace_fault *fault)
{
    fflush(stdout);
    cli_error("'%s', offset %" PRIu64 ": %s", file->path, fault->offset, fault->text);
}

static bool open_reader(cli_trace_file *file)
{
    trace_fault fault;
    const trace_source source = {
        .read = read_file, .context = &file->descriptor, .size = file->size};
    file->reader = trace_reader_open(&source, &fault);
    if (file->reader == NULL) {
        report_fault(file, &fault);
    }
    return file->reader != NULL;
}

bool cli_trace_file_open(cli_trace_file *file, const char *path)
{
    *file = (cli_trace_file){.path = path};
    file->descriptor = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    if (file->descriptor < 0 || fstat(file->descriptor, &about) != 0) {
        cli_error("cannot read '%s': %s", path, strerror(errno));
    } else if (!S_ISREG(about.st_mode)) {
        cli_error("'%s' is no file that can be read from any place", path);
    } else {
        file->size = (uint64_t)about.st_size;
        if (open_reader(file)) {
            return true;
        }
    }
    cli_trace_file_close(file);
    return false;
}

bool cli_trace_file_next(cli_trace_file *file, trace_item *item, bool *is_sound)
{
    const trace_result result = trace_reader_next(file->reader, item);
    *is_sound = result != TRACE_FAULTY;
    uint64_t offset;
    if (result == TRACE_FAULTY) {
        report_fault(file, trace_reader_fault(file->reader));
    } else if (result == TRACE_END && trace_reader_is_cut(file->reader, &offset)) {
        fflush(stdout);
        cli_warning("'%s' was cut short at offset %" PRIu64 "; what comes before it is whole",
                    file->path, offset);
    }
    return result == TRACE_ITEM;
}

bool cli_trace_file_rewind(cli_trace_file *file)
{
    trace_reader_close(file->reader);
    return open_reader(file);
}

void cli_trace_file_close(cli_trace_file *file)
{
    trace_reader_close(file->reader);
    file->reader = NULL;
    if (file->descriptor >= 0) {
        close(file->descriptor);
        file->descriptor = -1;
    }
}
