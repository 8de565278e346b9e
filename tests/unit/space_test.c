/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tarn/heaps.h"
#include "tarn/space.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unit/fatal.h"
#include "unit/space_tools.h"

#define TOP (UINT64_C(1) << 47)      /* behind the lower half */
#define UPPER (UINT64_MAX - TOP + 1) /* start of the upper half */

static void an_address_leads_to_its_frame_and_offset(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    make_frames(&frames, 16);
    make_space(&space, &frames);
    assert_int_equal(map(&space, 0x123456, 3, RW), TARN_OK);
    for (uint64_t i = 0; i < 3; i++) {
        tarn_frame frame = 0;
        const uint64_t address = (0x123456 + i) * PAGE + 0x789;
        const tarn_translation walked = tarn_space_walk(&space, address, TARN_ACCESS_READ);
        const tarn_translation hit = tarn_space_translate(&space, address, TARN_ACCESS_READ);
        assert_int_equal(tarn_space_look(&space, address, &frame) & TARN_PAGE_PRESENT, 1);
        assert_int_equal(walked.fault, TARN_FAULT_NONE);
        assert_int_equal(walked.frame, frame);
        assert_int_equal(walked.offset, 0x789);
        assert_int_equal(hit.frame, frame);
        assert_int_equal(hit.offset, 0x789);
    }
    assert_int_equal(tarn_space_stats(&space).walks, 3);
    space_is_sound(&space);
    tarn_space_deinit(&space);
    end_frames(&frames);
}

static void faults_say_what_is_wrong_and_at_which_level(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    make_frames(&frames, 16);
    make_space(&space, &frames);
    assert_int_equal(map(&space, 5, 1, RO), TARN_OK);
    assert_int_equal(map(&space, 6, 1, TARN_PAGE_WRITABLE), TARN_OK);
    static const struct {
        uint64_t address;
        unsigned access;
        tarn_fault fault;
        unsigned level;
    } cases[] = {
        {5 * PAGE, TARN_ACCESS_READ, TARN_FAULT_NONE, 1},
        {5 * PAGE, TARN_ACCESS_USER, TARN_FAULT_NONE, 0},
        {5 * PAGE, TARN_ACCESS_WRITE, TARN_FAULT_PROTECTION, 1},
        {6 * PAGE, TARN_ACCESS_WRITE, TARN_FAULT_NONE, 1},
        {6 * PAGE, TARN_ACCESS_USER, TARN_FAULT_PROTECTION, 1},
        {6 * PAGE, TARN_ACCESS_USER | TARN_ACCESS_WRITE, TARN_FAULT_PROTECTION, 1},
        {7 * PAGE, TARN_ACCESS_READ, TARN_FAULT_NOT_PRESENT, 1},
        {512 * PAGE, TARN_ACCESS_READ, TARN_FAULT_NOT_PRESENT, 2},
        {UINT64_C(1) << 30, TARN_ACCESS_READ, TARN_FAULT_NOT_PRESENT, 3},
        {UINT64_C(1) << 39, TARN_ACCESS_READ, TARN_FAULT_NOT_PRESENT, 4},
        {UPPER, TARN_ACCESS_READ, TARN_FAULT_NOT_PRESENT, 4},
        {TOP - 1, TARN_ACCESS_READ, TARN_FAULT_NOT_PRESENT, 4},
        {TOP, TARN_ACCESS_READ, TARN_FAULT_NON_CANONICAL, 0},
        {UPPER - 1, TARN_ACCESS_READ, TARN_FAULT_NON_CANONICAL, 0},
        {5 * PAGE | UINT64_C(1) << 63, TARN_ACCESS_READ, TARN_FAULT_NON_CANONICAL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const tarn_translation to = tarn_space_translate(&space, cases[i].address, cases[i].access);
        assert_int_equal(to.fault, cases[i].fault);
        assert_int_equal(to.level, cases[i].level);
        assert_int_equal(to.frame != 0, cases[i].fault == TARN_FAULT_NONE);
    }
    assert_int_equal(tarn_space_stats(&space).faults, 12);
    for (int fault = 0; fault <= TARN_FAULT_LIMIT; fault++) {
        for (int other = 0; other < fault; other++) {
            assert_string_not_equal(tarn_fault_text((tarn_fault)fault),
                                    tarn_fault_text((tarn_fault)other));
        }
    }
    assert_non_null(tarn_fault_text((tarn_fault)99));
    tarn_space_deinit(&space);
    end_frames(&frames);
}

static void two_spaces_have_the_same_address_and_cannot_see_each_other(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space one;
    tarn_space other;
    make_frames(&frames, 64);
    make_space(&one, &frames);
    make_space(&other, &frames);
    assert_int_equal(map(&one, 10, 8, RW), TARN_OK);
    assert_int_equal(map(&other, 10, 4, RW), TARN_OK);
    for (uint64_t i = 0; i < 8; i++) {
        put(&one, (10 + i) * PAGE, "mine");
        if (i < 4) {
            put(&other, (10 + i) * PAGE, "yours");
        }
    }
    /* Every address of the one that is none of the other faults, and no frame is in both. */
    for (uint64_t page = 0; page < 64; page++) {
        tarn_frame frame = 0;
        tarn_frame second = 0;
        char text[8] = "";
        const bool has_one = tarn_space_look(&one, page * PAGE, &frame) != 0;
        const bool has_other = tarn_space_look(&other, page * PAGE, &second) != 0;
        assert_int_equal(has_one, page >= 10 && page < 18);
        assert_int_equal(has_other, page >= 10 && page < 14);
        assert_true(!has_one || frame != second);
        if (!has_other) {
            assert_int_equal(tarn_space_read(&other, page * PAGE, text, 5, 0, NULL),
                             TARN_FAULT_NOT_PRESENT);
        } else {
            assert_text(&other, page * PAGE, "yours");
            assert_text(&one, page * PAGE, "mine");
        }
    }
    tarn_space_deinit(&one);
    /* What the other gets of the frames now is zero. */
    assert_int_equal(map(&other, 100, 40, RW), TARN_OK);
    for (uint64_t i = 0; i < 40; i++) {
        assert_text(&other, (100 + i) * PAGE, "");
    }
    tarn_space_deinit(&other);
    end_frames(&frames);
}

static void bytes_cross_borders_of_pages_and_tables(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    static unsigned char bytes[6 * 4096];
    static unsigned char back[sizeof bytes];
    make_frames(&frames, 64);
    make_space(&space, &frames);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(i * 7 + i / 4096);
    }
    static const uint64_t starts[] = {512 - 3, (512 * 512) - 3, (UINT64_C(512) * 512 * 512) - 3};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(map(&space, starts[i], 7, RW), TARN_OK);
        const uint64_t address = starts[i] * PAGE + 100;
        assert_int_equal(tarn_space_write(&space, address, bytes, sizeof bytes, 0, NULL),
                         TARN_FAULT_NONE);
        memset(back, 0, sizeof back);
        assert_int_equal(tarn_space_read(&space, address, back, sizeof back, 0, NULL),
                         TARN_FAULT_NONE);
        assert_memory_equal(bytes, back, sizeof bytes);
    }
    assert_int_equal(tarn_space_read(&space, 77, back, 0, 0, NULL), TARN_FAULT_NONE);
    space_is_sound(&space);
    tarn_space_deinit(&space);
    end_frames(&frames);
}

