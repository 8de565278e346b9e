/* SPDX-License-Identifier: MIT */
#ifndef TARN_TESTS_TOOLS_H
#define TARN_TESTS_TOOLS_H

/*
 * For tests that have to know whether a tool watches them, and for those that misuse memory on
 * purpose.
 */

#include "heap/watch.h"

#if HEAP_WATCH_VALGRIND
#include <valgrind/valgrind.h>
#define IS_UNDER_VALGRIND (RUNNING_ON_VALGRIND != 0)
#else
#define IS_UNDER_VALGRIND 0
#endif

#if defined(__SANITIZE_THREAD__)
#define IS_UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define IS_UNDER_TSAN 1
#endif
#endif
#ifndef IS_UNDER_TSAN
#define IS_UNDER_TSAN 0
#endif

/* Memory and time are what the program's own alone would be. */
#define IS_UNDER_NO_TOOL (!HEAP_WATCH_ASAN && !IS_UNDER_TSAN && !IS_UNDER_VALGRIND)

/* Writes where nobody may, unseen by the tools. */
HEAP_UNWATCHED static inline void poke(void *place, unsigned char byte)
{
    heap_watch_pause();
    *(volatile unsigned char *)place = byte;
    heap_watch_resume();
}

HEAP_UNWATCHED static inline unsigned char peek(const void *place)
{
    heap_watch_pause();
    const unsigned char byte = *(const volatile unsigned char *)place;
    heap_watch_resume();
    return byte;
}

#endif
