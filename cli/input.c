/* SPDX-License-Identifier: MIT */
#include "input.h"

#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_SIZE = 16384, PATIENCE_MS = 1000 };

/* What is longer should be a file: it needs no copy then. */
static const uint64_t copied_max = (uint64_t)1 << 30;

int cli_temporary_file(void)
{
    const char *directory = getenv("TMPDIR");
    directory = directory != NULL && directory[0] != '\0' ? directory : "/tmp";
    int descriptor = open(directory, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (descriptor < 0) {
        char *name = cli_format("%s/tarn-XXXXXX", directory);
        descriptor = mkostemp(name, O_CLOEXEC);
        if (descriptor >= 0) {
            unlink(name);
        }
    }
    return descriptor >= 0 ? descriptor : memfd_create("tarn", MFD_CLOEXEC);
}

static void write_all(int descriptor, const char *bytes, size_t size)
{
    while (size > 0) {
        const ssize_t written = write(descriptor, bytes, size);
        if (written > 0) {
            bytes += written;
            size -= (size_t)written;
        } else if (errno != EINTR) {
            cli_fail_errno("cannot keep standard input for the other runs; make room in TMPDIR, or "
                           "give it as a file (< FILE)");
        }
    }
}

/* A pipe that nobody closes would have us wait for ever, and the user wonder why. */
static void wait_for_input(bool *is_said)
{
    struct pollfd wait = {.fd = STDIN_FILENO, .events = POLLIN};
    int ready = poll(&wait, 1, *is_said ? -1 : PATIENCE_MS);
    if (ready == 0) {
        cli_note("reading standard input to its end first, to give it to every run "
                 "(< /dev/null if the program needs none)");
        *is_said = true;
    }
}

static int copy_of_input(void)
{
    char bytes[BUFFER_SIZE];
    uint64_t copied = 0;
    bool is_said = false;
    const int descriptor = cli_temporary_file();
    if (descriptor < 0) {
        cli_fail_errno("cannot make a file to keep standard input in; set TMPDIR to a directory "
                       "that can be written");
    }
    for (;;) {
        wait_for_input(&is_said);
        const ssize_t got = read(STDIN_FILENO, bytes, sizeof bytes);
        if (got == 0) {
            return descriptor;
        }
        if (got > 0) {
            write_all(descriptor, bytes, (size_t)got);
            copied += (uint64_t)got;
        } else if (errno != EINTR && errno != EAGAIN) {
            cli_fail_errno("cannot read standard input");
        }
        if (copied > copied_max) {
            cli_error("standard input is longer than 1 GiB and has to be read by every run; give "
                      "it as a file (< FILE)");
            exit(CLI_EXIT_TARN);
        }
    }
}

cli_input cli_input_open(void)
{
    struct stat status;
    if (fstat(STDIN_FILENO, &status) != 0) {
        return (cli_input){.descriptor = -1};
    }
    if (S_ISREG(status.st_mode)) {
        const off_t start = lseek(STDIN_FILENO, 0, SEEK_CUR);
        return (cli_input){.descriptor = STDIN_FILENO, .start = start > 0 ? start : 0};
    }
    if (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode)) {
        return (cli_input){.descriptor = copy_of_input(), .start = 0};
    }
    return (cli_input){.descriptor = -1};
}

void cli_input_rewind(const cli_input *input)
{
    if (input->descriptor >= 0 && lseek(input->descriptor, input->start, SEEK_SET) < 0) {
        cli_fail_errno("cannot rewind standard input");
    }
}