static void a_write_that_faults_half_way_has_written_nothing(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    uint64_t where = 0;
    static char text[3 * 4096];
    make_frames(&frames, 16);
    make_space(&space, &frames);
    assert_int_equal(map(&space, 1, 2, RW), TARN_OK);
    assert_int_equal(map(&space, 4, 1, RO), TARN_OK);
    memset(text, 'x', sizeof text);
    assert_int_equal(tarn_space_write(&space, 2 * PAGE - 10, text, 2 * 4096, 0, &where),
                     TARN_FAULT_NOT_PRESENT);
    assert_int_equal(where, 3 * PAGE);
    assert_text(&space, 2 * PAGE - 10, "");
    assert_int_equal(tarn_space_write(&space, 4 * PAGE, text, 1, 0, &where), TARN_FAULT_PROTECTION);
    assert_int_equal(tarn_space_read(&space, 4 * PAGE, text, 4097, TARN_ACCESS_USER, &where),
                     TARN_FAULT_NOT_PRESENT);
    assert_int_equal(where, 5 * PAGE);
    assert_int_equal(text[0], 'x');
    /* The last address there is. */
    assert_int_equal(tarn_space_map(&space, UINT64_MAX - PAGE + 1, PAGE, NULL), TARN_OK);
    assert_int_equal(tarn_space_read(&space, UINT64_MAX, text, 2, 0, &where),
                     TARN_FAULT_NON_CANONICAL);
    assert_int_equal(where, UINT64_MAX);
    assert_int_equal(tarn_space_read(&space, UINT64_MAX, text, 1, 0, &where), TARN_FAULT_NONE);
    tarn_space_deinit(&space);
    end_frames(&frames);
}

static void accesses_leave_their_bits_as_a_processor_does(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    const unsigned both = TARN_PAGE_ACCESSED | TARN_PAGE_DIRTY;
    make_frames(&frames, 16);
    make_space(&space, &frames);
    assert_int_equal(map(&space, 1, 2, RW), TARN_OK);
    assert_int_equal(tarn_space_look(&space, PAGE, NULL) & both, 0);
    (void)tarn_space_translate(&space, PAGE, TARN_ACCESS_READ);
    assert_int_equal(tarn_space_look(&space, PAGE, NULL) & both, TARN_PAGE_ACCESSED);
    /* A read is in the buffer; a write has to find its way through it to the table. */
    (void)tarn_space_translate(&space, PAGE, TARN_ACCESS_WRITE);
    assert_int_equal(tarn_space_look(&space, PAGE, NULL) & both, both);
    assert_int_equal(tarn_space_clear(&space, PAGE, PAGE, TARN_PAGE_DIRTY), TARN_OK);
    assert_int_equal(tarn_space_look(&space, PAGE, NULL) & both, TARN_PAGE_ACCESSED);
    (void)tarn_space_translate(&space, PAGE, TARN_ACCESS_WRITE);
    assert_int_equal(tarn_space_look(&space, PAGE, NULL) & both, both);
    assert_int_equal(tarn_space_clear(&space, PAGE, 2 * PAGE, both), TARN_OK);
    assert_int_equal(tarn_space_look(&space, PAGE, NULL) & both, 0);
    assert_int_equal(tarn_space_clear(&space, PAGE, PAGE, TARN_PAGE_WRITABLE), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_space_look(&space, 2 * PAGE, NULL) & both, 0);
    space_is_sound(&space);
    tarn_space_deinit(&space);
    end_frames(&frames);
}

