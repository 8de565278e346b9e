/* SPDX-License-Identifier: MIT */
#include "options.h"

#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef struct scale {
    const char *name;
    double size;
} scale;

static size_t count_options(const struct option *options)
{
    size_t count = 0;
    while (options[count].name != NULL) {
        count++;
    }
    return count;
}

void cli_option_report(const struct option *options, int result, const char *word)
{
    const size_t count = count_options(options);
    const char **names = cli_alloc((count + 1) * sizeof *names);
    for (size_t i = 0; i < count; i++) {
        names[i] = cli_format("--%s", options[i].name);
    }
    /* `optopt` is a letter, or the value of a long option that was found and used wrongly, or 0. */
    const struct option *found = NULL;
    for (size_t i = 0; i < count; i++) {
        found = options[i].val == optopt && strncmp(word, "--", 2) == 0 ? &options[i] : found;
    }
    if (result == ':') {
        cli_usage_error("%s takes a value", found != NULL ? cli_format("--%s", found->name)
                                                          : cli_format("-%c", optopt));
    } else if (found != NULL) {
        cli_usage_error("--%s takes no value", found->name);
    } else if (optopt != 0) {
        cli_unknown("option", cli_format("-%c", optopt), names);
    } else {
        cli_unknown("option", cli_copy_n(word, strcspn(word, "=")), names);
    }
}

bool cli_option_count(const char *name, const char *text, uint64_t least, uint64_t most,
                      uint64_t *count)
{
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || text[0] < '0' || text[0] > '9' || *end != '\0' || value < least ||
        value > most) {
        cli_usage_error("--%s takes a number from %" PRIu64 " to %" PRIu64 ", not '%s'", name,
                        least, most, text);
        return false;
    }
    *count = value;
    return true;
}

bool cli_option_bytes(const char *name, const char *text, int64_t *bytes)
{
    static const char *const suffixes[] = {"", "K", "M", "G", "", "KiB", "MiB", "GiB"};
    char *end = NULL;
    errno = 0;
    const long long value = text[0] >= '0' && text[0] <= '9' ? strtoll(text, &end, 10) : 0;
    for (size_t i = 0;
         end != NULL && errno == 0 && value > 0 && i < sizeof suffixes / sizeof suffixes[0]; i++) {
        const unsigned shift = (unsigned)(i % 4 * 10);
        if (strcmp(end, suffixes[i]) == 0 && value <= INT64_MAX >> shift) {
            *bytes = (int64_t)((uint64_t)value << shift);
            return true;
        }
    }
    cli_usage_error("--%s takes a number of bytes from 1 on, such as 1048576 or 512KiB, not '%s'",
                    name, text);
    return false;
}

bool cli_option_time(const char *name, const char *text, uint64_t *milliseconds)
{
    static const scale units[] = {{"s", 1e3},    {"", 1e3},   {"ms", 1},
                                  {"min", 60e3}, {"m", 60e3}, {"h", 3600e3}};
    static const double most = 366 * 24 * 3600e3;
    char *end = NULL;
    const bool is_number = text[0] >= '0' && text[0] <= '9' && text[1] != 'x' && text[1] != 'X';
    const double value = is_number ? strtod(text, &end) : 0;
    for (size_t i = 0; end != NULL && value > 0 && i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].name) == 0 && value * units[i].size <= most) {
            const double rounded = value * units[i].size + 0.5;
            *milliseconds = rounded < 1 ? 1 : (uint64_t)rounded;
            return true;
        }
    }
    cli_usage_error("--%s takes a time above 0, such as 500ms, 10s or 5min, not '%s'", name, text);
    return false;
}
