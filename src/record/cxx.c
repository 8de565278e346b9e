/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "record/next.h"
#include "record/record.h"

#include "base/bits.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

/*
 * operator new and delete in every form, under their names in the Itanium C++ ABI.
 *
 * The standard library's are malloc and free with manners: for those the next malloc is asked here, so that the
 * event is a `new` and its stack begins at the caller; only when there is no memory is theirs called, which
 * knows about handlers and exceptions. An allocator that brings its own, beside its malloc, is asked by
 * its own, and what it does inside is no event. Any others (a debugger's, a program's library's) are
 * called as if nobody were here: what they ask of malloc is seen there.
 *
 * A plug-in may have its C++ library inside, where nobody else sees it, in a program that has none: then
 * malloc and free serve, and only when there is no memory is the plug-in's own asked.
 */

#define EXPORT __attribute__((visibility("default")))
#define FRAME ((void *const *)__builtin_frame_address(0))

enum { KIND_UNKNOWN, KIND_STANDARD, KIND_ALLOCATORS, KIND_OTHERS, KIND_NONE };

typedef struct next_operator {
    const char *name;
    _Atomic(unsigned)
        known; /* kind, and in front of it the search for the next allocator that it is of */
    void *_Atomic function;
} next_operator;

enum { KIND_BITS = 3 };

/* Beside the next malloc, or of a standard library. */
static int kind_of(void *function)
{
    Dl_info of_function;
    Dl_info of_malloc;
    if (dladdr(function, &of_function) == 0) {
        return KIND_OTHERS;
    }
    void *allocator;
    memcpy(&allocator, &next.malloc, sizeof allocator);
    if (dladdr(allocator, &of_malloc) != 0 && of_malloc.dli_fbase == of_function.dli_fbase) {
        return KIND_ALLOCATORS;
    }
    return strstr(of_function.dli_fname, "/libstdc++.so") != NULL ||
                   strstr(of_function.dli_fname, "/libc++.so") != NULL ||
                   strstr(of_function.dli_fname, "/libc++abi.so") != NULL
               ? KIND_STANDARD
               : KIND_OTHERS;
}

static __attribute__((noinline, cold)) int find_operator(next_operator *operator)
{
    const bool was_busy = record_self.is_busy;
    const int error = errno;
    record_self.is_busy = true;
    const unsigned searches = atomic_load(&record_searches);
    void *function = record_next_symbol(operator->name);
    /* The standard library came with a plug-in, which keeps its names to itself. */
    static const char *const libraries[] = {"libstdc++.so.6", "libc++.so.1", "libc++abi.so.1"};
    for (size_t i = 0; function == NULL && i < sizeof libraries / sizeof libraries[0]; i++) {
        void *library = dlopen(libraries[i], RTLD_LAZY | RTLD_NOLOAD);
        function = library != NULL ? dlsym(library, operator->name) : NULL;
    }
    const int kind = function != NULL ? kind_of(function) : KIND_NONE;
    atomic_store(&operator->function, function);
    atomic_store_explicit(&operator->known, searches << KIND_BITS | (unsigned)kind,
                          memory_order_release);
    record_self.is_busy = was_busy;
    errno = error;
    return kind;
}

static inline int kind(next_operator *operator)
{
    const unsigned known = atomic_load_explicit(&operator->known, memory_order_acquire);
    const unsigned searches = atomic_load_explicit(&record_searches, memory_order_relaxed);
    return base_likely(known >> KIND_BITS == searches) ? (int)(known & ((1U << KIND_BITS) - 1))
                                                       : find_operator(operator);
}

typedef void *new_function(size_t size, const void *tag);
typedef void *aligned_new_function(size_t size, size_t alignment, const void *tag);
typedef void delete_function(void *block, size_t a, size_t b);

static inline void *call_function(void *function, size_t size, size_t alignment, const void *tag)
{
    if (alignment == 0) {
        new_function *plain;
        memcpy(&plain, &function, sizeof plain);
        return plain(size, tag);
    }
    aligned_new_function *aligned;
    memcpy(&aligned, &function, sizeof aligned);
    return aligned(size, alignment, tag);
}

static inline void *call_new(next_operator *operator, size_t size, size_t alignment,
                             const void *tag)
{
    return call_function(atomic_load_explicit(&operator->function, memory_order_relaxed), size,
                         alignment, tag);
}

/* The operator of the file that the call came from. */
static void *find_callers(const char *name, void *caller)
{
    Dl_info info;
    if (dladdr(caller, &info) == 0 || info.dli_fname == NULL) {
        return NULL;
    }
    void *file = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (file == NULL) {
        return NULL;
    }
    void *function = dlsym(file, name);
    dlclose(file); /* it stays: it is calling */
    return function;
}

/* There is no memory, and no C++ library that all see. */
static __attribute__((noinline, cold)) void *fail_to_take(const next_operator *operator,
                                                          size_t size, size_t alignment,
                                                          const void *tag, void *caller)
{
    if (tag != NULL) {
        return NULL;
    }
    const bool was_busy = record_self.is_busy;
    record_self.is_busy = true;
    void *function = find_callers(operator->name, caller);
    record_self.is_busy = was_busy;
    /* The name that all see is the one here. */
    TARN_CHECK(function != NULL && function != dlsym(RTLD_DEFAULT, operator->name),
               "no memory for operator new, and no C++ library to say so", operator->name, NULL);
    return call_function(function, size, alignment, tag);
}