static void the_buffer_forgets_exactly_what_has_changed(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    make_frames(&frames, 1024);
    make_space(&space, &frames);
    assert_int_equal(map(&space, 0, 1000, RW), TARN_OK);
    for (uint64_t page = 0; page < 200; page++) {
        assert_int_equal(tarn_space_translate(&space, page * PAGE, TARN_ACCESS_WRITE).fault, 0);
    }
    uint64_t walks = tarn_space_stats(&space).walks;
    for (uint64_t page = 0; page < 200; page++) {
        assert_int_equal(tarn_space_translate(&space, page * PAGE, TARN_ACCESS_WRITE).fault, 0);
    }
    assert_int_equal(tarn_space_stats(&space).walks, walks);
    assert_int_equal(tarn_space_unmap(&space, 50 * PAGE, 10 * PAGE), TARN_OK);
    assert_int_equal(tarn_space_protect(&space, 60 * PAGE, 10 * PAGE, RO), TARN_OK);
    for (uint64_t page = 0; page < 200; page++) {
        const tarn_fault wanted = page < 50 || page >= 70 ? TARN_FAULT_NONE
                                  : page < 60             ? TARN_FAULT_NOT_PRESENT
                                                          : TARN_FAULT_PROTECTION;
        assert_int_equal(tarn_space_translate(&space, page * PAGE, TARN_ACCESS_WRITE).fault,
                         wanted);
    }
    assert_int_equal(tarn_space_stats(&space).walks, walks + 20);
    /* More pages than the buffer has sets. */
    assert_int_equal(tarn_space_unmap(&space, 0, 1000 * PAGE), TARN_OK);
    for (uint64_t page = 0; page < 200; page++) {
        assert_int_equal(tarn_space_translate(&space, page * PAGE, TARN_ACCESS_READ).fault,
                         TARN_FAULT_NOT_PRESENT);
    }
    space_is_sound(&space);
    tarn_space_deinit(&space);
    end_frames(&frames);
}

static void mappings_that_cannot_be_are_refused_and_change_nothing(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    make_frames(&frames, 64);
    assert_int_equal(
        tarn_space_init(&space, &(tarn_space_options){.frames = &frames, .limit = 1000 * PAGE}),
        TARN_OK);
    assert_int_equal(map(&space, 10, 4, RW), TARN_OK);
    const tarn_page_stats before = tarn_space_stats(&space);
    assert_int_equal(tarn_space_map(&space, PAGE, 0, NULL), TARN_BAD_LAYOUT);
    assert_int_equal(tarn_space_map(&space, PAGE + 1, PAGE, NULL), TARN_BAD_LAYOUT);
    assert_int_equal(tarn_space_map(&space, PAGE, PAGE + 8, NULL), TARN_BAD_LAYOUT);
    assert_int_equal(map(&space, 999, 2, RW), TARN_BAD_ARGUMENT);
    assert_int_equal(map(&space, 1000, 1, RW), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_space_map(&space, UINT64_MAX - PAGE + 1, PAGE, NULL), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_space_map(&space, UINT64_MAX - PAGE + 1, 2 * PAGE, NULL),
                     TARN_BAD_ARGUMENT);
    assert_int_equal(map(&space, 8, 3, RW), TARN_BUSY);
    assert_int_equal(map(&space, 13, 3, RW), TARN_BUSY);
    assert_int_equal(map(&space, 9, 6, RW), TARN_BUSY);
    assert_int_equal(map(&space, 100, 61, RW), TARN_NO_ROOM);
    assert_int_equal(map(&space, 100, 800, RW), TARN_NO_ROOM);
    assert_int_equal(map(&space, 100, 1, 0x800), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_space_map(&space, 0, PAGE, &(tarn_map_options){.frame = UINT32_MAX}),
                     TARN_BAD_ARGUMENT);
    assert_int_equal(
        tarn_space_map(&space, 0, PAGE, &(tarn_map_options){.frame = frames.total - 1}),
        TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_space_map(&space, 0, PAGE, &(tarn_map_options){.limit = PAGE + 1}),
                     TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_space_protect(&space, 12 * PAGE, 4 * PAGE, RO), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_space_protect(&space, 10 * PAGE, PAGE, TARN_PAGE_DIRTY),
                     TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_space_share(&space, 20 * PAGE, &space, 12 * PAGE, 4 * PAGE, RW),
                     TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_space_share(&space, 11 * PAGE, &space, 12 * PAGE, 2 * PAGE, RW),
                     TARN_BUSY);
    const tarn_page_stats after = tarn_space_stats(&space);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(tarn_frames_stats(&frames).used, 4);
    assert_int_equal(tarn_frames_stats(&frames).reserved, 0);
    space_is_sound(&space);
    tarn_space_deinit(&space);

    /* All addresses: the gap between the halves is none. */
    make_space(&space, &frames);
    assert_int_equal(tarn_space_map(&space, TOP - PAGE, 2 * PAGE, NULL), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_space_map(&space, TOP, PAGE, NULL), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_space_map(&space, UPPER - PAGE, PAGE, NULL), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_space_map(&space, TOP - PAGE, PAGE, NULL), TARN_OK);
    assert_int_equal(tarn_space_map(&space, UPPER, PAGE, NULL), TARN_OK);
    tarn_space_deinit(&space);
    end_frames(&frames);
}

