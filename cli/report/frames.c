/* SPDX-License-Identifier: MIT */
#include "frames.h"

#include "memory.h"

#include <stdlib.h>
#include <string.h>

void report_frames_init(report_frames *frames)
{
    *frames = (report_frames){0};
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
    frames->all[frames->count] = frame;
    frames->next[frames->count] = *head;
    *head = (uint32_t)frames->count;
    return (uint32_t)frames->count++;
}

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

bool report_frames_is_allocator(const report_frames *frames, const report_texts *texts,
                                uint32_t frame)
{
    static const char *const names[] = {"malloc", "calloc", "realloc", NULL};
    static const char *const starts[] = {
        "operator new",           "std::__new_allocator<", "__gnu_cxx::new_allocator<",
        "std::allocator_traits<", "std::allocator<",       NULL};
    const char *function = report_texts_get(texts, frames->all[frame].function);
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strcmp(function, names[i]) == 0) {
            return true;
        }
    }
    for (size_t i = 0; starts[i] != NULL; i++) {
        if (begins_with(function, starts[i])) {
            return true;
        }
    }
    const char *module = report_texts_get(texts, frames->all[frame].module);
    const char *slash = strrchr(module, '/');
    return begins_with(slash != NULL ? slash + 1 : module, "libtarn-record");
}
