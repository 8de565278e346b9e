/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/cli.h"
#include "cli/elf_file.h"
#include "cli/json.h"
#include "cli/sample.h"
#include "cli/suggest.h"
#include "cli/table.h"
#include "cli/units.h"

static void set_utf8(bool is_on)
{
    setenv("LC_ALL", is_on ? "C.UTF-8" : "C", 1);
}

static void seconds_have_three_digits_and_a_unit(void **state)
{
    (void)state;
    set_utf8(false);
    assert_string_equal(cli_seconds_text(0), "0 s");
    assert_string_equal(cli_seconds_text(1.5e-6), "1.50 us");
    assert_string_equal(cli_seconds_text(0.0123), "12.3 ms");
    assert_string_equal(cli_seconds_text(0.9994), "999 ms");
    assert_string_equal(cli_seconds_text(0.9996), "1.00 s");
    assert_string_equal(cli_seconds_text(9.994), "9.99 s");
    assert_string_equal(cli_seconds_text(9.996), "10.0 s");
    assert_string_equal(cli_seconds_text(99.96), "100 s");
    assert_string_equal(cli_seconds_text(999.6), "16.7 min");
    assert_string_equal(cli_seconds_text(86400.0 * 3), "72.0 h");
    set_utf8(true);
    assert_string_equal(cli_seconds_text(1.5e-6), "1.50 µs");
}

static void bytes_have_three_digits_and_a_unit(void **state)
{
    (void)state;
    assert_string_equal(cli_bytes_text(0), "0 B");
    assert_string_equal(cli_bytes_text(1023), "1023 B");
    assert_string_equal(cli_bytes_text(1024), "1.00 KiB");
    assert_string_equal(cli_bytes_text(1536 * 1024), "1.50 MiB");
    assert_string_equal(cli_bytes_text(1024 * 1024 - 1), "1.00 MiB");
    assert_string_equal(cli_bytes_text((uint64_t)12345 << 20), "12.1 GiB");
    assert_string_equal(cli_bytes_text((uint64_t)1 << 40), "1.00 TiB");
}

static void counts_have_commas_until_they_are_too_long(void **state)
{
    (void)state;
    assert_string_equal(cli_count_text(0), "0");
    assert_string_equal(cli_things_text(0, "block"), "0 blocks");
    assert_string_equal(cli_things_text(1, "block"), "1 block");
    assert_string_equal(cli_things_text(2000, "block"), "2,000 blocks");
    assert_string_equal(cli_count_text(999), "999");
    assert_string_equal(cli_count_text(1000), "1,000");
    assert_string_equal(cli_count_text(987654), "987,654");
    assert_string_equal(cli_count_text(1000000), "1.00 M");
    assert_string_equal(cli_count_text(UINT64_C(12345678901)), "12.3 G");
}

static void ratios_have_no_base_of_zero(void **state)
{
    (void)state;
    set_utf8(false);
    assert_string_equal(cli_ratio_text(1, 2), "0.50x");
    assert_string_equal(cli_ratio_text(123, 1), "123x");
    assert_string_equal(cli_ratio_text(5000, 1), ">999x");
    assert_string_equal(cli_ratio_text(1, 0), "-");
    set_utf8(true);
    assert_string_equal(cli_ratio_text(1, 2), "0.50×");
    assert_string_equal(cli_ratio_text(0, 0), "–");
}

static void ranges_have_the_unit_of_their_larger_end(void **state)
{
    (void)state;
    set_utf8(false);
    assert_string_equal(cli_seconds_range(0.9, 1.2), "0.90-1.20 s");
    assert_string_equal(cli_bytes_range(1 << 20, 20 << 20), "1.0-20.0 MiB");
    set_utf8(true);
    assert_string_equal(cli_seconds_range(1, 2), "1.00–2.00 s");
}

