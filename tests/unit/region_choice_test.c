/* SPDX-License-Identifier: MIT */
#include "tarn/region.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "region_tools.h"

/*
 * What each policy chooses, by small examples whose answers are in the header; region_property_test.c does
 * the same by millions.
 */

enum { GRANULE = 16 };

static tarn_region region;

/* Makes a region without memory from a plan such as "u1 f4 u2": 1 granule in use, 4 free, 2 in use. Used
 * ones are blocks of a granule each. */
static void lay(tarn_region_policy policy, const char *plan)
{
    size_t total = 0;
    for (const char *at = plan; *at != '\0';) {
        char *end;
        total += strtoul(at + 1, &end, 10);
        at = end + strspn(end, " ");
    }
    const tarn_region_options options = {
        .policy = policy, .books = TARN_BOOKS_OUTSIDE, .granule = GRANULE, .partitions = total + 8};
    assert_int_equal(tarn_region_init(&region, (tarn_memory){NULL, total * GRANULE}, &options),
                     TARN_OK);
    for (size_t i = 0; i < total; i++) {
        assert_true(tarn_region_alloc_offset(&region, GRANULE, 1) != TARN_NO_OFFSET);
    }
    size_t granule = 0;
    for (const char *at = plan; *at != '\0';) {
        char *end;
        const size_t count = strtoul(at + 1, &end, 10);
        for (size_t i = 0; *at == 'f' && i < count; i++) {
            tarn_region_free_offset(&region, (granule + i) * GRANULE);
        }
        granule += count;
        at = end + strspn(end, " ");
    }
    assert_balance(&region);
}

/* Both in granules; the last is whether it is served at all. */
static void assert_chooses(size_t granules, size_t wanted)
{
    assert_int_equal(tarn_region_alloc_offset(&region, granules * GRANULE, 1), wanted * GRANULE);
    assert_balance(&region);
}

static void assert_refuses(size_t granules)
{
    assert_true(tarn_region_alloc_offset(&region, granules * GRANULE, 1) == TARN_NO_OFFSET);
    assert_balance(&region);
}

static void give_back(size_t granule)
{
    tarn_region_free_offset(&region, granule * GRANULE);
}

static void first_fit_takes_the_high_end_of_the_first_that_fits(void **state)
{
    (void)state;
    lay(TARN_FIRST_FIT, "u1 f2 u1 f4 u1 f4 u1");
    assert_chooses(3, 5);
    assert_chooses(1, 2);
    assert_chooses(3, 10);
    assert_chooses(1, 1);
    assert_chooses(1, 4);
    assert_refuses(2);
    assert_chooses(1, 9);
    assert_refuses(1);
    tarn_region_deinit(&region);
}

static void next_fit_goes_on_where_its_last_search_ended(void **state)
{
    (void)state;
    lay(TARN_NEXT_FIT, "u1 f2 u1 f4 u1 f4 u1");
    assert_chooses(3, 5);
    assert_chooses(1, 4);
    assert_chooses(1, 12);
    assert_chooses(2, 10);
    assert_chooses(1, 9);
    assert_chooses(1, 2);
    assert_chooses(1, 1);
    assert_refuses(1);
    tarn_region_deinit(&region);
}

static void next_fit_begins_at_the_start_after_a_reset(void **state)
{
    (void)state;
    lay(TARN_NEXT_FIT, "u1 f2 u1 f4 u2");
    assert_chooses(4, 4);
    tarn_region_reset(&region);
    /* The only free partition begins before where the last search ended. */
    assert_chooses(2, 8);
    assert_chooses(8, 0);
    tarn_region_deinit(&region);
}

static void worst_fit_takes_the_high_end_of_the_largest(void **state)
{
    (void)state;
    lay(TARN_WORST_FIT, "f4 u1 f5 u1 f5 u1");
    assert_chooses(1, 9);
    assert_chooses(1, 15);
    assert_chooses(1, 3);
    assert_chooses(4, 5);
    assert_chooses(1, 14);
    assert_refuses(4);
    tarn_region_deinit(&region);
}

static void best_fit_takes_the_high_end_of_the_smallest_that_fits(void **state)
{
    (void)state;
    lay(TARN_BEST_FIT, "f4 u1 f2 u1 f3 u1 f2 u1");
    assert_chooses(2, 5);
    assert_chooses(2, 12);
    assert_chooses(2, 9);
    assert_chooses(1, 8);
    assert_chooses(3, 1);
    assert_refuses(2);
    assert_chooses(1, 0);
    tarn_region_deinit(&region);
}

