/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "malloc/fast.h"

#include <dlfcn.h>
#include <errno.h>

/*
 * C++'s operators new and delete, under the names that the Itanium ABI gives them. In C, so that a program without
 * C++ needs no C++ library: what throws is found in the program's own, by weak names.
 */

typedef void new_handler(void);
extern new_handler *get_new_handler(void) __asm__("_ZSt15get_new_handlerv") __attribute__((weak));
extern void throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv") __attribute__((weak));

#ifndef PRELOAD_PREFIX
#define PRELOAD_PREFIX ""
#endif

#define OPERATOR(declaration, symbol)                                                              \
    TARN_API declaration __asm__(PRELOAD_PREFIX symbol);                                           \
    declaration

static void *take(size_t alignment, size_t size)
{
    return alignment == 0 ? malloc_fast(size) : malloc_aligned(alignment, size);
}

/* [new.delete.single]: the handler is called until there is memory or it throws; without one, bad_alloc. */
static __attribute__((noinline, cold)) void *new_slow(size_t alignment, size_t size)
{
    for (;;) {
        new_handler *handler = get_new_handler != NULL ? get_new_handler() : NULL;
        if (handler == NULL) {
            if (throw_bad_alloc != NULL) {
                throw_bad_alloc();
            }
            base_fatal("out of memory in operator new, and no C++ library to throw from", "malloc",
                       NULL);
        }
        handler();
        void *block = take(alignment, size);
        if (block != NULL) {
            return block;
        }
    }
}

static inline void *new_or_throw(size_t size)
{
    void *block = malloc_fast(size);
    return base_likely(block != NULL) ? block : new_slow(0, size);
}

static inline void *new_aligned_or_throw(size_t size, size_t alignment)
{
    void *block = malloc_aligned(alignment, size);
    return base_likely(block != NULL) ? block : new_slow(alignment, size);
}

/* A handler may throw and a nothrow new must not: only C++ can catch, so the C++ library's own nothrow new is asked,
 * which calls the throwing one above and catches. */
static __attribute__((noinline, cold)) void *new_caught(const char *name, size_t size,
                                                        size_t alignment, const void *nothrow)
{
    if (get_new_handler == NULL || get_new_handler() == NULL) {
        return NULL;
    }
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL) {
        return NULL;
    }
    if (alignment == 0) {
        void *(*plain)(size_t, const void *) = NULL;
        *(void **)&plain = found;
        return plain(size, nothrow);
    }
    void *(*aligned)(size_t, size_t, const void *) = NULL;
    *(void **)&aligned = found;
    return aligned(size, alignment, nothrow);
}

OPERATOR(void *cxx_new(size_t size), "_Znwm")
{
    return new_or_throw(size);
}

OPERATOR(void *cxx_new_array(size_t size), "_Znam")
{
    return new_or_throw(size);
}

OPERATOR(void *cxx_new_nothrow(size_t size, const void *nothrow), "_ZnwmRKSt9nothrow_t")
{
    void *block = malloc_fast(size);
    return block != NULL ? block : new_caught("_ZnwmRKSt9nothrow_t", size, 0, nothrow);
}

OPERATOR(void *cxx_new_array_nothrow(size_t size, const void *nothrow), "_ZnamRKSt9nothrow_t")
{
    void *block = malloc_fast(size);
    return block != NULL ? block : new_caught("_ZnamRKSt9nothrow_t", size, 0, nothrow);
}

OPERATOR(void *cxx_new_aligned(size_t size, size_t alignment), "_ZnwmSt11align_val_t")
{
    return new_aligned_or_throw(size, alignment);
}

OPERATOR(void *cxx_new_array_aligned(size_t size, size_t alignment), "_ZnamSt11align_val_t")
{
    return new_aligned_or_throw(size, alignment);
}

OPERATOR(void *cxx_new_aligned_nothrow(size_t size, size_t alignment, const void *nothrow),
         "_ZnwmSt11align_val_tRKSt9nothrow_t")
{
    void *block = malloc_aligned(alignment, size);
    return block != NULL
               ? block
               : new_caught("_ZnwmSt11align_val_tRKSt9nothrow_t", size, alignment, nothrow);
}

OPERATOR(void *cxx_new_array_aligned_nothrow(size_t size, size_t alignment, const void *nothrow),
         "_ZnamSt11align_val_tRKSt9nothrow_t")
{
    void *block = malloc_aligned(alignment, size);
    return block != NULL
               ? block
               : new_caught("_ZnamSt11align_val_tRKSt9nothrow_t", size, alignment, nothrow);
}

OPERATOR(void cxx_delete(void *block), "_ZdlPv")
{
    free_fast(block);
}

OPERATOR(void cxx_delete_array(void *block), "_ZdaPv")
{
    free_fast(block);
}

OPERATOR(void cxx_delete_nothrow(void *block, const void *nothrow), "_ZdlPvRKSt9nothrow_t")
{
    (void)nothrow;
    free_fast(block);
}

OPERATOR(void cxx_delete_array_nothrow(void *block, const void *nothrow), "_ZdaPvRKSt9nothrow_t")
{
    (void)nothrow;
    free_fast(block);
}

OPERATOR(void cxx_delete_aligned(void *block, size_t alignment), "_ZdlPvSt11align_val_t")
{
    (void)alignment;
    free_fast(block);
}

OPERATOR(void cxx_delete_array_aligned(void *block, size_t alignment), "_ZdaPvSt11align_val_t")
{
    (void)alignment;
    free_fast(block);
}

OPERATOR(void cxx_delete_aligned_nothrow(void *block, size_t alignment, const void *nothrow),
         "_ZdlPvSt11align_val_tRKSt9nothrow_t")
{
    (void)alignment;
    (void)nothrow;
    free_fast(block);
}

OPERATOR(void cxx_delete_array_aligned_nothrow(void *block, size_t alignment, const void *nothrow),
         "_ZdaPvSt11align_val_tRKSt9nothrow_t")
{
    (void)alignment;
    (void)nothrow;
    free_fast(block);
}

OPERATOR(void cxx_delete_sized(void *block, size_t size), "_ZdlPvm")
{
    malloc_free_sized(block, 1, size);
}

OPERATOR(void cxx_delete_array_sized(void *block, size_t size), "_ZdaPvm")
{
    malloc_free_sized(block, 1, size);
}

OPERATOR(void cxx_delete_sized_aligned(void *block, size_t size, size_t alignment),
         "_ZdlPvmSt11align_val_t")
{
    malloc_free_sized(block, alignment, size);
}

OPERATOR(void cxx_delete_array_sized_aligned(void *block, size_t size, size_t alignment),
         "_ZdaPvmSt11align_val_t")
{
    malloc_free_sized(block, alignment, size);
}
