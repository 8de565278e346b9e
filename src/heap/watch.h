/* SPDX-License-Identifier: MIT */
#ifndef TARN_HEAP_WATCH_H
#define TARN_HEAP_WATCH_H

/*
 * Tells Valgrind and AddressSanitizer which bytes of a heap are blocks, so that they report a touch
 * of any other. Without them every function here is empty, or under fifteen instructions where
 * Valgrind's header was there at build time.
 *
 * A library that was not compiled with AddressSanitizer finds its functions in a program that was:
 * they are weak symbols, NULL where the program has none.
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
#define HEAP_WATCH_LATE_ASAN 0
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
#include <sanitizer/lsan_interface.h>
#define HEAP_WATCH_VALGRIND 0
#define HEAP_WATCH_LATE_ASAN 0
#elif !TARN_FREESTANDING && defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define HEAP_WATCH_VALGRIND 1
#endif
#endif
#ifndef HEAP_WATCH_VALGRIND
#define HEAP_WATCH_VALGRIND 0
#endif
#ifndef HEAP_WATCH_LATE_ASAN
#define HEAP_WATCH_LATE_ASAN 1
#endif

#if HEAP_WATCH_LATE_ASAN
/* NOLINTBEGIN(bugprone-reserved-identifier): the sanitizer's names */
void __asan_poison_memory_region(void const volatile *start, size_t size) __attribute__((weak));
void __asan_unpoison_memory_region(void const volatile *start, size_t size) __attribute__((weak));
void __lsan_register_root_region(const void *start, size_t size) __attribute__((weak));
void __lsan_unregister_root_region(const void *start, size_t size) __attribute__((weak));
/* NOLINTEND(bugprone-reserved-identifier) */
#endif

/* For functions that read and write a heap's own books among hidden bytes. They must call nothing
 * that is checked: the compiler's memcpy of a word is fine, a libc function on hidden bytes is
 * not. */
#if HEAP_WATCH_ASAN
#define HEAP_UNWATCHED __attribute__((no_sanitize("address")))
#else
#define HEAP_UNWATCHED
#endif

/* The two ways of AddressSanitizer: nobody may touch the bytes, or everybody. */
static inline void heap_watch_poison(const void *start, size_t size)
{
#if HEAP_WATCH_ASAN
    __asan_poison_memory_region(start, size);
#elif HEAP_WATCH_LATE_ASAN
    if (__asan_poison_memory_region != NULL) {
        __asan_poison_memory_region(start, size);
    }
#endif
    (void)start;
    (void)size;
}

static inline void heap_watch_unpoison(const void *start, size_t size)
{
#if HEAP_WATCH_ASAN
    __asan_unpoison_memory_region(start, size);
#elif HEAP_WATCH_LATE_ASAN
    if (__asan_unpoison_memory_region != NULL) {
        __asan_unpoison_memory_region(start, size);
    }
#endif
    (void)start;
    (void)size;
}

/* LeakSanitizer looks for pointers in this memory too, which comes from the kernel: what is only
 * reached from there is no leak. The other ends that, for the same bytes. */
static inline void heap_watch_add_root(const void *start, size_t size)
{
#if HEAP_WATCH_ASAN
    __lsan_register_root_region(start, size);
#elif HEAP_WATCH_LATE_ASAN
    if (__lsan_register_root_region != NULL) {
        __lsan_register_root_region(start, size);
    }
#endif
    (void)start;
    (void)size;
}

static inline void heap_watch_remove_root(const void *start, size_t size)
{
#if HEAP_WATCH_ASAN
    __lsan_unregister_root_region(start, size);
#elif HEAP_WATCH_LATE_ASAN
    if (__lsan_unregister_root_region != NULL) {
        __lsan_unregister_root_region(start, size);
    }
#endif
    (void)start;
    (void)size;
}

/* True where one of the tools is there to listen. */
static inline bool heap_watch_is_on(void)
{
#if HEAP_WATCH_ASAN
    return true;
#else
    bool is_on = false;
#if HEAP_WATCH_LATE_ASAN
    is_on = __asan_poison_memory_region != NULL;
#endif
#if HEAP_WATCH_VALGRIND
    /* Valgrind's other tools, which do not look at who touches what, answer 0. */
    is_on = is_on || VALGRIND_MAKE_MEM_DEFINED(&is_on, sizeof is_on) != 0;
#endif
    return is_on;
#endif
}

/* The bytes are nobody's to touch. */
static inline void heap_watch_hide(const void *start, size_t size)
{
    heap_watch_poison(start, size);
#if HEAP_WATCH_VALGRIND
    VALGRIND_MAKE_MEM_NOACCESS(start, size);
#endif
}

/* The bytes may be read and written. */
static inline void heap_watch_show(const void *start, size_t size)
{
    heap_watch_unpoison(start, size);
#if HEAP_WATCH_VALGRIND
    VALGRIND_MAKE_MEM_DEFINED(start, size);
#endif
}

/* `size` bytes from `block` were handed out, with undefined contents. */
static inline void heap_watch_give(const void *block, size_t size)
{
    heap_watch_unpoison(block, size);
#if HEAP_WATCH_VALGRIND
    VALGRIND_MAKE_MEM_UNDEFINED(block, size);
#endif
}

/* The block came back; its bytes are hidden. */
static inline void heap_watch_take(const void *block, size_t size)
{
    heap_watch_hide(block, size);
}

/* The block has new_size bytes, perhaps elsewhere. The bytes that it lost are hidden. */
static inline void heap_watch_resize(const void *old_block, size_t old_size, const void *new_block,
                                     size_t new_size)
{
    if (old_block != new_block) {
        heap_watch_poison(old_block, old_size);
    } else if (new_size < old_size) {
        heap_watch_poison((const char *)old_block + new_size, old_size - new_size);
    }
    heap_watch_unpoison(new_block, new_size);
#if HEAP_WATCH_VALGRIND
    if (new_size > old_size) {
        VALGRIND_MAKE_MEM_UNDEFINED((const char *)new_block + old_size, new_size - old_size);
    } else {
        VALGRIND_MAKE_MEM_NOACCESS((const char *)new_block + new_size, old_size - new_size);
    }
#endif
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
