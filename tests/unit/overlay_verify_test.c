/* SPDX-License-Identifier: MIT */
#include "tarn/overlay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "overlay_brute.h"
#include "tarn/heaps.h"

/*
 * The verifier: what is wrong with buffers and with plans, and that a sound plan has no fault.
 */

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static tarn_overlay_fault fault_of(const tarn_overlay_buffer *buffers, size_t count,
                                   const int64_t *offsets, int64_t capacity)
{
    tarn_overlay_fault fault = {.kind = TARN_OVERLAY_SOUND};
    const tarn_status status =
        tarn_overlay_verify(buffers, count, offsets, capacity, NULL, NULL, &fault);
    assert_int_equal(status, fault.kind == TARN_OVERLAY_SOUND ? TARN_OK : TARN_BAD_DATA);
    return fault;
}

static void a_plan_of_no_buffers_holds_and_has_no_height(void **state)
{
    (void)state;
    int64_t height = 7;
    tarn_overlay_fault fault = {.kind = TARN_OVERLAY_OUTSIDE};
    assert_int_equal(tarn_overlay_verify(NULL, 0, NULL, 0, NULL, &height, &fault), TARN_OK);
    assert_int_equal(height, 0);
    assert_int_equal(fault.kind, TARN_OVERLAY_SOUND);
}

static void buffers_that_touch_in_time_or_address_do_not_collide(void **state)
{
    (void)state;
    static const tarn_overlay_buffer buffers[] = {
        {.lower = 0, .upper = 5, .size = 10},
        {.lower = 5, .upper = 9, .size = 10},  /* begins when the first ends */
        {.lower = 0, .upper = 9, .size = 4},   /* begins where they end */
        {.lower = -9, .upper = 0, .size = 14}, /* is over when they begin */
    };
    static const int64_t offsets[] = {0, 0, 10, 0};
    int64_t height;
    assert_int_equal(tarn_overlay_verify(buffers, COUNT(buffers), offsets, 14, NULL, &height, NULL),
                     TARN_OK);
    assert_int_equal(height, 14);
}

static void the_earliest_collision_is_reported(void **state)
{
    (void)state;
    static const tarn_overlay_buffer buffers[] = {
        {.lower = 6, .upper = 9, .size = 10},
        {.lower = 0, .upper = 20, .size = 5},
        {.lower = 3, .upper = 4, .size = 5},
    };
    static const int64_t offsets[] = {0, 9, 13};
    const tarn_overlay_fault fault = fault_of(buffers, COUNT(buffers), offsets, 0);
    assert_int_equal(fault.kind, TARN_OVERLAY_COLLISION);
    assert_int_equal(fault.buffer, 1);
    assert_int_equal(fault.other, 2);
    assert_int_equal(fault.time, 3);
}

static void a_collision_of_a_single_byte_is_found_among_many_buffers(void **state)
{
    (void)state;
    enum { MANY = 2000 };
    tarn_overlay_buffer *buffers = calloc(MANY, sizeof *buffers);
    int64_t *offsets = calloc(MANY, sizeof *offsets);
    assert_non_null(buffers);
    assert_non_null(offsets);
    for (int i = 0; i < MANY; i++) {
        buffers[i] = (tarn_overlay_buffer){.lower = i % 7, .upper = 10 + i % 5, .size = 3};
        offsets[i] = INT64_C(3) * ((i * 7) % MANY);
    }
    assert_int_equal(fault_of(buffers, MANY, offsets, INT64_C(3) * MANY).kind, TARN_OVERLAY_SOUND);
    for (int i = 0; i < MANY; i += 97) {
        const int64_t before = offsets[i];
        offsets[i] += before == 0 ? 1 : -1;
        const tarn_overlay_fault fault = fault_of(buffers, MANY, offsets, INT64_C(3) * MANY);
        assert_int_equal(fault.kind, TARN_OVERLAY_COLLISION);
        assert_true(fault.buffer == (size_t)i || fault.other == (size_t)i);
        offsets[i] = before;
    }
    free(buffers);
    free(offsets);
}

