/* SPDX-License-Identifier: MIT */
#include "tarn/malloc.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The figures are held against what the test itself allocated, and the reports against their grammars. */

#define MIB ((size_t)1 << 20)

static tarn_malloc_stats take(void)
{
    tarn_malloc_stats stats;
    memset(&stats, 0xee, sizeof stats);
    tarn_malloc_stats_get(&stats, sizeof stats);
    assert_int_equal(stats.version, TARN_MALLOC_STATS_VERSION);
    assert_true(stats.class_count > 0 && stats.class_count <= TARN_MALLOC_CLASSES_MAX);
    return stats;
}

static const tarn_malloc_class_stats *class_for(const tarn_malloc_stats *stats, size_t size)
{
    for (size_t i = 0; i < stats->class_count; i++) {
        if (stats->classes[i].slot_size >= size) {
            return &stats->classes[i];
        }
    }
    fail_msg("no class for %zu bytes", size);
    return NULL;
}

static void classes_rise_and_waste_an_eighth_at_most(void **state)
{
    (void)state;
    const tarn_malloc_stats stats = take();
    for (size_t i = 1; i < stats.class_count; i++) {
        const size_t below = stats.classes[i - 1].slot_size;
        const size_t size = stats.classes[i].slot_size;
        assert_true(size > below);
        assert_true(below < 128 || (size - below - 1) * 8 <= size);
        assert_true(size <= 8 || size % 16 == 0);
    }
    assert_true(stats.classes[stats.class_count - 1].slot_size >= 32768);
}

static void small_blocks_are_counted_in_their_class(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    static void *blocks[COUNT];
    const size_t sizes[] = {8, 16, 100, 1000, 5000, 32768};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const tarn_malloc_stats before = take();
        for (size_t j = 0; j < COUNT; j++) {
            blocks[j] = tarn_malloc(sizes[i]);
            assert_non_null(blocks[j]);
        }
        const tarn_malloc_stats during = take();
        const tarn_malloc_class_stats *class_before = class_for(&before, sizes[i]);
        const tarn_malloc_class_stats *class_during = class_for(&during, sizes[i]);
        assert_int_equal(class_during->live, class_before->live + COUNT);
        assert_true(class_during->spans > 0);
        assert_int_equal(during.small_live, before.small_live + COUNT * class_during->slot_size);
        assert_true(during.mapped >= during.small_live + during.large_live + during.huge_live);
        assert_true(during.peak_mapped >= during.mapped);
        for (size_t j = 0; j < COUNT; j += 2) {
            tarn_free(blocks[j]);
        }
        const tarn_malloc_stats half = take();
        assert_int_equal(class_for(&half, sizes[i])->live, class_before->live + COUNT / 2);
        assert_true(class_for(&half, sizes[i])->waste >= COUNT / 4 * class_during->slot_size);
        for (size_t j = 1; j < COUNT; j += 2) {
            tarn_free(blocks[j]);
        }
        const tarn_malloc_stats after = take();
        assert_int_equal(class_for(&after, sizes[i])->live, class_before->live);
        assert_int_equal(after.small_live, before.small_live);
    }
}

static void large_and_huge_blocks_are_counted(void **state)
{
    (void)state;
    const tarn_malloc_stats before = take();
    void *large = tarn_malloc(100000);
    void *huge = tarn_malloc(300 * MIB);
    assert_non_null(large);
    assert_non_null(huge);
    const tarn_malloc_stats during = take();
    assert_int_equal(during.large_blocks, before.large_blocks + 1);
    assert_int_equal(during.huge_blocks, before.huge_blocks + 1);
    assert_in_range(during.large_live - before.large_live, 100000, 100000 + 65536);
    assert_in_range(during.huge_live - before.huge_live, 300 * MIB, 304 * MIB);
    /* Free chunks may go back meanwhile: what is live bounds what is mapped, not the other way round. */
    assert_true(during.mapped >= during.huge_live + during.large_live);
    tarn_free(large);
    tarn_free(huge);
    const tarn_malloc_stats after = take();
    assert_int_equal(after.large_blocks, before.large_blocks);
    assert_int_equal(after.huge_blocks, before.huge_blocks);
    assert_int_equal(after.large_live, before.large_live);
    assert_int_equal(after.huge_live, before.huge_live);
    assert_true(after.peak_mapped >= during.mapped);
}

