/* SPDX-License-Identifier: MIT */
/* Somebody else's program that was linked with Tarn's malloc: libc's names have to be Tarn's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    Dl_info where;
    void *function = dlsym(RTLD_DEFAULT, "malloc");
    if (function == NULL || dladdr(function, &where) == 0 ||
        strstr(where.dli_fname, "libtarn-malloc") == NULL) {
        fprintf(stderr, "consumer: malloc is not Tarn's\n");
        return 1;
    }
    void *volatile block = malloc(1000);
    if (block == NULL) {
        fprintf(stderr, "consumer: malloc gave no block\n");
        return 1;
    }
    free(block);
    printf("malloc is in %s\n", where.dli_fname);
    return 0;
}