static void spaces_that_cannot_be_are_refused(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    make_frames(&frames, 1);
    assert_int_equal(tarn_space_init(&space, &(tarn_space_options){.frames = NULL}),
                     TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_space_init(&space, &(tarn_space_options){.frames = &frames, .limit = 1}),
                     TARN_BAD_ARGUMENT);
    assert_int_equal(
        tarn_space_init(&space, &(tarn_space_options){.frames = &frames, .limit = TOP + PAGE}),
        TARN_BAD_ARGUMENT);
    assert_int_equal(
        tarn_space_init(&space, &(tarn_space_options){.frames = &frames, .copy_pages = 3}),
        TARN_BAD_ARGUMENT);
    assert_int_equal(
        tarn_space_init(&space, &(tarn_space_options){.frames = &frames, .copy_pages = 128}),
        TARN_BAD_ARGUMENT);
    end_frames(&frames);
}

static void unmapping_gives_frames_and_tables_back(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    make_frames(&frames, 4096);
    make_space(&space, &frames);
    for (uint64_t i = 0; i < 40; i++) {
        assert_int_equal(map(&space, i << 27, 10, RW), TARN_OK);
    }
    assert_int_equal(tarn_space_stats(&space).pages, 400);
    assert_int_equal(tarn_space_stats(&space).tables, 1 + 40 * 3);
    /* Also where nothing is. */
    assert_int_equal(tarn_space_unmap(&space, 0, TOP), TARN_OK);
    assert_int_equal(tarn_space_stats(&space).tables, 1);
    assert_int_equal(tarn_space_stats(&space).pages, 0);
    assert_int_equal(tarn_frames_stats(&frames).used, 0);
    assert_true(tarn_space_trim(&space) > 0);
    assert_int_equal(tarn_space_stats(&space).footprint, 4096);
    space_is_sound(&space);
    tarn_space_deinit(&space);
    end_frames(&frames);
}

static void frames_named_by_number_are_shared(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space one;
    tarn_space other;
    tarn_frame first = 0;
    make_frames(&frames, 64);
    make_space(&one, &frames);
    make_space(&other, &frames);
    assert_int_equal(tarn_frames_alloc(&frames, 4, &first), TARN_OK);
    const tarn_map_options options = {.access = RW, .frame = first};
    assert_int_equal(tarn_space_map(&one, 0, 4 * PAGE, &options), TARN_OK);
    assert_int_equal(tarn_space_map(&other, 7 * PAGE, 4 * PAGE, &options), TARN_OK);
    tarn_frames_release(&frames, first, 4);
    assert_int_equal(tarn_frames_references(&frames, first), 2);
    put(&one, 100, "for both");
    assert_text(&other, 7 * PAGE + 100, "for both");
    tarn_space_deinit(&one);
    assert_text(&other, 7 * PAGE + 100, "for both");
    tarn_space_deinit(&other);
    end_frames(&frames);
}

static void spaces_share_what_one_of_them_has(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space one;
    tarn_space other;
    tarn_space child;
    make_frames(&frames, 64);
    make_space(&one, &frames);
    make_space(&other, &frames);
    assert_int_equal(map(&one, 1, 6, RW), TARN_OK);
    put(&one, 3 * PAGE, "old");
    /* A page that is copy on write gets its own frame before others see it. */
    assert_int_equal(tarn_space_fork(&one, &child, NULL), TARN_OK);
    assert_int_equal(tarn_space_share(&other, 100 * PAGE, &one, 2 * PAGE, 3 * PAGE, RW), TARN_OK);
    put(&other, 101 * PAGE, "new");
    assert_text(&one, 3 * PAGE, "new");
    put(&one, 3 * PAGE, "newer");
    assert_text(&other, 101 * PAGE, "newer");
    assert_text(&child, 3 * PAGE, "old");
    /* And a fork from now on shares it, too. */
    tarn_space second;
    assert_int_equal(tarn_space_fork(&one, &second, NULL), TARN_OK);
    put(&second, 3 * PAGE, "newest");
    assert_text(&one, 3 * PAGE, "newest");
    put(&second, PAGE, "own");
    assert_text(&one, PAGE, "");
    space_is_sound(&one);
    space_is_sound(&other);
    space_is_sound(&child);
    space_is_sound(&second);
    tarn_space_deinit(&one);
    tarn_space_deinit(&child);
    tarn_space_deinit(&second);
    assert_text(&other, 101 * PAGE, "newest");
    tarn_space_deinit(&other);
    end_frames(&frames);
}

static void a_fork_has_its_own_contents_from_the_first_write_on(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space parent;
    tarn_space child;
    make_frames(&frames, 64);
    make_space(&parent, &frames);
    assert_int_equal(map(&parent, 1, 10, RW), TARN_OK);
    assert_int_equal(map(&parent, 11, 2, RO), TARN_OK);
    for (uint64_t i = 1; i < 11; i++) {
        put(&parent, i * PAGE, "before");
    }
    assert_int_equal(tarn_space_fork(&parent, &child, NULL), TARN_OK);
    assert_int_equal(tarn_frames_stats(&frames).used, 12);
    assert_int_equal(tarn_space_stats(&child).pages, 12);
    assert_int_equal(tarn_space_stats(&child).copy_pages, 10);
    assert_int_equal(tarn_space_stats(&parent).copy_pages, 10);
    assert_int_equal(tarn_space_look(&child, PAGE, NULL) & TARN_PAGE_DIRTY, 0);
    put(&parent, 2 * PAGE, "parent");
    put(&child, 3 * PAGE, "child");
    assert_text(&parent, 2 * PAGE, "parent");
    assert_text(&child, 2 * PAGE, "before");
    assert_text(&parent, 3 * PAGE, "before");
    assert_text(&child, 3 * PAGE, "child");
    assert_int_equal(tarn_frames_stats(&frames).used, 14);
    /* The other one need not copy: nobody else has the frame. */
    put(&child, 2 * PAGE, "second");
    assert_int_equal(tarn_frames_stats(&frames).used, 14);
    assert_int_equal(tarn_space_stats(&parent).copies, 1);
    assert_int_equal(tarn_space_stats(&child).copies, 1);
    assert_int_equal(tarn_space_translate(&child, 11 * PAGE, TARN_ACCESS_WRITE).fault,
                     TARN_FAULT_PROTECTION);
    /* A page that was read only at the fork is still the relatives' when it becomes writable. */
    assert_int_equal(tarn_space_protect(&child, 11 * PAGE, PAGE, RW), TARN_OK);
    put(&child, 11 * PAGE, "child");
    assert_text(&parent, 11 * PAGE, "");
    space_is_sound(&parent);
    space_is_sound(&child);
    tarn_space_deinit(&parent);
    assert_text(&child, PAGE, "before");
    tarn_space_deinit(&child);
    end_frames(&frames);
}