static void purged_pages_are_counted(void **state)
{
    (void)state;
    (void)tarn_malloc_trim();
    const tarn_malloc_stats before = take();
    char *block = tarn_malloc(MIB);
    memset(block, 1, MIB);
    tarn_free(block);
    const size_t given_back = tarn_malloc_trim();
    const tarn_malloc_stats after = take();
    /* The decay may have been first. */
    assert_true(after.purged >= before.purged + given_back);
    assert_true(after.purged >= before.purged + MIB / 2 || after.mapped < before.mapped + MIB);
    assert_true(after.purges >= before.purges);
    assert_true(after.dirty < MIB);
}

static void a_shorter_struct_of_an_old_caller_is_filled_as_far_as_it_goes(void **state)
{
    (void)state;
    union {
        tarn_malloc_stats stats;
        unsigned char bytes[sizeof(tarn_malloc_stats) + 64];
    } room;
    for (size_t size = 0; size < sizeof(tarn_malloc_stats) + 64; size += 4) {
        memset(&room, 0xee, sizeof room);
        tarn_malloc_stats_get(&room.stats, size);
        const size_t filled = size < sizeof room.stats ? size : sizeof room.stats;
        for (size_t i = filled; i < sizeof room; i++) {
            assert_int_equal(room.bytes[i], 0xee);
        }
        if (size >= sizeof room.stats.version) {
            assert_int_equal(room.stats.version, TARN_MALLOC_STATS_VERSION);
        }
    }
}

/* --- reports --- */

static char text[1 << 18];
static size_t length;

static void append(void *context, const char *piece, size_t size)
{
    assert_ptr_equal(context, text);
    assert_true(length + size < sizeof text);
    memcpy(text + length, piece, size);
    length += size;
    text[length] = '\0';
}

static const char *report(tarn_malloc_format format)
{
    length = 0;
    tarn_malloc_report(format, append, text);
    assert_int_equal(strlen(text), length);
    assert_true(length > 0);
    assert_int_equal(text[length - 1], '\n');
    return text;
}

/* A strict reader of JSON that knows objects, arrays, strings, numbers and words. */
static const char *skip_value(const char *c);

static const char *skip_space(const char *c)
{
    return c + strspn(c, " \t\r\n");
}

static const char *skip_string(const char *c)
{
    assert_int_equal(*c, '"');
    for (c++; *c != '"'; c++) {
        assert_true((unsigned char)*c >= 0x20);
        if (*c == '\\') {
            c++;
            assert_non_null(strchr("\"\\/bfnrtu", *c));
        }
    }
    return c + 1;
}

static const char *skip_list(const char *c, char end, bool has_keys)
{
    c = skip_space(c + 1);
    if (*c == end) {
        return c + 1;
    }
    for (;;) {
        c = skip_space(c);
        if (has_keys) {
            c = skip_space(skip_string(c));
            assert_int_equal(*c, ':');
            c = skip_space(c + 1);
        }
        c = skip_space(skip_value(c));
        if (*c == end) {
            return c + 1;
        }
        assert_int_equal(*c, ',');
        c++;
    }
}

static const char *skip_value(const char *c)
{
    if (*c == '{') {
        return skip_list(c, '}', true);
    }
    if (*c == '[') {
        return skip_list(c, ']', false);
    }
    if (*c == '"') {
        return skip_string(c);
    }
    if (strncmp(c, "true", 4) == 0 || strncmp(c, "null", 4) == 0) {
        return c + 4;
    }
    if (strncmp(c, "false", 5) == 0) {
        return c + 5;
    }
    c += *c == '-';
    assert_true(isdigit((unsigned char)*c));
    assert_true(*c != '0' || !isdigit((unsigned char)c[1]));
    c += strspn(c, "0123456789");
    if (*c == '.') {
        assert_true(isdigit((unsigned char)c[1]));
        c += 1 + strspn(c + 1, "0123456789");
    }
    return c;
}

static uint64_t json_number(const char *json, const char *key)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    const char *at = strstr(json, quoted);
    if (at == NULL) {
        fail_msg("no \"%s\" in the JSON", key);
        return 0;
    }
    at = skip_space(at + strlen(quoted));
    assert_int_equal(*at, ':');
    return strtoull(skip_space(at + 1), NULL, 10);
}

