/* SPDX-License-Identifier: MIT */
#ifndef TARN_HEAP_WATCH_H
#define TARN_HEAP_WATCH_H

/*
 * Tells Valgrind and AddressSanitizer which bytes of a heap are blocks, so that they report a touch
 * of any other. Without them every function here is empty, or under ten instructions where
 * Valgrind's header was there at build time.
 *
 * Valgrind is told which bytes are whose to touch, but not which are blocks: its leak search allows
 * blocks inside of blocks only two deep, and heaps stack as deep as they like.
 *
 * In a freestanding build nobody listens.
 *
 * Who hides memory shows it again before giving it back to whom it came from: the tools would take
 * the next owner's use for misuse.
 */

#include "base/freestanding.h"

#include <stdbool.h>
#include <stddef.h>

#if TARN_FREESTANDING
#define HEAP_WATCH_ASAN 0
#elif defined(__SANITIZE_ADDRESS__)
#define HEAP_WATCH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEAP_WATCH_ASAN 1
#endif
#endif
#ifndef HEAP_WATCH_ASAN
#define HEAP_WATCH_ASAN 0
#endif

#if HEAP_WATCH_ASAN
#include <sanitizer/asan_interface.h>
#define HEAP_WATCH_VALGRIND 0
#elif !TARN_FREESTANDING && defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define HEAP_WATCH_VALGRIND 1
#endif
#endif
#ifndef HEAP_WATCH_VALGRIND
#define HEAP_WATCH_VALGRIND 0
#endif

/* For functions that read and write a heap's own books among hidden bytes. They must call nothing
 * that is checked: the compiler's memcpy of a word is fine, a libc function on hidden bytes is
 * not. */
#if HEAP_WATCH_ASAN
#define HEAP_UNWATCHED __attribute__((no_sanitize("address")))
#else
#define HEAP_UNWATCHED
#endif

/* True where one of the tools is there to listen. */
static inline bool heap_watch_is_on(void)
{
#if HEAP_WATCH_ASAN
    return true;
#elif HEAP_WATCH_VALGRIND
    return RUNNING_ON_VALGRIND != 0;
#else
    return false;
#endif
}

/* The bytes are nobody's to touch. */
static inline void heap_watch_hide(const void *start, size_t size)
{
#if HEAP_WATCH_ASAN
    __asan_poison_memory_region(start, size);
#elif HEAP_WATCH_VALGRIND
    VALGRIND_MAKE_MEM_NOACCESS(start, size);
#endif
    (void)start;
    (void)size;
}

/* The bytes may be read and written. */
static inline void heap_watch_show(const void *start, size_t size)
{
#if HEAP_WATCH_ASAN
    __asan_unpoison_memory_region(start, size);
#elif HEAP_WATCH_VALGRIND
    VALGRIND_MAKE_MEM_DEFINED(start, size);
#endif
    (void)start;
    (void)size;
}

/* `size` bytes from `block` were handed out, with undefined contents. */
static inline void heap_watch_give(const void *block, size_t size)
{
#if HEAP_WATCH_ASAN
    __asan_unpoison_memory_region(block, size);
#elif HEAP_WATCH_VALGRIND
    VALGRIND_MAKE_MEM_UNDEFINED(block, size);
#endif
    (void)block;
    (void)size;
}

/* The block came back; its bytes are hidden. */
static inline void heap_watch_take(const void *block, size_t size)
{
#if HEAP_WATCH_ASAN
    __asan_poison_memory_region(block, size);
#elif HEAP_WATCH_VALGRIND
    VALGRIND_MAKE_MEM_NOACCESS(block, size);
#endif
    (void)block;
    (void)size;
}

/* The block has new_size bytes, perhaps elsewhere. The bytes that it lost are hidden. */
static inline void heap_watch_resize(const void *old_block, size_t old_size, const void *new_block,
                                     size_t new_size)
{
#if HEAP_WATCH_ASAN
    if (old_block != new_block) {
        __asan_poison_memory_region(old_block, old_size);
    } else if (new_size < old_size) {
        __asan_poison_memory_region((const char *)old_block + new_size, old_size - new_size);
    }
    __asan_unpoison_memory_region(new_block, new_size);
#elif HEAP_WATCH_VALGRIND
    if (new_size > old_size) {
        VALGRIND_MAKE_MEM_UNDEFINED((const char *)new_block + old_size, new_size - old_size);
    } else {
        VALGRIND_MAKE_MEM_NOACCESS((const char *)new_block + new_size, old_size - new_size);
    }
#endif
    (void)old_block;
    (void)old_size;
    (void)new_block;
    (void)new_size;
}

/* Between these two Valgrind does not report that a heap reads its books among hidden bytes. */
static inline void heap_watch_pause(void)
{
#if HEAP_WATCH_VALGRIND
    VALGRIND_DISABLE_ERROR_REPORTING;
#endif
}

static inline void heap_watch_resume(void)
{
#if HEAP_WATCH_VALGRIND
    VALGRIND_ENABLE_ERROR_REPORTING;
#endif
}

#endif