static void best_fit_puts_a_freed_partition_before_the_head_or_at_the_end(void **state)
{
    (void)state;
    lay(TARN_BEST_FIT, "u50");
    give_back(20);
    give_back(30);
    give_back(10);
    give_back(25);
    give_back(5);
    assert_chooses(1, 5);
    assert_chooses(1, 10);
    assert_chooses(1, 20);
    assert_chooses(1, 30);
    assert_chooses(1, 25);
    assert_refuses(1);
    tarn_region_deinit(&region);
}

static void best_fit_takes_the_lowest_of_equals_that_have_no_list(void **state)
{
    (void)state;
    lay(TARN_BEST_FIT, "u400");
    const size_t large = tarn_region_exact(&region) / GRANULE + 1;
    assert_in_range(large, 2, 80);
    static const size_t starts[] = {200, 300, 10, 100};
    for (size_t i = 0; i < 4; i++) {
        for (size_t granule = 0; granule < large; granule++) {
            give_back(starts[i] + granule);
        }
    }
    assert_chooses(large, 10);
    assert_chooses(large, 100);
    assert_chooses(large - 1, 201);
    assert_chooses(large, 300);
    assert_refuses(large);
    tarn_region_deinit(&region);
}

static void segregated_fit_takes_the_head_of_a_group(void **state)
{
    (void)state;
    /* In a range as small as this, 16 and 17 granules are a group, 18 and 19 the next. */
    lay(TARN_SEGREGATED_FIT, "u1 f17 u1 f16 u1 f19 u1 f18 u1");
    assert_chooses(16, 2);
    assert_chooses(1, 1);
    /* The head of its own group is too small. */
    assert_chooses(17, 38);
    assert_chooses(16, 19);
    assert_chooses(18, 56);
    assert_chooses(1, 37);
    assert_chooses(1, 36);
    assert_refuses(1);
    tarn_region_deinit(&region);
}

static void segregated_fit_looks_at_no_more_than_the_head(void **state)
{
    (void)state;
    lay(TARN_SEGREGATED_FIT, "u1 f16 u1 f17 u1");
    assert_int_equal(tarn_region_largest_free(&region), 16 * GRANULE);
    assert_refuses(17);
    assert_chooses(16, 1);
    assert_int_equal(tarn_region_largest_free(&region), 17 * GRANULE);
    assert_chooses(17, 18);
    tarn_region_deinit(&region);
}

/* Opens a region without memory of so many granules, with nothing in use. */
static void open_free(tarn_region_policy policy, size_t granules)
{
    const tarn_region_options options = {
        .policy = policy, .books = TARN_BOOKS_OUTSIDE, .granule = GRANULE};
    assert_int_equal(tarn_region_init(&region, (tarn_memory){NULL, granules * GRANULE}, &options),
                     TARN_OK);
}

static void buddies_are_halved_and_merge_again(void **state)
{
    (void)state;
    open_free(TARN_BUDDY, 16);
    assert_chooses(1, 0);
    assert_chooses(3, 4);
    assert_chooses(2, 2);
    assert_chooses(5, 8);
    assert_chooses(1, 1);
    assert_refuses(1);
    give_back(4);
    assert_chooses(2, 4);
    assert_chooses(2, 6);
    give_back(0);
    give_back(6);
    /* The first of the smallest that are large enough. */
    assert_chooses(1, 0);
    give_back(0);
    give_back(1);
    give_back(2);
    give_back(4);
    assert_chooses(8, 0);
    give_back(8);
    give_back(0);
    assert_chooses(16, 0);
    tarn_region_deinit(&region);
}

static void buddies_use_the_whole_of_a_range_that_is_no_power_of_two(void **state)
{
    (void)state;
    open_free(TARN_BUDDY, 13);
    assert_int_equal(tarn_region_largest_free(&region), 8 * GRANULE);
    assert_chooses(8, 0);
    assert_chooses(1, 12);
    assert_chooses(4, 8);
    assert_refuses(1);
    tarn_region_deinit(&region);
}

