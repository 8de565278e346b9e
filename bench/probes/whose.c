/* SPDX-License-Identifier: MIT */

/* Prints the path of the object whose malloc answers, so that bench/run can tell a library that
 * was loaded from one that the loader passed over with a warning. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    Dl_info info;
    void *symbol = dlsym(RTLD_DEFAULT, "malloc");
    if (symbol == NULL || dladdr(symbol, &info) == 0 || info.dli_fname == NULL) {
        fprintf(stderr, "whose: nobody answers for malloc\n");
        return EXIT_FAILURE;
    }
    free(malloc(1));
    puts(info.dli_fname);
    return EXIT_SUCCESS;
}
