/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload_test.h"

#include <malloc.h>

/* As glibc does: programs written against it count on both. */

int main(void)
{
    const size_t sizes[] = {1, 8, 24, 1000, 32768, 40000, 300000, 3 * MIB, 64 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *block = realloc(opaque(NULL), sizes[i]);
        CHECK(block != NULL, "realloc(NULL, %zu)", sizes[i]);
        block[0] = 1;
        block[sizes[i] - 1] = 1;
        errno = 1234;
        block = opaque(realloc(block, opaque_size(0)));
        CHECK(block == NULL, "realloc(p, 0) of %zu bytes gave %p", sizes[i], (void *)block);
        CHECK(errno == 1234, "realloc(p, 0) is no failure");

        block = reallocarray(NULL, sizes[i], 2);
        CHECK(block != NULL, "reallocarray(NULL, %zu, 2)", sizes[i]);
        CHECK(opaque(reallocarray(block, opaque_size(0), 8)) == NULL, "reallocarray(p, 0, 8)");
        block = reallocarray(NULL, sizes[i], 1);
        CHECK(opaque(reallocarray(block, 8, opaque_size(0))) == NULL, "reallocarray(p, 8, 0)");
    }

    /* realloc(NULL, 0) is malloc(0): a block of its own. */
    void *one = opaque(realloc(opaque(NULL), 0));
    void *two = opaque(realloc(opaque(NULL), 0));
    CHECK(one != NULL && two != NULL && one != two, "realloc(NULL, 0): %p and %p", one, two);
    free(one);
    free(two);

    /* That realloc(p, 0) really frees: otherwise this takes a gigabyte. */
    for (int i = 0; i < 10000; i++) {
        char *block = malloc(100000);
        CHECK(block != NULL, "malloc number %d", i);
        memset(block, 1, 100000);
        CHECK(opaque(realloc(block, opaque_size(0))) == NULL, "realloc(p, 0)");
    }
    CHECK(resident() < 64 * MIB, "realloc(p, 0) kept %zu bytes", resident());
    return 0;
}
