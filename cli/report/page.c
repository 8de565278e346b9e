/* SPDX-License-Identifier: MIT */
#include "page.h"

#include <stdint.h>

/* The assembler reads the file: as a C array it would take the compilers, and what checks them, many times as long. */
#ifdef TARN_REPORT_PAGE_FILE

#if SIZE_MAX > UINT32_MAX
#define SIZE_WORD ".8byte"
#else
#define SIZE_WORD ".4byte"
#endif

__asm__(".pushsection .rodata, \"a\"\n"
        ".balign 16\n"
        ".globl cli_report_page\n"
        ".hidden cli_report_page\n"
        ".type cli_report_page, %object\n"
        "cli_report_page:\n"
        ".incbin \"" TARN_REPORT_PAGE_FILE "\"\n"
        ".Lcli_report_page_end:\n"
        ".size cli_report_page, . - cli_report_page\n"
        ".balign 16\n"
        ".globl cli_report_page_size\n"
        ".hidden cli_report_page_size\n"
        ".type cli_report_page_size, %object\n"
        "cli_report_page_size:\n" SIZE_WORD " .Lcli_report_page_end - cli_report_page\n"
        ".size cli_report_page_size, . - cli_report_page_size\n"
        ".popsection\n");

#else

const unsigned char cli_report_page[] = {0};
const size_t cli_report_page_size = 0;

#endif