static void fixed_partitions_serve_the_smallest_that_fits(void **state)
{
    (void)state;
    static const size_t sizes[] = {100, 30, 60, 30, 200};
    const tarn_region_options options = {.policy = TARN_FIXED_PARTITIONS,
                                         .books = TARN_BOOKS_OUTSIDE,
                                         .granule = GRANULE,
                                         .sizes = sizes,
                                         .size_count = 5};
    /* Of 7, 2, 4, 2 and 13 granules, of which the last does not fit. */
    assert_int_equal(tarn_region_init(&region, (tarn_memory){NULL, 27 * GRANULE}, &options),
                     TARN_OK);
    assert_layout(&region, "f112 f32 f64 f32 ");
    assert_chooses(1, 7);
    assert_chooses(2, 13);
    assert_chooses(1, 9);
    assert_refuses(8);
    assert_chooses(1, 0);
    assert_refuses(1);
    assert_layout(&region, "u112 u32 u64 u32 ");
    give_back(9);
    assert_chooses(3, 9);
    tarn_region_deinit(&region);
}

static void a_single_partition_serves_one_block_at_a_time(void **state)
{
    (void)state;
    open_free(TARN_SINGLE, 10);
    assert_refuses(11);
    assert_chooses(1, 0);
    assert_int_equal(tarn_region_room_offset(&region, 0), 10 * GRANULE);
    assert_refuses(1);
    assert_int_equal(tarn_region_largest_free(&region), 0);
    give_back(0);
    assert_chooses(10, 0);
    tarn_region_deinit(&region);
}

static void an_aligned_block_begins_at_the_lowest_place_of_its_partition(void **state)
{
    (void)state;
    static const tarn_region_policy policies[] = {TARN_BEST_FIT, TARN_FIRST_FIT, TARN_NEXT_FIT,
                                                  TARN_WORST_FIT, TARN_SEGREGATED_FIT};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        lay(policies[i], "u1 f3 u1 f12 u1");
        assert_int_equal(tarn_region_alloc_offset(&region, 2 * GRANULE, 8 * GRANULE), 8 * GRANULE);
        assert_layout(&region, "u16 f48 u16 f48 u32 f112 u16 ");
        tarn_region_deinit(&region);
    }
}

static void an_alignment_is_looked_for_twice(void **state)
{
    (void)state;
    /* The best for 2 granules has no place aligned to 4; the best for 2 and 4 has. */
    lay(TARN_BEST_FIT, "u5 f3 u1 f5 u1 f6 u1 f20 u1");
    assert_int_equal(tarn_region_alloc_offset(&region, 2 * GRANULE, 4 * GRANULE), 16 * GRANULE);
    assert_int_equal(tarn_region_alloc_offset(&region, 3 * GRANULE, 4 * GRANULE), 24 * GRANULE);
    tarn_region_deinit(&region);
    lay(TARN_FIRST_FIT, "u5 f3 u1 f5 u1 f6 u1 f20 u1");
    assert_int_equal(tarn_region_alloc_offset(&region, 2 * GRANULE, 4 * GRANULE), 16 * GRANULE);
    tarn_region_deinit(&region);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_fit_takes_the_high_end_of_the_first_that_fits),
        cmocka_unit_test(next_fit_goes_on_where_its_last_search_ended),
        cmocka_unit_test(next_fit_begins_at_the_start_after_a_reset),
        cmocka_unit_test(worst_fit_takes_the_high_end_of_the_largest),
        cmocka_unit_test(best_fit_takes_the_high_end_of_the_smallest_that_fits),
        cmocka_unit_test(best_fit_puts_a_freed_partition_before_the_head_or_at_the_end),
        cmocka_unit_test(best_fit_takes_the_lowest_of_equals_that_have_no_list),
        cmocka_unit_test(segregated_fit_takes_the_head_of_a_group),
        cmocka_unit_test(segregated_fit_looks_at_no_more_than_the_head),
        cmocka_unit_test(buddies_are_halved_and_merge_again),
        cmocka_unit_test(buddies_use_the_whole_of_a_range_that_is_no_power_of_two),
        cmocka_unit_test(fixed_partitions_serve_the_smallest_that_fits),
        cmocka_unit_test(a_single_partition_serves_one_block_at_a_time),
        cmocka_unit_test(an_aligned_block_begins_at_the_lowest_place_of_its_partition),
        cmocka_unit_test(an_alignment_is_looked_for_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
