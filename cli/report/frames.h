/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_REPORT_FRAMES_H
#define TARN_CLI_REPORT_FRAMES_H

/* The frames that stacks are shown with, as places in programs, each once. Frame 0 is nowhere. */

#include "texts.h"

#include <stdbool.h>

typedef struct report_frame {
    uint32_t function; /* texts */
    uint32_t file;
    uint32_t module;
    uint32_t line;     /* 0: not known */
    bool is_allocator; /* it belongs to who hands memory out; report_frames_add() says so */
} report_frame;

/* Functions that hand memory out, beside those that are known: patterns of the shell for names. */
typedef struct report_allocators {
    const char *const *names;
    size_t count;
} report_allocators;

/* To be made by report_frames_init(). */
typedef struct report_frames {
    const report_texts *texts;
    report_allocators allocators;
    report_frame *all;
    size_t count;
    size_t room;
    uint32_t *next; /* private: the next frame of the same hash */
    size_t next_room;
    report_numbers heads; /* private */
} report_frames;

/* What is given must outlive the frames. */
void report_frames_init(report_frames *frames, const report_texts *texts,
                        const report_allocators *allocators);
void report_frames_free(report_frames *frames);

/* The number of a frame. */
uint32_t report_frames_add(report_frames *frames, report_frame frame);

/* True if it belongs to who hands memory out rather than to who asked for it. */
bool report_frames_is_allocator(const report_frames *frames, uint32_t frame);

#endif