static void no_figure_is_wider_than_promised(void **state)
{
    (void)state;
    set_utf8(true);
    for (double value = 1e-9; value < 1e6; value *= 1.0007) {
        assert_true(cli_text_width(cli_seconds_text(value)) <= CLI_SECONDS_WIDTH);
        assert_true(cli_text_width(cli_ratio_text(value, 1)) <= CLI_RATIO_WIDTH);
    }
    for (double value = 1; value < 1e15; value *= 1.0007) {
        assert_true(cli_text_width(cli_bytes_text((uint64_t)value)) <= CLI_BYTES_WIDTH);
    }
    for (double value = 1; value < 9e11; value *= 1.0007) {
        assert_true(cli_text_width(cli_count_text((uint64_t)value)) <= CLI_COUNT_WIDTH);
    }
}

static void the_median_is_the_middle_or_the_mean_of_two(void **state)
{
    (void)state;
    double odd[] = {3, 1, 2};
    double even[] = {4, 1, 3, 2};
    double one[] = {7};
    assert_true(cli_sample_of(odd, 3).median == 2);
    assert_true(cli_sample_of(even, 4).median == 2.5);
    assert_true(even[0] == 1 && even[3] == 4);
    assert_true(cli_sample_of(even, 4).least == 1 && cli_sample_of(even, 4).most == 4);
    assert_true(cli_sample_of(one, 1).median == 7);
}

static void the_nearest_word_is_suggested_and_a_far_one_is_not(void **state)
{
    (void)state;
    const char *const words[] = {"--compare", "--runs", "--quiet", "run", NULL};
    assert_string_equal(cli_suggest("--comapre", words), "--compare");
    assert_string_equal(cli_suggest("--run", words), "--runs");
    assert_string_equal(cli_suggest("urn", words), "run");
    assert_null(cli_suggest("xyz", words));
    assert_null(cli_suggest("", words));
    assert_null(cli_suggest("a-word-that-is-longer-than-any-word-has-a-right-to-be", words));
}

static char *json_of(void (*write)(cli_json *json))
{
    static char text[4096];
    FILE *file = fmemopen(text, sizeof text, "w");
    cli_json json = {.file = file};
    write(&json);
    fclose(file);
    return text;
}

static void write_values(cli_json *json)
{
    cli_json_open(json, NULL, '{');
    cli_json_text(json, "a\"b", "\\\n\x7f\xc3\xa9");
    cli_json_text(json, "bad", "\xc3(\xed\xa0\x80\xf5\xc0\x80");
    cli_json_text(json, "none", NULL);
    cli_json_open(json, "list", '[');
    cli_json_close(json, ']');
    cli_json_open(json, "some", '[');
    cli_json_number(json, NULL, 0.5);
    cli_json_number(json, NULL, 0.0 / 1.0);
    cli_json_number(json, NULL, strtod("nan", NULL));
    cli_json_count(json, NULL, UINT64_MAX);
    cli_json_close(json, ']');
    cli_json_bool(json, "yes", true);
    cli_json_int(json, "less", -1);
    cli_json_close(json, '}');
}

static void json_is_escaped_and_punctuated(void **state)
{
    (void)state;
    assert_string_equal(json_of(write_values),
                        "{\n"
                        "  \"a\\\"b\": \"\\\\\\u000a\\u007f\xc3\xa9\",\n"
                        "  \"bad\": \"\\ufffd(\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\",\n"
                        "  \"none\": null,\n"
                        "  \"list\": [],\n"
                        "  \"some\": [\n"
                        "    0.500000,\n"
                        "    0.000000,\n"
                        "    null,\n"
                        "    18446744073709551615\n"
                        "  ],\n"
                        "  \"yes\": true,\n"
                        "  \"less\": -1\n"
                        "}\n");
}

static void a_table_is_aligned_and_cut_in_its_first_column_only(void **state)
{
    (void)state;
    char text[1024];
    set_utf8(true);
    FILE *file = fmemopen(text, sizeof text, "w");
    cli_table table = {.column_count = 3, .is_left = {true}};
    cli_cell *cells = cli_table_add(&table);
    cells[0].text = "name";
    cells[1].text = "time";
    cells[2].text = "n";
    cells = cli_table_add(&table);
    cells[0].text = "ten-letter";
    cells[1].text = "1.5 µs";
    cells[2].text = "12";
    cells = cli_table_add(&table);
    cells[1].text = "7 s ";
    cli_table_print(&table, file, 21);
    fclose(file);
    assert_string_equal(text, "name         time   n\n"
                              "─────────────────────\n"
                              "ten-lett…  1.5 µs  12\n"
                              "             7 s\n");
}

