/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "base/bits.h"
#include "base/check.h"
#include "base/text.h"
#include "tarn/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fatal.h"

static void sizes_are_rounded_to_powers_of_two(void **state)
{
    (void)state;
    assert_int_equal(base_align_up(0, 16), 0);
    assert_int_equal(base_align_up(1, 16), 16);
    assert_int_equal(base_align_up(16, 16), 16);
    assert_int_equal(base_align_up(17, 1), 17);
    assert_int_equal(base_align_down(31, 16), 16);
    assert_int_equal(base_align_down(15, 16), 0);
    assert_true(base_is_aligned((void *)64, 64));
    assert_false(base_is_aligned((void *)96, 64));
    char bytes[64];
    for (size_t i = 0; i < 32; i++) {
        char *aligned = base_align_pointer(bytes + i, 16);
        assert_true(aligned >= bytes + i && aligned < bytes + i + 16);
        assert_int_equal((uintptr_t)aligned % 16, 0);
    }
}

static void powers_of_two_are_told_from_other_numbers(void **state)
{
    (void)state;
    assert_false(base_is_power_of_two(0));
    for (unsigned i = 0; i < sizeof(size_t) * 8; i++) {
        assert_true(base_is_power_of_two((size_t)1 << i));
        assert_false(i > 0 && base_is_power_of_two(((size_t)1 << i) + (i > 1 ? 1 : 4)));
        assert_int_equal(base_log2_floor((size_t)1 << i), i);
        assert_int_equal(base_log2_ceil((size_t)1 << i), i);
        assert_int_equal(base_ctz((size_t)1 << i), i);
    }
    assert_int_equal(base_log2_floor(7), 2);
    assert_int_equal(base_log2_ceil(5), 3);
    assert_int_equal(base_log2_floor(UINT64_MAX), 63);
    assert_int_equal(base_popcount(0xf0f), 8);
}

static void sums_and_products_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    size_t result = 0;
    assert_true(base_checked_add(SIZE_MAX - 1, 1, &result));
    assert_true(result == SIZE_MAX);
    assert_false(base_checked_add(SIZE_MAX, 1, &result));
    assert_true(base_checked_mul(SIZE_MAX / 2, 2, &result));
    assert_true(result == SIZE_MAX - 1);
    assert_false(base_checked_mul(SIZE_MAX / 2 + 1, 2, &result));
    assert_true(base_checked_align_up(17, 16, &result));
    assert_int_equal(result, 32);
    assert_true(base_checked_align_up(SIZE_MAX - 15, 16, &result));
    assert_true(result == SIZE_MAX - 15);
    assert_false(base_checked_align_up(SIZE_MAX - 14, 16, &result));
}

static void text_that_does_not_fit_is_cut(void **state)
{
    (void)state;
    char bytes[8];
    base_text text = base_text_in(bytes, sizeof bytes);
    assert_string_equal(bytes, "");
    base_text_add(&text, "ab");
    base_text_add_number(&text, 0, 10);
    base_text_add_number(&text, 255, 16);
    assert_string_equal(bytes, "ab0ff");
    base_text_add_number(&text, UINT64_MAX, 10);
    assert_string_equal(bytes, "ab0ff18");
    assert_int_equal(text.length, 7);
    base_text_add(&text, "more");
    assert_string_equal(bytes, "ab0ff18");
}

static void every_status_has_a_text_of_its_own(void **state)
{
    (void)state;
    for (int i = TARN_OK; i <= TARN_BUSY + 1; i++) {
        const char *text = tarn_status_text((tarn_status)i);
        assert_non_null(text);
        assert_true(strlen(text) > 0);
        for (int j = TARN_OK; j < i; j++) {
            assert_string_not_equal(text, tarn_status_text((tarn_status)j));
        }
    }
    assert_non_null(tarn_status_text((tarn_status)12345));
}

static void a_fatal_line_names_the_fault_the_pool_and_the_block(void **state)
{
    (void)state;
    assert_fatal(base_fatal("double free", "kettle", (void *)0x12ab), "double free", "kettle",
                 (void *)0x12ab);
    TARN_CHECK(1 + 1 == 2, "arithmetic is broken", "kettle", NULL);
    assert_fatal(TARN_CHECK(1 + 1 == 3, "wrong sum", "kettle", (void *)0xabc), "wrong sum",
                 "kettle", (void *)0xabc);
}

static void a_fatal_line_without_a_pool_names_the_block(void **state)
{
    (void)state;
    char line[512];
    if (fatal_is_child(line, sizeof line)) {
        base_fatal("lost", NULL, NULL);
    }
    assert_string_equal(line, "tarn: lost (block 0x0)");
}

static void a_fatal_line_that_is_too_long_is_cut(void **state)
{
    (void)state;
    char line[2048];
    char what[1024];
    memset(what, 'x', sizeof what - 1);
    what[sizeof what - 1] = '\0';
    if (fatal_is_child(line, sizeof line)) {
        base_fatal(what, "kettle", NULL);
    }
    assert_true(strlen(line) > 400 && strlen(line) < 512);
    assert_memory_equal(line, "tarn: xxxx", 10);
}

static void first_handler(const char *line)
{
    (void)line;
}

static void second_handler(const char *line)
{
    (void)line;
}

static void setting_a_fatal_handler_returns_the_one_before(void **state)
{
    (void)state;
    assert_null(tarn_set_fatal_handler(first_handler));
    assert_ptr_equal(tarn_set_fatal_handler(second_handler), first_handler);
    assert_ptr_equal(tarn_set_fatal_handler(NULL), second_handler);
    assert_null(tarn_set_fatal_handler(NULL));
}

static void a_fatal_handler_that_returns_is_followed_by_abort(void **state)
{
    (void)state;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        tarn_set_fatal_handler(first_handler);
        base_fatal("double free", "kettle", NULL);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_rounded_to_powers_of_two),
        cmocka_unit_test(powers_of_two_are_told_from_other_numbers),
        cmocka_unit_test(sums_and_products_that_do_not_fit_are_refused),
        cmocka_unit_test(text_that_does_not_fit_is_cut),
        cmocka_unit_test(every_status_has_a_text_of_its_own),
        cmocka_unit_test(a_fatal_line_names_the_fault_the_pool_and_the_block),
        cmocka_unit_test(a_fatal_line_without_a_pool_names_the_block),
        cmocka_unit_test(a_fatal_line_that_is_too_long_is_cut),
        cmocka_unit_test(setting_a_fatal_handler_returns_the_one_before),
        cmocka_unit_test(a_fatal_handler_that_returns_is_followed_by_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
