/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * An allocator in a library, for tests of what stands around one: glibc's under the same names. The build makes
 * several of it, some of them faulty.
 */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);

#ifndef WITHOUT_MALLOC
void *malloc(size_t size)
{
#ifdef WITHOUT_MEMORY
    (void)size;
    return NULL;
#else
    return __libc_malloc(size);
#endif
}

void *calloc(size_t count, size_t size)
{
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    return __libc_realloc(block, size);
}

void free(void *block)
{
    __libc_free(block);
}
#endif

#ifdef WITH_ABORT
__attribute__((constructor)) static void end(void)
{
    abort();
}
#endif

#ifdef WITH_HANG
__attribute__((constructor)) static void hang(void)
{
    for (;;) {
        pause();
    }
}
#endif

#ifdef WITH_DEPENDENCY
extern int standin_dependency(void);
int standin_dependent(void);
int standin_dependent(void)
{
    return standin_dependency();
}
#endif
