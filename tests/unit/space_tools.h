/* SPDX-License-Identifier: MIT */
#ifndef TARN_TESTS_SPACE_TOOLS_H
#define TARN_TESTS_SPACE_TOOLS_H

/*
 * What the tests of spaces share. Include it after cmocka.h.
 */

#include "tarn/space.h"

#include <string.h>

#define PAGE ((uint64_t)TARN_FRAME_SIZE)

enum { RW = TARN_PAGE_WRITABLE | TARN_PAGE_USER, RO = TARN_PAGE_USER };

static inline void space_is_sound(tarn_space *space)
{
    char fault[200] = "";
    if (!tarn_space_check(space, fault, sizeof fault)) {
        fail_msg("%s", fault);
    }
}

static inline void frames_are_sound(tarn_frames *frames)
{
    char fault[200] = "";
    if (!tarn_frames_check(frames, fault, sizeof fault)) {
        fail_msg("%s", fault);
    }
}

static inline void make_frames(tarn_frames *frames, size_t count)
{
    assert_int_equal(tarn_frames_init(frames, &(tarn_frames_options){.count = count}), TARN_OK);
}

static inline void make_space(tarn_space *space, tarn_frames *frames)
{
    assert_int_equal(tarn_space_init(space, &(tarn_space_options){.frames = frames}), TARN_OK);
}

static inline tarn_status map(tarn_space *space, uint64_t page, uint64_t count, unsigned access)
{
    return tarn_space_map(space, page * PAGE, count * PAGE, &(tarn_map_options){.access = access});
}

static inline void put(tarn_space *space, uint64_t address, const char *text)
{
    assert_int_equal(tarn_space_write(space, address, text, strlen(text) + 1, 0, NULL),
                     TARN_FAULT_NONE);
}

static inline void assert_text(tarn_space *space, uint64_t address, const char *text)
{
    char there[100];
    assert_true(strlen(text) < sizeof there);
    assert_int_equal(tarn_space_read(space, address, there, strlen(text) + 1, 0, NULL),
                     TARN_FAULT_NONE);
    assert_string_equal(there, text);
}

/* Ends what a test made, and looks that nothing was lost. */
static inline void end_frames(tarn_frames *frames)
{
    frames_are_sound(frames);
    assert_int_equal(tarn_frames_stats(frames).used, 0);
    assert_int_equal(tarn_frames_stats(frames).reserved, 0);
    tarn_frames_deinit(frames);
}

#endif
