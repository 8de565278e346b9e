/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_DOCUMENT_H
#define TARN_CLI_REPORT_DOCUMENT_H

/*
 * The report as one HTML file: the page, and in it the container, deflated (RFC 1950) and in
 * base64, so that nothing in it can be taken for HTML.
 */

#include "container.h"

#include <stdio.h>

/* Where in a page the data go: this comment, which is there once. */
#define REPORT_MARKER "<!--TARN-DATA-->"

/* False, said, if the page has no place for data, as when it was not built. */
bool report_document_check(const char *page, size_t size);

/* Writes the page with the data; it has been checked. False if that failed; `file` knows why. */
bool report_document_write(FILE *file, const char *page, size_t size,
                           const report_container *container);

#endif