static void the_json_report_is_json_with_the_structs_figures(void **state)
{
    (void)state;
    void *large = tarn_malloc(100000);
    void *huge = tarn_malloc(300 * MIB);
    const char *json = report(TARN_MALLOC_JSON);
    assert_int_equal(*json, '{');
    assert_string_equal(skip_space(skip_value(json)), "");
    const tarn_malloc_stats stats = take();
    assert_int_equal(json_number(json, "version"), stats.version);
    assert_int_equal(json_number(json, "small_live"), stats.small_live);
    assert_int_equal(json_number(json, "large_live"), stats.large_live);
    assert_int_equal(json_number(json, "huge_live"), stats.huge_live);
    assert_int_equal(json_number(json, "large_blocks"), stats.large_blocks);
    assert_int_equal(json_number(json, "huge_blocks"), stats.huge_blocks);
    assert_int_equal(json_number(json, "peak_mapped"), stats.peak_mapped);
    tarn_free(large);
    tarn_free(huge);
}

static void the_xml_report_closes_what_it_opens(void **state)
{
    (void)state;
    void *block = tarn_malloc(100);
    const char *xml = report(TARN_MALLOC_XML);
    const char *open[32];
    size_t lengths[32];
    size_t depth = 0;
    size_t elements = 0;
    for (const char *c = strchr(xml, '<'); c != NULL; c = strchr(c + 1, '<')) {
        const char *end = strchr(c, '>');
        assert_non_null(end);
        if (c[1] == '?') {
            continue;
        }
        const char *name = c[1] == '/' ? c + 2 : c + 1;
        const size_t size = strcspn(name, " />\t\n");
        assert_true(size > 0);
        if (c[1] == '/') {
            assert_true(depth > 0);
            depth--;
            assert_int_equal(lengths[depth], size);
            assert_memory_equal(open[depth], name, size);
        } else {
            elements++;
            /* One element at the top. */
            assert_true(depth > 0 || elements == 1);
            if (end[-1] != '/') {
                assert_true(depth < 32);
                open[depth] = name;
                lengths[depth++] = size;
            }
        }
    }
    assert_int_equal(depth, 0);
    assert_true(elements > 3);
    assert_null(strchr(xml, '&'));
    tarn_free(block);
}

static void the_table_has_a_line_for_each_class_in_use(void **state)
{
    (void)state;
    void *block = tarn_malloc(1000);
    const char *table = report(TARN_MALLOC_TABLE);
    const tarn_malloc_stats stats = take();
    size_t lines = 0;
    size_t in_use = 0;
    for (const char *c = table; *c != '\0'; c++) {
        lines += *c == '\n';
        assert_true(*c == '\n' || isprint((unsigned char)*c));
    }
    for (size_t i = 0; i < stats.class_count; i++) {
        in_use += stats.classes[i].live > 0;
    }
    assert_true(in_use >= 1);
    assert_true(lines > in_use);
    tarn_free(block);
}

static void a_report_allocates_nothing(void **state)
{
    (void)state;
    const tarn_malloc_stats before = take();
    (void)report(TARN_MALLOC_TABLE);
    (void)report(TARN_MALLOC_JSON);
    (void)report(TARN_MALLOC_XML);
    const tarn_malloc_stats after = take();
    assert_int_equal(after.small_live, before.small_live);
    assert_int_equal(after.large_live, before.large_live);
    assert_true(after.mapped <= before.mapped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_rise_and_waste_an_eighth_at_most),
        cmocka_unit_test(small_blocks_are_counted_in_their_class),
        cmocka_unit_test(large_and_huge_blocks_are_counted),
        cmocka_unit_test(purged_pages_are_counted),
        cmocka_unit_test(a_shorter_struct_of_an_old_caller_is_filled_as_far_as_it_goes),
        cmocka_unit_test(the_json_report_is_json_with_the_structs_figures),
        cmocka_unit_test(the_xml_report_closes_what_it_opens),
        cmocka_unit_test(the_table_has_a_line_for_each_class_in_use),
        cmocka_unit_test(a_report_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
