/* SPDX-License-Identifier: MIT */
#include "utf8.h"

#include <string.h>

size_t cli_utf8_size(const char *text)
{
    const unsigned char *byte = (const unsigned char *)text;
    /* The least second byte of each lead keeps out overlong forms, and the most keeps out
     * surrogates and what is past U+10FFFF. */
    unsigned char least = 0x80;
    unsigned char most = 0xbf;
    size_t size;
    if (byte[0] < 0x80) {
        return 1;
    }
    if (byte[0] >= 0xc2 && byte[0] <= 0xdf) {
        size = 2;
    } else if (byte[0] >= 0xe0 && byte[0] <= 0xef) {
        size = 3;
        least = byte[0] == 0xe0 ? 0xa0 : least;
        most = byte[0] == 0xed ? 0x9f : most;
    } else if (byte[0] >= 0xf0 && byte[0] <= 0xf4) {
        size = 4;
        least = byte[0] == 0xf0 ? 0x90 : least;
        most = byte[0] == 0xf4 ? 0x8f : most;
    } else {
        return 0;
    }
    if (byte[1] < least || byte[1] > most) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((byte[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}

bool cli_utf8_is_control(const char *text)
{
    const unsigned char *byte = (const unsigned char *)text;
    return byte[0] < 0x20 || byte[0] == 0x7f ||
           (byte[0] == 0xc2 && byte[1] >= 0x80 && byte[1] < 0xa0);
}

const char *cli_printable(const char *text, char shown[CLI_PRINTABLE_SIZE])
{
    static const char dots[] = "...";
    size_t used = 0;
    while (*text != '\0') {
        const size_t size = cli_utf8_size(text);
        /* What is no character becomes one byte. */
        if (used + (size > 0 ? size : 1) + sizeof dots > CLI_PRINTABLE_SIZE) {
            memcpy(shown + used, dots, sizeof dots);
            return shown;
        }
        if (size == 0 || cli_utf8_is_control(text)) {
            shown[used++] = '?';
            text += size > 0 ? size : 1;
            continue;
        }
        memcpy(shown + used, text, size);
        used += size;
        text += size;
    }
    shown[used] = '\0';
    return shown;
}
