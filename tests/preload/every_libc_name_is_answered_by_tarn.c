/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

/* A name that libc answers instead would mix blocks of two allocators. */

static const char *const names[] = {
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "free",
    "free_sized",
    "free_aligned_sized",
    "aligned_alloc",
    "posix_memalign",
    "memalign",
    "valloc",
    "pvalloc",
    "malloc_usable_size",
    "malloc_trim",
    "mallinfo",
    "mallinfo2",
    "malloc_info",
    "malloc_stats",
    "mallopt",
    /* operator new and new[]: plain, nothrow, aligned, aligned nothrow */
    "_Znwm",
    "_Znam",
    "_ZnwmRKSt9nothrow_t",
    "_ZnamRKSt9nothrow_t",
    "_ZnwmSt11align_val_t",
    "_ZnamSt11align_val_t",
    "_ZnwmSt11align_val_tRKSt9nothrow_t",
    "_ZnamSt11align_val_tRKSt9nothrow_t",
    /* operator delete and delete[]: plain, nothrow, sized, aligned, sized aligned, aligned nothrow */
    "_ZdlPv",
    "_ZdaPv",
    "_ZdlPvRKSt9nothrow_t",
    "_ZdaPvRKSt9nothrow_t",
    "_ZdlPvm",
    "_ZdaPvm",
    "_ZdlPvSt11align_val_t",
    "_ZdaPvSt11align_val_t",
    "_ZdlPvmSt11align_val_t",
    "_ZdaPvmSt11align_val_t",
    "_ZdlPvSt11align_val_tRKSt9nothrow_t",
    "_ZdaPvSt11align_val_tRKSt9nothrow_t",
    /* Tarn's own API, so that a program can ask for statistics */
    "tarn_malloc",
    "tarn_free",
    "tarn_malloc_stats_get",
    "tarn_malloc_report",
};

int main(void)
{
    const char *preloaded = getenv("LD_PRELOAD");
    CHECK(preloaded != NULL && preloaded[0] == '/', "LD_PRELOAD has to hold one absolute path");
    int missing = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        void *found = dlsym(RTLD_DEFAULT, names[i]);
        Dl_info info;
        if (found == NULL || dladdr(found, &info) == 0 || strcmp(info.dli_fname, preloaded) != 0) {
            dprintf(STDERR_FILENO, "%s is answered by %s\n", names[i],
                    found == NULL ? "nobody" : info.dli_fname);
            missing++;
        }
    }
    CHECK(missing == 0, "%d names are not Tarn's", missing);
    return 0;
}