static void generations_of_forks_keep_apart(void **state)
{
    (void)state;
    tarn_frames frames;
    static tarn_space spaces[6];
    make_frames(&frames, 256);
    make_space(&spaces[0], &frames);
    assert_int_equal(map(&spaces[0], 0, 8, RW), TARN_OK);
    for (uint64_t i = 0; i < 6; i++) {
        char text[16];
        snprintf(text, sizeof text, "number %d", (int)i);
        put(&spaces[i], i * PAGE, text);
        if (i < 5) {
            assert_int_equal(tarn_space_fork(&spaces[i], &spaces[i + 1], NULL), TARN_OK);
        }
    }
    for (uint64_t i = 0; i < 6; i++) {
        for (uint64_t page = 0; page < 6; page++) {
            char text[16] = "";
            if (page <= i) {
                snprintf(text, sizeof text, "number %d", (int)page);
            }
            assert_text(&spaces[i], page * PAGE, text);
        }
        space_is_sound(&spaces[i]);
    }
    for (size_t i = 0; i < 6; i++) {
        tarn_space_deinit(&spaces[(i * 5 + 2) % 6]);
    }
    end_frames(&frames);
}

static void an_image_stays_what_it_was(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    tarn_space image;
    make_frames(&frames, 64);
    make_space(&space, &frames);
    assert_int_equal(map(&space, 1, 4, RW), TARN_OK);
    put(&space, PAGE, "then");
    assert_int_equal(tarn_space_snapshot(&space, &image), TARN_OK);
    put(&space, PAGE, "now");
    assert_text(&image, PAGE, "then");
    assert_int_equal(tarn_space_write(&image, PAGE, "x", 1, 0, NULL), TARN_FAULT_PROTECTION);
    assert_int_equal(tarn_space_stats(&image).copy_pages, 0);
    tarn_space_deinit(&image);
    /* Nobody has the other frames any more: writes copy nothing. */
    put(&space, 2 * PAGE, "more");
    assert_int_equal(tarn_space_stats(&space).copies, 1);
    tarn_space_deinit(&space);
    end_frames(&frames);
}

static void without_frames_a_copy_is_a_fault_and_nothing_has_changed(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space parent;
    tarn_space child;
    make_frames(&frames, 5);
    make_space(&parent, &frames);
    assert_int_equal(map(&parent, 1, 4, RW), TARN_OK);
    assert_int_equal(tarn_space_fork(&parent, &child, NULL), TARN_OK);
    put(&parent, PAGE, "got one");
    assert_int_equal(tarn_space_write(&parent, 2 * PAGE, "x", 1, 0, NULL), TARN_FAULT_NO_FRAME);
    assert_int_equal(tarn_space_write(&child, 2 * PAGE, "x", 1, 0, NULL), TARN_FAULT_NO_FRAME);
    assert_text(&child, 2 * PAGE, "");
    tarn_space_deinit(&child);
    put(&parent, 2 * PAGE, "now it can");
    space_is_sound(&parent);
    tarn_space_deinit(&parent);
    end_frames(&frames);
}

static void copies_that_are_reserved_never_fail(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space parent;
    tarn_space child;
    make_frames(&frames, 20);
    assert_int_equal(
        tarn_space_init(&parent, &(tarn_space_options){.frames = &frames, .reserves_copies = true}),
        TARN_OK);
    assert_int_equal(map(&parent, 0, 8, RW), TARN_OK);
    assert_int_equal(
        tarn_space_fork(&parent, &child, &(tarn_fork_options){.reserves_copies = true}),
        TARN_NO_ROOM);
    space_is_sound(&parent);
    assert_int_equal(tarn_frames_stats(&frames).reserved, 0);
    assert_int_equal(tarn_space_stats(&parent).copy_pages, 0);
    assert_int_equal(tarn_frames_references(&frames, tarn_space_translate(&parent, 0, 0).frame), 1);
    assert_int_equal(tarn_space_fork(&parent, &child, NULL), TARN_OK);
    assert_int_equal(tarn_frames_stats(&frames).reserved, 8);
    space_is_sound(&parent);
    /* Somebody else takes all the rest. */
    tarn_frame rest = 0;
    assert_int_equal(tarn_frames_alloc(&frames, 4, &rest), TARN_OK);
    assert_int_equal(tarn_frames_alloc(&frames, 1, &rest), TARN_NO_ROOM);
    assert_int_equal(tarn_space_write(&child, 0, "x", 1, 0, NULL), TARN_FAULT_NO_FRAME);
    for (uint64_t page = 0; page < 6; page++) {
        put(&parent, page * PAGE, "copied");
    }
    space_is_sound(&parent);
    assert_int_equal(tarn_frames_stats(&frames).reserved, 2);
    /* What nobody needs any more goes back: by a protection, an unmapping, an end of the other. */
    assert_int_equal(tarn_space_protect(&parent, 6 * PAGE, PAGE, RO), TARN_OK);
    assert_int_equal(tarn_frames_stats(&frames).reserved, 1);
    assert_int_equal(tarn_space_protect(&parent, 6 * PAGE, PAGE, RW), TARN_OK);
    assert_int_equal(tarn_frames_stats(&frames).reserved, 2);
    tarn_space_deinit(&child);
    put(&parent, 6 * PAGE, "not copied");
    assert_int_equal(tarn_space_stats(&parent).copies, 6);
    assert_int_equal(tarn_frames_stats(&frames).reserved, 1);
    assert_int_equal(tarn_space_unmap(&parent, 7 * PAGE, PAGE), TARN_OK);
    assert_int_equal(tarn_frames_stats(&frames).reserved, 0);
    space_is_sound(&parent);
    tarn_space_deinit(&parent);
    tarn_frames_release(&frames, rest, 4);
    end_frames(&frames);
}

