/* SPDX-License-Identifier: MIT */
#include "cli/report/document.h"

#include "cli/cli.h"
#include "cli/report/memory.h"

#include <stdlib.h>
#include <string.h>

/* What is deflated is not changed. */
#define ZLIB_CONST
#include <zlib.h>

enum { LEVEL = 6, PIECE = 1 << 16, TRIPLE = 3 };

static const char *find_marker(const char *page, size_t size)
{
    return memmem(page, size, REPORT_MARKER, sizeof REPORT_MARKER - 1);
}

bool report_document_check(const char *page, size_t size)
{
    const char *marker = find_marker(page, size);
    if (size == 0) {
        cli_error("this tarn was built without the page of the report (it needs npm); --text and "
                  "--export work");
        return false;
    }
    const char *rest = marker != NULL ? marker + 1 : NULL;
    if (marker == NULL || find_marker(rest, size - (size_t)(rest - page)) != NULL) {
        cli_error("the page of the report that this tarn was built with has no one place for data");
        return false;
    }
    return true;
}

/* Deflates what it gets, and writes that in base64. */
typedef struct document_stream {
    FILE *file;
    z_stream deflate;
    unsigned char piece[PIECE];
    unsigned char left[TRIPLE]; /* bytes that make no whole group of base64 yet */
    size_t left_count;
} document_stream;

static void put_group(FILE *file, const unsigned char *bytes, size_t count)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned bits = (unsigned)bytes[0] << 16 | (count > 1 ? (unsigned)bytes[1] << 8 : 0) |
                          (count > 2 ? bytes[2] : 0U);
    const char group[4] = {
        letters[bits >> 18],
        letters[bits >> 12 & 63],
        count > 1 ? letters[bits >> 6 & 63] : '=',
        count > 2 ? letters[bits & 63] : '=',
    };
    fwrite(group, 1, sizeof group, file);
}

static void put_base64(document_stream *stream, const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        stream->left[stream->left_count++] = bytes[i];
        if (stream->left_count == TRIPLE) {
            put_group(stream->file, stream->left, TRIPLE);
            stream->left_count = 0;
        }
    }
}

static void run_deflate(document_stream *stream, int flush)
{
    int result;
    do {
        stream->deflate.next_out = stream->piece;
        stream->deflate.avail_out = PIECE;
        result = deflate(&stream->deflate, flush);
        put_base64(stream, stream->piece, PIECE - stream->deflate.avail_out);
    } while (stream->deflate.avail_out == 0 && result != Z_STREAM_END);
}

static bool put(void *context, const void *bytes, size_t size)
{
    document_stream *stream = context;
    const unsigned char *at = bytes;
    while (size > 0) {
        const unsigned count = size < (1U << 30) ? (unsigned)size : 1U << 30;
        stream->deflate.next_in = at;
        stream->deflate.avail_in = count;
        run_deflate(stream, Z_NO_FLUSH);
        at += count;
        size -= count;
    }
    return !ferror(stream->file);
}

static bool write_data(FILE *file, const report_container *container)
{
    document_stream *stream = report_zeroed(1, sizeof *stream);
    stream->file = file;
    if (deflateInit(&stream->deflate, LEVEL) != Z_OK) {
        cli_fail_errno("no memory for the report");
    }
    fputs("<script type=\"text/plain\" id=\"tarn-data\">", file);
    const bool is_written = report_container_write(container, put, stream);
    run_deflate(stream, Z_FINISH);
    deflateEnd(&stream->deflate);
    if (stream->left_count != 0) {
        put_group(file, stream->left, stream->left_count);
    }
    free(stream);
    fputs("</script>", file);
    return is_written && !ferror(file);
}

bool report_document_write(FILE *file, const char *page, size_t size,
                           const report_container *container)
{
    const char *marker = find_marker(page, size);
    const size_t before = (size_t)(marker - page);
    const char *rest = marker + sizeof REPORT_MARKER - 1;
    const size_t after = size - before - (sizeof REPORT_MARKER - 1);
    return fwrite(page, 1, before, file) == before && write_data(file, container) &&
           fwrite(rest, 1, after, file) == after;
}