static inline void *take(next_operator *operator, unsigned op, size_t size, size_t alignment,
                         const void *tag, void *const *frame)
{
    record_thread *self = &record_self;
    record_has_next();
    const int how = kind(operator);
    if (how == KIND_OTHERS || (self->is_busy && how != KIND_NONE)) {
        return call_new(operator, size, alignment, tag);
    }
    const unsigned alignment_log2 = alignment > 1 ? base_log2_floor(alignment) : 0;
    if (how == KIND_STANDARD || how == KIND_NONE) {
        const size_t asked = size != 0 ? size : 1;
        const bool was_busy = self->is_busy;
        self->is_busy = true;
        void *block = alignment == 0
                          ? next.malloc(asked)
                          : next.aligned_alloc(alignment, base_align_up(asked, alignment));
        if (base_likely(block != NULL) && !was_busy) {
            record_alloc(self, op, alignment_log2, block, size, frame);
        }
        self->is_busy = was_busy;
        if (base_likely(block != NULL)) {
            return block;
        }
        return how == KIND_NONE ? fail_to_take(operator, size, alignment, tag, frame[1])
                                : call_new(operator, size, alignment, tag);
    }
    /* It may throw, so the thread is not made busy: where the operator asks malloc after all, that was
     * the event. */
    const uint64_t allocs = self->allocs;
    void *block = call_new(operator, size, alignment, tag);
    if (self->allocs == allocs) {
        self->is_busy = true;
        record_alloc(self, op, alignment_log2, block, size, frame);
        self->is_busy = false;
    }
    return block;
}

static inline void give(next_operator *operator, unsigned op, void *block, size_t a, size_t b,
                        void *const *frame)
{
    record_thread *self = &record_self;
    if (block == NULL) {
        return;
    }
    record_has_next();
    const int how = kind(operator);
    delete_function *function;
    void *symbol = atomic_load_explicit(&operator->function, memory_order_relaxed);
    memcpy(&function, &symbol, sizeof function);
    if (how == KIND_OTHERS || (self->is_busy && how != KIND_NONE)) {
        function(block, a, b);
        return;
    }
    const bool was_busy = self->is_busy;
    self->is_busy = true;
    if (!was_busy) {
        record_free(self, op, block, frame);
    }
    if (how == KIND_STANDARD || how == KIND_NONE) {
        next.free(block);
    } else {
        function(block, a, b);
    }
    self->is_busy = was_busy;
}

#define NEW(symbol, op)                                                                            \
    EXPORT void *symbol(size_t size);                                                              \
    EXPORT void *symbol(size_t size)                                                               \
    {                                                                                              \
        static next_operator operator= {.name = #symbol};                                          \
        return take(&operator, op, size, 0, NULL, FRAME);                                          \
    }
#define NEW_TAG(symbol, op)                                                                        \
    EXPORT void *symbol(size_t size, const void *tag);                                             \
    EXPORT void *symbol(size_t size, const void *tag)                                              \
    {                                                                                              \
        static next_operator operator= {.name = #symbol};                                          \
        return take(&operator, op, size, 0, tag, FRAME);                                           \
    }
#define NEW_ALIGNED(symbol, op)                                                                    \
    EXPORT void *symbol(size_t size, size_t alignment);                                            \
    EXPORT void *symbol(size_t size, size_t alignment)                                             \
    {                                                                                              \
        static next_operator operator= {.name = #symbol};                                          \
        return take(&operator, op, size, alignment, NULL, FRAME);                                  \
    }
#define NEW_ALIGNED_TAG(symbol, op)                                                                \
    EXPORT void *symbol(size_t size, size_t alignment, const void *tag);                           \
    EXPORT void *symbol(size_t size, size_t alignment, const void *tag)                            \
    {                                                                                              \
        static next_operator operator= {.name = #symbol};                                          \
        return take(&operator, op, size, alignment, tag, FRAME);                                   \
    }
/* What follows the block, a size, an alignment, a tag, is passed on as it came: each is a word. */
#define DELETE(symbol, op)                                                                         \
    EXPORT void symbol(void *block, size_t a, size_t b);                                           \
    EXPORT void symbol(void *block, size_t a, size_t b)                                            \
    {                                                                                              \
        static next_operator operator= {.name = #symbol};                                          \
        give(&operator, op, block, a, b, FRAME);                                                   \
    }

NEW(_Znwm, TRACE_NEW)
NEW(_Znam, TRACE_NEW_ARRAY)
NEW_TAG(_ZnwmRKSt9nothrow_t, TRACE_NEW)
NEW_TAG(_ZnamRKSt9nothrow_t, TRACE_NEW_ARRAY)
NEW_ALIGNED(_ZnwmSt11align_val_t, TRACE_NEW)
NEW_ALIGNED(_ZnamSt11align_val_t, TRACE_NEW_ARRAY)
NEW_ALIGNED_TAG(_ZnwmSt11align_val_tRKSt9nothrow_t, TRACE_NEW)
NEW_ALIGNED_TAG(_ZnamSt11align_val_tRKSt9nothrow_t, TRACE_NEW_ARRAY)
DELETE(_ZdlPv, TRACE_DELETE)
DELETE(_ZdaPv, TRACE_DELETE_ARRAY)
DELETE(_ZdlPvm, TRACE_DELETE)
DELETE(_ZdaPvm, TRACE_DELETE_ARRAY)
DELETE(_ZdlPvRKSt9nothrow_t, TRACE_DELETE)
DELETE(_ZdaPvRKSt9nothrow_t, TRACE_DELETE_ARRAY)
DELETE(_ZdlPvSt11align_val_t, TRACE_DELETE)
DELETE(_ZdaPvSt11align_val_t, TRACE_DELETE_ARRAY)
DELETE(_ZdlPvmSt11align_val_t, TRACE_DELETE)
DELETE(_ZdaPvmSt11align_val_t, TRACE_DELETE_ARRAY)
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, TRACE_DELETE)
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, TRACE_DELETE_ARRAY)
