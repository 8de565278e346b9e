/* SPDX-License-Identifier: MIT */
#include "elfutils.h"

#include <assert.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Its interface has a version of its own, which is part of its name. */
static const char library_name[] = "libdw.so.1";

static const char *const names[] = {
#define CLI_NAME(name) #name,
    CLI_ELFUTILS(CLI_NAME)
#undef CLI_NAME
};

enum { COUNT = sizeof names / sizeof names[0] };

static_assert(sizeof(cli_elfutils) == COUNT * sizeof(void *), "one pointer for each name");

const cli_elfutils *cli_elfutils_load(const char **why)
{
    static cli_elfutils functions;
    void *library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
    bool is_whole = library != NULL;
    for (size_t i = 0; i < COUNT && is_whole; i++) {
        void *function = dlsym(library, names[i]);
        is_whole = function != NULL;
        memcpy((char *)&functions + i * sizeof function, &function, sizeof function);
    }
    if (!is_whole) {
        *why = dlerror();
        return NULL;
    }
    return &functions;
}
