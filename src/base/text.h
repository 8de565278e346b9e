/* SPDX-License-Identifier: MIT */
#ifndef TARN_BASE_TEXT_H
#define TARN_BASE_TEXT_H

/*
 * Puts a line of text together in a buffer of the caller's; what does not fit is cut off. For
 * places where stdio must not be: inside malloc, in signal handlers, before main.
 */

#include <stddef.h>
#include <stdint.h>

typedef struct base_text {
    char *start;
    size_t size;   /* bytes of the buffer, at least 1 */
    size_t length; /* without the NUL, which is always there */
} base_text;

static inline base_text base_text_in(char *start, size_t size)
{
    start[0] = '\0';
    return (base_text){.start = start, .size = size, .length = 0};
}

static inline void base_text_add(base_text *text, const char *more)
{
    while (*more != '\0' && text->length < text->size - 1) {
        text->start[text->length++] = *more++;
    }
    text->start[text->length] = '\0';
}

/* Divides, and returns the rest; 16 bits at a time, which asks no compiler's library for 64 bits. */
static inline uint32_t base_text_divide(uint64_t *number, uint32_t radix)
{
    uint64_t quotient = 0;
    uint32_t rest = 0;
    for (unsigned shift = 64; shift > 0; shift -= 16) {
        const uint32_t part = rest << 16 | (uint32_t)(*number >> (shift - 16) & 0xFFFF);
        quotient = quotient << 16 | part / radix;
        rest = part % radix;
    }
    *number = quotient;
    return rest;
}

/* In decimal, or in hexadecimal without a prefix. */
static inline void base_text_add_number(base_text *text, uint64_t number, unsigned radix)
{
    char digits[64 + 1];
    char *digit = digits + sizeof digits - 1;
    *digit = '\0';
    do {
        *--digit = "0123456789abcdef"[base_text_divide(&number, radix)];
    } while (number != 0);
    base_text_add(text, digit);
}

#endif