static void neighbours_are_copied_together_if_asked_for(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space parent;
    tarn_space child;
    make_frames(&frames, 64);
    assert_int_equal(
        tarn_space_init(&parent, &(tarn_space_options){.frames = &frames, .copy_pages = 8}),
        TARN_OK);
    assert_int_equal(map(&parent, 0, 20, RW), TARN_OK);
    for (uint64_t page = 0; page < 20; page++) {
        put(&parent, page * PAGE, "old");
    }
    assert_int_equal(tarn_space_fork(&parent, &child, NULL), TARN_OK);
    put(&child, 12 * PAGE, "child");
    assert_int_equal(tarn_space_stats(&child).copies, 8);
    put(&parent, 10 * PAGE, "parent");
    assert_int_equal(tarn_space_stats(&parent).copies, 0); /* the child has left the whole block */
    put(&parent, 19 * PAGE, "parent");
    assert_int_equal(tarn_space_stats(&parent).copies, 4);
    assert_text(&child, 19 * PAGE, "old");
    assert_text(&child, 10 * PAGE, "old");
    assert_text(&parent, 12 * PAGE, "old");
    space_is_sound(&parent);
    space_is_sound(&child);
    tarn_space_deinit(&parent);
    tarn_space_deinit(&child);
    end_frames(&frames);
}

/* ---- segments ---- */

static void segments_add_their_base_and_keep_their_limit(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    tarn_segment code = 0;
    tarn_segment data = 0;
    uint64_t address = 0;
    char text[16];
    make_frames(&frames, 64);
    make_space(&space, &frames);
    assert_int_equal(tarn_space_map(&space, 0x10000, 2 * PAGE,
                                    &(tarn_map_options){.access = RO, .segment = &code}),
                     TARN_OK);
    assert_int_equal(
        tarn_space_map(&space, 0x90000, 3 * PAGE,
                       &(tarn_map_options){.access = RW, .segment = &data, .limit = 10000}),
        TARN_OK);
    assert_int_not_equal(code, data);
    assert_int_equal(tarn_space_stats(&space).segments, 2);
    assert_int_equal(tarn_segment_write(&space, data, 4090, "over the border", 16, 0),
                     TARN_FAULT_NONE);
    assert_text(&space, 0x90000 + 4090, "over the border");
    assert_int_equal(tarn_segment_read(&space, data, 4090, text, 16, TARN_ACCESS_USER),
                     TARN_FAULT_NONE);
    assert_string_equal(text, "over the border");
    assert_int_equal(tarn_segment_translate(&space, data, 9999, 0).fault, TARN_FAULT_NONE);
    assert_int_equal(tarn_segment_translate(&space, data, 10000, 0).fault, TARN_FAULT_LIMIT);
    assert_int_equal(tarn_segment_read(&space, data, 9990, text, 11, 0), TARN_FAULT_LIMIT);
    assert_int_equal(tarn_segment_read(&space, data, UINT64_MAX, text, 11, 0), TARN_FAULT_LIMIT);
    assert_int_equal(tarn_segment_write(&space, code, 0, "x", 1, 0), TARN_FAULT_PROTECTION);
    assert_int_equal(tarn_segment_address(&space, code, 2 * PAGE, 0, 0, &address), TARN_FAULT_NONE);
    assert_int_equal(tarn_segment_address(&space, 77, 0, 1, 0, &address), TARN_FAULT_NO_SEGMENT);
    assert_int_equal(tarn_segment_address(&space, 0, 0, 1, 0, &address), TARN_FAULT_NO_SEGMENT);
    /* The registers can be loaded anew: the segment has moved. */
    assert_int_equal(tarn_segment_set(&space, data, 0x90000 + 4090, 16), TARN_OK);
    assert_int_equal(tarn_segment_read(&space, data, 0, text, 16, 0), TARN_FAULT_NONE);
    assert_string_equal(text, "over the border");
    assert_int_equal(tarn_segment_set(&space, data, TOP - 1, 2), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_segment_set(&space, data, 0, 0), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_segment_set(&space, data, UINT64_MAX, 2), TARN_BAD_ARGUMENT);
    /* Where the pages are gone, it is the page that faults. */
    assert_int_equal(tarn_space_unmap(&space, 0x90000, 3 * PAGE), TARN_OK);
    assert_int_equal(tarn_segment_read(&space, data, 0, text, 16, 0), TARN_FAULT_NOT_PRESENT);
    assert_int_equal(tarn_segment_free(&space, data), TARN_OK);
    assert_int_equal(tarn_segment_free(&space, data), TARN_BAD_ARGUMENT);
    assert_int_equal(tarn_segment_read(&space, data, 0, text, 16, 0), TARN_FAULT_NO_SEGMENT);
    tarn_segment again = 0;
    assert_int_equal(tarn_space_map(&space, 0x90000, PAGE, &(tarn_map_options){.segment = &again}),
                     TARN_OK);
    assert_int_not_equal(again, data);
    assert_int_equal(tarn_segment_set(&space, data, 0, 1), TARN_BAD_ARGUMENT);
    space_is_sound(&space);
    tarn_space_deinit(&space);
    end_frames(&frames);
}

