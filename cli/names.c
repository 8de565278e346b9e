/* SPDX-License-Identifier: MIT */
#include "names.h"

#include "cli.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SIZE = 64 };

/* FNV-1a, with its high half folded in: the low bits alone choose the place. */
static size_t hash(const char *text)
{
    uint64_t value = UINT64_C(0xcbf29ce484222325);
    for (; *text != '\0'; text++) {
        value = (value ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    }
    return (size_t)(value ^ value >> 32);
}

static cli_name *place_of(const cli_names *names, const char *text)
{
    size_t at = hash(text) & (names->size - 1);
    while (names->places[at].text != NULL && strcmp(names->places[at].text, text) != 0) {
        at = (at + 1) & (names->size - 1);
    }
    return &names->places[at];
}

static void grow(cli_names *names)
{
    const cli_names old = *names;
    names->size = old.size > 0 ? old.size * 2 : FIRST_SIZE;
    names->places = calloc(names->size, sizeof *names->places);
    if (names->places == NULL) {
        cli_fail_errno("%zu names", names->count);
    }
    for (size_t i = 0; i < old.size; i++) {
        if (old.places[i].text != NULL) {
            *place_of(names, old.places[i].text) = old.places[i];
        }
    }
    free(old.places);
}

cli_name *cli_names_find(cli_names *names, const char *text)
{
    if (names->count >= names->size / 2) {
        grow(names);
    }
    cli_name *name = place_of(names, text);
    if (name->text == NULL) {
        *name = (cli_name){.text = text};
        names->count++;
    }
    return name;
}

void cli_names_free(cli_names *names)
{
    free(names->places);
    *names = (cli_names){0};
}
