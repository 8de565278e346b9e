/* SPDX-License-Identifier: MIT */
#ifndef TARN_TRACE_VARINT_H
#define TARN_TRACE_VARINT_H

/*
 * Numbers in files: of seven bits a byte, the lowest first, with the eighth set in all but the last;
 * and of fixed size, the lowest byte first, whatever the machine's order is.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TRACE_VARINT_MAX = 10 };

/* Writes at most TRACE_VARINT_MAX bytes; returns the byte behind them. */
static inline unsigned char *trace_put_varint(unsigned char *at, uint64_t number)
{
    while (number >= 0x80) {
        *at++ = (unsigned char)(number | 0x80);
        number >>= 7;
    }
    *at++ = (unsigned char)number;
    return at;
}

/* Returns the byte behind the number, or NULL if it does not end before `end`, passes 64 bits or is
 * longer than it need be. */
static inline const unsigned char *trace_get_varint(const unsigned char *at,
                                                    const unsigned char *end, uint64_t *number)
{
    if (at < end && *at < 0x80) {
        *number = *at;
        return at + 1;
    }
    uint64_t sum = 0;
    for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
        const uint64_t bits = *at & 0x7F;
        if (shift == 63 && bits > 1) {
            return NULL;
        }
        sum |= bits << shift;
        if ((*at++ & 0x80) == 0) {
            *number = sum;
            return bits != 0 || shift == 0 ? at : NULL;
        }
    }
    return NULL;
}

/* Small numbers of either sign become small numbers. */
static inline uint64_t trace_zigzag(int64_t number)
{
    return ((uint64_t)number << 1) ^ (0 - ((uint64_t)number >> 63));
}

static inline int64_t trace_unzigzag(uint64_t number)
{
    return (int64_t)((number >> 1) ^ (0 - (number & 1)));
}

static inline void trace_put_fixed(unsigned char *at, uint64_t number, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        at[i] = (unsigned char)(number >> (8 * i));
    }
}

static inline uint64_t trace_get_fixed(const unsigned char *at, unsigned bytes)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < bytes; i++) {
        number |= (uint64_t)at[i] << (8 * i);
    }
    return number;
}

#endif