static void a_space_has_many_segments_and_its_fork_has_them_too(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    tarn_space child;
    tarn_segment segments[100];
    make_frames(&frames, 128);
    make_space(&space, &frames);
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(tarn_space_map(&space, i * PAGE, PAGE,
                                        &(tarn_map_options){.access = RW, .segment = &segments[i]}),
                         TARN_OK);
        assert_int_equal(tarn_segment_write(&space, segments[i], 0, &i, sizeof i, 0), 0);
    }
    assert_int_equal(tarn_space_fork(&space, &child, NULL), TARN_OK);
    for (uint64_t i = 0; i < 100; i++) {
        uint64_t value = 0;
        assert_int_equal(tarn_segment_read(&child, segments[i], 0, &value, sizeof value, 0), 0);
        assert_int_equal(value, i);
    }
    space_is_sound(&child);
    tarn_space_deinit(&space);
    tarn_space_deinit(&child);
    end_frames(&frames);
}

/* ---- out of memory ---- */

typedef struct scene {
    tarn_frames frames;
    tarn_space space;
    tarn_space child;
} scene;

/* What may fail, after what cannot. */
static tarn_status run_scene(scene *it, tarn_heap *upstream)
{
    tarn_segment segment = 0;
    void *window = NULL;
    tarn_status status = tarn_space_init(
        &it->space, &(tarn_space_options){.frames = &it->frames, .upstream = upstream});
    if (status != TARN_OK) {
        return status;
    }
    /* Four leaves, of which some are there already. */
    status = map(&it->space, 511, 2, RW);
    if (status == TARN_OK) {
        status = tarn_space_map(&it->space, (UINT64_C(1) << 39) - PAGE, 2 * PAGE,
                                &(tarn_map_options){.access = RW, .segment = &segment});
    }
    if (status == TARN_OK) {
        status = tarn_space_attach(&it->space, 0, 1024 * PAGE, NULL, &window);
    }
    if (status == TARN_OK) {
        status = tarn_space_fork(&it->space, &it->child, NULL);
        if (status == TARN_OK) {
            space_is_sound(&it->child);
            tarn_space_deinit(&it->child);
        }
    }
    space_is_sound(&it->space);
    assert_int_equal(tarn_frames_stats(&it->frames).used, tarn_space_stats(&it->space).pages);
    assert_int_equal(tarn_frames_stats(&it->frames).reserved, 0);
    tarn_space_deinit(&it->space);
    return status;
}

static void when_upstream_refuses_nothing_has_changed(void **state)
{
    (void)state;
    scene it;
    make_frames(&it.frames, 64);
    bool has_failed = true;
    unsigned failures = 0;
    for (uint64_t nth = 1; has_failed; nth++) {
        tarn_failing failing;
        tarn_failing_init(&failing, &(tarn_failing_options){.plan = {.at = nth}});
        const tarn_status status = run_scene(&it, &failing.heap);
        assert_true(status == TARN_OK || status == TARN_NO_MEMORY);
        has_failed = status != TARN_OK;
        failures += has_failed;
        assert_int_equal(tarn_heap_stats(&failing.heap).live, 0);
        frames_are_sound(&it.frames);
        assert_int_equal(tarn_frames_stats(&it.frames).used, 0);
    }
    assert_true(failures > 10);
    end_frames(&it.frames);
}

static bool add_run(void *context, const tarn_page_run *run)
{
    tarn_page_run **next = context;
    *(*next)++ = *run;
    return true;
}

static bool stop_at_once(void *context, const tarn_page_run *run)
{
    (void)run;
    ++*(int *)context;
    return false;
}

static void a_visit_tells_runs_in_the_order_of_addresses(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    tarn_page_run runs[8];
    tarn_page_run *next = runs;
    int calls = 0;
    make_frames(&frames, 4096);
    make_space(&space, &frames);
    tarn_frame first = 0;
    assert_int_equal(tarn_frames_alloc(&frames, 1200, &first), TARN_OK);
    assert_int_equal(tarn_space_map(&space, UPPER, PAGE, NULL), TARN_OK);
    assert_int_equal(tarn_space_map(&space, 100 * PAGE, 1200 * PAGE,
                                    &(tarn_map_options){.frame = first, .access = RW}),
                     TARN_OK);
    assert_int_equal(tarn_space_protect(&space, 700 * PAGE, 100 * PAGE, RO), TARN_OK);
    (void)tarn_space_translate(&space, 200 * PAGE, TARN_ACCESS_WRITE);
    tarn_space_visit(&space, add_run, &next);
    assert_int_equal(next - runs, 4);
    assert_int_equal(runs[0].address, 100 * PAGE);
    assert_int_equal(runs[0].size, 600 * PAGE);
    assert_int_equal(runs[0].frame, first);
    assert_int_equal(runs[1].size, 100 * PAGE);
    assert_int_equal(runs[1].bits, TARN_PAGE_PRESENT | TARN_PAGE_USER | TARN_PAGE_SHARED);
    assert_int_equal(runs[2].size, 500 * PAGE);
    assert_int_equal(runs[2].frame, first + 700);
    assert_int_equal(runs[3].address, UPPER);
    tarn_space_visit(&space, stop_at_once, &calls);
    assert_int_equal(calls, 1);
    tarn_space_deinit(&space);
    tarn_frames_release(&frames, first, 1200);
    end_frames(&frames);
}

