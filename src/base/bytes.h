/* SPDX-License-Identifier: MIT */
#ifndef TARN_BASE_BYTES_H
#define TARN_BASE_BYTES_H

#include "base/freestanding.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Clears and copies bytes. Where there is no libc, compilers still turn such loops, and assignments of large
 * structs, into calls of memset and memcpy; these functions call nothing.
 */

#if TARN_FREESTANDING

/* May alias whatever the bytes are. */
typedef uintptr_t __attribute__((may_alias)) base_word;

/* Keeps a compiler from taking a loop for memset or memcpy. */
#define BASE_OWN_LOOP() __asm__ volatile("" : : : "memory")

static inline void base_zero(void *start, size_t size)
{
    unsigned char *at = (unsigned char *)start;
    for (; size > 0 && (uintptr_t)at % sizeof(base_word) != 0; size--) {
        *at++ = 0;
        BASE_OWN_LOOP();
    }
    for (; size >= sizeof(base_word); size -= sizeof(base_word)) {
        *(base_word *)(void *)at = 0;
        at += sizeof(base_word);
        BASE_OWN_LOOP();
    }
    for (; size > 0; size--) {
        *at++ = 0;
        BASE_OWN_LOOP();
    }
}

/* The two do not overlap. */
static inline void base_copy(void *to, const void *from, size_t size)
{
    unsigned char *at = (unsigned char *)to;
    const unsigned char *source = (const unsigned char *)from;
    if (((uintptr_t)at | (uintptr_t)source) % sizeof(base_word) == 0) {
        for (; size >= sizeof(base_word); size -= sizeof(base_word)) {
            *(base_word *)(void *)at = *(const base_word *)(const void *)source;
            at += sizeof(base_word);
            source += sizeof(base_word);
            BASE_OWN_LOOP();
        }
    }
    for (; size > 0; size--) {
        *at++ = *source++;
        BASE_OWN_LOOP();
    }
}

#else

#include <string.h>

static inline void base_zero(void *start, size_t size)
{
    memset(start, 0, size);
}

/* The two do not overlap. */
static inline void base_copy(void *to, const void *from, size_t size)
{
    memcpy(to, from, size);
}

#endif

#endif
