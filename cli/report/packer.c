/* SPDX-License-Identifier: MIT */
#include "packer.h"

#include "cli.h"
#include "memory.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* What is deflated is not changed. */
#define ZLIB_CONST
#include <zlib.h>

enum { LEVEL = 6, PIECE = 1 << 16, GATHERED = 1 << 12, WINDOW_BITS = 15, GZIP = 16, MEMORY = 8 };

struct report_packer {
    z_stream deflate;
    report_sink *sink;
    void *context;
    bool has_failed;
    size_t gathered_size;
    char gathered[GATHERED]; /* short pieces, which are deflated together */
    unsigned char piece[PIECE];
};

report_packer *report_packer_create(bool is_gzip, report_sink *sink, void *context)
{
    report_packer *packer = report_zeroed(1, sizeof *packer);
    packer->sink = sink;
    packer->context = context;
    if (deflateInit2(&packer->deflate, LEVEL, Z_DEFLATED, WINDOW_BITS + (is_gzip ? GZIP : 0),
                     MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) {
        cli_fail_errno("no memory for the report");
    }
    return packer;
}

static void run(report_packer *packer, int flush)
{
    int result;
    do {
        packer->deflate.next_out = packer->piece;
        packer->deflate.avail_out = PIECE;
        result = deflate(&packer->deflate, flush);
        const size_t size = PIECE - packer->deflate.avail_out;
        packer->has_failed |= !packer->sink(packer->context, packer->piece, size);
    } while (packer->deflate.avail_out == 0 && result != Z_STREAM_END && !packer->has_failed);
}

static void pack(report_packer *packer, const void *bytes, size_t size)
{
    const size_t most = (size_t)1 << 30;
    const unsigned char *at = bytes;
    while (size > 0 && !packer->has_failed) {
        const size_t count = size < most ? size : most;
        packer->deflate.next_in = at;
        packer->deflate.avail_in = (unsigned)count;
        run(packer, Z_NO_FLUSH);
        at += count;
        size -= count;
    }
}

bool report_packer_put(void *context, const void *bytes, size_t size)
{
    report_packer *packer = context;
    if (packer->gathered_size + size > GATHERED) {
        pack(packer, packer->gathered, packer->gathered_size);
        packer->gathered_size = 0;
    }
    if (size > GATHERED) {
        pack(packer, bytes, size);
    } else if (size > 0) {
        memcpy(packer->gathered + packer->gathered_size, bytes, size);
        packer->gathered_size += size;
    }
    return !packer->has_failed;
}

bool report_packer_print(report_packer *packer, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    const int size = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    return size >= 0 && (size_t)size < sizeof line && report_packer_put(packer, line, (size_t)size);
}

bool report_packer_end(report_packer *packer)
{
    pack(packer, packer->gathered, packer->gathered_size);
    if (!packer->has_failed) {
        run(packer, Z_FINISH);
    }
    deflateEnd(&packer->deflate);
    const bool is_written = !packer->has_failed;
    free(packer);
    return is_written;
}

bool report_file_put(void *file, const void *bytes, size_t size)
{
    return fwrite(bytes, 1, size, file) == size;
}
