/* SPDX-License-Identifier: MIT */
#include "modules.h"

#include "memory.h"

#include <stdlib.h>
#include <string.h>

void report_modules_free(report_modules *modules)
{
    free(modules->all);
    free(modules->present);
    *modules = (report_modules){0};
}

static uint64_t end_of(const report_module *module)
{
    return module->size <= UINT64_MAX - module->start ? module->start + module->size : UINT64_MAX;
}

/* The first one present that ends behind the address. */
static size_t first_behind(const report_modules *modules, uint64_t address)
{
    size_t low = 0;
    size_t high = modules->present_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (end_of(&modules->all[modules->present[middle]]) > address) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static uint32_t digits_of(report_texts *texts, trace_text bytes)
{
    enum { BYTES_MAX = 64 };
    static const char digits[] = "0123456789abcdef";
    char text[2 * BYTES_MAX];
    const size_t count = bytes.size < BYTES_MAX ? bytes.size : BYTES_MAX;
    for (size_t i = 0; i < count; i++) {
        const unsigned char byte = (unsigned char)bytes.start[i];
        text[2 * i] = digits[byte >> 4];
        text[2 * i + 1] = digits[byte & 15];
    }
    return report_texts_add(texts, text, 2 * count);
}

static bool is_same(const report_module *a, const report_module *b)
{
    return a->start == b->start && a->size == b->size && a->bias == b->bias && a->path == b->path &&
           a->build_id == b->build_id;
}

/* Modules are few, and defined seldom. */
static uint32_t number_of(report_modules *modules, const report_module *module)
{
    for (size_t i = 0; i < modules->count; i++) {
        if (is_same(&modules->all[i], module)) {
            return (uint32_t)i;
        }
    }
    modules->all = report_grown(modules->all, modules->count, &modules->room, sizeof *modules->all);
    modules->all[modules->count] = *module;
    return (uint32_t)modules->count++;
}

void report_modules_define(report_modules *modules, report_texts *texts,
                           const trace_module *defined)
{
    const report_module module = {
        .start = defined->start,
        .size = defined->size,
        .bias = defined->bias,
        .path = report_texts_add(texts, defined->path.start, defined->path.size),
        .build_id = digits_of(texts, defined->build_id),
    };
    /* One of no size says that what begins there is gone. */
    const uint64_t end = module.size != 0 ? end_of(&module) : module.start + 1;
    const size_t from = first_behind(modules, module.start);
    size_t to = from;
    while (to < modules->present_count && modules->all[modules->present[to]].start < end) {
        to++;
    }
    modules->present = report_grown(modules->present, modules->present_count,
                                    &modules->present_room, sizeof *modules->present);
    const size_t kept = module.size != 0 ? 1 : 0;
    memmove(modules->present + from + kept, modules->present + to,
            (modules->present_count - to) * sizeof *modules->present);
    modules->present_count = modules->present_count - (to - from) + kept;
    if (kept != 0) {
        modules->present[from] = number_of(modules, &module);
    }
}

uint32_t report_modules_find(const report_modules *modules, uint64_t address)
{
    const size_t at = first_behind(modules, address);
    if (at < modules->present_count && modules->all[modules->present[at]].start <= address) {
        return modules->present[at];
    }
    return REPORT_NONE;
}
