/* SPDX-License-Identifier: MIT */
#include "pool/arena.h"
#include "tarn/arena.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*
 * Strings and bytes, made of the arena's own functions.
 */

static char *copy(tarn_arena *arena, const void *bytes, size_t size, size_t room)
{
    char *block = tarn_arena_alloc(arena, room);
    if (block != NULL && size > 0) {
        memcpy(block, bytes, size);
    }
    return block;
}

char *tarn_arena_strdup(tarn_arena *arena, const char *text)
{
    const size_t size = strlen(text) + 1;
    return copy(arena, text, size, size);
}

char *tarn_arena_strndup(tarn_arena *arena, const char *text, size_t size)
{
    const char *end = memchr(text, '\0', size);
    const size_t length = end != NULL ? (size_t)(end - text) : size;
    char *block = copy(arena, text, length, length + 1);
    if (block != NULL) {
        block[length] = '\0';
    }
    return block;
}

void *tarn_arena_memdup(tarn_arena *arena, const void *bytes, size_t size)
{
    return copy(arena, bytes, size, size);
}

char *tarn_arena_strcat(tarn_arena *arena, const char *first, ...)
{
    va_list values;
    va_list again;
    va_start(values, first);
    va_copy(again, values);
    size_t size = 1;
    for (const char *part = first; part != NULL; part = va_arg(values, const char *)) {
        size += strlen(part);
    }
    va_end(values);
    char *text = tarn_arena_alloc(arena, size);
    char *at = text;
    if (text != NULL) {
        for (const char *part = first; part != NULL; part = va_arg(again, const char *)) {
            const size_t length = strlen(part);
            memcpy(at, part, length);
            at += length;
        }
        *at = '\0';
    }
    va_end(again);
    return text;
}

/* ------------------------------------------------------------------------------------------------
 * Formatting
 */

/* Bytes of the text with its NUL; 0 if the format cannot be served. */
__attribute__((format(printf, 3, 0))) static size_t format_into(char *place, size_t room,
                                                                const char *format, va_list values)
{
    va_list copy_of_values;
    va_copy(copy_of_values, values);
    const int length = vsnprintf(place, room, format, copy_of_values);
    va_end(copy_of_values);
    return length < 0 ? 0 : (size_t)length + 1;
}

char *tarn_arena_vprintf(tarn_arena *arena, const char *format, va_list values)
{
    /* Formatted where the block would be; no room there, as always in a closed arena, is only
     * measuring. */
    unsigned char *at = arena->place.at;
    const size_t rest = (size_t)(arena->place.end - at);
    const size_t room = rest < INT_MAX ? rest : INT_MAX; /* what vsnprintf can take */
    const size_t size = format_into((char *)at, room, format, values);
    if (size == 0) {
        return NULL;
    }
    const bool fits = size <= room;
    if (!fits && arena->zero && room > 0) {
        memset(at, 0, room);
    }
    if (fits) {
        arena->place.at = at + base_align_up(size, POOL_ARENA_GRAIN);
        return (char *)at;
    }
    char *text = tarn_arena_alloc_aligned(arena, size, POOL_ARENA_GRAIN);
    if (text != NULL) {
        (void)format_into(text, size, format, values);
    }
    return text;
}

char *tarn_arena_printf(tarn_arena *arena, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    char *text = tarn_arena_vprintf(arena, format, values);
    va_end(values);
    return text;
}

char *tarn_arena_vprintf_append(tarn_arena *arena, char *text, const char *format, va_list values)
{
    if (text == NULL) {
        return tarn_arena_vprintf(arena, format, values);
    }
    const size_t more = format_into(NULL, 0, format, values);
    if (more == 0) {
        return NULL;
    }
    const size_t length = strlen(text);
    text = tarn_arena_realloc(arena, text, length + 1, length + more);
    if (text != NULL) {
        (void)format_into(text + length, more, format, values);
    }
    return text;
}

char *tarn_arena_printf_append(tarn_arena *arena, char *text, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    text = tarn_arena_vprintf_append(arena, text, format, values);
    va_end(values);
    return text;
}

void *tarn_arena_append(tarn_arena *arena, void *block, size_t size, const void *more,
                        size_t more_size)
{
    if (block == NULL) {
        return tarn_arena_memdup(arena, more, more_size);
    }
    size_t new_size;
    if (!base_checked_add(size, more_size, &new_size)) {
        new_size = SIZE_MAX; /* refused */
    }
    unsigned char *grown = tarn_arena_realloc(arena, block, size, new_size);
    if (grown != NULL && more_size > 0) {
        memcpy(grown + size, more, more_size);
    }
    return grown;
}
