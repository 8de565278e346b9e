/* SPDX-License-Identifier: MIT */
#include "output.h"

#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/*
 *   program --pipe--> take: size, hash, tail --> show (a descriptor)
 *                                           --> store, or compare with the reference
 */

/* Small, because what we touch is counted into the program until it is started. */
enum { BUFFER_SIZE = 16384 };

/* More than this of the reference is not stored: the hash still tells that outputs differ, only not
 * where. */
static const uint64_t stored_max = (uint64_t)64 << 20;

/* FNV-1a: good enough to tell outputs apart, and needs no look back over how they were cut into
 * pieces. */
static void hash_bytes(cli_output *output, const unsigned char *bytes, size_t size)
{
    uint64_t hash = output->size == 0 ? UINT64_C(0xcbf29ce484222325) : output->hash;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    output->hash = hash;
}

static void keep_tail(cli_output *output, const unsigned char *bytes, size_t size)
{
    const size_t skipped = size > CLI_OUTPUT_TAIL_SIZE ? size - CLI_OUTPUT_TAIL_SIZE : 0;
    for (size_t i = skipped; i < size; i++) {
        output->tail[(output->size + i) % CLI_OUTPUT_TAIL_SIZE] = (char)bytes[i];
    }
}

/* A reader that left is remembered and not an error: the comparison goes on without it. */
static void show_bytes(cli_output *output, const unsigned char *bytes, size_t size)
{
    cli_progress_wipe();
    while (size > 0 && !output->show_failed) {
        const ssize_t written = write(output->show, bytes, size);
        if (written >= 0) {
            bytes += written;
            size -= (size_t)written;
        } else if (errno == EAGAIN) {
            poll(&(struct pollfd){.fd = output->show, .events = POLLOUT}, 1, -1);
        } else if (errno != EINTR) {
            if (errno != EPIPE) {
                cli_warning("cannot write the program's output: %s", strerror(errno));
            }
            output->show_failed = true;
        }
    }
}

static void store_bytes(cli_reference *reference, const unsigned char *bytes, size_t size)
{
    if (reference->file == NULL || reference->stored >= stored_max) {
        return;
    }
    const uint64_t room = stored_max - reference->stored;
    const size_t taken = size < room ? size : (size_t)room;
    const ssize_t written = pwrite(fileno(reference->file), bytes, taken, (off_t)reference->stored);
    /* A full disk costs the place of a difference, nothing else. */
    reference->stored = written == (ssize_t)taken ? reference->stored + taken : stored_max + 1;
}

static void compare_bytes(cli_output *output, const unsigned char *bytes, size_t size)
{
    unsigned char expected[BUFFER_SIZE];
    const cli_reference *reference = output->reference;
    if (output->difference_line != 0 || reference->file == NULL || reference->stored > stored_max ||
        output->size > reference->stored) {
        return;
    }
    const ssize_t got = pread(fileno(reference->file), expected, size, (off_t)output->size);
    const size_t common = got > 0 ? (size_t)got : 0;
    for (size_t i = 0; i < size; i++) {
        if (i >= common && output->size + i >= stored_max) {
            return;
        }
        if (i >= common || bytes[i] != expected[i]) {
            output->difference_line = output->lines + 1;
            return;
        }
        output->lines += bytes[i] == '\n';
    }
}

bool cli_output_take(cli_output *output, int descriptor, bool *is_end)
{
    unsigned char bytes[BUFFER_SIZE];
    const ssize_t got = read(descriptor, bytes, sizeof bytes);
    *is_end = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
    if (got <= 0) {
        return got < 0 && errno == EINTR;
    }
    const size_t size = (size_t)got;
    if (output->show >= 0) {
        show_bytes(output, bytes, size);
    }
    if (output->store != NULL) {
        store_bytes(output->store, bytes, size);
    }
    if (output->reference != NULL) {
        compare_bytes(output, bytes, size);
    }
    hash_bytes(output, bytes, size);
    keep_tail(output, bytes, size);
    output->size += size;
    return true;
}

bool cli_output_is_same(const cli_output *a, const cli_output *b)
{
    return a->size == b->size && a->hash == b->hash;
}

const char *cli_output_tail(const cli_output *output)
{
    char text[CLI_OUTPUT_TAIL_SIZE + 1];
    const size_t size =
        output->size < CLI_OUTPUT_TAIL_SIZE ? (size_t)output->size : CLI_OUTPUT_TAIL_SIZE;
    for (size_t i = 0; i < size; i++) {
        const char byte = output->tail[(output->size - size + i) % CLI_OUTPUT_TAIL_SIZE];
        text[i] = byte == '\0' ? '?' : byte;
    }
    text[size] = '\0';
    const char *first_end = strchr(text, '\n');
    const bool is_cut =
        output->size > CLI_OUTPUT_TAIL_SIZE && first_end != NULL && first_end[1] != '\0';
    return cli_copy(is_cut ? first_end + 1 : text);
}
