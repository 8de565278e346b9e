/* SPDX-License-Identifier: MIT */
#include "cli/report/document.h"
#include "cli/report/page.h"

/* What stands for the page where web/ is not built: it carries the data, and says that it shows
 * nothing. */

const unsigned char cli_report_page[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tarn "
    "report</title></head>"
    "<body>\n<p>This report was written by a tarn without its page; the data are in "
    "it.</p>\n" REPORT_MARKER "\n</body></html>\n";
const size_t cli_report_page_size = sizeof cli_report_page - 1;
