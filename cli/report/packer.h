/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_PACKER_H
#define TARN_CLI_REPORT_PACKER_H

/* Deflates bytes on their way to a sink. */

#include "container.h"

#include <stdio.h>

typedef struct report_packer report_packer;

/* In the format of gzip, or else of zlib (RFC 1952, RFC 1950). To be ended by report_packer_end(). */
report_packer *report_packer_create(bool is_gzip, report_sink *sink, void *context);

/* A sink: its context is the packer. */
bool report_packer_put(void *packer, const void *bytes, size_t size);

/* printf(3) into it. */
bool report_packer_print(report_packer *packer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes what is left, and frees the packer. False if not all of it could be written. */
bool report_packer_end(report_packer *packer);

/* A sink: its context is a FILE. */
bool report_file_put(void *file, const void *bytes, size_t size);

#endif
