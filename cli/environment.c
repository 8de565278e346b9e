/* SPDX-License-Identifier: MIT */
#include "environment.h"

#include "cli.h"

#include <string.h>
#include <unistd.h>

char **cli_environment_with(char *const *base, const char *name, const char *value)
{
    const size_t name_size = strlen(name);
    size_t count = 0;
    base = base != NULL ? base : environ;
    while (base != NULL && base[count] != NULL) {
        count++;
    }
    char **copy = cli_alloc((count + 2) * sizeof *copy);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(base[i], name, name_size) != 0 || base[i][name_size] != '=') {
            copy[kept++] = base[i];
        }
    }
    if (value != NULL) {
        copy[kept] = cli_format("%s=%s", name, value);
    }
    return copy;
}
