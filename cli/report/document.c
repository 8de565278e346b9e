/* SPDX-License-Identifier: MIT */
#include "document.h"

#include "cli.h"
#include "packer.h"

#include <string.h>

enum { TRIPLE = 3 };

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

/* Writes what it gets in base64. */
typedef struct document_base64 {
    FILE *file;
    unsigned char left[TRIPLE]; /* bytes that make no whole group yet */
    size_t left_count;
} document_base64;

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

static bool put_base64(void *context, const void *bytes, size_t size)
{
    document_base64 *base64 = context;
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++) {
        base64->left[base64->left_count++] = at[i];
        if (base64->left_count == TRIPLE) {
            put_group(base64->file, base64->left, TRIPLE);
            base64->left_count = 0;
        }
    }
    return !ferror(base64->file);
}

static bool write_data(FILE *file, const report_container *container)
{
    document_base64 base64 = {.file = file};
    fputs("<script type=\"text/plain\" id=\"tarn-data\">", file);
    report_packer *packer = report_packer_create(false, put_base64, &base64);
    bool is_written = report_container_write(container, report_packer_put, packer);
    is_written = report_packer_end(packer) && is_written;
    if (base64.left_count != 0) {
        put_group(file, base64.left, base64.left_count);
    }
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
