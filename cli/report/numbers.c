/* SPDX-License-Identifier: MIT */
#include "numbers.h"

#include "memory.h"

#include <stdlib.h>
#include <string.h>

/* Invariant: at most half of the places are taken, so that every search ends. */

enum { PLACES_AT_FIRST = 64 };

static size_t place_of(const report_numbers *numbers, uint64_t key)
{
    uint64_t hash = key * UINT64_C(0x9E3779B97F4A7C15);
    hash ^= hash >> 32;
    size_t at = (size_t)(hash * UINT64_C(0xBF58476D1CE4E5B9) >> 20) & numbers->mask;
    while (numbers->values[at] != REPORT_NONE && numbers->keys[at] != key) {
        at = (at + 1) & numbers->mask;
    }
    return at;
}

static void make_places(report_numbers *numbers, size_t count)
{
    numbers->keys = report_resized(NULL, count, sizeof *numbers->keys);
    numbers->values = report_resized(NULL, count, sizeof *numbers->values);
    memset(numbers->values, 0xff, count * sizeof *numbers->values);
    numbers->mask = count - 1;
}

static void grow(report_numbers *numbers)
{
    const report_numbers old = *numbers;
    const size_t places = old.values != NULL ? old.mask + 1 : 0;
    make_places(numbers, places != 0 ? places * 2 : PLACES_AT_FIRST);
    for (size_t i = 0; i < places; i++) {
        if (old.values[i] != REPORT_NONE) {
            const size_t at = place_of(numbers, old.keys[i]);
            numbers->keys[at] = old.keys[i];
            numbers->values[at] = old.values[i];
        }
    }
    free(old.keys);
    free(old.values);
}

void report_numbers_free(report_numbers *numbers)
{
    free(numbers->keys);
    free(numbers->values);
    *numbers = (report_numbers){0};
}

uint32_t report_numbers_find(const report_numbers *numbers, uint64_t key)
{
    return numbers->values != NULL ? numbers->values[place_of(numbers, key)] : REPORT_NONE;
}

uint32_t *report_numbers_at(report_numbers *numbers, uint64_t key)
{
    if (numbers->values == NULL || (numbers->count + 1) * 2 > numbers->mask + 1) {
        grow(numbers);
    }
    const size_t at = place_of(numbers, key);
    if (numbers->values[at] == REPORT_NONE) {
        numbers->keys[at] = key;
        numbers->count++;
    }
    return &numbers->values[at];
}