static void columns_without_room_are_left_out_in_their_order(void **state)
{
    (void)state;
    static const char *const titles[] = {"name", "much", "more", "most"};
    char text[1024];
    set_utf8(false);
    FILE *file = fmemopen(text, sizeof text, "w");
    cli_table table = {.column_count = 4,
                       .is_left = {true},
                       .drop_order = {[1] = 2, [2] = 1, [3] = 3},
                       .is_first_whole = true};
    for (int row = 0; row < 2; row++) {
        cli_cell *cells = cli_table_add(&table);
        for (size_t i = 0; i < 4; i++) {
            cells[i].text = row == 0 ? titles[i] : i == 0 ? "ten-letter" : "12.5";
        }
    }
    cli_table_print(&table, file, 28);
    cli_table_print(&table, file, 27);
    cli_table_print(&table, file, 21);
    cli_table_print(&table, file, 8);
    fclose(file);
    assert_string_equal(text, "name        much  more  most\n"
                              "----------------------------\n"
                              "ten-letter  12.5  12.5  12.5\n"
                              "name        much  most\n"
                              "----------------------\n"
                              "ten-letter  12.5  12.5\n"
                              "no room for: more\n"
                              "name        most\n"
                              "----------------\n"
                              "ten-letter  12.5\n"
                              "no room for: much, more\n"
                              "name\n"
                              "----------\n"
                              "ten-letter\n"
                              "no room for: much, more, most\n");
}

static void write_file(const char *path, const unsigned char *bytes, size_t size)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

/* Reads damaged copies of this program; what is said of them matters less than that it ends well. */
static void a_damaged_elf_file_is_survived(void **state)
{
    (void)state;
    static unsigned char bytes[1 << 20];
    char path[] = "/tmp/tarn-elf-XXXXXX";
    const int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    FILE *own = fopen("/proc/self/exe", "r");
    const size_t size = fread(bytes, 1, sizeof bytes, own);
    fclose(own);
    cli_elf elf;
    write_file(path, bytes, size);
    assert_true(cli_elf_read(path, &elf));
    assert_int_equal(elf.kind, CLI_ELF_NATIVE);
    assert_non_null(elf.loader);
    for (size_t cut = 0; cut < size; cut += cut < 1200 ? 1 : size / 50) {
        write_file(path, bytes, cut);
        assert_true(cli_elf_read(path, &elf));
        assert_true(cut > 60 || elf.kind != CLI_ELF_NATIVE);
    }
    uint32_t random = 12345;
    for (int i = 0; i < 1000; i++) {
        unsigned char old[8];
        size_t at[8];
        for (size_t j = 0; j < 8; j++) {
            random = random * 1664525 + 1013904223;
            /* Headers are where the harm is. */
            at[j] = (random >> 8) % 1200;
            old[j] = bytes[at[j]];
            bytes[at[j]] = (unsigned char)(random >> 24);
        }
        write_file(path, bytes, size);
        assert_true(cli_elf_read(path, &elf));
        for (size_t j = 8; j > 0; j--) {
            bytes[at[j - 1]] = old[j - 1];
        }
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seconds_have_three_digits_and_a_unit),
        cmocka_unit_test(bytes_have_three_digits_and_a_unit),
        cmocka_unit_test(counts_have_commas_until_they_are_too_long),
        cmocka_unit_test(ratios_have_no_base_of_zero),
        cmocka_unit_test(ranges_have_the_unit_of_their_larger_end),
        cmocka_unit_test(no_figure_is_wider_than_promised),
        cmocka_unit_test(the_median_is_the_middle_or_the_mean_of_two),
        cmocka_unit_test(the_nearest_word_is_suggested_and_a_far_one_is_not),
        cmocka_unit_test(json_is_escaped_and_punctuated),
        cmocka_unit_test(a_table_is_aligned_and_cut_in_its_first_column_only),
        cmocka_unit_test(columns_without_room_are_left_out_in_their_order),
        cmocka_unit_test(a_damaged_elf_file_is_survived),
    };
    return cmocka_run_group_tests_name("cli", tests, NULL, NULL);
}