static void a_run_ends_where_addresses_are_not_canonical(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    tarn_page_run runs[4];
    tarn_page_run *next = runs;
    tarn_frame first = 0;
    make_frames(&frames, 64);
    make_space(&space, &frames);
    assert_int_equal(tarn_frames_alloc(&frames, 2, &first), TARN_OK);
    assert_int_equal(tarn_space_map(&space, ((uint64_t)1 << 47) - PAGE, PAGE,
                                    &(tarn_map_options){.frame = first}),
                     TARN_OK);
    assert_int_equal(tarn_space_map(&space, UPPER, PAGE, &(tarn_map_options){.frame = first + 1}),
                     TARN_OK);
    tarn_space_visit(&space, add_run, &next);
    assert_int_equal(next - runs, 2);
    assert_int_equal(runs[0].size, PAGE);
    assert_int_equal(runs[1].address, UPPER);
    tarn_space_deinit(&space);
    tarn_frames_release(&frames, first, 2);
    end_frames(&frames);
}

static void large_pages_have_fewer_levels(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    tarn_space child;
    const uint64_t large = UINT64_C(2) << 20;
    if (tarn_frames_init(&frames, &(tarn_frames_options){.count = 3, .frame_size = large}) !=
        TARN_OK) {
        skip(); /* the machine has put none aside */
    }
    make_space(&space, &frames);
    assert_int_equal(tarn_space_map(&space, 4096, large, NULL), TARN_BAD_LAYOUT);
    assert_int_equal(tarn_space_map(&space, large, large, &(tarn_map_options){.access = RW}),
                     TARN_OK);
    assert_int_equal(tarn_space_stats(&space).tables, 3);
    put(&space, large + 1234567, "large");
    assert_int_equal(tarn_space_walk(&space, large + 1234567, 0).offset, 1234567);
    assert_int_equal(tarn_space_walk(&space, large, 0).level, 2);
    assert_int_equal(tarn_space_fork(&space, &child, NULL), TARN_OK);
    put(&space, large + 1234567, "new");
    assert_text(&child, large + 1234567, "large");
    void *window = NULL;
    assert_int_equal(tarn_space_attach(&space, 0, 4 * large, NULL, &window), TARN_OK);
    assert_string_equal((char *)window + large + 1234567, "new");
    space_is_sound(&space);
    tarn_space_deinit(&space);
    tarn_space_deinit(&child);
    end_frames(&frames);
}

static void misuse_is_found(void **state)
{
    (void)state;
    tarn_frames frames;
    tarn_space space;
    make_frames(&frames, 8);
    make_space(&space, &frames);
    assert_fatal(tarn_frames_deinit(&frames), "frames ended while a space has them", "frames",
                 &frames);
    assert_fatal(tarn_space_detach(&space, &frames),
                 "not a window of this space, or detached already", "space", &frames);
    tarn_space_detach(&space, NULL);
    tarn_space_deinit(&space);
    assert_fatal(tarn_space_deinit(&space), "the space has ended already", "space", &space);
    end_frames(&frames);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_leads_to_its_frame_and_offset),
        cmocka_unit_test(faults_say_what_is_wrong_and_at_which_level),
        cmocka_unit_test(two_spaces_have_the_same_address_and_cannot_see_each_other),
        cmocka_unit_test(bytes_cross_borders_of_pages_and_tables),
        cmocka_unit_test(a_write_that_faults_half_way_has_written_nothing),
        cmocka_unit_test(accesses_leave_their_bits_as_a_processor_does),
        cmocka_unit_test(the_buffer_forgets_exactly_what_has_changed),
        cmocka_unit_test(mappings_that_cannot_be_are_refused_and_change_nothing),
        cmocka_unit_test(spaces_that_cannot_be_are_refused),
        cmocka_unit_test(unmapping_gives_frames_and_tables_back),
        cmocka_unit_test(frames_named_by_number_are_shared),
        cmocka_unit_test(spaces_share_what_one_of_them_has),
        cmocka_unit_test(a_fork_has_its_own_contents_from_the_first_write_on),
        cmocka_unit_test(generations_of_forks_keep_apart),
        cmocka_unit_test(an_image_stays_what_it_was),
        cmocka_unit_test(without_frames_a_copy_is_a_fault_and_nothing_has_changed),
        cmocka_unit_test(copies_that_are_reserved_never_fail),
        cmocka_unit_test(neighbours_are_copied_together_if_asked_for),
        cmocka_unit_test(segments_add_their_base_and_keep_their_limit),
        cmocka_unit_test(a_space_has_many_segments_and_its_fork_has_them_too),
        cmocka_unit_test(when_upstream_refuses_nothing_has_changed),
        cmocka_unit_test(a_visit_tells_runs_in_the_order_of_addresses),
        cmocka_unit_test(a_run_ends_where_addresses_are_not_canonical),
        cmocka_unit_test(large_pages_have_fewer_levels),
        cmocka_unit_test(misuse_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
