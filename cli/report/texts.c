/* SPDX-License-Identifier: MIT */
#include "texts.h"

#include "memory.h"
#include "utf8.h"

#include <stdlib.h>
#include <string.h>

void report_texts_init(report_texts *texts)
{
    *texts = (report_texts){0};
    report_texts_add(texts, "", 0);
}

void report_texts_free(report_texts *texts)
{
    free(texts->bytes);
    free(texts->ends);
    free(texts->next);
    report_numbers_free(&texts->heads);
    *texts = (report_texts){0};
}

static uint64_t hash_of(const char *text, size_t size)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001B3);
    }
    return hash;
}

static size_t start_of(const report_texts *texts, uint32_t number)
{
    return number == 0 ? 0 : (size_t)texts->ends[number - 1] + 1;
}

static bool is_text(const report_texts *texts, uint32_t number, const char *text, size_t size)
{
    const size_t start = start_of(texts, number);
    return texts->ends[number] - start == size && memcmp(texts->bytes + start, text, size) == 0;
}

/* Puts what is UTF-8 of the text behind the others, with a zero; returns its size. */
static size_t append(report_texts *texts, const char *text, size_t size)
{
    const size_t needed = texts->size + 3 * size + 1;
    if (needed > texts->room) {
        texts->room = needed + needed / 2;
        texts->bytes = report_resized(texts->bytes, texts->room, 1);
    }
    char *to = texts->bytes + texts->size;
    for (size_t i = 0; i < size && text[i] != '\0';) {
        char letter[5] = "";
        memcpy(letter, text + i, size - i < 4 ? size - i : 4);
        const size_t bytes = cli_utf8_size(letter);
        memcpy(to, bytes != 0 ? letter : "\xEF\xBF\xBD", bytes != 0 ? bytes : 3);
        to += bytes != 0 ? bytes : 3;
        i += bytes != 0 ? bytes : 1;
    }
    *to = '\0';
    return (size_t)(to - texts->bytes) - texts->size;
}

uint32_t report_texts_add(report_texts *texts, const char *start, size_t size)
{
    if (texts->size + 3 * size + 1 > UINT32_MAX) {
        return 0;
    }
    const size_t length = append(texts, start, size);
    const char *text = texts->bytes + texts->size;
    uint32_t *head = report_numbers_at(&texts->heads, hash_of(text, length));
    for (uint32_t i = *head; i != REPORT_NONE; i = texts->next[i]) {
        if (is_text(texts, i, text, length)) {
            return i;
        }
    }
    texts->ends = report_grown(texts->ends, texts->count, &texts->end_room, sizeof *texts->ends);
    texts->next = report_grown(texts->next, texts->count, &texts->next_room, sizeof *texts->next);
    texts->ends[texts->count] = (uint32_t)(texts->size + length);
    texts->next[texts->count] = *head;
    texts->size += length + 1;
    *head = (uint32_t)texts->count;
    return (uint32_t)texts->count++;
}

uint32_t report_texts_add_string(report_texts *texts, const char *string)
{
    return report_texts_add(texts, string, strlen(string));
}

const char *report_texts_get(const report_texts *texts, uint32_t number)
{
    return texts->bytes + start_of(texts, number);
}

size_t report_texts_size(const report_texts *texts, uint32_t number)
{
    return texts->ends[number] - start_of(texts, number);
}
