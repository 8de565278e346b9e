/* SPDX-License-Identifier: MIT */
#include "tarn/arena.h"
#include "tarn/heaps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tools.h"

/*
 * Strings and bytes, each test in an open arena, a closed one, and one that has no room.
 */

static tarn_arena arena;
static _Alignas(16) unsigned char memory[4096];

typedef enum kind { PLAIN, CHECKED, FULL, KINDS } kind;

static void begin(kind it)
{
    tarn_arena_init(&arena, &(tarn_arena_options){
                                .checks = it == CHECKED,
                                .fixed = it == FULL,
                                .buffer = {it == FULL ? memory : NULL, it == FULL ? 4096 : 0},
                            });
}

/* Leaves `size` bytes in the chunk. */
static void leave(size_t size)
{
    if (tarn_arena_room(&arena) < 256) {
        (void)tarn_arena_alloc(&arena, 8);
    }
    const size_t room = tarn_arena_room(&arena);
    if (room > size + arena.gap) {
        assert_non_null(tarn_arena_alloc_aligned(&arena, room - size - arena.gap, 8));
    }
}

static void end(void)
{
    char fault[160] = "";
    if (!tarn_arena_check(&arena, fault, sizeof fault)) {
        fail_msg("check found: %s", fault);
    }
    tarn_arena_deinit(&arena);
}

static void copies_are_blocks_of_their_own(void **state)
{
    (void)state;
    for (kind it = PLAIN; it < KINDS; it++) {
        begin(it);
        char text[] = "a text";
        char *copy = tarn_arena_strdup(&arena, text);
        char *part = tarn_arena_strndup(&arena, text, 3);
        char *whole = tarn_arena_strndup(&arena, text, 100);
        char *none = tarn_arena_strdup(&arena, "");
        unsigned char *bytes = tarn_arena_memdup(&arena, "\0\1\2", 3);
        const char unended[2] = {'x', 'y'};
        char *both = tarn_arena_strndup(&arena, unended, 2);
        assert_non_null(tarn_arena_memdup(&arena, text, 0));
        text[0] = 'b';
        assert_string_equal(copy, "a text");
        assert_string_equal(part, "a t");
        assert_string_equal(whole, "a text");
        assert_string_equal(none, "");
        assert_string_equal(both, "xy");
        assert_memory_equal(bytes, "\0\1\2", 3);
        end();
    }
}

static void strings_are_joined(void **state)
{
    (void)state;
    for (kind it = PLAIN; it < KINDS; it++) {
        begin(it);
        assert_string_equal(tarn_arena_strcat(&arena, "ab", "", "c", "def", (char *)NULL),
                            "abcdef");
        assert_string_equal(tarn_arena_strcat(&arena, "", (char *)NULL), "");
        end();
    }
}

static void a_text_is_formatted_wherever_there_is_room(void **state)
{
    (void)state;
    for (kind it = PLAIN; it < FULL; it++) {
        for (size_t room = 0; room < 48; room += 8) {
            begin(it);
            leave(room);
            unsigned char *before = tarn_arena_alloc(&arena, 8);
            memset(before, 0x33, 8);
            char *text = tarn_arena_printf(&arena, "%s %d %s", "number", 17, "is prime");
            assert_string_equal(text, "number 17 is prime");
            char *next = tarn_arena_alloc(&arena, 8);
            memset(next, 'n', 8);
            assert_string_equal(text, "number 17 is prime");
            assert_memory_equal(before, "\x33\x33\x33\x33\x33\x33\x33\x33", 8);
            end();
        }
    }
}

static void a_text_that_is_added_to_grows_where_it_is(void **state)
{
    (void)state;
    for (kind it = PLAIN; it < FULL; it++) {
        begin(it);
        char *text = tarn_arena_printf_append(&arena, NULL, "%d", 0);
        const char *first = text;
        for (int i = 1; i < 100; i++) {
            text = tarn_arena_printf_append(&arena, text, ",%d", i);
            assert_ptr_equal(text, first);
        }
        (void)tarn_arena_alloc(&arena, 8);
        text = tarn_arena_printf_append(&arena, text, "%s", " and so on.");
        assert_ptr_not_equal(text, first);
        assert_memory_equal(text, "0,1,2,3,4,5,6,7,8,9,10,", 23);
        assert_string_equal(text + strlen(text) - 17, ",98,99 and so on.");
        end();
    }
}

static void bytes_that_are_added_to_grow_where_they_are(void **state)
{
    (void)state;
    for (kind it = PLAIN; it < FULL; it++) {
        begin(it);
        unsigned char *bytes = tarn_arena_append(&arena, NULL, 0, "abc", 3);
        const unsigned char *first = bytes;
        bytes = tarn_arena_append(&arena, bytes, 3, "defghijklm", 10);
        assert_ptr_equal(bytes, first);
        bytes = tarn_arena_append(&arena, bytes, 13, NULL, 0);
        assert_memory_equal(bytes, "abcdefghijklm", 13);
        assert_null(tarn_arena_append(&arena, bytes, 13, "x", SIZE_MAX - 5));
        assert_memory_equal(bytes, "abcdefghijklm", 13);
        end();
    }
}

static void without_room_nothing_changes(void **state)
{
    (void)state;
    begin(FULL);
    char *text = tarn_arena_strdup(&arena, "text");
    unsigned char *bytes = tarn_arena_memdup(&arena, "bytes", 5);
    leave(16);
    const size_t used = tarn_arena_used(&arena);
    const char *large = "much more than there is room for in what is left of this arena";
    assert_null(tarn_arena_strdup(&arena, large));
    assert_null(tarn_arena_strndup(&arena, large, 60));
    assert_null(tarn_arena_memdup(&arena, large, 60));
    assert_null(tarn_arena_strcat(&arena, large, large, (char *)NULL));
    assert_null(tarn_arena_printf(&arena, "%s", large));
    assert_null(tarn_arena_printf_append(&arena, text, "%s", large));
    assert_null(tarn_arena_printf_append(&arena, NULL, "%s", large));
    assert_null(tarn_arena_append(&arena, bytes, 5, large, 60));
    assert_string_equal(text, "text");
    assert_memory_equal(bytes, "bytes", 5);
    assert_int_equal(tarn_arena_used(&arena), used);
    assert_non_null(tarn_arena_alloc(&arena, 8));
    end();
}

static void a_text_that_did_not_fit_leaves_zeros(void **state)
{
    (void)state;
    tarn_arena_init(&arena, &(tarn_arena_options){.zero = true});
    leave(16);
    assert_string_equal(tarn_arena_printf(&arena, "%050d", 1) + 48, "01");
    tarn_arena_reset(&arena);
    for (size_t i = 0; i < 2000; i++) {
        static const unsigned char zeros[16];
        assert_memory_equal(tarn_arena_alloc(&arena, 16), zeros, 16);
    }
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_are_blocks_of_their_own),
        cmocka_unit_test(strings_are_joined),
        cmocka_unit_test(a_text_is_formatted_wherever_there_is_room),
        cmocka_unit_test(a_text_that_is_added_to_grows_where_it_is),
        cmocka_unit_test(bytes_that_are_added_to_grow_where_they_are),
        cmocka_unit_test(without_room_nothing_changes),
        cmocka_unit_test(a_text_that_did_not_fit_leaves_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
