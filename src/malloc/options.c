/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "malloc/core.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * "key:value,key:value", first the program's own default, then the environment's. Read in place, without
 * allocation, before main.
 */

#define DECAY_MS_DEFAULT 500
#define DECAY_MS_MAX ((uint64_t)1 << 31)

malloc_options malloc_conf = {.decay_ms = DECAY_MS_DEFAULT, .background = true};

__attribute__((weak)) const char *tarn_malloc_conf;

static bool equals(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

static void warn(const char *what, const char *text, size_t length)
{
    char line[160] = "tarn: TARN_CONF: ";
    size_t used = strlen(line);
    const char *pieces[] = {what, " \"", NULL, "\" is ignored\n"};
    for (size_t index = 0; index < sizeof pieces / sizeof *pieces; index++) {
        const char *piece = pieces[index] != NULL ? pieces[index] : text;
        const size_t size = pieces[index] != NULL ? strlen(piece) : length;
        const size_t room = sizeof line - 20 - used;
        const size_t part = size < room || pieces[index] != NULL ? size : room;
        memcpy(line + used, piece, part);
        used += part;
    }
    os_write(STDERR_FILENO, line, used);
}

static bool parse_number(const char *text, size_t length, uint64_t *number, size_t *used)
{
    uint64_t value = 0;
    size_t index = 0;
    for (; index < length && text[index] >= '0' && text[index] <= '9'; index++) {
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[index] - '0'), &value)) {
            return false;
        }
    }
    *number = value;
    *used = index;
    return index > 0;
}

static bool parse_size(const char *text, size_t length, size_t *size)
{
    uint64_t number = 0;
    size_t used = 0;
    if (!parse_number(text, length, &number, &used) || length - used > 1) {
        return false;
    }
    unsigned shift = 0;
    if (used < length) {
        const char *units = "kmgt";
        const char *unit = strchr(units, text[used] | 0x20);
        if (unit == NULL || *unit == '\0') {
            return false;
        }
        shift = (unsigned)(unit - units + 1) * 10;
    }
    if (number > SIZE_MAX >> shift) {
        return false;
    }
    *size = (size_t)number << shift;
    return true;
}

static bool parse_switch(const char *text, size_t length, bool *on)
{
    if (length != 1 || (*text != '0' && *text != '1')) {
        return false;
    }
    *on = *text == '1';
    return true;
}

static bool parse_decay(const char *text, size_t length, int64_t *decay)
{
    uint64_t number = 0;
    size_t used = 0;
    if (equals(text, length, "-1")) {
        *decay = -1;
        return true;
    }
    if (!parse_number(text, length, &number, &used) || used != length || number > DECAY_MS_MAX) {
        return false;
    }
    *decay = (int64_t)number;
    return true;
}

/* Each kind of mistake is told once per process, however often it is made. */
static void load_one(const char *text, size_t length, bool *warned_key, bool *warned_value)
{
    const char *colon = memchr(text, ':', length);
    const size_t key = colon != NULL ? (size_t)(colon - text) : length;
    const char *value = colon != NULL ? colon + 1 : text + length;
    const size_t rest = length - (size_t)(value - text);
    bool good = false;
    if (equals(text, key, "decay_ms")) {
        good = parse_decay(value, rest, &malloc_conf.decay_ms);
    } else if (equals(text, key, "limit")) {
        good = parse_size(value, rest, &malloc_conf.limit);
    } else if (equals(text, key, "background")) {
        good = parse_switch(value, rest, &malloc_conf.background);
    } else if (equals(text, key, "stats")) {
        good = parse_switch(value, rest, &malloc_conf.stats);
    } else if (equals(text, key, "compact")) {
        good = parse_switch(value, rest, &malloc_conf.compact);
    } else {
        if (!*warned_key) {
            warn("unknown key", text, key);
        }
        *warned_key = true;
        return;
    }
    if (!good && !*warned_value) {
        warn("bad value", text, length);
        *warned_value = true;
    }
}

static void load(const char *text, bool *warned_key, bool *warned_value)
{
    while (text != NULL && *text != '\0') {
        const size_t length = strcspn(text, ",");
        if (length > 0) {
            load_one(text, length, warned_key, warned_value);
        }
        text += length + (text[length] == ',');
    }
}

void options_load(void)
{
    bool warned_key = false;
    bool warned_value = false;
    load(tarn_malloc_conf, &warned_key, &warned_value);
    load(secure_getenv("TARN_CONF"), &warned_key, &warned_value);
    process_pages.limit = malloc_conf.limit;
}
