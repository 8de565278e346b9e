/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The hidden subcommand that `tarn run` starts once with an allocator preloaded: it uses malloc a
 * little and says which file malloc came from. What goes wrong goes wrong here and not in the
 * user's program.
 */

/* Touches what a program touches first. The volatile pointer keeps compilers from removing the
 * pairs. */
static bool use_malloc(void)
{
    for (size_t size = 1; size <= (size_t)1 << 20; size *= 4) {
        char *volatile block = malloc(size);
        if (block == NULL) {
            return false;
        }
        memset(block, 0x5a, size);
        char *volatile larger = realloc(block, size * 2);
        if (larger == NULL) {
            free(block);
            return false;
        }
        const bool kept = larger[0] == 0x5a && larger[size - 1] == 0x5a;
        free(larger);
        char *volatile zeroed = calloc(size, 1);
        const bool is_zero = zeroed != NULL && zeroed[0] == 0 && zeroed[size - 1] == 0;
        free(zeroed);
        if (!kept || !is_zero) {
            return false;
        }
    }
    return true;
}

int cli_probe(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    Dl_info info;
    void *address = dlsym(RTLD_DEFAULT, "malloc");
    if (address == NULL || dladdr(address, &info) == 0 || info.dli_fname == NULL) {
        return CLI_EXIT_FAILURE;
    }
    if (!use_malloc()) {
        return CLI_EXIT_FAILURE;
    }
    puts(info.dli_fname);
    return 0;
}
