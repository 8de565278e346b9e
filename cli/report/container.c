/* SPDX-License-Identifier: MIT */
#include "container.h"

#include "memory.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 8, HEAD_SIZE_BYTES = 4 };

static const struct {
    const char *name;
    size_t size;
} types[] = {{"u8", 1}, {"u16", 2}, {"u32", 4}, {"f64", 8}};

void report_container_free(report_container *container)
{
    for (size_t i = 0; i < container->count; i++) {
        free(container->sections[i].data);
    }
    free(container->head);
    *container = (report_container){0};
}

void *report_container_add(report_container *container, const char *name, report_type type,
                           size_t count)
{
    report_section *section = &container->sections[container->count++];
    *section = (report_section){
        .name = name, .type = type, .count = count, .data = report_zeroed(count, types[type].size)};
    return section->data;
}

const char *report_type_name(report_type type)
{
    return types[type].name;
}

static uint64_t aligned(uint64_t size)
{
    return (size + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
}

static size_t bytes_of(const report_section *section)
{
    return section->count * types[section->type].size;
}

uint64_t report_container_offset(const report_container *container, size_t section)
{
    uint64_t offset = 0;
    for (size_t i = 0; i < section; i++) {
        offset += aligned(bytes_of(&container->sections[i]));
    }
    return offset;
}

/* Numbers are written as they are in memory, which has to be little-endian for that. */
static bool write_numbers(const report_section *section, report_sink *sink, void *context)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return sink(context, section->data, bytes_of(section));
#else
    const size_t size = types[section->type].size;
    const unsigned char *number = section->data;
    for (size_t i = 0; i < section->count; i++, number += size) {
        unsigned char turned[8];
        for (size_t at = 0; at < size; at++) {
            turned[at] = number[size - 1 - at];
        }
        if (!sink(context, turned, size)) {
            return false;
        }
    }
    return true;
#endif
}

static bool write_padding(uint64_t written, char with, report_sink *sink, void *context)
{
    char padding[ALIGNMENT];
    memset(padding, with, sizeof padding);
    return sink(context, padding, (size_t)(aligned(written) - written));
}

bool report_container_write(const report_container *container, report_sink *sink, void *context)
{
    const uint64_t size = aligned(HEAD_SIZE_BYTES + container->head_size) - HEAD_SIZE_BYTES;
    if (size > UINT32_MAX) {
        return false;
    }
    const unsigned char told[HEAD_SIZE_BYTES] = {(unsigned char)size, (unsigned char)(size >> 8),
                                                 (unsigned char)(size >> 16),
                                                 (unsigned char)(size >> 24)};
    bool is_written = sink(context, told, sizeof told) &&
                      sink(context, container->head, container->head_size) &&
                      write_padding(HEAD_SIZE_BYTES + container->head_size, ' ', sink, context);
    for (size_t i = 0; is_written && i < container->count; i++) {
        const report_section *section = &container->sections[i];
        is_written = write_numbers(section, sink, context) &&
                     write_padding(bytes_of(section), 0, sink, context);
    }
    return is_written;
}
