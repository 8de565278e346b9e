/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/buffers.h"
#include "cli/names.h"
#include "cli/plan.h"
#include "cli/utf8.h"

/* A copy in a block of its own size, so that a sanitizer sees a look past its end. */
static char *copy_of(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    assert_non_null(copy);
    memcpy(copy, text, size);
    return copy;
}

/* Reads what must be sound. The text lives until the test ends, and so do the names in it. */
static char *read_sound(const char *text, cli_buffers *buffers)
{
    cli_fault fault = {0};
    char *copy = copy_of(text);
    if (!cli_buffers_read(buffers, copy, strlen(text), &fault)) {
        fail_msg("line %zu: %s", fault.line, fault.text);
    }
    return copy;
}

static char *written(const cli_buffers *buffers, const int64_t *offsets, bool is_json)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    assert_non_null(file);
    if (is_json) {
        cli_buffers_write_json(buffers, offsets, &(cli_plan_figures){.height = 1}, file);
    } else {
        cli_buffers_write_csv(buffers, offsets, file);
    }
    fclose(file);
    return text;
}

static void numbers_of_64_bits_are_read_and_written_exactly(void **state)
{
    (void)state;
    static const char text[] = "id,lower,upper,size\n"
                               "a,-9223372036854775808,9223372036854775807,9223372036854775807\n";
    cli_buffers buffers;
    const int64_t offsets[] = {INT64_MAX};
    char *copy = read_sound(text, &buffers);
    assert_int_equal(buffers.count, 1);
    assert_true(buffers.items[0].lower == INT64_MIN);
    assert_true(buffers.items[0].upper == INT64_MAX);
    assert_true(buffers.items[0].size == INT64_MAX);
    char *csv = written(&buffers, offsets, false);
    assert_string_equal(csv, "id,lower,upper,size,offset\n"
                             "a,-9223372036854775808,9223372036854775807,9223372036854775807,"
                             "9223372036854775807\n");
    free(csv);
    cli_buffers_free(&buffers);
    free(copy);
}

static void each_end_of_a_line_ends_it(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "id,lower,upper,size\na,1,2,3\nb,1,2,3",
        "id,lower,upper,size\r\na,1,2,3\r\nb,1,2,3\r\n",
        "id,lower,upper,size\ra,1,2,3\rb,1,2,3\r",
        "\xef\xbb\xbf\n\n \t\nid,lower,upper,size\n\n\na,1,2,3\n  \nb,1,2,3\n\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        cli_buffers buffers;
        char *copy = read_sound(texts[i], &buffers);
        assert_int_equal(buffers.count, 2);
        assert_string_equal(buffers.buffers[1].id, "b");
        assert_int_equal(buffers.buffers[1].line, i < 3 ? 3 : 9);
        cli_buffers_free(&buffers);
        free(copy);
    }
}

static void a_line_end_within_quotes_counts_as_a_line(void **state)
{
    (void)state;
    cli_buffers buffers;
    char *copy = read_sound("id,lower,upper,size\n\"a\n\"\"b\n\",1,2,3\nc,1,2,3\n", &buffers);
    assert_string_equal(buffers.buffers[0].id, "a\n\"b\n");
    assert_int_equal(buffers.buffers[0].line, 2);
    assert_int_equal(buffers.buffers[1].line, 5);
    cli_buffers_free(&buffers);
    free(copy);
}

static void gaps_come_in_any_order_and_with_signs(void **state)
{
    (void)state;
    cli_buffers buffers;
    char *copy = read_sound("id,lower,upper,size,gaps\n"
                            "a,-9,9,8,  4-6@0:8   -7--5\t-2-3@2:2 \n"
                            "b,0,1,1,\n"
                            "c,0,9,1,1-2\n",
                            &buffers);
    assert_int_equal(buffers.items[0].gap_count, 3);
    const tarn_overlay_gap *gaps = buffers.items[0].gaps;
    assert_true(gaps[0].lower == -7 && gaps[0].upper == -5 && !gaps[0].has_window);
    assert_true(gaps[1].lower == -2 && gaps[1].upper == 3 && gaps[1].has_window);
    assert_true(gaps[2].lower == 4 && gaps[2].window_upper == 8);
    assert_int_equal(buffers.items[1].gap_count, 0);
    assert_int_equal(buffers.items[2].gap_count, 1);
    assert_true(buffers.items[2].gaps[0].upper == 2);
    assert_int_equal(tarn_overlay_inspect(buffers.items, buffers.count, NULL), TARN_OK);
    cli_buffers_free(&buffers);
    free(copy);
}

static void a_text_that_ends_anywhere_is_read_or_refused_with_a_line(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "id,lower,end,size,gaps,hint\r\n\"a\"\"\",1,20,3,2-3@0:1 5-6,7\r\nb,1,2,3,,\r\n",
        "{\"x\":[1,{\"y\":null}],\"buffers\":[{\"id\":\"\\u00e9\\ud83d\\ude00\",\"lower\":0,"
        "\"upper\":9,\"size\":4,\"gaps\":[{\"lower\":1,\"end\":2,\"window\":[0,1]}]},\n"
        "{\"id\":7,\"start\":0,\"end\":9,\"size\":4,\"gaps\":\"1-2\",\"offset\":null}]}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        for (size_t size = 0; size <= strlen(texts[i]); size++) {
            cli_buffers buffers;
            cli_fault fault = {0};
            char *copy = malloc(size + 1);
            assert_non_null(copy);
            memcpy(copy, texts[i], size);
            copy[size] = '\0';
            const bool is_read = cli_buffers_read(&buffers, copy, size, &fault);
            assert_true(is_read || (fault.line > 0 && fault.text[0] != '\0'));
            assert_true(is_read || size < strlen(texts[i]));
            cli_buffers_free(&buffers);
            free(copy);
        }
    }
}