static void a_buffer_has_to_be_where_it_may_be(void **state)
{
    (void)state;
    const tarn_overlay_buffer fixed = {.upper = 1, .size = 4, .is_fixed = true, .offset = 8};
    const tarn_overlay_buffer aligned = {.upper = 1, .size = 4, .alignment = 12};
    const tarn_overlay_buffer large = {.upper = 1, .size = INT64_MAX - 4};
    const int64_t zero = 0;
    const int64_t eight = 8;
    const int64_t below = -1;
    assert_int_equal(fault_of(&fixed, 1, &zero, 0).kind, TARN_OVERLAY_NOT_FIXED);
    assert_int_equal(fault_of(&fixed, 1, &eight, 12).kind, TARN_OVERLAY_SOUND);
    assert_int_equal(fault_of(&fixed, 1, &eight, 11).kind, TARN_OVERLAY_OUTSIDE);
    assert_int_equal(fault_of(&aligned, 1, &eight, 0).kind, TARN_OVERLAY_NOT_ALIGNED);
    assert_int_equal(fault_of(&aligned, 1, &below, 0).kind, TARN_OVERLAY_OUTSIDE);
    assert_int_equal(fault_of(&large, 1, &zero, 0).kind, TARN_OVERLAY_SOUND);
    assert_int_equal(fault_of(&large, 1, &eight, 0).kind, TARN_OVERLAY_OUTSIDE);
}

static void gaps_leave_room_for_others(void **state)
{
    (void)state;
    static const tarn_overlay_gap gaps[] = {
        {.lower = 2, .upper = 4},
        {.lower = 6, .upper = 8, .has_window = true, .window_lower = 4, .window_upper = 6}};
    tarn_overlay_buffer buffers[] = {
        {.lower = 0, .upper = 10, .size = 10, .gaps = gaps, .gap_count = 2},
        {.lower = 2, .upper = 4, .size = 10}, /* in the first gap */
        {.lower = 6, .upper = 8, .size = 4},  /* below the window */
        {.lower = 6, .upper = 8, .size = 4},  /* above it */
    };
    static const int64_t offsets[] = {0, 0, 0, 6};
    assert_int_equal(fault_of(buffers, COUNT(buffers), offsets, 10).kind, TARN_OVERLAY_SOUND);
    buffers[1].upper = 5;
    assert_int_equal(fault_of(buffers, COUNT(buffers), offsets, 10).time, 4);
    buffers[1].upper = 4;
    buffers[2].size = 5;
    assert_int_equal(fault_of(buffers, COUNT(buffers), offsets, 10).time, 6);
    buffers[2].size = 4;
    buffers[3].upper = 9;
    assert_int_equal(fault_of(buffers, COUNT(buffers), offsets, 10).time, 8);
}

static void buffers_that_break_their_contract_are_named(void **state)
{
    (void)state;
    static const tarn_overlay_gap empty = {.lower = 3, .upper = 3};
    static const tarn_overlay_gap early = {.lower = 0, .upper = 3};
    static const tarn_overlay_gap late = {.lower = 3, .upper = 11};
    static const tarn_overlay_gap high = {
        .lower = 3, .upper = 4, .has_window = true, .window_lower = 2, .window_upper = 9};
    static const tarn_overlay_gap upside_down = {
        .lower = 3, .upper = 4, .has_window = true, .window_lower = 3, .window_upper = 2};
    static const tarn_overlay_gap twice[] = {{.lower = 2, .upper = 5}, {.lower = 4, .upper = 6}};
    static const struct {
        tarn_overlay_buffer buffer;
        tarn_overlay_fault_kind kind;
    } cases[] = {
        {{.lower = 2, .upper = 1}, TARN_OVERLAY_BAD_LIFETIME},
        {{.lower = 1, .upper = 2, .size = -1}, TARN_OVERLAY_BAD_SIZE},
        {{.lower = 1, .upper = 2, .alignment = -8}, TARN_OVERLAY_BAD_ALIGNMENT},
        {{.upper = 2, .is_fixed = true, .offset = -1}, TARN_OVERLAY_BAD_FIXED},
        {{.upper = 2, .alignment = 8, .is_fixed = true, .offset = 4}, TARN_OVERLAY_BAD_FIXED},
        {{.lower = 1, .upper = 9, .size = 8, .gap_count = 1}, TARN_OVERLAY_BAD_GAP},
        {{.lower = 1, .upper = 9, .size = 8, .gaps = &empty, .gap_count = 1}, TARN_OVERLAY_BAD_GAP},
        {{.lower = 1, .upper = 9, .size = 8, .gaps = &early, .gap_count = 1}, TARN_OVERLAY_BAD_GAP},
        {{.lower = 1, .upper = 9, .size = 8, .gaps = &late, .gap_count = 1}, TARN_OVERLAY_BAD_GAP},
        {{.lower = 1, .upper = 9, .size = 8, .gaps = &high, .gap_count = 1}, TARN_OVERLAY_BAD_GAP},
        {{.lower = 1, .upper = 9, .size = 8, .gaps = &upside_down, .gap_count = 1},
         TARN_OVERLAY_BAD_GAP},
        {{.lower = 1, .upper = 9, .size = 8, .gaps = twice, .gap_count = 2}, TARN_OVERLAY_BAD_GAP},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const tarn_overlay_buffer buffers[] = {{.upper = 1, .size = 1}, cases[i].buffer};
        const int64_t offsets[] = {0, 0};
        tarn_overlay_fault fault;
        assert_int_equal(tarn_overlay_inspect(buffers, 2, &fault), TARN_BAD_ARGUMENT);
        assert_int_equal(fault.kind, cases[i].kind);
        assert_int_equal(fault.buffer, 1);
        assert_int_equal(tarn_overlay_verify(buffers, 2, offsets, 0, NULL, NULL, &fault),
                         TARN_BAD_ARGUMENT);
        assert_int_equal(fault.kind, cases[i].kind);
    }
}

