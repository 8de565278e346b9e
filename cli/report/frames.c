/* SPDX-License-Identifier: MIT */
#include "frames.h"

#include "cli.h"
#include "memory.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

void report_frames_init(report_frames *frames, const report_texts *texts,
                        const report_allocators *allocators)
{
    *frames = (report_frames){.texts = texts, .allocators = *allocators};
    report_frames_add(frames, (report_frame){0});
}

void report_frames_free(report_frames *frames)
{
    free(frames->all);
    free(frames->next);
    report_numbers_free(&frames->heads);
    *frames = (report_frames){0};
}

static bool is_same(const report_frame *a, const report_frame *b)
{
    return a->function == b->function && a->file == b->file && a->module == b->module &&
           a->line == b->line;
}

/* Names of functions of C++ have their parameters behind them, which nobody wants to write. */
static bool is_named(const char *function, const char *pattern)
{
    if (fnmatch(pattern, function, 0) == 0) {
        return true;
    }
    const char *parameters = strchr(function, '(');
    return parameters != NULL && parameters != function &&
           fnmatch(pattern, cli_copy_n(function, (size_t)(parameters - function)), 0) == 0;
}

/* The frame that asked for a block is the first one outside of these. */
static bool is_allocator(const report_frames *frames, const report_frame *frame)
{
    static const char *const known[] = {
        "malloc",
        "calloc",
        "realloc",
        "operator new*",
        "xmalloc",
        "xcalloc",
        "xrealloc",
        "xstrdup",
        "g_malloc*",
        "g_try_malloc*",
        "g_realloc*",
        "g_try_realloc*",
        "g_slice_alloc*",
        "g_slice_copy",
        "std::__new_allocator<*",
        "__gnu_cxx::new_allocator<*",
        "std::allocator_traits<*",
        "std::allocator<*",
        "std::_Vector_base<*>::_M_allocate(*",
        "std::*basic_string<*>::_M_create(*",
        "std::*basic_string<*>::_Rep::_S_create(*",
        "std::string::_Rep::_S_create(*",
        NULL,
    };
    const char *function = report_texts_get(frames->texts, frame->function);
    for (size_t i = 0; known[i] != NULL; i++) {
        if (fnmatch(known[i], function, 0) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < frames->allocators.count; i++) {
        if (is_named(function, frames->allocators.names[i])) {
            return true;
        }
    }
    return fnmatch("*/libtarn-record*", report_texts_get(frames->texts, frame->module), 0) == 0;
}

uint32_t report_frames_add(report_frames *frames, report_frame frame)
{
    uint64_t hash = frame.function;
    hash = hash * UINT64_C(0x9E3779B97F4A7C15) + frame.file;
    hash = hash * UINT64_C(0x9E3779B97F4A7C15) + frame.module;
    hash = hash * UINT64_C(0x9E3779B97F4A7C15) + frame.line;
    uint32_t *head = report_numbers_at(&frames->heads, hash);
    for (uint32_t i = *head; i != REPORT_NONE; i = frames->next[i]) {
        if (is_same(&frames->all[i], &frame)) {
            return i;
        }
    }
    frames->all = report_grown(frames->all, frames->count, &frames->room, sizeof *frames->all);
    frames->next =
        report_grown(frames->next, frames->count, &frames->next_room, sizeof *frames->next);
    frame.is_allocator = is_allocator(frames, &frame);
    frames->all[frames->count] = frame;
    frames->next[frames->count] = *head;
    *head = (uint32_t)frames->count;
    return (uint32_t)frames->count++;
}

bool report_frames_is_allocator(const report_frames *frames, uint32_t frame)
{
    return frames->all[frame].is_allocator;
}
