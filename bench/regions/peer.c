/* SPDX-License-Identifier: MIT */
#include "subject.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * An allocator in a shared object, by the names of its three functions.
 */

/* Some take more arguments, such as dlmalloc's create_mspace_with_base; a zero is the plain choice
 * in all that are known. A function that expects fewer does not see them in any calling convention
 * with arguments in registers. */
typedef void *wide_init(void *memory, size_t size, size_t, size_t);

static wide_init *peer_init;

static void *init(void *memory, size_t size)
{
    return peer_init(memory, size, 0, 0);
}

static void fail(const char *what, const char *which)
{
    fprintf(stderr, "driver: %s: %s\n", which, what);
    exit(EXIT_FAILURE);
}

/* POSIX lets the address of an object be that of a function; ISO C has no cast for it. */
static void look_up(void *library, const char *symbol, void *function)
{
    void *const found = dlsym(library, symbol);
    if (found == NULL) {
        fail("no such function in the shared object", symbol);
    }
    memcpy(function, &found, sizeof found);
}

/* Cuts `*rest` at the first of `marks` and returns what is before it. */
static char *cut(char **rest, const char *marks, const char *text)
{
    char *const word = strsep(rest, marks);
    if (word == NULL || *word == '\0') {
        fail("is not NAME=FILE.so:INIT,ALLOC,FREE[,offsets]", text);
    }
    return word;
}

void subject_load(bench_subject *subject, const char *text)
{
    char *const copy = strdup(text);
    char *rest = copy;
    if (copy == NULL) {
        fail("no memory", text);
    }
    *subject = (struct bench_subject){.init = init};
    snprintf(subject->name, sizeof subject->name, "%s", cut(&rest, "=", text));
    const char *const file = cut(&rest, ":", text);
    void *const library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fail(dlerror(), file);
    }
    look_up(library, cut(&rest, ",", text), &peer_init);
    look_up(library, cut(&rest, ",", text), &subject->alloc);
    look_up(library, cut(&rest, ",", text), &subject->free);
    if (rest != NULL && strcmp(rest, "offsets") != 0) {
        fail("what follows FREE may only be `offsets`", text);
    }
    subject->is_offsets = rest != NULL;
    free(copy);
}
