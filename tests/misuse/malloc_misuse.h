/* SPDX-License-Identifier: MIT */
#ifndef TARN_TESTS_MALLOC_MISUSE_H
#define TARN_TESTS_MALLOC_MISUSE_H

/*
 * Programs with one small bug each. They run on libtarn-malloc.so; the line that each has to end with stands in its
 * "Expect:" comment, and the pointer that the line names in standard output.
 */

#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size);

/* Hides a pointer's origin from the compiler, which would warn of the very bug. */
static inline void *hidden(void *pointer)
{
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

/* The same, for the pointer that the message has to name. */
static inline void *blamed(void *pointer)
{
    printf("blamed 0x%llx\n", (unsigned long long)(uintptr_t)pointer);
    fflush(stdout);
    return hidden(pointer);
}

static inline void *need(void *block)
{
    if (block == NULL) {
        fputs("no memory\n", stderr);
        exit(2);
    }
    return hidden(block);
}

#endif
