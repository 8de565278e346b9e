/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_TEXTS_H
#define TARN_CLI_REPORT_TEXTS_H

/*
 * Texts by number, each once. They are UTF-8: bytes that are not become U+FFFD. Number 0 is the
 * empty text.
 */

#include "numbers.h"

#include <stddef.h>
#include <stdint.h>

/* To be made by report_texts_init(). `bytes` and `ends` may be read. */
typedef struct report_texts {
    char *bytes; /* text i is [ends[i - 1], ends[i]), with a zero behind each that is not counted */
    size_t size;
    size_t room;
    uint32_t *ends; /* without the zero */
    size_t count;
    size_t end_room;
    uint32_t *next; /* the next text of the same hash */
    size_t next_room;
    report_numbers heads; /* by hash: the last text that has it */
} report_texts;

void report_texts_init(report_texts *texts);
void report_texts_free(report_texts *texts);

/* The number of a text. Texts are cut at a zero. Past 2^32 bytes of texts, the number 0. */
uint32_t report_texts_add(report_texts *texts, const char *start, size_t size);
uint32_t report_texts_add_string(report_texts *texts, const char *string);

/* The text, which ends in a zero; good until the next one is added. */
const char *report_texts_get(const report_texts *texts, uint32_t number);

/* Its bytes, without the zero. */
size_t report_texts_size(const report_texts *texts, uint32_t number);

#endif
