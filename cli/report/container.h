/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_CONTAINER_H
#define TARN_CLI_REPORT_CONTAINER_H

/*
 * The data of a report as the page reads it: a JSON head that says where each section is, and the
 * sections, which are arrays of numbers, little-endian. docs/report.md has the format.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum report_type { REPORT_U8, REPORT_U16, REPORT_U32, REPORT_F64 } report_type;

typedef struct report_section {
    const char *name;
    report_type type;
    size_t count;
    void *data; /* of the type; owned */
} report_section;

enum { REPORT_SECTIONS_MAX = 64 };

/* All zero: empty. */
typedef struct report_container {
    char *head; /* JSON, owned; set by the caller when all sections are there */
    size_t head_size;
    report_section sections[REPORT_SECTIONS_MAX];
    size_t count;
} report_container;

/* Takes the next bytes; false when they cannot be written. */
typedef bool report_sink(void *context, const void *bytes, size_t size);

void report_container_free(report_container *container);

/* Adds a section of `count` numbers, zeroed, and returns them. `name` lives as long as the
 * container. */
void *report_container_add(report_container *container, const char *name, report_type type,
                           size_t count);

const char *report_type_name(report_type type);

/* Where a section begins, in bytes from the end of the head. */
uint64_t report_container_offset(const report_container *container, size_t section);

/* False if the sink failed, or the head is larger than its size can be told. */
bool report_container_write(const report_container *container, report_sink *sink, void *context);

#endif