static void every_fault_has_words_of_its_own(void **state)
{
    (void)state;
    for (int a = TARN_OVERLAY_SOUND; a <= TARN_OVERLAY_COLLISION; a++) {
        for (int b = TARN_OVERLAY_SOUND; b < a; b++) {
            assert_string_not_equal(tarn_overlay_fault_text((tarn_overlay_fault_kind)a),
                                    tarn_overlay_fault_text((tarn_overlay_fault_kind)b));
        }
    }
}

static void it_says_so_when_upstream_has_no_memory(void **state)
{
    (void)state;
    const tarn_overlay_buffer buffer = {.upper = 1, .size = 4};
    const int64_t offset = 0;
    for (uint64_t nth = 1; nth <= 1; nth++) {
        tarn_failing failing;
        tarn_counted counted;
        tarn_failing_init(
            &failing, &(tarn_failing_options){.upstream = tarn_system_heap(), .plan = {.at = nth}});
        tarn_counted_init(&counted, &(tarn_counted_options){.upstream = &failing.heap});
        assert_int_equal(tarn_overlay_verify(&buffer, 1, &offset, 0, &counted.heap, NULL, NULL),
                         TARN_NO_MEMORY);
        assert_int_equal(tarn_heap_stats(&counted.heap).blocks, 0);
    }
}

static void it_agrees_with_brute_force_about_random_plans(void **state)
{
    (void)state;
    static const overlay_kind kind = {.count_max = 6,
                                      .size_max = 5,
                                      .has_gaps = true,
                                      .has_windows = true,
                                      .has_alignments = true,
                                      .has_fixed = true};
    uint64_t random = 1;
    int held = 0;
    int failed = 0;
    for (int round = 0; round < 20000; round++) {
        overlay_small problem;
        overlay_brute_fill(&problem, &kind, &random);
        int64_t offsets[OVERLAY_BRUTE_BUFFERS];
        for (size_t i = 0; i < problem.count; i++) {
            offsets[i] = problem.buffers[i].is_fixed
                             ? problem.buffers[i].offset
                             : (int64_t)(overlay_brute_random(&random) % 12);
        }
        const int64_t capacity = (int64_t)(overlay_brute_random(&random) % 16);
        const bool holds = overlay_brute_holds(problem.buffers, problem.count, offsets, capacity);
        const tarn_overlay_fault fault =
            fault_of(problem.buffers, problem.count, offsets, capacity);
        assert_int_equal(fault.kind == TARN_OVERLAY_SOUND, holds);
        held += holds;
        failed += !holds;
    }
    assert_true(held > 1000 && failed > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_of_no_buffers_holds_and_has_no_height),
        cmocka_unit_test(buffers_that_touch_in_time_or_address_do_not_collide),
        cmocka_unit_test(the_earliest_collision_is_reported),
        cmocka_unit_test(a_collision_of_a_single_byte_is_found_among_many_buffers),
        cmocka_unit_test(a_buffer_has_to_be_where_it_may_be),
        cmocka_unit_test(gaps_leave_room_for_others),
        cmocka_unit_test(buffers_that_break_their_contract_are_named),
        cmocka_unit_test(every_fault_has_words_of_its_own),
        cmocka_unit_test(it_says_so_when_upstream_has_no_memory),
        cmocka_unit_test(it_agrees_with_brute_force_about_random_plans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