static void names_are_found_again_among_many(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    static char texts[COUNT][8];
    cli_names names = {0};
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(texts[i], sizeof texts[i], "n%zu", i);
        cli_name *name = cli_names_find(&names, texts[i]);
        assert_int_equal(name->number, 0);
        name->number = i + 1;
    }
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(cli_names_find(&names, texts[i])->number, i + 1);
    }
    assert_int_equal(names.count, COUNT);
    cli_names_free(&names);
}

static void what_is_shown_is_printable_and_short(void **state)
{
    (void)state;
    char shown[CLI_PRINTABLE_SIZE];
    char text[200];
    assert_string_equal(cli_printable("a\x1b[2J\xff\xc3\xa9\n", shown), "a?[2J?\xc3\xa9?");
    for (size_t size = 0; size < sizeof text; size++) {
        for (size_t i = 0; i < 2; i++) {
            char guarded[CLI_PRINTABLE_SIZE + 1] = {[CLI_PRINTABLE_SIZE] = 'g'};
            memset(text, i == 0 ? 'x' : '\xff', size);
            text[size] = '\0';
            cli_printable(text, guarded);
            const size_t length = strlen(guarded);
            assert_true(length == size || strcmp(guarded + length - 3, "...") == 0);
            assert_int_equal(guarded[CLI_PRINTABLE_SIZE], 'g');
        }
    }
}

/* -------------------------------------------------------------------------------------------------
 * The check against one that looks at each byte at each time.
 */
enum { TIMES = 12, BYTES = 16, ITEMS_MAX = 6 };

static uint32_t below(uint32_t *random, uint32_t bound)
{
    *random = *random * 1664525 + 1013904223;
    return (*random >> 8) % bound;
}

static void mark(const tarn_overlay_buffer *item, int64_t offset, size_t index,
                 int owner[TIMES][BYTES], bool *is_free)
{
    for (int64_t time = item->lower; time < item->upper; time++) {
        int64_t low = 0;
        int64_t high = item->size;
        for (size_t g = 0; g < item->gap_count; g++) {
            const tarn_overlay_gap *gap = &item->gaps[g];
            if (time >= gap->lower && time < gap->upper) {
                low = gap->has_window ? gap->window_lower : 0;
                high = gap->has_window ? gap->window_upper : 0;
            }
        }
        for (int64_t byte = offset + low; byte < offset + high; byte++) {
            *is_free &= owner[time][byte] < 0;
            owner[time][byte] = (int)index;
        }
    }
}

static void random_buffer(uint32_t *random, tarn_overlay_buffer *item, tarn_overlay_gap *gap)
{
    *item = (tarn_overlay_buffer){.lower = below(random, TIMES), .size = below(random, 6)};
    item->upper = item->lower + below(random, (uint32_t)(TIMES - item->lower) + 1);
    if (item->upper - item->lower >= 2 && below(random, 2) == 0) {
        gap->lower = item->lower + below(random, (uint32_t)(item->upper - item->lower));
        gap->upper = gap->lower + 1 + below(random, (uint32_t)(item->upper - gap->lower));
        gap->has_window = below(random, 2) == 0;
        gap->window_lower = below(random, (uint32_t)item->size + 1);
        gap->window_upper =
            gap->window_lower + below(random, (uint32_t)(item->size - gap->window_lower) + 1);
        item->gaps = gap;
        item->gap_count = 1;
    }
}

static void the_check_agrees_with_looking_at_each_byte(void **state)
{
    (void)state;
    uint32_t random = 2024;
    int sound = 0;
    for (int round = 0; round < 20000; round++) {
        tarn_overlay_buffer items[ITEMS_MAX];
        tarn_overlay_gap gaps[ITEMS_MAX];
        int64_t offsets[ITEMS_MAX];
        int owner[TIMES][BYTES];
        bool is_sound = true;
        const size_t count = 1 + below(&random, ITEMS_MAX);
        memset(owner, -1, sizeof owner);
        for (size_t i = 0; i < count; i++) {
            random_buffer(&random, &items[i], &gaps[i]);
            offsets[i] = below(&random, 10);
            mark(&items[i], offsets[i], i, owner, &is_sound);
        }
        const cli_buffers buffers = {.count = count, .items = items, .gap_count = count};
        cli_plan_faults faults;
        cli_plan_check(&buffers, offsets, NULL, false, 0, &faults);
        if ((faults.count == 0) != is_sound) {
            fail_msg("round %d: %zu faults where it is %s", round, faults.count,
                     is_sound ? "sound" : "not sound");
        }
        /* And the library's own says the same. */
        assert_int_equal(tarn_overlay_verify(items, count, offsets, 0, NULL, NULL, NULL) == TARN_OK,
                         is_sound);
        sound += is_sound;
    }
    assert_true(sound > 1000 && sound < 19000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_64_bits_are_read_and_written_exactly),
        cmocka_unit_test(each_end_of_a_line_ends_it),
        cmocka_unit_test(a_line_end_within_quotes_counts_as_a_line),
        cmocka_unit_test(gaps_come_in_any_order_and_with_signs),
        cmocka_unit_test(a_text_that_ends_anywhere_is_read_or_refused_with_a_line),
        cmocka_unit_test(names_are_found_again_among_many),
        cmocka_unit_test(what_is_shown_is_printable_and_short),
        cmocka_unit_test(the_check_agrees_with_looking_at_each_byte),
    };
    return cmocka_run_group_tests_name("buffers", tests, NULL, NULL);
}
