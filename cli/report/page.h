/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_PAGE_H
#define TARN_CLI_REPORT_PAGE_H

#include <stddef.h>

/*
 * The page of `tarn report`: one HTML file, built from web/. It has the text <!--TARN-DATA-->
 * exactly once, in the place where the data goes. It does not end in a zero.
 */
extern const unsigned char cli_report_page[];

/* The bytes of the page; 0 where Tarn was built without it (TARN_REPORT_PAGE=OFF). */
extern const size_t cli_report_page_size;

#endif
